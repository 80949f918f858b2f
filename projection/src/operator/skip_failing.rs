//! Letting a partition past the event that it stands still at.

use std::num::NonZeroU32;

use es::adapter::{ProjectionStore, read_below};
use es::{
    DeadLetter, EventFilter, EventSource, PartitionState, PersistedEvent, Position, ProjectionName,
    ReadLimit, StoreError,
};
use thiserror::Error;
use tracing::warn;

use crate::epoch::in_next_epoch;
use crate::limits::answered;
use crate::transaction::ended;

/// Why an event could not be skipped. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SkipFailingError {
    /// There is no such projection, or it has no such partition.
    #[error("there is no partition {partition} of a projection {projection}")]
    UnknownPartition {
        /// The projection.
        projection: ProjectionName,
        /// The index of the partition.
        partition: u16,
    },

    /// No event of the partition is known to fail: it has gone on, or waits for something else.
    #[error(
        "partition {partition} of projection {projection} does not stand still at an event: its \
         status says what it waits for"
    )]
    NothingFails {
        /// The projection.
        projection: ProjectionName,
        /// The index of the partition.
        partition: u16,
    },

    /// The event is not in the log: somebody has removed it.
    #[error("event {position}, at which projection {projection} stands still, is not in the log")]
    MissingEvent {
        /// The projection.
        projection: ProjectionName,
        /// Where the event stood.
        position: Position,
    },

    /// The database did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lets a partition past the event that it fails at: the event becomes a dead letter, with the
/// error that was noted last, and the partition goes on after it. Later events of its stream queue
/// after it; [`retry`](super::retry) handles them once the handler can, and [`skip`](super::skip)
/// drops the letter. Other partitions are not held up. Safe while workers run.
///
/// Gives the position of the event.
///
/// # Errors
///
/// [`SkipFailingError`].
///
/// # Cancel safety
///
/// Cancel safe: what is not committed is rolled back.
pub async fn skip_failing<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    partition: u16,
) -> Result<Position, SkipFailingError> {
    let store = source.store();
    // The log is read outside the transaction, as always.
    let mut conn = answered(source.acquire()).await?;
    let partitions = answered(store.partitions(&mut conn, projection)).await?;
    let position = failing_position(&partitions, projection, partition)?;
    let (filter, limit) = (EventFilter::default(), ReadLimit::new(NonZeroU32::MIN));
    let read = read_below(store, &mut conn, position.previous(), position, &filter, limit);
    let read = answered(read).await?;
    source.release(conn);
    let event = read.events.into_iter().next().ok_or_else(|| SkipFailingError::MissingEvent {
        projection: projection.clone(),
        position,
    })?;

    let mut tx = answered(source.begin()).await?;
    let skipped = answered(skip_in(store, &mut tx, projection, partition, &event)).await;
    ended(source, tx, skipped).await?;
    warn!(
        %projection,
        partition,
        position = position.get(),
        event_type = event.event_type(),
        stream = %event.stream(),
        "skipped the event that failed: it is a dead letter"
    );
    Ok(position)
}

async fn skip_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    partition: u16,
    event: &PersistedEvent,
) -> Result<(), SkipFailingError> {
    store.lock_projection(conn, projection).await?;
    let partitions = store.lock_partitions(conn, projection).await?;
    let position = failing_position(&partitions, projection, partition)?;
    if position != event.position() {
        // It has gone on meanwhile, and fails at another one now.
        let (projection, partition) = (projection.clone(), partition);
        return Err(SkipFailingError::NothingFails { projection, partition });
    }
    let failing = find(&partitions, projection, partition)?;
    let error = failing.last_error.clone().unwrap_or_else(|| "skipped by an operator".to_owned());
    let letter = DeadLetter::failed(event, failing.attempts, error);
    store.put_dead_letters(conn, projection, &[letter]).await?;
    let mut seeds = in_next_epoch(&partitions, |seed| seed);
    for (state, seed) in partitions.iter().zip(&mut seeds) {
        if state.partition.index() == partition {
            seed.position = position;
        }
    }
    Ok(store.rewrite_partitions(conn, projection, &seeds).await?)
}

fn find<'p>(
    partitions: &'p [PartitionState],
    projection: &ProjectionName,
    partition: u16,
) -> Result<&'p PartitionState, SkipFailingError> {
    let found = partitions.iter().find(|state| state.partition.index() == partition);
    let projection = projection.clone();
    found.ok_or(SkipFailingError::UnknownPartition { projection, partition })
}

fn failing_position(
    partitions: &[PartitionState],
    projection: &ProjectionName,
    partition: u16,
) -> Result<Position, SkipFailingError> {
    let state = find(partitions, projection, partition)?;
    let failing = state.failing_position.filter(|position| *position > state.position);
    let projection = projection.clone();
    // A batch that is under way is noted with its first event, no attempt that counts and no error;
    // an event that is tried while the server is waited for, with its error.
    let has_failed = state.attempts > 0 || state.last_error.as_ref().is_some_and(|e| !e.is_empty());
    let failing = failing.filter(|_| has_failed);
    failing.ok_or(SkipFailingError::NothingFails { projection, partition })
}
