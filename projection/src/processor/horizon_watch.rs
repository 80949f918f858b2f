//! One answer about the horizon, shared by all partitions of a process.

use std::time::Duration;

use es::{EventSource, EventStore, Horizon, Position, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::observe;

/// How long an open transaction may hold the log before it is worth a warning, and how long
/// until the next one.
const HELD_WARNING_AFTER: Duration = Duration::from_secs(10);

/// Asks for the horizon at most once for all who want to know at the same time.
///
/// An old answer is a correct one that is merely lower: what could no longer appear below it
/// cannot appear now.
#[derive(Debug, Default)]
pub(crate) struct HorizonWatch {
    last: Mutex<Option<Answer>>,
}

#[derive(Debug)]
struct Answer {
    position: Position,
    end: Position,
    asked_at: Instant,
    /// Since when the position has been below the end of the log, unchanged.
    held_since: Option<Instant>,
}

impl HorizonWatch {
    /// Asks again and forgets the last answer, which may come from a database that has since gone
    /// back: a failover that lost commits, a backup restored under a running process.
    pub(crate) async fn refresh<S: EventSource>(&self, source: &S) -> Result<Horizon, StoreError> {
        let mut last = self.last.lock().await;
        *last = None;
        let asked_at = Instant::now();
        let mut conn = source.acquire().await?;
        let horizon = source.store().horizon(&mut conn, Position::START).await?;
        source.release(conn);
        let held_since = held_since(None, &horizon, asked_at);
        *last = Some(Answer { position: horizon.position, end: horizon.end, asked_at, held_since });
        Ok(horizon)
    }

    /// The horizon and the end of the log: the last answer if the horizon lies beyond `after` or
    /// it is no older than `age_max`, else a new one.
    ///
    /// The lock is held while the store is asked, so that those who ask meanwhile share the
    /// answer. Cancel safe.
    pub(crate) async fn horizon<S: EventSource>(
        &self,
        source: &S,
        after: Position,
        age_max: Duration,
    ) -> Result<(Position, Position), StoreError> {
        let wanted_at = Instant::now();
        let good_enough =
            |answer: &&Answer| answer.position > after || answer.asked_at + age_max >= wanted_at;
        self.ask(source, after, good_enough).await
    }

    /// Where the log ends, as of `age_max` ago or later. Cancel safe.
    pub(crate) async fn end<S: EventSource>(
        &self,
        source: &S,
        age_max: Duration,
    ) -> Result<Position, StoreError> {
        let wanted_at = Instant::now();
        let good_enough = |answer: &&Answer| answer.asked_at + age_max >= wanted_at;
        self.ask(source, Position::START, good_enough).await.map(|(_, end)| end)
    }

    async fn ask<S: EventSource>(
        &self,
        source: &S,
        after: Position,
        good_enough: impl Fn(&&Answer) -> bool,
    ) -> Result<(Position, Position), StoreError> {
        let mut last = self.last.lock().await;
        if let Some(answer) = last.as_ref().filter(good_enough) {
            return Ok((answer.position, answer.end));
        }
        let known = last.as_ref().map_or(Position::START, |answer| answer.position);
        let asked_at = Instant::now();
        let mut conn = source.acquire().await?;
        let horizon = source.store().horizon(&mut conn, known).await?;
        source.release(conn);
        if horizon.end < after {
            *last = None;
            return Err(StoreError::UnsafeRead {
                reason: format!(
                    "the log ends at {}, but {after} was read before: the database has gone back, \
                     so restore its projections to the same moment, or reset them",
                    horizon.end
                ),
            });
        }
        let held_since = held_since(last.as_ref(), &horizon, asked_at);
        *last = Some(Answer { position: horizon.position, end: horizon.end, asked_at, held_since });
        Ok((horizon.position, horizon.end))
    }
}

/// Since when the horizon has stood still below the end of the log; warns if that is long.
fn held_since(last: Option<&Answer>, horizon: &Horizon, now: Instant) -> Option<Instant> {
    if horizon.position >= horizon.end {
        observe::horizon_held(0, Duration::ZERO);
        return None;
    }
    let same = last.filter(|last| last.position == horizon.position);
    let since = same.and_then(|last| last.held_since).unwrap_or(now);
    let open_for = horizon.held_by.iter().filter_map(|holder| holder.open_for).max();
    let held = open_for.unwrap_or_else(|| now.duration_since(since));
    observe::horizon_held(horizon.end.distance_from(horizon.position), held);
    if now.duration_since(since) < HELD_WARNING_AFTER {
        return Some(since);
    }
    warn!(
        horizon = horizon.position.get(),
        end = horizon.end.get(),
        held_by = ?horizon.held_by,
        "an open transaction that has appended keeps every projection from going on"
    );
    Some(now)
}
