//! How a run reads the log.

use std::sync::Arc;

use es::adapter::{read_below, read_dense};
use es::{EventBatch, EventSource, Position, ReadLimit, StoreError};

use super::assignment::Assignment;
use super::idle::Idle;
use crate::projection::Projection;

impl<'a, S, P> Assignment<'a, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    /// What comes after a position, up to the horizon and the barrier.
    pub(super) fn read_after(
        &self,
        after: Position,
        stop_at: Option<Position>,
        limit: ReadLimit,
        idle: &Idle,
    ) -> impl Future<Output = Result<EventBatch, StoreError>> + Send + use<'a, S, P> {
        let (process, filter) = (self.process, Arc::clone(&self.filter));
        // Partitions that wait equally long share one answer per wait.
        let (is_idle, age_max) = (!idle.pause().is_zero(), idle.pause() / 2);
        async move {
            let source = &*process.source;
            let store = source.store();
            let may_read_dense = filter.is_unfiltered() && stop_at.is_none();
            // While there is nothing to do, one question for the whole process says so. Something
            // that was drawn may be readable below or beside what an open transaction holds back.
            let ask = || process.horizon.horizon(source, after, age_max);
            let known = if is_idle { Some(ask().await?) } else { None };
            if known.is_some_and(|(_, end)| end <= after) {
                return Ok(EventBatch::nothing(after));
            }
            if may_read_dense {
                let mut conn = source.acquire().await?;
                let batch = read_dense(store, &mut conn, after, limit).await?;
                source.release(conn);
                if !batch.is_nothing(after) {
                    return Ok(batch);
                }
            }
            let (position, _) = match known {
                Some(known) => known,
                None => ask().await?,
            };
            let through = position.min(stop_at.unwrap_or(Position::MAX));
            if through <= after {
                return Ok(EventBatch::nothing(after));
            }
            let mut conn = source.acquire().await?;
            let batch = read_below(store, &mut conn, after, through, &filter, limit).await?;
            source.release(conn);
            Ok(batch)
        }
    }
}
