//! Setting a projection back, or forward.

use chrono::{DateTime, Utc};
use es::adapter::{EventLog, PartitionSeed, ProjectionStore};
use es::{EventSource, EventStore, Position, ProjectionName, ProjectionState, StoreError};
use tracing::info;

use crate::epoch::in_next_epoch;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};

/// Where a projection is to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// Everything after this position is handled again; [`Position::START`] for everything.
    Position(Position),
    /// Everything from the first event on that was recorded at this time or later, by the
    /// database's clock. Without an index on the time, the log is read up to there.
    Time(DateTime<Utc>),
}

/// Sets a projection back, or forward, and gives the position it goes on after; `None` if there is
/// no such projection. Clear what it has written in the same transaction, or make sure that its
/// handler can do without.
///
/// Until a partition comes to where it was, [`EventContext::replaying`](crate::EventContext) is
/// set. A time or a position other than the start needs a second connection. Dead letters after
/// that position are deleted: their events will be delivered again. A barrier that the projection
/// was coming to for another number of partitions is given up.
///
/// # Errors
///
/// As [`pause`](super::pause), and [`StoreError::Misuse`] for a position past the horizon: events
/// that appear before it would be skipped.
///
/// # Cancel safety
///
/// As [`pause`](super::pause).
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
