//! Runs many processors side by side and stops them together.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use es::{EventSource, Partition};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Processor;
use super::horizon_watch::HorizonWatch;
use super::ownership::{Ended, Ownership};
use super::process::Process;
use super::run_partition::RunPartition;
use super::step::Until;
use crate::error::{ProcessorError, RunnerError};
use crate::projection::Projection;
use crate::user_code::panic_message;

/// Runs many processors on one source side by side. They ask for the horizon together, so their
/// number does not multiply that question.
///
/// The first processor to fail stops all: the others finish their batch, then the runner returns
/// its error. Start the process again, or the runner, to go on.
pub struct Runner<S> {
    source: Arc<S>,
    horizon: Arc<HorizonWatch>,
    processors: Vec<Member<S>>,
}

impl<S: EventSource> Runner<S> {
    /// A runner without processors.
    pub fn new(source: Arc<S>) -> Self {
        Runner { source, horizon: Arc::default(), processors: Vec::new() }
    }

    /// Adds a processor with the default settings for each of `partitions`: all of
    /// [`Partition::split`], or those that this process is to drive.
    #[must_use]
    pub fn with_projection<P: Projection<S::Connection>>(
        self,
        projection: &Arc<P>,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Self {
        partitions.into_iter().fold(self, |runner, partition| {
            let source = Arc::clone(&runner.source);
            let processor = Processor::new(source, Arc::clone(projection));
            runner.with_processor(processor.with_partition(partition))
        })
    }

    /// Adds a processor. Only one that was made with the runner's own source shares its horizon.
    #[must_use]
    pub fn with_processor<P: Projection<S::Connection>>(
        mut self,
        processor: Processor<S, P>,
    ) -> Self {
        let projection = processor.configured();
        let Processor { mut process, partition, .. } = processor;
        // A horizon says nothing about another store.
        if Arc::ptr_eq(&process.source, &self.source) {
            process.horizon = Arc::clone(&self.horizon);
        }
        self.processors.push(Member { process, projection, partition });
        self
    }

    /// Runs all processors until `shutdown` is cancelled or one of them fails.
    ///
    /// # Errors
    ///
    /// The first failure, once every processor has stopped.
    ///
    /// # Cancel safety
    ///
    /// Cancelling `shutdown` lets every processor finish its batch. Dropping the future instead
    /// aborts them; their open batches are rolled back.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), RunnerError> {
        self.run_until(Until::Shutdown, shutdown).await
    }

    /// Runs all processors until each has handled every event up to the horizon as it was when the
    /// processor began.
    ///
    /// # Errors
    ///
    /// As [`run`](Runner::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Runner::run).
    pub async fn run_until_caught_up(
        &self,
        shutdown: CancellationToken,
    ) -> Result<(), RunnerError> {
        self.run_until(Until::CaughtUp, shutdown).await
    }

    async fn run_until(
        &self,
        until: Until,
        shutdown: CancellationToken,
    ) -> Result<(), RunnerError> {
        let stop_all = shutdown.child_token();
        let mut tasks = JoinSet::new();
        let mut running = HashMap::new();
        for processor in &self.processors {
            let Member { process, projection, partition } = processor;
            let task = Arc::clone(projection).run_partition(
                process.clone(),
                *partition,
                Ownership::Assigned,
                until,
                stop_all.clone(),
            );
            running.insert(tasks.spawn(task).id(), processor);
        }
        let mut first_failure = Ok(());
        while let Some(ended) = tasks.join_next_with_id().await {
            let Err(failure) = outcome(ended, &running) else {
                continue;
            };
            error!(error = &failure as &dyn std::error::Error, "stopping all processors");
            stop_all.cancel();
            if first_failure.is_ok() {
                first_failure = Err(failure);
            }
        }
        first_failure
    }
}

impl<S> fmt::Debug for Runner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("processors", &self.processors.len()).finish_non_exhaustive()
    }
}

/// A partition that the runner runs.
struct Member<S> {
    process: Process<S>,
    projection: Arc<dyn RunPartition<S>>,
    partition: Partition,
}

type Finished = Result<(Id, Result<Ended, ProcessorError>), JoinError>;

fn outcome<S>(finished: Finished, running: &HashMap<Id, &Member<S>>) -> Result<(), RunnerError> {
    match finished {
        Ok((_, result)) => Ok(result.map(drop)?),
        Err(error) => {
            let processor = running[&error.id()];
            Err(RunnerError::Panicked {
                projection: processor.projection.name(),
                partition: processor.partition,
                message: match error.try_into_panic() {
                    Ok(payload) => panic_message(&*payload),
                    Err(error) => error.to_string(),
                },
            })
        }
    }
}
