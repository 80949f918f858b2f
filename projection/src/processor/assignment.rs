//! One partition that a run is to handle: whose events, by what right, and within which limits.

use std::sync::Arc;
use std::time::Duration;

use es::{
    CheckpointError, EventFilter, EventSource, Partition, Position, ProjectionName, StoreError,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::interruption::Interruption;
use super::options::ProjectionOptions;
use super::ownership::Ownership;
use super::process::Process;
use crate::error::ProcessorError;
use crate::handler_error::HandlerError;
use crate::limits::{NOTE_TIME_MAX, answered_within};
use crate::projection::Projection;

/// What does not change while a run lasts.
pub(super) struct Assignment<'a, S, P> {
    pub(super) process: &'a Process<S>,
    pub(super) projection: &'a P,
    pub(super) options: &'a ProjectionOptions,
    pub(super) name: ProjectionName,
    pub(super) partition: Partition,
    pub(super) ownership: Ownership,
    pub(super) filter: Arc<EventFilter>,
    pub(super) shutdown: CancellationToken,
}

impl<'a, S, P> Assignment<'a, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    pub(super) fn new(
        process: &'a Process<S>,
        projection: &'a P,
        options: &'a ProjectionOptions,
        partition: Partition,
        ownership: Ownership,
        shutdown: CancellationToken,
    ) -> Self {
        let name = projection.name().clone();
        let filter = Arc::new(projection.filter().with_partition(partition));
        Assignment { process, projection, options, name, partition, ownership, filter, shutdown }
    }

    pub(super) fn source(&self) -> &'a S {
        &self.process.source
    }

    pub(super) fn store(&self) -> &'a S::Store {
        self.source().store()
    }

    /// How long an event or a batch may take, and an answer of the database.
    pub(super) fn time_max(&self) -> Duration {
        self.options.time_max
    }

    /// The answer of the database, if it comes in time.
    pub(super) fn answered<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        answered_within(self.time_max(), answer)
    }

    /// If no answer comes, the connection is closed, and the server rolls back.
    pub(super) async fn roll_back(&self, tx: S::Transaction) {
        if let Err(error) = answered_within(NOTE_TIME_MAX, self.source().rollback(tx)).await {
            debug!(error = &error as &dyn std::error::Error, "the rollback failed");
        }
    }

    /// A leased partition waits for whatever the store needs; an assigned one tells who started it.
    /// What was written outside a transaction, and a filter that no event can pass, are nothing
    /// that time heals.
    pub(super) fn store_failed(&self, source: StoreError) -> Interruption {
        let is_final =
            matches!(source, StoreError::NoTransaction { .. } | StoreError::InvalidFilter { .. });
        let waits = !self.ownership.is_assigned() && !is_final;
        if source.is_retryable() || waits {
            return Interruption::retry(source);
        }
        let (projection, partition) = (self.name.clone(), self.partition);
        Interruption::Stop(ProcessorError::Store { projection, partition, source })
    }

    pub(super) fn checkpoint_failed(&self, error: CheckpointError) -> Interruption {
        match error {
            CheckpointError::Store(error) => self.store_failed(error),
            stale @ CheckpointError::Stale { .. } => Interruption::retry(stale),
            // Rescaled or deleted since it was claimed.
            _ if !self.ownership.is_assigned() => Interruption::Lost,
            error => Interruption::Stop(ProcessorError::Checkpoint(error)),
        }
    }

    pub(super) fn retries_exhausted(
        &self,
        attempts: usize,
        position: Option<Position>,
        source: HandlerError,
    ) -> ProcessorError {
        let (projection, partition) = (self.name.clone(), self.partition);
        ProcessorError::RetriesExhausted { projection, partition, position, attempts, source }
    }
}
