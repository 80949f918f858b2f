//! One run of a processor: where it is, what it does next, and what it does after a setback.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use es::{
    CheckpointError, CheckpointStore, EventBatch, EventFilter, EventSource, EventStore,
    PersistedEvent, Position, ProjectionName, StoreError,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{HandlerError, Processor, ProcessorError, Projection};

/// How long a checkpoint may trail what the worker knows not to be for it.
const EMPTY_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Shutdown,
    CaughtUp,
}

/// The state of one run.
pub(crate) struct Worker<'a, S, P> {
    processor: &'a Processor<S, P>,
    name: ProjectionName,
    filter: EventFilter,
    shutdown: CancellationToken,
    /// The checkpoint in the database, as this worker last saw it.
    saved: Position,
    /// Everything for this worker up to here is handled; at or after `saved`.
    reached: Position,
    last_save: Instant,
    /// The pauses between polls that find nothing, and the one that comes next.
    pauses: ExponentialBackoff,
    pause: Duration,
}

/// What one step achieved.
enum Step {
    /// The checkpoint is known; no work is done yet.
    TakenUp,
    /// Nothing of it was for this worker. There may be more at once.
    Passed,
    /// Something was handled and committed. There may be more at once.
    Committed,
    /// The log holds nothing more now.
    Idle,
}

/// Why a step failed.
enum Setback {
    /// A new transaction may succeed.
    Retry(Retry),
    /// Trying again would not help.
    Stop(ProcessorError),
}

/// The database asks to try again, cannot be reached, or another worker moved the checkpoint.
struct Retry {
    source: HandlerError,
    /// The event that was being handled on its own, if any.
    position: Option<Position>,
}

/// Why a transaction with a batch did not commit.
enum BatchError {
    /// The handler failed, on one of the events.
    Handler(HandlerError),
    /// Anything else.
    Setback(Setback),
}

impl From<Setback> for BatchError {
    fn from(setback: Setback) -> Self {
        BatchError::Setback(setback)
    }
}

impl<'a, S, P> Worker<'a, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    pub(crate) fn new(processor: &'a Processor<S, P>, shutdown: CancellationToken) -> Self {
        Worker {
            name: processor.name(),
            filter: processor.filter(),
            processor,
            shutdown,
            saved: Position::START,
            reached: Position::START,
            last_save: Instant::now(),
            pauses: pauses(processor.poll_interval_max),
            pause: Duration::ZERO,
        }
    }

    pub(crate) async fn run(mut self, until: Until) -> Result<(), ProcessorError> {
        let mut goal = None;
        let mut is_registered = false;
        let mut delays = self.retry_delays();
        let mut attempts = 1;
        while !self.shutdown.is_cancelled() {
            let saved_before = self.saved;
            // What is appended while the log is being read must not be slept through.
            let appended = self.processor.source.appended();
            let result = if is_registered {
                self.step(goal).await
            } else {
                self.register().await.map(|horizon| {
                    is_registered = true;
                    // What was appended since the run began is not part of its goal.
                    goal = goal.or((until == Until::CaughtUp).then_some(horizon));
                    Step::TakenUp
                })
            };
            let retry = match result {
                Ok(step) => {
                    let progress = matches!(step, Step::Idle | Step::Committed);
                    if progress || self.saved > saved_before {
                        (delays, attempts) = (self.retry_delays(), 1);
                    }
                    if goal.is_some_and(|goal| self.reached >= goal) {
                        break;
                    }
                    self.pause_after(step, appended).await;
                    continue;
                }
                Err(Setback::Stop(error)) => return Err(error),
                Err(Setback::Retry(retry)) => retry,
            };
            is_registered = false;
            let Some(delay) = delays.next() else {
                return Err(self.retries_exhausted(attempts, retry));
            };
            info!(reason = &*retry.source, attempts, ?delay, "trying again");
            attempts += 1;
            self.sleep(delay).await;
        }
        self.finish(is_registered).await
    }

    /// Takes up the checkpoint from the database: at the start, and after every setback, when it
    /// is not known what was committed. Gives the horizon.
    async fn register(&mut self) -> Result<Position, Setback> {
        let source = &*self.processor.source;
        let store = source.store();
        let mut tx = source.begin().await.map_err(|error| self.store(error))?;
        store.check_schema(&mut tx).await.map_err(|error| self.store(error))?;
        let checkpoint = store
            .register_checkpoint(&mut tx, &self.name, self.processor.partition)
            .await
            .map_err(|error| self.checkpoint(error))?;
        source.commit(tx).await.map_err(|error| self.store(error))?;

        if checkpoint < self.saved {
            return Err(Setback::Stop(ProcessorError::CheckpointWentBack {
                projection: self.name.clone(),
                partition: self.processor.partition,
                from: self.saved,
                to: checkpoint,
            }));
        }
        let horizon = self.processor.horizon.refresh(source).await;
        let horizon = horizon.map_err(|error| self.store(error))?;
        if checkpoint > horizon.end {
            return Err(Setback::Stop(ProcessorError::CheckpointBeyondLog {
                projection: self.name.clone(),
                partition: self.processor.partition,
                checkpoint,
                end: horizon.end,
            }));
        }
        debug!(checkpoint = checkpoint.get(), horizon = horizon.position.get(), "taking up");
        (self.saved, self.reached) = (checkpoint, checkpoint);
        Ok(horizon.position)
    }

    async fn step(&mut self, goal: Option<Position>) -> Result<Step, Setback> {
        let Some(batch) = self.shutdown.run_until_cancelled(self.read()).await else {
            return Ok(Step::Passed);
        };
        let batch = batch.map_err(|error| self.store(error))?;
        if !batch.events.is_empty() {
            self.handle(batch).await?;
            return Ok(Step::Committed);
        }
        let step = if batch.is_nothing(self.reached) { Step::Idle } else { Step::Passed };
        // Nothing here is for this worker. The checkpoint may trail: what lies between is empty.
        self.reached = batch.complete_through;
        if goal.is_some() || self.last_save.elapsed() >= EMPTY_SAVE_INTERVAL {
            self.save_reached().await?;
        }
        Ok(step)
    }

    async fn read(&self) -> Result<EventBatch, StoreError> {
        let Processor { source, limit, horizon, .. } = self.processor;
        let store = source.store();
        if self.filter.is_unfiltered() {
            let mut conn = source.acquire().await?;
            let batch = store.read_dense(&mut conn, self.reached, *limit).await?;
            if !batch.is_nothing(self.reached) {
                return Ok(batch);
            }
        }
        // Processors that wait equally long share one answer per wait.
        let horizon = horizon.horizon(&**source, self.reached, self.pause / 2).await?;
        if horizon <= self.reached {
            return Ok(EventBatch::nothing(self.reached));
        }
        let mut conn = source.acquire().await?;
        store.read_below(&mut conn, self.reached, horizon, &self.filter, *limit).await
    }

    /// Handles a batch in one transaction; if the handler fails, event by event, so that the good
    /// ones are kept and the bad one is named.
    async fn handle(&mut self, batch: EventBatch) -> Result<(), Setback> {
        let EventBatch { events, complete_through } = batch;
        match self.commit_handled(&events, complete_through).await {
            Ok(()) => return Ok(()),
            Err(BatchError::Setback(setback)) => return Err(setback),
            Err(BatchError::Handler(error)) => {
                debug!(error = &*error, events = events.len(), "going on event by event");
            }
        }
        for event in &events {
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let one = std::slice::from_ref(event);
            match self.commit_handled(one, event.position()).await {
                Ok(()) => {}
                Err(BatchError::Setback(setback)) => return Err(setback),
                Err(BatchError::Handler(source)) => return Err(self.handler(event, source)),
            }
        }
        Ok(())
    }

    /// Handles `events` and moves the checkpoint to `through`, in one transaction.
    async fn commit_handled(
        &mut self,
        events: &[PersistedEvent],
        through: Position,
    ) -> Result<(), BatchError> {
        let source = &*self.processor.source;
        let mut tx = source.begin().await.map_err(|error| self.store(error))?;
        if let Err(error) = self.handle_in(&mut tx, events, through).await {
            if let Err(error) = source.rollback(tx).await {
                debug!(error = &error as &dyn std::error::Error, "the rollback failed");
            }
            return Err(error);
        }
        source.commit(tx).await.map_err(|error| self.store(error))?;
        debug!(
            events = events.len(),
            from = self.saved.get(),
            through = through.get(),
            "committed"
        );
        (self.saved, self.reached, self.last_save) = (through, through, Instant::now());
        Ok(())
    }

    async fn handle_in(
        &self,
        tx: &mut S::Transaction,
        events: &[PersistedEvent],
        through: Position,
    ) -> Result<(), BatchError> {
        let Processor { source, projection, partition, .. } = self.processor;
        let store = source.store();
        let locked = store.lock_checkpoint(tx, &self.name, *partition).await;
        let locked = locked.map_err(|error| self.checkpoint(error))?;
        if locked != self.saved {
            let (projection, partition) = (self.name.clone(), *partition);
            let stale = CheckpointError::Stale { projection, partition, expected: self.saved };
            return Err(self.checkpoint(stale).into());
        }
        if !events.is_empty() {
            projection.handle_batch(tx, events).await.map_err(BatchError::Handler)?;
            source.check_open(tx).await.map_err(|error| self.store(error))?;
        }
        let saved = store.save_checkpoint(tx, &self.name, *partition, self.saved, through).await;
        Ok(saved.map_err(|error| self.checkpoint(error))?)
    }

    async fn save_reached(&mut self) -> Result<(), Setback> {
        if self.reached == self.saved {
            return Ok(());
        }
        match self.commit_handled(&[], self.reached).await {
            Ok(()) => Ok(()),
            Err(BatchError::Setback(setback)) => Err(setback),
            Err(BatchError::Handler(source)) => {
                Err(Setback::Retry(Retry { source, position: None }))
            }
        }
    }

    /// Leaves the checkpoint where the worker has really come; a failure here loses nothing.
    async fn finish(&mut self, registered: bool) -> Result<(), ProcessorError> {
        if !registered {
            return Ok(());
        }
        match self.save_reached().await {
            Err(Setback::Stop(error)) => Err(error),
            Ok(()) | Err(Setback::Retry(_)) => Ok(()),
        }
    }

    async fn pause_after(&mut self, step: Step, appended: impl Future<Output = ()>) {
        match step {
            Step::TakenUp => {}
            Step::Passed | Step::Committed => {
                self.pauses = pauses(self.processor.poll_interval_max);
                self.pause = Duration::ZERO;
            }
            Step::Idle => {
                self.pause = self.pauses.next().unwrap_or(self.processor.poll_interval_max);
                tokio::select! {
                    () = self.sleep(self.pause) => {}
                    () = appended => {
                        self.pauses = pauses(self.processor.poll_interval_max);
                        self.pause = Duration::ZERO;
                    }
                }
            }
        }
    }

    async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = sleep(duration) => {}
        }
    }

    /// The pauses before the second attempt, the third…: exponential, capped, with jitter.
    fn retry_delays(&self) -> ExponentialBackoff {
        let retries = usize::try_from(self.processor.attempts_max.get() - 1).unwrap_or(usize::MAX);
        ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_secs(3))
            .with_max_times(retries)
            .with_jitter()
            .build()
    }

    fn store(&self, source: StoreError) -> Setback {
        if source.is_retryable() {
            return Setback::Retry(Retry { source: source.into(), position: None });
        }
        Setback::Stop(ProcessorError::Store {
            projection: self.name.clone(),
            partition: self.processor.partition,
            source,
        })
    }

    fn checkpoint(&self, error: CheckpointError) -> Setback {
        match error {
            CheckpointError::Store(error) => self.store(error),
            stale @ CheckpointError::Stale { .. } => {
                Setback::Retry(Retry { source: stale.into(), position: None })
            }
            error => Setback::Stop(ProcessorError::Checkpoint(error)),
        }
    }

    /// What a handler's error on a single event means.
    fn handler(&self, event: &PersistedEvent, source: HandlerError) -> Setback {
        let position = event.position();
        if self.processor.source.is_retryable(&*source) {
            return Setback::Retry(Retry { source, position: Some(position) });
        }
        Setback::Stop(ProcessorError::Handler {
            projection: self.name.clone(),
            partition: self.processor.partition,
            position,
            event_type: event.event_type().to_owned(),
            source,
        })
    }

    fn retries_exhausted(&self, attempts: usize, retry: Retry) -> ProcessorError {
        ProcessorError::RetriesExhausted {
            projection: self.name.clone(),
            partition: self.processor.partition,
            position: retry.position,
            attempts,
            source: retry.source,
        }
    }
}

/// 1 ms, 2 ms, 4 ms… up to `max`, without end.
fn pauses(max: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(max)
        .without_max_times()
        .build()
}
