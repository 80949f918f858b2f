//! Dead letters: look at them, try them again, skip them.

use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use es::{
    Checkpoint, CheckpointError, CheckpointStore, DeadLetter, EventFilter, EventSource, EventStore,
    Partition, PartitionState, PersistedEvent, Position, ProjectionName, ProjectionStore,
    ReadLimit, Slot, StoreError, StreamId, TRANSACTION_TIME_MAX, TransactionState,
};
use thiserror::Error;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::handler_error::error_text;
use crate::limits::{NOTE_TIME_MAX, OPERATION_TIME_MAX, answered, answered_within, roll_back};
use crate::user_code::{contained, failed_in};
use crate::{EventContext, HandlerError, HandlerPanicked, HandlerTimedOut, Projection};

/// How many dead letters one transaction handles again.
const RETRIED_MAX: u32 = 500;

/// How many bytes of payloads and metadata it handles: one event more than fit, at most.
const RETRIED_BYTES_MAX: usize = 8 << 20;

/// By how much the database's time limit exceeds the handler's, so that the handler's is first.
const TIME_MARGIN: Duration = Duration::from_secs(1);

/// How often in a row somebody else may change what a retry goes by.
const CHANGES_MAX: u32 = 20;

/// What came of trying dead letters again.
#[derive(Debug)]
pub enum RetriedLetters {
    /// This many were handled; the stream has none left.
    Handled(usize),
    /// Some were handled and committed, then this one failed again. It and those after it are dead
    /// letters as before.
    Failed {
        /// How many were handled before.
        handled: usize,
        /// Which one failed.
        position: Position,
        /// What the handler said.
        source: HandlerError,
    },
}

/// Why dead letters could not be tried or skipped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// There is no such projection.
    #[error("there is no projection {projection}")]
    UnknownProjection {
        /// The projection.
        projection: ProjectionName,
    },

    /// A dead letter's event is not in the log: somebody has removed it.
    #[error("event {position}, a dead letter of projection {projection}, is not in the log")]
    MissingEvent {
        /// The projection.
        projection: ProjectionName,
        /// Where the event stood.
        position: Position,
    },

    /// The database undid the transaction in which the dead letters were handled, or cannot serve
    /// now. The event is not to blame: try again.
    #[error(
        "the database undid the transaction that handled event {position}, a dead letter of \
         projection {projection}: try again"
    )]
    Undone {
        /// The projection.
        projection: ProjectionName,
        /// The event that was being handled.
        position: Position,
        /// What the handler said.
        source: HandlerError,
    },

    /// The partition's checkpoint could not be locked.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),

    /// The database did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The dead letters of a projection after a position, in position order, `count_max` at most.
///
/// # Errors
///
/// Whatever the store says.
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn dead_letters<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    after: Position,
    count_max: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut conn = answered(source.acquire()).await?;
    let letters = source.store().dead_letters(&mut conn, projection, after, count_max);
    let letters = answered(letters).await?;
    source.release(conn);
    Ok(letters)
}

/// Handles the dead letters of one stream again, in order, in transactions of up to 500 events and
/// 8 MiB: each is handled once, and is a dead letter no more in the same transaction. Events of the
/// stream that a worker comes to meanwhile queue after them, and are handled as well.
///
/// The effects are those of `projection`, which must be what the workers run. The partition's
/// checkpoint is locked meanwhile, so its worker waits. The handler may take 60 seconds for an
/// event, see [`retry_within`].
///
/// # Errors
///
/// [`DeadLetterError`]; what the handler says is in [`RetriedLetters::Failed`].
///
/// # Cancel safety
///
/// Cancel safe: what is not committed is rolled back.
pub async fn retry<S, P>(
    source: &S,
    projection: &P,
    stream: &StreamId,
) -> Result<RetriedLetters, DeadLetterError>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    retry_within(source, projection, stream, TRANSACTION_TIME_MAX).await
}

/// As [`retry`], with a time limit for each event. A handler that takes longer is dropped with its
/// transaction, and its event has failed. After that time a transaction takes no further event.
///
/// # Errors
///
/// As [`retry`].
///
/// # Cancel safety
///
/// As [`retry`].
pub async fn retry_within<S, P>(
    source: &S,
    projection: &P,
    stream: &StreamId,
    time_max: Duration,
) -> Result<RetriedLetters, DeadLetterError>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    let retry = Retry { source, projection, name: projection.name(), stream, time_max };
    let (mut handled, mut changes) = (0, 0);
    let mut failed: Option<(DeadLetter, HandlerError)> = None;
    loop {
        let mut letters = retry.queue().await?;
        if let Some((first, _)) = &failed {
            // What comes before it is good.
            letters.retain(|letter| letter.position < first.position);
        }
        if letters.is_empty() {
            let Some((letter, source)) = failed else {
                return Ok(RetriedLetters::Handled(handled));
            };
            retry.note_failure(&letter, &*source).await;
            return Ok(RetriedLetters::Failed { handled, position: letter.position, source });
        }
        match retry.handle(letters).await? {
            Tried::Handled(count) => {
                (handled, changes) = (handled + count, 0);
                info!(projection = %retry.name, %stream, events = count, "handled dead letters");
            }
            Tried::Failed(letter, error) => failed = Some((letter, error)),
            Tried::Changed if changes < CHANGES_MAX => changes += 1,
            Tried::Changed => return Err(changed("the dead letters have").into()),
        }
    }
}

/// Removes one dead letter without handling it; `false` if there is none at that position. The
/// next of its stream can be tried then. Works in the caller's transaction, and waits for the
/// batches that are being handled.
///
/// # Errors
///
/// Whatever the store says; roll the transaction back. [`StoreError::ConnectionLost`] if there was
/// no answer for ten minutes: drop the transaction.
///
/// # Cancel safety
///
/// Dropping the future leaves the transaction in doubt: roll it back.
pub async fn skip<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    position: Position,
) -> Result<bool, DeadLetterError> {
    answered_within(OPERATION_TIME_MAX, skip_in(store, conn, projection, position)).await
}

async fn skip_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    position: Position,
) -> Result<bool, DeadLetterError> {
    // The locks first: what is read after them is as they found it.
    if store.lock_projection(conn, projection).await?.is_none() {
        return Ok(false);
    }
    store.lock_partitions(conn, projection).await?;
    let letters = store.dead_letters(conn, projection, position.previous(), 1).await?;
    let is_there = letters.iter().any(|letter| letter.position == position);
    if is_there {
        store.remove_dead_letters(conn, projection, &[position]).await?;
    }
    Ok(is_there)
}

/// Dead letters of one stream that are tried again.
struct Retry<'a, S, P> {
    source: &'a S,
    projection: &'a P,
    name: ProjectionName,
    stream: &'a StreamId,
    time_max: Duration,
}

/// What came of one transaction with dead letters.
enum Tried {
    /// This many were handled and committed.
    Handled(usize),
    /// This one failed, and nothing was committed.
    Failed(DeadLetter, HandlerError),
    /// Somebody else has seen to some of them; nothing was committed.
    Changed,
}

/// A transaction that has the checkpoint of the stream's partition locked.
struct Locked<T> {
    tx: T,
    partition: Partition,
    checkpoint: Checkpoint,
}

impl<S, P> Retry<'_, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    async fn queue(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let queue = store.dead_letter_queue(&mut conn, &self.name, self.stream, RETRIED_MAX);
        let letters = answered(queue).await?;
        self.source.release(conn);
        Ok(letters)
    }

    /// Handles the first of these letters, as many as fit in one transaction, and removes them; or
    /// neither.
    async fn handle(&self, letters: Vec<DeadLetter>) -> Result<Tried, DeadLetterError> {
        let (source, store) = (self.source, self.source.store());
        // The log is read outside the transaction, as always.
        let events = self.events_of(&letters).await?;
        let Locked { mut tx, partition, checkpoint } =
            self.begin_locked(self.time_max.saturating_add(TIME_MARGIN)).await?;
        let now = store.dead_letter_queue(&mut tx, &self.name, self.stream, RETRIED_MAX);
        let now = answered(now).await?;
        let now = now.iter().map(|letter| letter.position);
        if !now.take(events.len()).eq(events.iter().map(PersistedEvent::position)) {
            answered(source.rollback(tx)).await?;
            return Ok(Tried::Changed);
        }
        let (started, mut handled) = (Instant::now(), Vec::new());
        for (letter, event) in letters.into_iter().zip(&events) {
            if !handled.is_empty() && started.elapsed() >= self.time_max {
                break;
            }
            let context = EventContext {
                replaying: event.position() <= checkpoint.replay_until,
                position: event.position(),
                attempt: letter.attempts.saturating_add(1),
                partition,
            };
            let Err(error) = self.handle_one(&mut tx, event, &context).await else {
                handled.push(event.position());
                continue;
            };
            if error.is::<HandlerTimedOut>() || error.is::<HandlerPanicked>() {
                // It may have been in the middle of a statement: the connection is closed.
                drop(tx);
                return Ok(Tried::Failed(letter, error));
            }
            let failed = failed_in(source, &mut tx, error).await;
            roll_back(source, tx, &*failed.error).await;
            if !failed.is_undone() {
                return Ok(Tried::Failed(letter, failed.error));
            }
            let (projection, position) = (self.name.clone(), letter.position);
            return Err(DeadLetterError::Undone { projection, position, source: failed.error });
        }
        answered(source.check_open(&mut tx)).await?;
        answered(store.remove_dead_letters(&mut tx, &self.name, &handled)).await?;
        answered(source.commit(tx)).await?;
        Ok(Tried::Handled(handled.len()))
    }

    async fn handle_one(
        &self,
        tx: &mut S::Transaction,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        let handled = async { self.projection.handle(tx, event, context).await };
        contained(self.time_max, handled).await
    }

    /// For operators to see. What it fails with is no reason to hide what the handler said.
    async fn note_failure(&self, letter: &DeadLetter, error: &(dyn Error + Send + Sync + 'static)) {
        let letter = DeadLetter {
            attempts: letter.attempts.saturating_add(1),
            error: Some(error_text(error)),
            ..letter.clone()
        };
        if let Err(error) = self.replace(&letter).await {
            let error = &error as &dyn Error;
            warn!(error, position = letter.position.get(), "the failure could not be noted");
        }
    }

    /// Writes a dead letter that is there.
    async fn replace(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let (source, store) = (self.source, self.source.store());
        let Locked { mut tx, .. } = self.begin_locked(TRANSACTION_TIME_MAX).await?;
        let queue = store.dead_letter_queue(&mut tx, &self.name, self.stream, RETRIED_MAX);
        let queue = answered(queue).await?;
        if queue.iter().any(|queued| queued.position == letter.position) {
            let letter = std::slice::from_ref(letter);
            answered(store.put_dead_letters(&mut tx, &self.name, letter)).await?;
        }
        // If it is not there, somebody else has handled or skipped it: it must not come back.
        Ok(answered(source.commit(tx)).await?)
    }

    /// Begins a transaction, and locks the checkpoint of the stream's partition in it.
    ///
    /// The projection stays unlocked, so that a handler which takes its time makes no worker wait
    /// that starts or completes a rescale; the partition is looked up again if the projection was
    /// rescaled before its lock was there. After that it cannot be: a rescale locks all of them.
    async fn begin_locked(
        &self,
        time_max: Duration,
    ) -> Result<Locked<S::Transaction>, DeadLetterError> {
        for _ in 0..CHANGES_MAX {
            let mut tx = answered(self.source.begin_within(time_max)).await?;
            // The database's own limit is the first.
            let locked =
                answered_within(time_max.saturating_add(NOTE_TIME_MAX), self.lock_in(&mut tx));
            if let Some((partition, checkpoint)) = locked.await? {
                return Ok(Locked { tx, partition, checkpoint });
            }
            answered(self.source.rollback(tx)).await?;
        }
        Err(changed("the number of partitions has").into())
    }

    /// Locks the checkpoint of the stream's partition; `None` if the projection was rescaled or
    /// deleted meanwhile.
    async fn lock_in(
        &self,
        tx: &mut S::Transaction,
    ) -> Result<Option<(Partition, Checkpoint)>, DeadLetterError> {
        let (store, slot) = (self.source.store(), self.stream.slot());
        let Some(partition) = partition_of(slot, &store.partitions(tx, &self.name).await?) else {
            return Err(DeadLetterError::UnknownProjection { projection: self.name.clone() });
        };
        match store.lock_checkpoint(tx, &self.name, partition).await {
            Ok(checkpoint) => Ok(Some((partition, checkpoint))),
            Err(CheckpointError::Store(error)) => Err(error.into()),
            Err(error) => {
                let now = partition_of(slot, &store.partitions(tx, &self.name).await?);
                if now == Some(partition) { Err(error.into()) } else { Ok(None) }
            }
        }
    }

    /// The events of the first of these dead letters, as many as may be held in memory.
    async fn events_of(
        &self,
        letters: &[DeadLetter],
    ) -> Result<Vec<PersistedEvent>, DeadLetterError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let (limit, all) = (ReadLimit::new(NonZeroU32::MIN), EventFilter::default());
        let (mut events, mut bytes) = (Vec::new(), 0);
        for letter in letters {
            let (after, position) = (letter.position.previous(), letter.position);
            let read = answered(store.read_below(&mut conn, after, position, &all, limit)).await?;
            let Some(event) = read.events.into_iter().next() else {
                self.source.release(conn);
                let projection = self.name.clone();
                return Err(DeadLetterError::MissingEvent { projection, position });
            };
            bytes += event.payload().len() + event.metadata().map_or(0, <[u8]>::len);
            events.push(event);
            if bytes >= RETRIED_BYTES_MAX {
                break;
            }
        }
        self.source.release(conn);
        Ok(events)
    }
}

/// The partition of a slot, whether its row is there or not; `None` if the projection is not.
fn partition_of(slot: Slot, partitions: &[PartitionState]) -> Option<Partition> {
    let total = partitions.first()?.partition.total();
    Partition::split(total).ok()?.find(|partition| partition.contains(slot))
}

fn changed(what: &str) -> StoreError {
    let source = format!("{what} changed {CHANGES_MAX} times in a row").into();
    StoreError::Retryable { transaction: TransactionState::Usable, source }
}
