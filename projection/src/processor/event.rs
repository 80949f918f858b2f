//! An event that is handled on its own: as often as the policy says, and then what it says.

use std::future::pending;

use es::{EventSource, PersistedEvent, Position};
use tracing::info;

use super::attempts::note;
use super::failing::{Failing, Next, judge};
use super::interruption::{BatchError, Interruption};
use super::run::Run;
use super::survivor::after_survivors;
use crate::error::{ProcessorError, TooManyInARow};
use crate::handler_error::{HandlerError, HandlerNeverEnded, error_text};
use crate::limits::ended_within;
use crate::observe;
use crate::policy::{FailurePolicy, Verdict};
use crate::projection::Projection;
use crate::user_code::Failed;

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    /// Handles an event as often as the policy says, and then does with it what the policy says.
    pub(super) async fn handle_event(
        &mut self,
        event: &PersistedEvent,
    ) -> Result<(), Interruption> {
        let position = event.position();
        let policy = self.assignment.projection.failure_policy();
        loop {
            let failing = self.attempts.at(position);
            let (lease, attempts) = (&mut self.lease, &mut self.attempts);
            let failing = after_survivors(&self.assignment, lease, attempts, failing).await?;
            if self.assignment.shutdown.is_cancelled() {
                return Ok(());
            }
            if failing.is_open && policy.gives_up_after_death(failing.failed) {
                return self.give_up_after_deaths(event, failing.failed, policy).await;
            }
            let Some(failed) = self.attempt(event, failing).await? else {
                return Ok(());
            };
            let undone_max = self.assignment.options.attempts_max.get();
            match judge(&failed, failing, policy, undone_max, fastrand::f64()) {
                Next::WaitForServer => {
                    self.does_not_count(failing, &failed.error).await;
                    return Err(Interruption::retry(failed.error));
                }
                Next::Again => {
                    let failing = Failing { undone: failing.undone.saturating_add(1), ..failing };
                    self.does_not_count(failing, &failed.error).await;
                    return Err(Interruption::retry_at(position, failed.error));
                }
                Next::Policy(verdict) => {
                    let counted = self.count(event, failing, failed, verdict).await?;
                    if let Some(failed) = counted {
                        return self.give_up(event, failing, failed, verdict).await;
                    }
                }
            }
        }
    }

    /// One attempt: `None` if the event is handled, or the run is told to stop in the middle of it.
    async fn attempt(
        &mut self,
        event: &PersistedEvent,
        failing: Failing,
    ) -> Result<Option<Failed>, Interruption> {
        let (position, attempt) = (event.position(), failing.failed.saturating_add(1));
        self.attempts.failing = Some(Failing { is_open: false, ..failing });
        self.attempts.open = Some(position);
        note(&self.assignment, self.progress.epoch, position, attempt).await?;
        let stop = self.assignment.shutdown.clone();
        let stop_time_max = self.assignment.process.stop_time_max;
        let made = Box::pin(self.commit(std::slice::from_ref(event), position, attempt));
        match ended_within(stop_time_max, &stop, made).await {
            Some(Ok(())) => Ok(None),
            Some(Err(BatchError::Interruption(interruption))) => Err(interruption),
            Some(Err(BatchError::Handler(failed))) => Ok(Some(failed)),
            None => {
                let error = "the processor was stopped in the middle of the event".into();
                self.does_not_count(failing, &error).await;
                Ok(None)
            }
        }
    }

    /// The attempt counts. Gives it back if it was the last; waits for the next if not.
    async fn count(
        &mut self,
        event: &PersistedEvent,
        failing: Failing,
        failed: Failed,
        verdict: Verdict,
    ) -> Result<Option<Failed>, Interruption> {
        observe::failed(&self.assignment.name);
        let attempt = failing.failed.saturating_add(1);
        self.attempts.failing = Some(Failing { failed: attempt, is_open: false, ..failing });
        let Verdict::RetryAfter(delay) = verdict else {
            return Ok(Some(failed));
        };
        info!(
            position = event.position().get(),
            event_type = event.event_type(),
            attempt,
            ?delay,
            error = &*failed.error,
            "the handler failed"
        );
        self.tell(&error_text(&*failed.error)).await;
        self.sleep(delay, pending()).await?;
        Ok(None)
    }

    /// The attempt that was noted before it was made is taken back.
    async fn does_not_count(&mut self, failing: Failing, error: &HandlerError) {
        self.attempts.failing = Some(Failing { is_open: false, ..failing });
        self.tell(&error_text(&**error)).await;
    }

    /// One process after the other has ended in the middle of the event.
    async fn give_up_after_deaths(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        policy: FailurePolicy,
    ) -> Result<(), Interruption> {
        let error: HandlerError = HandlerNeverEnded { attempts }.into();
        if policy.last() == Verdict::Park {
            // Whatever else is at fault, it is not to end one process after the other.
            return self.park(event, attempts, &*error).await;
        }
        self.tell(&error_text(&*error)).await;
        let stands_still = Err(Interruption::Stop(self.handler_failed(event, error)));
        // Open again: the next to take the partition over gives it up as well, and lives.
        note(&self.assignment, self.progress.epoch, event.position(), attempts).await?;
        stands_still
    }

    /// Parks the event, or stands still at it.
    async fn give_up(
        &mut self,
        event: &PersistedEvent,
        failing: Failing,
        failed: Failed,
        verdict: Verdict,
    ) -> Result<(), Interruption> {
        let is_undone = failed.is_undone();
        let before = if is_undone { failing.undone } else { failing.failed };
        let attempts = before.saturating_add(1);
        if verdict == Verdict::Park {
            return self.park_or_wait(event, attempts, failed.error).await;
        }
        self.tell(&error_text(&*failed.error)).await;
        Err(Interruption::Stop(if is_undone {
            let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
            self.assignment.retries_exhausted(attempts, Some(event.position()), failed.error)
        } else {
            self.handler_failed(event, failed.error)
        }))
    }

    fn handler_failed(&self, event: &PersistedEvent, source: HandlerError) -> ProcessorError {
        let position: Position = event.position();
        ProcessorError::Handler {
            projection: self.assignment.name.clone(),
            partition: self.assignment.partition,
            position,
            event_type: event.event_type().to_owned(),
            source,
        }
    }

    /// Parks the event, unless so many were parked in a row that it is not the events' fault: then
    /// this one is tried again after a while, until something else is mended.
    async fn park_or_wait(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        error: HandlerError,
    ) -> Result<(), Interruption> {
        let parked = self.attempts.parked_in_a_row;
        if parked < self.assignment.options.parked_in_a_row_max.get() {
            return self.park(event, attempts, &*error).await;
        }
        let source: HandlerError = TooManyInARow { parked, source: error }.into();
        if let Some(failing) = self.attempts.failing {
            let failed = failing.failed.saturating_sub(1);
            self.does_not_count(Failing { failed, ..failing }, &source).await;
        }
        Err(Interruption::retry(source))
    }
}
