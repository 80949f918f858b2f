//! A processor whose projection's type the worker need not know.

use std::sync::Arc;
use std::time::Duration;

use es::{EventSource, Partition, ProjectionName, StoreError};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::run::{Ended, Ownership};
use crate::{Processor, ProcessorError, Projection};

pub(super) trait RunPartition: Send + Sync {
    fn name(&self) -> ProjectionName;

    /// How long an event or a batch may take.
    fn time_max(&self) -> Duration;

    fn check_filter(&self) -> Result<(), StoreError>;

    fn run_partition(
        self: Arc<Self>,
        partition: Partition,
        ownership: Ownership,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Ended, ProcessorError>>;
}

impl<S, P> RunPartition for Processor<S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    fn name(&self) -> ProjectionName {
        Processor::name(self)
    }

    fn time_max(&self) -> Duration {
        self.time_max
    }

    fn check_filter(&self) -> Result<(), StoreError> {
        self.projection.filter().check()
    }

    fn run_partition(
        self: Arc<Self>,
        partition: Partition,
        ownership: Ownership,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Ended, ProcessorError>> {
        Box::pin(async move { self.run_leased(partition, ownership, shutdown).await })
    }
}
