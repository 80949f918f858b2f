//! One run over a partition: what it consists of, and the transactions it commits.

use std::error::Error;
use std::time::Duration;

use es::{Cause, DeadLetter, EventBatch, EventSource, PersistedEvent, Position, StoreError};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::assignment::Assignment;
use super::attempts::Attempts;
use super::batch_transaction::BatchTransaction;
use super::checkpoint::CheckpointLoader;
use super::connections::Slot;
use super::idle::Idle;
use super::interruption::{BatchError, Interruption};
use super::lease::Lease;
use super::pace::Pace;
use super::progress::Progress;
use crate::handler_error::error_text;
use crate::observe;
use crate::projection::Projection;
use crate::user_code::Failed;

/// One run over a partition.
pub(super) struct Run<'a, S, P> {
    pub(super) assignment: Assignment<'a, S, P>,
    pub(super) loader: CheckpointLoader,
    pub(super) lease: Lease,
    pub(super) progress: Progress,
    pub(super) attempts: Attempts,
    pub(super) pace: Pace,
    pub(super) idle: Idle,
    /// What was read while the batch before it was handled, and after which position.
    pub(super) ahead: Option<(Position, EventBatch)>,
}

impl<'a, S, P> Run<'a, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    pub(super) fn new(assignment: Assignment<'a, S, P>) -> Self {
        let ownership = assignment.ownership;
        Run {
            loader: CheckpointLoader::new(ownership),
            lease: Lease::new(ownership),
            progress: Progress::new(ownership),
            attempts: Attempts::default(),
            pace: Pace::new(assignment.options.limit),
            idle: Idle::new(),
            ahead: None,
            assignment,
        }
    }

    /// Sleeps, and keeps the lease meanwhile; says whether `wake` ended it.
    pub(super) async fn sleep(
        &mut self,
        duration: Duration,
        wake: impl Future<Output = ()>,
    ) -> Result<bool, Interruption> {
        self.lease.sleep(&self.assignment, duration, wake).await
    }

    /// Notes an error for operators to see.
    pub(super) async fn tell(&mut self, error: &str) {
        self.attempts.tell(&self.assignment, self.progress.epoch, error).await;
    }

    /// Moves the checkpoint over what was not for this run.
    pub(super) async fn save_reached(&mut self) -> Result<(), Interruption> {
        if self.progress.reached == self.progress.saved {
            return Ok(());
        }
        let saved = self.commit(&[], self.progress.reached, 1).await;
        saved.map_err(BatchError::without_event)
    }

    /// Handles `events` and moves the checkpoint to `through`, in one transaction.
    pub(super) async fn commit(
        &mut self,
        events: &[PersistedEvent],
        through: Position,
        attempt: u32,
    ) -> Result<(), BatchError> {
        let _slot = Slot::wait(&self.assignment, &mut self.lease).await?;
        let started = Instant::now();
        let mut tx = self.begin().await?;
        let handled = match self.transaction().handle(&mut tx, events, through, attempt).await {
            Ok(handled) => handled,
            Err(error) => {
                self.end(tx, &error).await;
                return Err(error);
            }
        };
        let assignment = &self.assignment;
        match assignment.answered(assignment.source().commit(tx)).await {
            Ok(()) => {}
            // Whether it was committed is found out when the checkpoint is loaded.
            Err(error @ StoreError::ConnectionLost { .. }) => {
                return Err(assignment.store_failed(error).into());
            }
            Err(error) if events.is_empty() => return Err(assignment.store_failed(error).into()),
            Err(error) => {
                let cause = error.cause().unwrap_or(Cause::Statement);
                return Err(BatchError::Handler(Failed { error: error.into(), cause, said: None }));
            }
        }
        let (events, from) = (events.len(), self.progress.saved.get());
        debug!(events, from, through = through.get(), "committed");
        if handled > 0 {
            observe::handled(&assignment.name, handled, started.elapsed());
            self.attempts.parked_in_a_row = 0;
        }
        self.has_saved(through, started);
        Ok(())
    }

    /// Parks an event and moves the checkpoint past it, in a transaction of its own: the one it
    /// failed in is rolled back.
    pub(super) async fn park(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        error: &(dyn Error + Send + Sync + 'static),
    ) -> Result<(), Interruption> {
        let started = Instant::now();
        let letter = DeadLetter::failed(event, attempts, error_text(error));
        let mut tx = self.begin().await?;
        if let Err(error) = self.transaction().park(&mut tx, letter).await {
            let error = BatchError::Interruption(error);
            self.end(tx, &error).await;
            return Err(error.without_event());
        }
        let assignment = &self.assignment;
        let committed = assignment.answered(assignment.source().commit(tx)).await;
        committed.map_err(|error| assignment.store_failed(error))?;
        warn!(
            position = event.position().get(),
            event_type = event.event_type(),
            stream = %event.stream(),
            attempts,
            error,
            "parked an event: its stream waits for an operator"
        );
        observe::parked(&assignment.name);
        self.attempts.parked_in_a_row = self.attempts.parked_in_a_row.saturating_add(1);
        self.has_saved(event.position(), started);
        Ok(())
    }

    fn transaction(&self) -> BatchTransaction<'_, 'a, S, P> {
        BatchTransaction { assignment: &self.assignment, progress: &self.progress }
    }

    async fn begin(&self) -> Result<S::Transaction, Interruption> {
        let assignment = &self.assignment;
        let begun = assignment.source().begin_within(assignment.time_max());
        assignment.answered(begun).await.map_err(|error| assignment.store_failed(error))
    }

    /// A transaction that failed is rolled back, or dropped with its connection.
    async fn end(&self, tx: S::Transaction, error: &BatchError) {
        if !error.is_in_mid_statement() {
            self.assignment.roll_back(tx).await;
        }
    }

    /// The checkpoint is committed there, and the lease was extended no earlier than `since`.
    fn has_saved(&mut self, through: Position, since: Instant) {
        self.progress.save(through);
        self.attempts.save(through);
        self.lease.was_extended(self.assignment.ownership, since);
    }
}
