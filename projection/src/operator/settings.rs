//! Pausing, resuming and deleting a projection.

use es::adapter::ProjectionStore;
use es::{ProjectionName, ProjectionState, StoreError};

use crate::epoch::in_next_epoch;
use crate::limits::{OPERATION_TIME_MAX, answered_within};

/// Keeps a projection from handling anything until it is resumed. Waits for the batches that are
/// being handled; once the transaction is committed, nothing is. `false` if there is no such
/// projection.
///
/// # Errors
///
/// Whatever the store says; roll the transaction back. [`StoreError::ConnectionLost`] if there was
/// no answer for ten minutes: drop the transaction.
///
/// # Cancel safety
///
/// Dropping the future leaves the transaction in doubt: roll it back.
pub async fn pause<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
) -> Result<bool, StoreError> {
    answered_within(OPERATION_TIME_MAX, set_paused(store, conn, projection, true)).await
}

/// Lets a paused projection go on. `false` if there is no such projection.
///
/// # Errors
///
/// As [`pause`].
///
/// # Cancel safety
///
/// As [`pause`].
pub async fn resume<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
) -> Result<bool, StoreError> {
    answered_within(OPERATION_TIME_MAX, set_paused(store, conn, projection, false)).await
}

async fn set_paused<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    is_paused: bool,
) -> Result<bool, StoreError> {
    let Some(state) = store.lock_projection(conn, projection).await? else {
        return Ok(false);
    };
    let partitions = store.lock_partitions(conn, projection).await?;
    let seeds = in_next_epoch(&partitions, |seed| seed);
    store.rewrite_partitions(conn, projection, &seeds).await?;
    store.save_projection(conn, &ProjectionState { is_paused, ..state }).await?;
    Ok(true)
}

/// Forgets a projection: checkpoints, workers, dead letters. Not what it has written, which is the
/// caller's, in the same transaction. A worker that still runs it does not make it again; one that
/// is started later does, and begins at the start of the log. `false` if there is no such
/// projection.
///
/// # Errors
///
/// As [`pause`].
///
/// # Cancel safety
///
/// As [`pause`].
pub async fn delete<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
) -> Result<bool, StoreError> {
    answered_within(OPERATION_TIME_MAX, delete_in(store, conn, projection)).await
}

async fn delete_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
) -> Result<bool, StoreError> {
    let is_known = store.lock_projection(conn, projection).await?.is_some();
    if is_known {
        store.lock_partitions(conn, projection).await?;
        store.delete_projection(conn, projection).await?;
    }
    Ok(is_known)
}
