//! How a run reads the log: one batch ahead, with no more connections than it may use.

use es::adapter::{read_below, read_dense};
use std::sync::Arc;
use std::time::Duration;

use es::{EventBatch, EventSource, Position, ReadLimit, StoreError};
use futures_util::future::join;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::run::{Interruption, Retry, Run};
use crate::limits::answered_within;
use crate::{Processor, Projection};

/// How long a run that is told to stop waits for a connection to save its checkpoint with. What it
/// does not save is found not to be for it by the next run.
const LAST_SLOT_TIME_MAX: Duration = Duration::from_secs(2);

/// A worker's connections are all in use.
#[derive(Debug, Error)]
#[error("the worker's connections are all in use")]
struct NoneFree;

/// The right to use a connection for a batch or a read; nothing is inside if nothing is limited.
pub(super) struct Slot(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

impl<'a, S, P> Run<'a, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// While a batch is handled the next one is read, and no more than that, if there is likely to
    /// be one. What the read fails with is met again by the next read.
    pub(super) async fn handle_and_read_ahead(
        &mut self,
        batch: EventBatch,
    ) -> Result<(), Interruption> {
        let through = batch.complete_through;
        let is_full = self.pace.is_full(&batch);
        self.pace.has_read(&batch);
        let slot = self.free_slot();
        let read = self.read_after(through, self.pace.limit());
        let (shutdown, time_max) = (self.shutdown.clone(), self.processor.time_max);
        let ahead = async move {
            let _slot = slot.filter(|_| is_full)?;
            shutdown.run_until_cancelled(answered_within(time_max, read)).await?.ok()
        };
        let (handled, ahead) = join(Box::pin(self.handle(batch)), ahead).await;
        handled?;
        self.ahead = ahead.map(|batch| (through, batch));
        Ok(())
    }

    /// The right to use a connection, if there is one now.
    fn free_slot(&self) -> Option<Slot> {
        match &self.processor.slots {
            None => Some(Slot(None)),
            Some(slots) => Arc::clone(slots).try_acquire_owned().ok().map(|slot| Slot(Some(slot))),
        }
    }

    /// Waits for the right to use a connection, and keeps the lease meanwhile.
    pub(super) async fn slot(&mut self) -> Result<Slot, Interruption> {
        if let Some(slot) = self.free_slot() {
            return Ok(slot);
        }
        let Some(slots) = self.processor.slots.clone() else {
            return Ok(Slot(None));
        };
        let mut slot = None;
        let wait = async { slot = Arc::clone(&slots).acquire_owned().await.ok() };
        self.sleep(Duration::from_hours(24), wait).await?;
        if slot.is_none() {
            // Told to stop: those that have one give it back soon.
            slot =
                timeout(LAST_SLOT_TIME_MAX, slots.acquire_owned()).await.ok().and_then(Result::ok);
        }
        match slot {
            Some(slot) => Ok(Slot(Some(slot))),
            None => Err(Interruption::Retry(Retry { source: NoneFree.into(), position: None })),
        }
    }

    /// The answer of the database, if it comes in time.
    pub(super) fn answered<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        answered_within(self.processor.time_max, answer)
    }

    pub(super) fn read_after(
        &self,
        after: Position,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<EventBatch, StoreError>> + Send + use<'a, S, P> {
        let Processor { source, horizon, .. } = self.processor;
        let (filter, stop_at) = (Arc::clone(&self.filter), self.stop_at);
        // Processors that wait equally long share one answer per wait.
        let (is_idle, age_max) = (!self.pause.is_zero(), self.pause / 2);
        async move {
            let store = source.store();
            let may_read_dense = filter.is_unfiltered() && stop_at.is_none();
            // While there is nothing to do, one question for the whole process says so. Something
            // that was drawn may be readable below or beside what an open transaction holds back.
            let ask = || horizon.horizon(&**source, after, age_max);
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
