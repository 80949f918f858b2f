//! One step of a run: load the checkpoint, or read and handle, and the pause after it.

use std::future::pending;
use std::time::Duration;

use es::{EventBatch, EventSource, Position, StoreError};

use super::connections::Slot;
use super::idle::Idle;
use super::interruption::Interruption;
use super::run::Run;
use crate::limits::no_answer;
use crate::projection::Projection;

/// How long a checkpoint may trail what the run knows not to be for it.
const EMPTY_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Shutdown,
    CaughtUp,
}

/// What one step achieved.
enum Step {
    /// The checkpoint is known; no work is done yet.
    Loaded,
    /// Nothing of it was for this run. There may be more at once.
    Passed,
    /// Something was handled and committed. There may be more at once.
    Committed,
    /// The log holds nothing more now.
    Idle,
    /// The projection is paused, or the partition has come to its barrier.
    Held,
}

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    /// One step, and the pause after it; says whether the database did what it was asked.
    pub(super) async fn advance(
        &mut self,
        goal: &mut Option<Position>,
        until: Until,
    ) -> Result<bool, Interruption> {
        // What is appended while the log is being read must not be slept through.
        let appended = self.assignment.source().appended();
        self.lease.renew_if_due(&self.assignment).await?;
        let step = if self.progress.is_loaded {
            Box::pin(self.step(goal.is_some())).await?
        } else {
            let horizon = self.load_checkpoint().await?;
            // What was appended since the run began is not part of its goal.
            *goal = goal.or((until == Until::CaughtUp).then_some(horizon));
            Step::Loaded
        };
        if goal.is_none_or(|goal| self.progress.reached < goal) {
            self.pause_after(&step, appended).await?;
        }
        Ok(matches!(step, Step::Idle | Step::Committed | Step::Held))
    }

    /// Goes on from the checkpoint as it is in the database. Gives the horizon.
    async fn load_checkpoint(&mut self) -> Result<Position, Interruption> {
        let loaded = self.loader.load(&self.assignment, &self.progress).await?;
        if loaded.is_first || loaded.checkpoint.epoch != self.progress.epoch {
            self.attempts.load(&loaded.checkpoint);
        }
        self.progress.load(&loaded.checkpoint);
        self.ahead = None;
        Ok(loaded.horizon)
    }

    async fn step(&mut self, has_goal: bool) -> Result<Step, Interruption> {
        if self.progress.is_held() {
            self.save_reached().await?;
            // A leased run ends when its epoch changes. An assigned one reads the checkpoint again.
            self.progress.is_loaded = !self.assignment.ownership.is_assigned();
            return Ok(Step::Held);
        }
        let reached = self.progress.reached;
        let ahead = self.ahead.take().filter(|(after, _)| *after == reached);
        let batch = match ahead {
            Some((_, batch)) => batch,
            None => match self.read().await? {
                Some(batch) => batch,
                None => return Ok(Step::Passed),
            },
        };
        if !batch.events.is_empty() {
            self.handle_and_read_ahead(batch).await?;
            return Ok(Step::Committed);
        }
        let step = if batch.is_nothing(reached) { Step::Idle } else { Step::Passed };
        // Nothing here is for this run. The checkpoint may trail: what lies between is empty.
        self.progress.reached = batch.complete_through;
        if has_goal || self.progress.last_save.elapsed() >= EMPTY_SAVE_INTERVAL {
            self.save_reached().await?;
        }
        Ok(step)
    }

    /// What comes next in the log; `None` if the run is told to stop.
    async fn read(&mut self) -> Result<Option<EventBatch>, Interruption> {
        let slot = Slot::wait(&self.assignment, &mut self.lease).await?;
        let assignment = &self.assignment;
        let (reached, stop_at) = (self.progress.reached, self.progress.stop_at);
        let read = assignment.read_after(reached, stop_at, self.pace.limit(), &self.idle);
        // Dropped in the middle, it takes its connection with it.
        let read = assignment.shutdown.run_until_cancelled(assignment.answered(read)).await;
        let Some(batch) = read else {
            return Ok(None);
        };
        drop(slot);
        if batch.as_ref().is_err_and(|error| no_answer(error)) {
            self.pace.took_too_long(self.pace.limit().events_max());
        }
        batch.map(Some).map_err(|error: StoreError| assignment.store_failed(error))
    }

    async fn pause_after(
        &mut self,
        step: &Step,
        appended: impl Future<Output = ()>,
    ) -> Result<(), Interruption> {
        let pause_max = self.assignment.options.poll_interval_max;
        match step {
            Step::Loaded => {}
            Step::Passed | Step::Committed => self.idle = Idle::new(),
            Step::Held => {
                self.sleep(pause_max, pending()).await?;
            }
            Step::Idle => {
                let pause = self.idle.next(pause_max);
                if self.sleep(pause, appended).await? {
                    self.idle = Idle::new();
                }
            }
        }
        Ok(())
    }
}
