//! A worker, in this process or one of its own, and how that ends.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::{ProjectionName, WorkerId};
use projection::{Processor, ProjectionOptions};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::database::Faulty;
use super::gate::Gate;
use super::projection::{Crash, Fragile};
use super::whole;
use super::{LEASE, POLL, PROJECTIONS, WORKER_CONNECTIONS_MAX};
use crate::projector::cancel_when_input_ends;

/// Small, so that there are many commits for a fault to meet.
const BATCH_SIZE_MAX: NonZeroU32 = NonZeroU32::new(25).expect("it is not zero");

/// A worker on both projections.
pub(super) fn worker<B: Faulty>(
    backend: &B,
    id: WorkerId,
    crash: &Crash,
    gate: &Gate,
) -> anyhow::Result<Processor<B::Source>> {
    let worker = Processor::new(Arc::clone(backend.source()))
        .with_id(id)
        .with_lease(LEASE)
        .with_poll_interval(POLL)
        .with_stop_time_max(B::TIME_MAX);
    PROJECTIONS.iter().try_fold(worker, |worker, (name, partitions)| {
        let name = ProjectionName::new(*name)?;
        let projection = Fragile::<B>::new(name, crash.clone(), gate.clone());
        let options = ProjectionOptions::default()
            .with_partitions(*partitions)
            .with_batch_size_max(BATCH_SIZE_MAX)
            .with_time_max(B::TIME_MAX)
            .with_poll_interval_max(Duration::from_millis(50));
        Ok(worker.with_projection_options(projection, options))
    })
}

/// Works in a process of its own until standard input ends, then looks whether its pool is whole.
pub(crate) async fn run<B: Faulty>(url: &str, store: &str, id: &str) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    cancel_when_input_ends(shutdown.clone());
    let opened = shutdown.run_until_cancelled(open::<B>(url, store)).await;
    let Some(backend) = opened else {
        return Ok(());
    };
    let worker = worker(&backend, WorkerId::new(id)?, &Crash::Process, &Gate::default())?;
    worker.run(shutdown).await?;
    whole::check_connections(&backend, WORKER_CONNECTIONS_MAX).await
}

/// Connects, however long it takes until the server is there.
pub(super) async fn open<B: Faulty>(url: &str, store: &str) -> B {
    loop {
        match B::open_faulty(url, store, WORKER_CONNECTIONS_MAX).await {
            Ok(backend) => return backend,
            Err(error) => tracing::debug!("a worker cannot connect: {error:#}"),
        }
        sleep(POLL).await;
    }
}
