//! One run of a processor: where it is, what it does next, and what it does after a setback.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use es::{
    CheckpointError, CheckpointStore, EventBatch, EventFilter, EventSource, EventStore,
    PersistedEvent, Position, ProjectionName, StoreError,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

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
    /// There may be more at once.
    Onward,
    /// The log holds nothing more now.
    Idle,
}

/// Why a step failed.
enum Setback {
    /// The database asks to try again, or cannot be reached.
    Retry(HandlerError),
    /// Another worker has moved the checkpoint.
    Overtaken,
    /// Trying again would not help.
    Stop(ProcessorError),
    /// The handler failed, on one of these events.
    Handler(HandlerError),
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
        let mut registered = false;
        let mut delays = self.retry_delays();
        let mut attempts = 1;
        while !self.shutdown.is_cancelled() {
            let result = if registered {
                self.step(goal).await
            } else {
                self.register(until).await.map(|end| {
                    (registered, goal) = (true, end);
                    Step::TakenUp
                })
            };
            match result {
                Ok(step) => {
                    if !matches!(step, Step::TakenUp) {
                        (delays, attempts) = (self.retry_delays(), 1);
                    }
                    if goal.is_some_and(|goal| self.reached >= goal) {
                        break;
                    }
                    self.pause_after(step).await;
                }
                Err(Setback::Stop(error)) => return Err(error),
                Err(Setback::Overtaken) => {
                    warn!("another worker is driving this partition as well");
                    registered = false;
                }
                Err(Setback::Retry(source) | Setback::Handler(source)) => {
                    registered = false;
                    let Some(delay) = delays.next() else {
                        return Err(self.retries_exhausted(attempts, source));
                    };
                    warn!(error = &*source, attempts, ?delay, "trying again");
                    attempts += 1;
                    self.sleep(delay).await;
                }
            }
        }
        self.finish(registered).await
    }

    /// Takes up the checkpoint from the database: at the start, and after every setback, when it
    /// is not known what was committed. Gives the goal of a run that ends when it has caught up.
    async fn register(&mut self, until: Until) -> Result<Option<Position>, Setback> {
        let source = &*self.processor.source;
        let store = source.store();
        let mut tx = source.begin().await.map_err(|error| self.store(error))?;
        store.check_schema(&mut tx).await.map_err(|error| self.store(error))?;
        let checkpoint = store
            .register_checkpoint(&mut tx, &self.name, self.processor.partition)
            .await
            .map_err(setback)?;
        source.commit(tx).await.map_err(|error| self.store(error))?;

        if checkpoint < self.saved {
            return Err(Setback::Stop(ProcessorError::CheckpointWentBack {
                projection: self.name.clone(),
                partition: self.processor.partition,
                from: self.saved,
                to: checkpoint,
            }));
        }
        let mut conn = source.acquire().await.map_err(|error| self.store(error))?;
        let horizon = store.horizon(&mut conn, Position::START).await;
        let horizon = horizon.map_err(|error| self.store(error))?;
        if checkpoint > horizon.end {
            return Err(Setback::Stop(ProcessorError::CheckpointBeyondLog {
                projection: self.name.clone(),
                partition: self.processor.partition,
                checkpoint,
                end: horizon.end,
            }));
        }
        info!(checkpoint = checkpoint.get(), horizon = horizon.position.get(), "taking up");
        (self.saved, self.reached) = (checkpoint, checkpoint);
        Ok((until == Until::CaughtUp).then_some(horizon.position))
    }

    async fn step(&mut self, goal: Option<Position>) -> Result<Step, Setback> {
        let batch = self.read().await.map_err(|error| self.store(error))?;
        if batch.is_nothing(self.reached) {
            return Ok(Step::Idle);
        }
        if !batch.events.is_empty() {
            self.handle(batch).await?;
            return Ok(Step::Onward);
        }
        // Nothing here is for this worker. The checkpoint may trail: what lies between is empty.
        self.reached = batch.complete_through;
        if goal.is_none() && self.last_save.elapsed() < EMPTY_SAVE_INTERVAL {
            return Ok(Step::Onward);
        }
        self.save_reached().await?;
        Ok(Step::Onward)
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
            Err(Setback::Handler(source)) if events.len() == 1 => {
                return Err(self.blame(&events[0], source));
            }
            Err(Setback::Handler(error)) => {
                warn!(error = &*error, events = events.len(), "going on event by event");
            }
            result => return result,
        }
        for event in &events {
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let one = std::slice::from_ref(event);
            match self.commit_handled(one, event.position()).await {
                Err(Setback::Handler(source)) => return Err(self.blame(event, source)),
                result => result?,
            }
        }
        Ok(())
    }

    /// Handles `events` and moves the checkpoint to `through`, in one transaction.
    async fn commit_handled(
        &mut self,
        events: &[PersistedEvent],
        through: Position,
    ) -> Result<(), Setback> {
        let Processor { source, projection, partition, .. } = self.processor;
        let store = source.store();
        let mut tx = source.begin().await.map_err(|error| self.store(error))?;
        let result = async {
            let locked = store.lock_checkpoint(&mut tx, &self.name, *partition).await;
            if locked.map_err(setback)? != self.saved {
                return Err(Setback::Overtaken);
            }
            if !events.is_empty() {
                let handled = projection.handle_batch(&mut tx, events).await;
                handled.map_err(|error| self.handler(error))?;
            }
            store
                .save_checkpoint(&mut tx, &self.name, *partition, self.saved, through)
                .await
                .map_err(setback)
        }
        .await;
        if let Err(setback) = result {
            if let Err(error) = source.rollback(tx).await {
                debug!(error = &error as &dyn std::error::Error, "the rollback failed");
            }
            return Err(setback);
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

    async fn save_reached(&mut self) -> Result<(), Setback> {
        if self.reached == self.saved {
            return Ok(());
        }
        self.commit_handled(&[], self.reached).await
    }

    /// Leaves the checkpoint where the worker has really come; a failure here loses nothing.
    async fn finish(&mut self, registered: bool) -> Result<(), ProcessorError> {
        if !registered {
            return Ok(());
        }
        match self.save_reached().await {
            Err(Setback::Stop(error)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn pause_after(&mut self, step: Step) {
        match step {
            Step::TakenUp => {}
            Step::Onward => {
                self.pauses = pauses(self.processor.poll_interval_max);
                self.pause = Duration::ZERO;
            }
            Step::Idle => {
                self.pause = self.pauses.next().unwrap_or(self.processor.poll_interval_max);
                self.sleep(self.pause).await;
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
            return Setback::Retry(source.into());
        }
        Setback::Stop(ProcessorError::Store {
            projection: self.name.clone(),
            partition: self.processor.partition,
            source,
        })
    }

    fn handler(&self, error: HandlerError) -> Setback {
        if self.processor.source.is_retryable(&*error) {
            return Setback::Retry(error);
        }
        Setback::Handler(error)
    }

    fn blame(&self, event: &PersistedEvent, source: HandlerError) -> Setback {
        Setback::Stop(ProcessorError::Handler {
            projection: self.name.clone(),
            partition: self.processor.partition,
            position: event.position(),
            event_type: event.event_type().to_owned(),
            source,
        })
    }

    fn retries_exhausted(&self, attempts: usize, source: HandlerError) -> ProcessorError {
        ProcessorError::RetriesExhausted {
            projection: self.name.clone(),
            partition: self.processor.partition,
            attempts,
            source,
        }
    }
}

fn setback(error: CheckpointError) -> Setback {
    match error {
        CheckpointError::Stale { .. } => Setback::Overtaken,
        error if error.is_retryable() => Setback::Retry(error.into()),
        error => Setback::Stop(ProcessorError::Checkpoint(error)),
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
