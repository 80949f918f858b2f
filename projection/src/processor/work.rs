//! The work of a process that claims partitions, from its first poll until it has left.

use es::EventSource;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::settings::Settings;
use super::worker_run::WorkerRun;
use crate::error::ProcessorError;
use crate::handler_error::error_text;
use crate::limits::ended_within;

/// What a stopping worker has, beside its stop time, for giving its partitions up.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(3);

impl<S: EventSource> WorkerRun<'_, S> {
    /// Works until `shutdown` is cancelled, then leaves.
    pub(super) async fn run(mut self, shutdown: CancellationToken) -> Result<(), ProcessorError> {
        let outcome = self.work(&shutdown).await;
        self.stop_all.cancel();
        // Each stops by itself in the stop time, unless its handler blocks the thread.
        let deadline = Instant::now() + self.settings.process.stop_time_max + LEAVE_TIME_MAX;
        let all_ended = async {
            while let Some(finished) = self.tasks.join_next_with_id().await {
                self.ended(finished).await;
            }
            for projection in &self.settings.projections {
                // A worker that cannot say that it is leaving is gone when its time is over.
                if let Err(error) = self.leave(projection.name()).await {
                    debug!(error = &error as &dyn std::error::Error, "could not leave");
                }
            }
        };
        if timeout_at(deadline, all_ended).await.is_err() {
            warn!(
                "stopped without giving every partition up: they are free when their lease is over"
            );
            self.tasks.abort_all();
        }
        outcome
    }

    /// Looks around at every poll, and sees to the partitions that end in between.
    async fn work(&mut self, shutdown: &CancellationToken) -> Result<(), ProcessorError> {
        let Settings { lease, poll_interval, .. } = *self.settings;
        let mut polls = interval(poll_interval.min(lease / 3));
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_registered = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(finished) = self.tasks.join_next_with_id() => {
                    // What is left undone is done by leaving.
                    ended_within(LEAVE_TIME_MAX, shutdown, self.ended(finished)).await;
                    continue;
                }
                _ = polls.tick() => {}
            }
            // Ended, so that the worker is not said to be there after it has left. A claim without an
            // answer is noticed by the next poll, or given up when this worker leaves.
            let poll = self.poll(&mut is_registered);
            let looked = ended_within(LEAVE_TIME_MAX, shutdown, poll).await;
            match looked {
                None => return Ok(()),
                Some(Ok(())) => self.settings.process.health.worker_is_well(),
                Some(Err(error)) if is_registered || error.is_cured_by_waiting() => {
                    warn!(reason = &error as &dyn std::error::Error, "looking again");
                    self.settings.process.health.worker_fails(error_text(&error));
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}
