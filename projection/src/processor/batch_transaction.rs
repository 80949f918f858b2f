//! What is done in the one transaction that has a batch's effects and its checkpoint.

use std::borrow::Cow;
use std::collections::BTreeSet;

use es::adapter::{Checkpoint, CheckpointMove, CheckpointStore, ProjectionStore};
use es::{
    Cause, CheckpointError, DeadLetter, EventSource, PersistedEvent, Position, StoreError, StreamId,
};
use tracing::debug;

use super::assignment::Assignment;
use super::interruption::{BatchError, Interruption};
use super::progress::Progress;
use crate::context::BatchContext;
use crate::projection::Projection;
use crate::user_code::{Failed, contained, failed_in};

/// What is done in the transaction of a batch, or of an event that is parked.
pub(super) struct BatchTransaction<'r, 'a, S, P> {
    pub(super) assignment: &'r Assignment<'a, S, P>,
    pub(super) progress: &'r Progress,
}

impl<S, P> BatchTransaction<'_, '_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    /// Handles `events` and moves the checkpoint to `through`. Gives how many events the handler
    /// was given: those after a dead letter are not its own.
    pub(super) async fn handle(
        &self,
        tx: &mut S::Transaction,
        events: &[PersistedEvent],
        through: Position,
        attempt: u32,
    ) -> Result<usize, BatchError> {
        let (assignment, source) = (self.assignment, self.assignment.source());
        let locked = self.lock_checkpoint(tx).await?;
        let mut events = Cow::Borrowed(events);
        if locked.has_dead_letters && !events.is_empty() {
            events = self.queue_after_dead_letters(tx, events).await?;
        }
        if events.is_empty() {
            let saved = self.save_checkpoint(tx, through).await;
            return Ok(saved.map(|()| 0).map_err(|error| assignment.checkpoint_failed(error))?);
        }
        let replay_until = self.progress.replay_until;
        let context = BatchContext::new(assignment.partition, attempt, replay_until);
        let handled = async { assignment.projection.handle_batch(tx, &events, &context).await };
        if let Err(error) = contained(assignment.time_max(), handled).await {
            return Err(BatchError::Handler(failed_in(source, tx, error).await));
        }
        if let Err(error) = assignment.answered(source.check_open(tx)).await {
            return Err(self.ended_meanwhile(error));
        }
        match self.save_checkpoint(tx, through).await {
            Ok(()) => Ok(events.len()),
            // What the handler has done can make this statement fail, such as an error of the
            // server that it hid.
            Err(CheckpointError::Store(error)) if !error.is_retryable() => {
                Err(BatchError::Handler(failed_in(source, tx, error.into()).await))
            }
            Err(CheckpointError::Store(error)) => Err(self.ended_meanwhile(error)),
            Err(error) => Err(assignment.checkpoint_failed(error).into()),
        }
    }

    /// Makes an event a dead letter and moves the checkpoint past it.
    pub(super) async fn park(
        &self,
        tx: &mut S::Transaction,
        letter: DeadLetter,
    ) -> Result<(), Interruption> {
        let assignment = self.assignment;
        self.lock_checkpoint(tx).await?;
        let (position, letters) = (letter.position, [letter]);
        let put = assignment.store().put_dead_letters(tx, &assignment.name, &letters);
        assignment.answered(put).await.map_err(|error| assignment.store_failed(error))?;
        let saved = self.save_checkpoint(tx, position).await;
        saved.map_err(|error| assignment.checkpoint_failed(error))
    }

    /// The handler has returned, and its transaction is no more: as if the handler had asked the
    /// database once again, for it may be what took too long.
    fn ended_meanwhile(&self, error: StoreError) -> BatchError {
        match error.cause() {
            Some(Cause::Transaction) => {
                let cause = Cause::Transaction;
                BatchError::Handler(Failed { error: error.into(), cause, said: None })
            }
            _ => self.assignment.store_failed(error).into(),
        }
    }

    /// Locks the checkpoint and checks that it is where this run left it, and still this run's.
    async fn lock_checkpoint(&self, tx: &mut S::Transaction) -> Result<Checkpoint, Interruption> {
        let (assignment, progress) = (self.assignment, self.progress);
        let (name, partition) = (&assignment.name, assignment.partition);
        let locked = assignment.store().lock_checkpoint(tx, name, partition);
        let locked = assignment.answered(locked).await;
        let locked = locked.map_err(|error| assignment.checkpoint_failed(error))?;
        if locked.epoch != progress.epoch && !assignment.ownership.is_assigned() {
            return Err(Interruption::Lost);
        }
        let is_paused_now = locked.is_paused && !progress.is_paused;
        if (locked.epoch, locked.position) != (progress.epoch, progress.saved) || is_paused_now {
            let (projection, expected) = (name.clone(), progress.saved);
            let stale = CheckpointError::Stale { projection, partition, expected };
            return Err(assignment.checkpoint_failed(stale));
        }
        Ok(locked)
    }

    /// Puts the events of streams that have dead letters after those, and gives the others.
    async fn queue_after_dead_letters<'e>(
        &self,
        tx: &mut S::Transaction,
        events: Cow<'e, [PersistedEvent]>,
    ) -> Result<Cow<'e, [PersistedEvent]>, Interruption> {
        let assignment = self.assignment;
        let (store, name) = (assignment.store(), &assignment.name);
        let ids: BTreeSet<&str> = events.iter().map(PersistedEvent::aggregate_id).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let parked = assignment.answered(store.parked_streams(tx, name, &ids)).await;
        let parked = parked.map_err(|error| assignment.store_failed(error))?;
        let parked: BTreeSet<StreamId> = parked.into_iter().collect();
        let is_parked = |event: &&PersistedEvent| parked.contains(event.stream());
        let letters: Vec<DeadLetter> =
            events.iter().filter(is_parked).map(DeadLetter::queued).collect();
        if letters.is_empty() {
            return Ok(events);
        }
        let put = assignment.answered(store.put_dead_letters(tx, name, &letters)).await;
        put.map_err(|error| assignment.store_failed(error))?;
        debug!(events = letters.len(), "queued after dead letters");
        let others = events.iter().filter(|event| !is_parked(event));
        Ok(Cow::Owned(others.cloned().collect()))
    }

    async fn save_checkpoint(
        &self,
        tx: &mut S::Transaction,
        through: Position,
    ) -> Result<(), CheckpointError> {
        let (assignment, progress) = (self.assignment, self.progress);
        let lease = assignment.ownership.lease();
        let to = CheckpointMove { epoch: progress.epoch, from: progress.saved, to: through, lease };
        let (name, partition) = (&assignment.name, assignment.partition);
        let saved = assignment.store().save_checkpoint(tx, name, partition, to);
        assignment.answered(saved).await
    }
}
