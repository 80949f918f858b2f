//! Setting a projection back, or forward.

use chrono::{DateTime, Utc};
use es::adapter::{EventLog, PartitionSeed, ProjectionStore};
use es::{EventSource, EventStore, Position, ProjectionName};
use tracing::info;

use super::base::Operator;
use super::error::OperatorError;
use crate::epoch::in_next_epoch;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};
use crate::transaction::ended;

/// Where a projection is to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// Everything after this position is handled again; [`Position::START`] for everything.
    Position(Position),
    /// Everything from the first event on that was recorded at this time or later, by the
    /// database's clock. Without an index on the time, the log is read up to there.
    Time(DateTime<Utc>),
}

impl<S: EventSource> Operator<'_, S> {
    /// Sets a projection back, or forward, and gives the position it goes on after. What it has
    /// written stays: its handler must be able to do with it, or [`reset_in`](Operator::reset_in)
    /// clears it in the same transaction.
    ///
    /// Until a partition comes to where it was, [`EventContext::replaying`](crate::EventContext) is
    /// set. Dead letters after that position are deleted: their events will be delivered again. A
    /// barrier that the projection was coming to for another number of partitions is given up.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause), and [`OperatorError::BeyondHorizon`] for a position past the
    /// horizon.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, it has reset the projection or changed nothing.
    pub async fn reset(
        self,
        projection: &ProjectionName,
        to: ResetTo,
    ) -> Result<Position, OperatorError> {
        let to = self.resolve(to).await?;
        let mut tx = answered(self.source.begin()).await?;
        let reset = answered(self.set_to(&mut tx, projection, to)).await;
        ended(self.source, tx, reset).await
    }

    /// As [`reset`](Operator::reset), in the caller's transaction: clear what the projection has
    /// written in the same one. A time, or a position other than the start, needs a second
    /// connection.
    ///
    /// # Errors
    ///
    /// As [`reset`](Operator::reset).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn reset_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        to: ResetTo,
    ) -> Result<Position, OperatorError> {
        let to = self.resolve(to).await?;
        answered_within(OPERATION_TIME_MAX, self.set_to(conn, projection, to)).await
    }

    async fn set_to(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        to: Position,
    ) -> Result<Position, OperatorError> {
        let store = self.source.store();
        let Some(mut state) = store.lock_projection(conn, projection).await? else {
            return Err(OperatorError::unknown(projection));
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
        state.rescale_to = None;
        store.save_projection(conn, &state).await?;
        info!(%projection, position = to.get(), "reset");
        Ok(to)
    }

    /// On a connection of its own: the horizon is not to be asked for inside a transaction.
    async fn resolve(self, to: ResetTo) -> Result<Position, OperatorError> {
        if to == ResetTo::Position(Position::START) {
            return Ok(Position::START);
        }
        // The horizon first: below it nothing appears while the time is looked for.
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let horizon = answered(store.horizon(&mut conn, Position::START)).await?.position;
        let position = match to {
            ResetTo::Position(position) => Some(position),
            ResetTo::Time(time) => {
                let first = store.first_position_since(&mut conn, time);
                let first = answered_within(OPERATION_TIME_MAX, first).await?;
                first.map(Position::previous)
            }
        };
        self.source.release(conn);
        match (to, position) {
            (ResetTo::Position(position), _) if position > horizon => {
                Err(OperatorError::BeyondHorizon { position, horizon })
            }
            (_, position) => Ok(position.map_or(horizon, |position| position.min(horizon))),
        }
    }
}
