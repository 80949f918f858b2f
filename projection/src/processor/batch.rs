//! A batch: handled at once if nothing speaks against it, while the next one is read.

use std::error::Error;

use es::{EventBatch, EventSource, PersistedEvent};
use futures_util::future::join;
use tracing::debug;

use super::connections::Slot;
use super::interruption::{BatchError, Interruption};
use super::run::Run;
use crate::handler_error::{HandlerTimedOut, chain};
use crate::limits::answered_within;
use crate::projection::Projection;

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
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
        let assignment = &self.assignment;
        let slot = Slot::free(assignment.process);
        let (stop_at, limit) = (self.progress.stop_at, self.pace.limit());
        let read = assignment.read_after(through, stop_at, limit, &self.idle);
        let (shutdown, time_max) = (assignment.shutdown.clone(), assignment.time_max());
        let ahead = async move {
            let _slot = slot.filter(|_| is_full)?;
            shutdown.run_until_cancelled(answered_within(time_max, read)).await?.ok()
        };
        let (handled, ahead) = join(Box::pin(self.handle(batch)), ahead).await;
        handled?;
        self.ahead = ahead.map(|batch| (through, batch));
        Ok(())
    }

    /// Handles a batch in one transaction; if the handler fails, event by event, so that the good
    /// ones are kept and the bad one is named.
    async fn handle(&mut self, batch: EventBatch) -> Result<(), Interruption> {
        let EventBatch { events, complete_through, .. } = batch;
        let Some(first) = events.first().map(PersistedEvent::position) else {
            return Ok(());
        };
        if !self.attempts.fails_up_to(complete_through) {
            self.attempts.mark(&self.assignment, self.progress.epoch, first).await?;
            match Box::pin(self.commit(&events, complete_through, 1)).await {
                Ok(()) => return Ok(()),
                Err(BatchError::Interruption(interruption)) => return Err(interruption),
                Err(BatchError::Handler(failed)) => {
                    if chain(&*failed.error).any(<dyn Error>::is::<HandlerTimedOut>) {
                        self.pace.took_too_long(u32::try_from(events.len()).unwrap_or(u32::MAX));
                    }
                    debug!(error = &*failed.error, events = events.len(), "event by event");
                }
            }
        }
        for event in &events {
            self.handle_event(event).await?;
            if self.progress.reached < event.position() {
                // Told to stop in between.
                return Ok(());
            }
        }
        // After the last event there is nothing for this run.
        self.progress.reached = complete_through;
        Ok(())
    }
}
