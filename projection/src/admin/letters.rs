//! Dead letters: look at them, try them again, skip them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use es::{
    CheckpointError, CheckpointStore, DeadLetter, EventFilter, EventSource, EventStore, Partition,
    PersistedEvent, Position, ProjectionName, ProjectionStore, ReadLimit, StoreError, StreamId,
};
use thiserror::Error;
use tracing::{debug, info};

use crate::batch::{contained, error_text};
use crate::{EventContext, HandlerError, Projection};

/// How many dead letters one transaction handles again.
const RETRIED_MAX: u32 = 500;

/// What came of trying dead letters again.
#[derive(Debug)]
pub enum RetriedLetters {
    /// So many were handled; the stream has none left.
    Handled(usize),
    /// So many were handled and committed, then this one failed again. It and those behind it are
    /// dead letters as before.
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

    /// The partition's checkpoint could not be locked. If the error says that the projection has
    /// another number of partitions, it was rescaled just now: try again.
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
    let mut conn = source.acquire().await?;
    let letters = source.store().dead_letters(&mut conn, projection, after, count_max).await?;
    source.release(conn);
    Ok(letters)
}

/// Handles the dead letters of one stream again, in order, in transactions of up to 500: each is
/// handled once, and is a dead letter no more in the same transaction. Events of the stream that
/// a worker comes to meanwhile queue behind, and are handled as well.
///
/// The effects are those of `projection`, which must be what the workers run. The partition's
/// checkpoint is locked meanwhile, so its worker waits.
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
    let name = projection.name();
    let mut handled = 0;
    loop {
        let letters = {
            let mut conn = source.acquire().await?;
            let store = source.store();
            let letters = store.dead_letter_queue(&mut conn, &name, stream, RETRIED_MAX).await?;
            source.release(conn);
            letters
        };
        if letters.is_empty() {
            return Ok(RetriedLetters::Handled(handled));
        }
        // The log is read outside the transaction, as always.
        let events = events_of(source, &name, &letters).await?;
        let mut count = letters.len();
        let failed = retry_in_transaction(source, projection, stream, &letters, &events).await?;
        if let Some((index, _)) = &failed {
            // What comes before it is good.
            count = *index;
            let (letters, events) = (&letters[..count], &events[..count]);
            if !letters.is_empty() {
                let again = retry_in_transaction(source, projection, stream, letters, events);
                if let Some((index, source)) = again.await? {
                    let position = events[index].position();
                    return Ok(RetriedLetters::Failed { handled, position, source });
                }
            }
        }
        handled += count;
        info!(projection = %name, %stream, events = count, "handled dead letters");
        if let Some((index, error)) = failed {
            let letter = &letters[index];
            note_failure(source, &name, letter, &*error).await?;
            let position = letter.position;
            return Ok(RetriedLetters::Failed { handled, position, source: error });
        }
    }
}

/// Handles the events and removes their dead letters, or neither; gives which one failed.
async fn retry_in_transaction<S, P>(
    source: &S,
    projection: &P,
    stream: &StreamId,
    letters: &[DeadLetter],
    events: &[PersistedEvent],
) -> Result<Option<(usize, HandlerError)>, DeadLetterError>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    let (store, name) = (source.store(), projection.name());
    let partition = partition_of(source, &name, stream).await?;
    let mut tx = source.begin().await?;
    let checkpoint = store.lock_checkpoint(&mut tx, &name, partition).await?;
    let now = store.dead_letter_queue(&mut tx, &name, stream, RETRIED_MAX).await?;
    let positions: Vec<Position> = letters.iter().map(|letter| letter.position).collect();
    if !now.iter().map(|letter| letter.position).zip(&positions).all(|(now, then)| now == *then)
        || now.len() < positions.len()
    {
        // Somebody else has seen to some of them.
        source.rollback(tx).await?;
        return Err(StoreError::Retryable {
            transaction: es::TransactionState::Ended,
            source: "the dead letters have changed meanwhile".into(),
        }
        .into());
    }
    for (index, (letter, event)) in letters.iter().zip(events).enumerate() {
        let context = EventContext {
            replaying: event.position() <= checkpoint.replay_until,
            position: event.position(),
            attempt: letter.attempts.saturating_add(1),
            partition,
        };
        let handled = async { projection.handle(&mut tx, event, &context).await };
        if let Err(error) = contained(handled).await {
            if let Err(error) = source.rollback(tx).await {
                debug!(error = &error as &dyn std::error::Error, "the rollback failed");
            }
            if source.cause(&*error) > Some(es::Cause::Statement) {
                let transaction = es::TransactionState::Ended;
                return Err(StoreError::Retryable { transaction, source: error }.into());
            }
            return Ok(Some((index, error)));
        }
    }
    source.check_open(&mut tx).await?;
    store.remove_dead_letters(&mut tx, &name, &positions).await?;
    source.commit(tx).await?;
    Ok(None)
}

async fn note_failure<S: EventSource>(
    source: &S,
    name: &ProjectionName,
    letter: &DeadLetter,
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Result<(), DeadLetterError> {
    let partition = partition_of(source, name, &letter.stream).await?;
    let mut tx = source.begin().await?;
    source.store().lock_checkpoint(&mut tx, name, partition).await?;
    let queue =
        source.store().dead_letter_queue(&mut tx, name, &letter.stream, RETRIED_MAX).await?;
    if !queue.iter().any(|queued| queued.position == letter.position) {
        // Somebody else has handled or skipped it meanwhile: it must not come back.
        return Ok(source.rollback(tx).await?);
    }
    let letter = DeadLetter {
        attempts: letter.attempts.saturating_add(1),
        error: Some(error_text(error)),
        ..letter.clone()
    };
    source.store().put_dead_letters(&mut tx, name, &[letter]).await?;
    Ok(source.commit(tx).await?)
}

/// Removes one dead letter without handling it; `false` if there is none at that position. The
/// next of its stream can be tried then. Works in the caller's transaction.
///
/// # Errors
///
/// Whatever the store says; roll the transaction back.
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
    let letters = store.dead_letters(conn, projection, position.previous(), 1).await?;
    let Some(letter) = letters.into_iter().find(|letter| letter.position == position) else {
        return Ok(false);
    };
    let partitions = store.partitions(conn, projection).await?;
    let partitions = partitions.iter().map(|state| state.partition);
    let partition = find(partitions, projection, &letter.stream)?;
    store.lock_checkpoint(conn, projection, partition).await?;
    // It may have been handled while this waited for the lock.
    let letters = store.dead_letters(conn, projection, position.previous(), 1).await?;
    let is_there = letters.iter().any(|letter| letter.position == position);
    store.remove_dead_letters(conn, projection, &[position]).await?;
    Ok(is_there)
}

async fn partition_of<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    stream: &StreamId,
) -> Result<Partition, DeadLetterError> {
    let mut conn = source.acquire().await?;
    let checkpoints = source.store().checkpoints(&mut conn, projection).await?;
    source.release(conn);
    find(checkpoints.into_iter().map(|one| one.partition), projection, stream)
}

fn find(
    mut partitions: impl Iterator<Item = Partition>,
    projection: &ProjectionName,
    stream: &StreamId,
) -> Result<Partition, DeadLetterError> {
    partitions
        .find(|partition| partition.contains(stream.slot()))
        .ok_or_else(|| DeadLetterError::UnknownProjection { projection: projection.clone() })
}

/// The events of dead letters, in their order.
async fn events_of<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    letters: &[DeadLetter],
) -> Result<Vec<PersistedEvent>, DeadLetterError> {
    let mut conn = source.acquire().await?;
    let (limit, all) = (ReadLimit::new(NonZeroU32::MIN), EventFilter::default());
    let mut events = BTreeMap::new();
    for letter in letters {
        let (after, position) = (letter.position.previous(), letter.position);
        let read = source.store().read_below(&mut conn, after, position, &all, limit).await?;
        events.extend(read.events.into_iter().map(|event| (event.position(), event)));
    }
    source.release(conn);
    let find = |letter: &DeadLetter| {
        events.remove(&letter.position).ok_or_else(|| DeadLetterError::MissingEvent {
            projection: projection.clone(),
            position: letter.position,
        })
    };
    letters.iter().map(find).collect()
}
