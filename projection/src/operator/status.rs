//! How projections are doing.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use es::adapter::{ProjectionStore, read_below};
use es::{
    EventFilter, EventSource, EventStore, Horizon, PartitionState, Position, ProjectionName,
    ProjectionState, ReadLimit, StoreError, WorkerId,
};

use super::base::Operator;
use super::error::OperatorError;
use crate::limits::answered;

/// How a projection is doing.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// What is set for it.
    pub state: ProjectionState,
    /// How far the log can be read now, where it ends, and who keeps the one from the other.
    pub horizon: Horizon,
    /// The workers that are there for it.
    pub workers: Vec<WorkerId>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionStatus>,
}

/// How a partition is doing.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PartitionStatus {
    /// What the store knows of it.
    pub state: PartitionState,
    /// How many positions lie between checkpoint and the end of the log: an upper bound of the
    /// events left.
    pub lag: u64,
    /// How many of them lie after the horizon, so that nobody can handle them yet: a transaction
    /// that has appended is still open, see [`ProjectionStatus::horizon`].
    pub held_back: u64,
    /// When the oldest event after the checkpoint was created, whether the projection's filter
    /// wants it or not; `None` if there is none within the stretch that one read covers.
    pub oldest_unhandled: Option<DateTime<Utc>>,
    /// How many of its events are parked, those that queue after others included.
    pub dead_letters: u64,
}

impl PartitionStatus {
    /// How long the oldest event after the checkpoint has been waiting; nothing if there is none.
    pub fn lag_time(&self, now: DateTime<Utc>) -> Duration {
        let since = self.oldest_unhandled.map(|created_at| now - created_at);
        since.and_then(|since| since.to_std().ok()).unwrap_or_default()
    }
}

/// How far a projection that was reset is on the way to where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Rebuild {
    /// The positions passed, over all partitions.
    pub done: u64,
    /// The positions to pass, over all partitions.
    pub total: u64,
}

impl Rebuild {
    /// How long the rest will take at the speed since `earlier`, which was `elapsed` ago; `None` if
    /// nothing was done since.
    pub fn time_left(&self, earlier: Rebuild, elapsed: Duration) -> Option<Duration> {
        let done = self.done.checked_sub(earlier.done).filter(|done| *done > 0)?;
        let left = self.total.saturating_sub(self.done);
        let nanos = elapsed.as_nanos().saturating_mul(left.into()) / u128::from(done);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

impl ProjectionStatus {
    /// The progress of a rebuild; `None` if every partition is back to where it was.
    pub fn rebuild(&self) -> Option<Rebuild> {
        let of = |one: &PartitionStatus| {
            let total = one.state.replay_until.distance_from(Position::START);
            (one.state.position.distance_from(Position::START).min(total), total)
        };
        let sum = |(done, total), (more, of): (u64, u64)| (done + more, total + of);
        let (done, total) = self.partitions.iter().map(of).fold((0, 0), sum);
        (done < total).then_some(Rebuild { done, total })
    }

    /// How many events are parked, those that queue after others included.
    pub fn dead_letters(&self) -> u64 {
        self.partitions.iter().map(|one| one.dead_letters).sum()
    }
}

impl<S: EventSource> Operator<'_, S> {
    /// How every projection is doing, by name.
    ///
    /// # Errors
    ///
    /// Whatever the database says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn status(self) -> Result<Vec<ProjectionStatus>, OperatorError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let states = answered(store.projections(&mut conn)).await?;
        let horizon = answered(store.horizon(&mut conn, Position::START)).await?;
        let mut all = Vec::with_capacity(states.len());
        for state in states {
            all.push(status_in(store, &mut conn, state, &horizon).await?);
        }
        self.source.release(conn);
        Ok(all)
    }

    /// How one projection is doing.
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], and whatever the database says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn status_of(
        self,
        projection: &ProjectionName,
    ) -> Result<ProjectionStatus, OperatorError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let states = answered(store.projections(&mut conn)).await?;
        let Some(state) = states.into_iter().find(|state| state.name == *projection) else {
            self.source.release(conn);
            return Err(OperatorError::unknown(projection));
        };
        let horizon = answered(store.horizon(&mut conn, Position::START)).await?;
        let found = status_in(store, &mut conn, state, &horizon).await?;
        self.source.release(conn);
        Ok(found)
    }
}

async fn status_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    state: ProjectionState,
    horizon: &Horizon,
) -> Result<ProjectionStatus, StoreError> {
    let workers = answered(store.workers(conn, &state.name)).await?;
    let counts = answered(store.dead_letter_counts(conn, &state.name)).await?;
    let mut partitions = Vec::new();
    for partition in answered(store.partitions(conn, &state.name)).await? {
        let lag = horizon.end.distance_from(partition.position);
        let held_back = horizon.end.distance_from(horizon.position.max(partition.position));
        let filter = EventFilter::default().with_partition(partition.partition);
        let limit = ReadLimit::new(NonZeroU32::MIN);
        let next = read_below(store, conn, partition.position, horizon.position, &filter, limit);
        let next = answered(next).await?;
        let oldest_unhandled = next.events.first().map(es::PersistedEvent::created_at);
        let mine = counts.iter().find(|(index, _)| *index == partition.partition.index());
        let dead_letters = mine.map_or(0, |(_, count)| *count);
        partitions.push(PartitionStatus {
            state: partition,
            lag,
            held_back,
            oldest_unhandled,
            dead_letters,
        });
    }
    Ok(ProjectionStatus { state, horizon: horizon.clone(), workers, partitions })
}
