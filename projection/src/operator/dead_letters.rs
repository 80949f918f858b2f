//! Dead letters: looking at them, and dropping one.

use es::adapter::ProjectionStore;
use es::{CheckpointError, DeadLetter, EventSource, Position, ProjectionName, StoreError};
use thiserror::Error;

use crate::handler_error::HandlerError;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};

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
