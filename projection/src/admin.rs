//! What an operator does: look, pause, reset, rescale, skip an event, see to dead letters. Safe while
//! workers run.
//!
//! Whatever is changed here, every partition of the projection gets a new epoch in the same
//! transaction. So a batch that was read before cannot be committed after, no worker needs to be
//! stopped first, and workers take their partitions up again at their next poll.
//!
//! The functions that take a `store` and a connection work in the caller's transaction, so that the
//! read model can be cleared in the same one. Where the database has one writer at a time, begin it
//! as one that writes.
//!
//! Nothing here waits for ever for a database that does not answer: after 65 seconds for an answer,
//! or ten minutes in a transaction of the caller's and for the time in a [`reset`], it fails with
//! [`StoreError::ConnectionLost`]. A transaction of the caller's, or a connection, is then to be
//! dropped and not to be used again, nor to be rolled back: it may be in the middle of a statement.

mod failing;
mod letters;
mod status;

use chrono::{DateTime, Utc};
use es::{
    EventSource, EventStore, Partition, PartitionSeed, PartitionState, Position, ProjectionName,
    ProjectionState, ProjectionStore, StoreError,
};
use tracing::info;

pub use failing::{SkipFailingError, skip_failing};
pub use letters::{DeadLetterError, RetriedLetters, dead_letters, retry, retry_within, skip};
pub use status::{PartitionStatus, ProjectionStatus, Rebuild, status, status_of};

use crate::limits::{OPERATION_TIME_MAX, answered, answered_within, roll_back};
use crate::rescale::{RescalePlan, is_drained, next_epoch, plan_rescale};

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

/// Where a projection is to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// Everything after this position is handled again; [`Position::START`] for everything.
    Position(Position),
    /// Everything from the first event on that was created at this time or later. Without an index
    /// on the time, the log is read up to there.
    Time(DateTime<Utc>),
}

/// Sets a projection back, or forward, and gives the position it goes on after; `None` if there is
/// no such projection. Clear what it has written in the same transaction, or make sure that its
/// handler can do without.
///
/// Until a partition comes to where it was, [`EventContext::replaying`](crate::EventContext) is
/// set. A time or a position other than the start needs a second connection. Dead letters after that
/// position are deleted: their events will be delivered again. A barrier
/// that the projection was coming to for another number of partitions is given up.
///
/// # Errors
///
/// As [`pause`], and [`StoreError::Misuse`] for a position past the horizon: events that appear
/// before it would be skipped.
///
/// # Cancel safety
///
/// As [`pause`].
pub async fn reset<S: EventSource>(
    source: &S,
    conn: &mut S::Connection,
    projection: &ProjectionName,
    to: ResetTo,
) -> Result<Option<Position>, StoreError> {
    let to = resolve(source, to).await?;
    answered_within(OPERATION_TIME_MAX, reset_in(source.store(), conn, projection, to)).await
}

async fn reset_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    to: Position,
) -> Result<Option<Position>, StoreError> {
    let Some(state) = store.lock_projection(conn, projection).await? else {
        return Ok(None);
    };
    let partitions = store.lock_partitions(conn, projection).await?;
    let seeds = in_next_epoch(&partitions, |seed| PartitionSeed {
        position: to,
        replay_until: seed.replay_until.max(seed.position),
        stop_at: None,
        ..seed
    });
    store.rewrite_partitions(conn, projection, &seeds).await?;
    store.remove_dead_letters_after(conn, projection, to).await?;
    store.save_projection(conn, &ProjectionState { rescale_to: None, ..state }).await?;
    info!(%projection, position = to.get(), "reset");
    Ok(Some(to))
}

/// On a connection of its own: the horizon is not to be asked for inside a transaction.
async fn resolve<S: EventSource>(source: &S, to: ResetTo) -> Result<Position, StoreError> {
    if to == ResetTo::Position(Position::START) {
        return Ok(Position::START);
    }
    // The horizon first: below it nothing appears while the time is looked for.
    let mut conn = answered(source.acquire()).await?;
    let horizon = answered(source.store().horizon(&mut conn, Position::START)).await?.position;
    let position = match to {
        ResetTo::Position(position) => Some(position),
        ResetTo::Time(time) => {
            let first = source.store().first_position_since(&mut conn, time);
            let first = answered_within(OPERATION_TIME_MAX, first).await?;
            first.map(Position::previous)
        }
    };
    source.release(conn);
    match (to, position) {
        (ResetTo::Position(position), _) if position > horizon => Err(StoreError::misuse(format!(
            "position {position} lies past the horizon, {horizon}: events that appear before it \
                 would be skipped, so reset to a position up to the horizon"
        ))),
        (_, position) => Ok(position.map_or(horizon, |position| position.min(horizon))),
    }
}

/// How far a projection has come to another number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescaled {
    /// It has that many.
    Done,
    /// Its partitions are on their way to a barrier, and stop there. Workers complete it when all
    /// have come there; without workers, call again.
    Draining,
    /// There is no such projection.
    Unknown,
}

/// Gives a projection `total` partitions, or begins to: see [`Rescaled`]. Call it again to see how
/// far it is, or with another number to change your mind. Every event is handled once, whatever
/// happens meanwhile.
///
/// A multiple of the present number is there at once. [`Processor`](crate::Processor)s, which were
/// told a number, stop with an error once there is another: start them with the new one.
///
/// # Errors
///
/// Whatever the store says, and [`StoreError::Misuse`] if `total` is not 1 to
/// [`SLOT_COUNT`](es::SLOT_COUNT).
///
/// # Cancel safety
///
/// Cancel safe: what was begun is rolled back, or stays resumable.
pub async fn rescale<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    total: u16,
) -> Result<Rescaled, StoreError> {
    Partition::new(0, total).map_err(StoreError::misuse)?;
    let mut tx = answered(source.begin()).await?;
    match answered(rescale_in(source.store(), &mut tx, projection, total)).await {
        Ok(rescaled) => {
            answered(source.commit(tx)).await?;
            Ok(rescaled)
        }
        Err(error) => {
            roll_back(source, tx, &error).await;
            Err(error)
        }
    }
}

/// Gives a projection the number of partitions it is draining for, if it still is, and all have come
/// to the barrier.
pub(crate) async fn complete_rescale<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
) -> Result<(), StoreError> {
    let (store, mut tx) = (source.store(), source.begin().await?);
    let drained = async {
        let Some(state) = store.lock_projection(&mut tx, projection).await? else {
            return Ok(());
        };
        let partitions = store.lock_partitions(&mut tx, projection).await?;
        match state.rescale_to {
            // What an operator has decided since is not undone.
            Some(total) if is_drained(&partitions) => {
                rescale_in(store, &mut tx, projection, total).await.map(drop)
            }
            _ => Ok(()),
        }
    };
    match drained.await {
        Ok(()) => source.commit(tx).await,
        Err(error) => {
            roll_back(source, tx, &error).await;
            Err(error)
        }
    }
}

async fn rescale_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    total: u16,
) -> Result<Rescaled, StoreError> {
    let Some(state) = store.lock_projection(conn, projection).await? else {
        return Ok(Rescaled::Unknown);
    };
    let partitions = store.lock_partitions(conn, projection).await?;
    let indexes = partitions.iter().map(|state| state.partition.index());
    if !indexes.eq(0..state.partition_total) {
        let (count, total) = (partitions.len(), state.partition_total);
        let what = format!("projection {projection} with {count} of {total} partitions");
        return Err(StoreError::corrupt(what));
    }
    let (state, seeds) = match plan_rescale(&state, &partitions, total) {
        RescalePlan::Nothing => return Ok(Rescaled::Done),
        RescalePlan::Wait(_) => return Ok(Rescaled::Draining),
        RescalePlan::Write(state, seeds) => (state, seeds),
    };
    store.rewrite_partitions(conn, projection, &seeds).await?;
    store.save_projection(conn, &state).await?;
    let is_draining = state.rescale_to.is_some();
    info!(%projection, from = partitions.len(), to = total, is_draining, "rescaling");
    Ok(if is_draining { Rescaled::Draining } else { Rescaled::Done })
}

/// Forgets a projection: checkpoints, workers, dead letters. Not what it has written, which is the
/// caller's, in the same transaction. A worker that still runs it does not make it again; one that
/// is started later does, and begins at the start of the log. `false` if there is no such projection.
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

/// The partitions as they are, changed by `change`, in an epoch above all of theirs.
fn in_next_epoch(
    partitions: &[PartitionState],
    change: impl Fn(PartitionSeed) -> PartitionSeed,
) -> Vec<PartitionSeed> {
    let epoch = next_epoch(partitions);
    let seed = |partition: &PartitionState| {
        change(PartitionSeed {
            position: partition.position,
            epoch,
            replay_until: partition.replay_until,
            stop_at: partition.stop_at,
        })
    };
    partitions.iter().map(seed).collect()
}
