//! Running one partition until it is told to stop, has caught up, is lost, or stands still.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use es::{EventSource, Partition, ProjectionName, StoreError};
use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use super::assignment::Assignment;
use super::backoff::Backoff;
use super::interruption::{Interruption, Retry};
use super::options::ProjectionOptions;
use super::ownership::{Ended, Ownership};
use super::process::Process;
use super::run::Run;
use super::step::Until;
use super::survivor::take_back_attempt;
use crate::error::ProcessorError;
use crate::projection::Projection;

/// What a partition has, after its stop time, for leaving its checkpoint where it came to, and for
/// taking back an attempt that was dropped.
const LAST_SAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// A projection whose type its driver need not know.
pub(super) trait RunPartition<S>: Send + Sync {
    fn name(&self) -> &ProjectionName;

    fn options(&self) -> &ProjectionOptions;

    fn check_filter(&self) -> Result<(), StoreError>;

    fn run_partition(
        self: Arc<Self>,
        process: Process<S>,
        partition: Partition,
        ownership: Ownership,
        until: Until,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Ended, ProcessorError>>;
}

/// A projection, and how it is run.
pub(super) struct ConfiguredProjection<P> {
    pub(super) projection: P,
    pub(super) options: ProjectionOptions,
}

impl<S, P> RunPartition<S> for ConfiguredProjection<P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    fn name(&self) -> &ProjectionName {
        self.projection.name()
    }

    fn options(&self) -> &ProjectionOptions {
        &self.options
    }

    fn check_filter(&self) -> Result<(), StoreError> {
        self.projection.filter().check()
    }

    fn run_partition(
        self: Arc<Self>,
        process: Process<S>,
        partition: Partition,
        ownership: Ownership,
        until: Until,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Ended, ProcessorError>> {
        Box::pin(async move {
            let (projection, options) = (&self.projection, &self.options);
            run(
                Assignment::new(&process, projection, options, partition, ownership, shutdown),
                until,
            )
            .await
        })
    }
}

/// Drops a run that does not come to its end in time after it was told to stop.
async fn run<S, P>(assignment: Assignment<'_, S, P>, until: Until) -> Result<Ended, ProcessorError>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let (projection, partition) = (&assignment.name, assignment.partition);
    let span = info_span!("projection", %projection, %partition);
    let (shutdown, stop_time_max) = (assignment.shutdown.clone(), assignment.process.stop_time_max);
    let run = Box::pin(Run::new(assignment).run(until));
    let overdue = async {
        shutdown.cancelled().await;
        sleep(stop_time_max + LAST_SAVE_TIME_MAX).await;
    };
    let stopped = async {
        tokio::select! {
            biased;
            ended = run => ended,
            () = overdue => {
                warn!(?stop_time_max, "dropped a batch that did not end in time");
                Ok(Ended::Finished)
            }
        }
    };
    stopped.instrument(span).await
}

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    async fn run(mut self, until: Until) -> Result<Ended, ProcessorError> {
        let mut goal = None;
        let mut backoff = Backoff::default();
        while !self.assignment.shutdown.is_cancelled() {
            let saved_before = self.progress.saved;
            let interruption = match self.advance(&mut goal, until).await {
                Ok(made_progress) => {
                    if made_progress || self.progress.saved > saved_before {
                        backoff = Backoff::default();
                        self.is_well().await;
                    }
                    if goal.is_some_and(|goal| self.progress.reached >= goal) {
                        break;
                    }
                    continue;
                }
                Err(interruption) => interruption,
            };
            let retry = match interruption {
                Interruption::Stop(error) => return Err(self.stands_still(error).await),
                Interruption::Lost => return Ok(self.lost().await),
                Interruption::Retry(retry) => retry,
            };
            if let Some(ended) = self.wait(&mut backoff, retry, until).await {
                return ended;
            }
        }
        self.finish().await
    }

    /// The pause after an interruption, unless the run ends with it.
    async fn wait(
        &mut self,
        backoff: &mut Backoff,
        retry: Retry,
        until: Until,
    ) -> Option<Result<Ended, ProcessorError>> {
        self.progress.is_loaded = false;
        let delay = backoff.next(retry.position.is_some());
        let attempts = backoff.count;
        let attempts_max = self.assignment.options.attempts_max.get();
        if until == Until::CaughtUp && u32::try_from(attempts).is_ok_and(|n| n >= attempts_max) {
            let Retry { position, source } = retry;
            return Some(Err(self.assignment.retries_exhausted(attempts, position, source)));
        }
        self.is_unwell(&retry, attempts, delay).await;
        match self.sleep(delay, pending()).await {
            Err(Interruption::Stop(error)) => Some(Err(error)),
            Err(Interruption::Lost) => Some(Ok(self.lost().await)),
            // The next step meets the same trouble.
            Ok(_) | Err(Interruption::Retry(_)) => None,
        }
    }

    /// The partition is another's.
    async fn lost(&self) -> Ended {
        take_back_attempt(&self.assignment, &self.attempts).await;
        Ended::Lost
    }

    /// Leaves the checkpoint where the run has really come; a failure here loses nothing.
    async fn finish(mut self) -> Result<Ended, ProcessorError> {
        if !self.progress.is_loaded {
            return Ok(Ended::Finished);
        }
        match self.save_reached().await {
            Err(Interruption::Stop(error)) => Err(error),
            Err(Interruption::Lost) => Ok(Ended::Lost),
            Ok(()) | Err(Interruption::Retry(_)) => Ok(Ended::Finished),
        }
    }
}
