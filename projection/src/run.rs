//! One run over a partition: where it is, what it does next, and what it does after a setback.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use es::{
    CheckpointError, CheckpointStore, Epoch, EventBatch, EventFilter, EventSource, EventStore,
    Partition, Position, ProjectionName, ProjectionStore, StoreError,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::attempts::Failing;
use crate::batch::BatchError;
use crate::limits::{answered_within, no_answer};
use crate::pace::Pace;
use crate::registration::register;
use crate::setbacks::Setbacks;
use crate::{HandlerError, Processor, ProcessorError, Projection};

/// How long a checkpoint may trail what the run knows not to be for it.
const EMPTY_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Shutdown,
    CaughtUp,
}

/// By what right a run handles its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Somebody told it to: it goes on in whatever epoch it finds.
    Assigned,
    /// It was claimed, and is worked on in this epoch only.
    Leased { epoch: Epoch, lease: Duration },
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to stop, or has caught up.
    Finished,
    /// The partition is of another epoch now: another worker's, or an operator has changed it.
    Lost,
}

/// The state of one run.
#[expect(clippy::struct_excessive_bools, reason = "each is known, or not, apart from the others")]
pub(crate) struct Run<'a, S, P> {
    pub(super) processor: &'a Processor<S, P>,
    pub(super) name: ProjectionName,
    pub(super) partition: Partition,
    pub(super) hold: Hold,
    pub(super) shutdown: CancellationToken,
    pub(super) filter: Arc<EventFilter>,
    /// Whether the checkpoint is known; it is not after a setback.
    is_taken_up: bool,
    /// Whether the projection was ever found: then it is not made again.
    is_registered: bool,
    pub(super) is_paused: bool,
    pub(super) epoch: Epoch,
    pub(super) replay_until: Position,
    pub(super) stop_at: Option<Position>,
    /// The checkpoint in the database, as this run last saw it.
    pub(super) saved: Position,
    /// Everything for this run up to here is handled; at or after `saved`.
    pub(super) reached: Position,
    /// What was read while the batch before it was handled, and after which position.
    pub(super) ahead: Option<(Position, EventBatch)>,
    pub(super) pace: Pace,
    /// The event that fails.
    pub(super) failing: Option<Failing>,
    /// The event whose attempt is noted, and whose end the database does not know.
    pub(super) open_attempt: Option<Position>,
    /// Whether the process that made the last attempt has had the time to say that it lives.
    pub(super) has_waited_for_survivor: bool,
    /// How many events were parked since one was handled.
    pub(super) parked_in_a_row: u32,
    /// Whether the database knows that this run handles events: if its process dies, the next one
    /// handles them one by one.
    pub(super) is_marked: bool,
    /// Whether the database holds an error of this run that was none of an event's.
    pub(super) has_told: bool,
    is_schema_checked: bool,
    pub(super) last_save: Instant,
    pub(super) renew_at: Instant,
    /// When there last was something to do, and how long the run waited after the last poll.
    idle_since: Instant,
    pub(super) pause: Duration,
}

/// What one step achieved.
enum Step {
    /// The checkpoint is known; no work is done yet.
    TakenUp,
    /// Nothing of it was for this run. There may be more at once.
    Passed,
    /// Something was handled and committed. There may be more at once.
    Committed,
    /// The log holds nothing more now.
    Idle,
    /// The projection is paused, or the partition has come to its barrier.
    Held,
}

/// Why a step failed.
pub(super) enum Setback {
    /// A new transaction may succeed.
    Retry(Retry),
    /// The partition is of another epoch.
    Lost,
    /// Trying again would not help.
    Stop(ProcessorError),
}

/// The database asks to try again, cannot be reached, or another worker moved the checkpoint.
pub(super) struct Retry {
    pub(super) source: HandlerError,
    /// The event that was being handled on its own, if any.
    pub(super) position: Option<Position>,
}

impl<'a, S, P> Run<'a, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    pub(crate) fn new(
        processor: &'a Processor<S, P>,
        partition: Partition,
        hold: Hold,
        shutdown: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let (epoch, renew_at) = match hold {
            Hold::Leased { epoch, lease } => (epoch, now + lease / 3),
            Hold::Assigned => (Epoch::FIRST, now),
        };
        Run {
            name: processor.name(),
            filter: Arc::new(processor.projection.filter().with_partition(partition)),
            processor,
            partition,
            hold,
            shutdown,
            is_taken_up: false,
            is_registered: hold != Hold::Assigned,
            is_paused: false,
            epoch,
            replay_until: Position::START,
            stop_at: None,
            saved: Position::START,
            reached: Position::START,
            ahead: None,
            pace: Pace::new(processor.limit),
            failing: None,
            open_attempt: None,
            has_waited_for_survivor: false,
            parked_in_a_row: 0,
            is_marked: false,
            has_told: false,
            is_schema_checked: false,
            last_save: now,
            renew_at,
            idle_since: now,
            pause: Duration::ZERO,
        }
    }

    pub(crate) async fn run(mut self, until: Until) -> Result<Ended, ProcessorError> {
        let mut goal = None;
        let mut setbacks = Setbacks::default();
        while !self.shutdown.is_cancelled() {
            let saved_before = self.saved;
            let retry = match self.advance(&mut goal, until).await {
                Ok(made_progress) => {
                    if made_progress || self.saved > saved_before {
                        setbacks = Setbacks::default();
                        self.is_well().await;
                    }
                    if goal.is_some_and(|goal| self.reached >= goal) {
                        break;
                    }
                    continue;
                }
                Err(Setback::Stop(error)) => return Err(self.stopped(error).await),
                Err(Setback::Lost) => return Ok(self.lost().await),
                Err(Setback::Retry(retry)) => retry,
            };
            self.is_taken_up = false;
            let delay = setbacks.next(retry.position.is_some());
            let attempts = setbacks.count;
            if until == Until::CaughtUp && attempts >= self.attempts_max() {
                return Err(self.retries_exhausted(attempts, retry.position, retry.source));
            }
            self.is_unwell(&retry, attempts, delay).await;
            match self.sleep(delay, pending()).await {
                Err(Setback::Stop(error)) => return Err(error),
                Err(Setback::Lost) => return Ok(self.lost().await),
                // The next step meets the same trouble.
                Ok(_) | Err(Setback::Retry(_)) => {}
            }
        }
        self.finish().await
    }

    fn attempts_max(&self) -> usize {
        usize::try_from(self.processor.attempts_max.get()).unwrap_or(usize::MAX)
    }

    /// One step, and the pause after it; says whether the database did what it was asked.
    async fn advance(
        &mut self,
        goal: &mut Option<Position>,
        until: Until,
    ) -> Result<bool, Setback> {
        let processor = self.processor;
        // What is appended while the log is being read must not be slept through.
        let appended = processor.source.appended();
        self.renew_if_due().await?;
        let step = if self.is_taken_up {
            Box::pin(self.step(goal.is_some())).await?
        } else {
            let horizon = self.take_up().await?;
            // What was appended since the run began is not part of its goal.
            *goal = goal.or((until == Until::CaughtUp).then_some(horizon));
            Step::TakenUp
        };
        if goal.is_none_or(|goal| self.reached < goal) {
            self.pause_after(&step, appended).await?;
        }
        Ok(matches!(step, Step::Idle | Step::Committed | Step::Held))
    }

    /// Takes up the checkpoint from the database: at the start, and after every setback, when it
    /// is not known what was committed. Gives the horizon.
    async fn take_up(&mut self) -> Result<Position, Setback> {
        let source = &*self.processor.source;
        let store = source.store();
        let time_max = self.processor.time_max;
        let taken_up = async {
            let mut tx = source.begin_within(time_max).await?;
            if !self.is_schema_checked {
                store.check_schema(&mut tx).await?;
            }
            let found = if self.is_registered {
                store.lock_checkpoint(&mut tx, &self.name, self.partition).await
            } else {
                register(store, &mut tx, &self.name, self.partition).await
            };
            match found {
                Ok(checkpoint) => {
                    source.commit(tx).await?;
                    Ok(checkpoint)
                }
                Err(error) => {
                    self.roll_back(tx).await;
                    Err(error)
                }
            }
        };
        let checkpoint = answered_within::<_, CheckpointError>(time_max, taken_up).await;
        let checkpoint = checkpoint.map_err(|error| self.checkpoint(error))?;
        let is_first = !self.is_schema_checked;
        (self.is_registered, self.is_schema_checked) = (true, true);

        if matches!(self.hold, Hold::Leased { epoch, .. } if epoch != checkpoint.epoch) {
            return Err(Setback::Lost);
        }
        // In another epoch it is where an operator wants it to be.
        if checkpoint.position < self.saved && checkpoint.epoch == self.epoch {
            return Err(Setback::Stop(ProcessorError::CheckpointWentBack {
                projection: self.name.clone(),
                partition: self.partition,
                from: self.saved,
                to: checkpoint.position,
            }));
        }
        let horizon = self.answered(self.processor.horizon.refresh(source)).await;
        let horizon = horizon.map_err(|error| self.store(error))?;
        if checkpoint.position > horizon.end {
            return Err(Setback::Stop(ProcessorError::CheckpointBeyondLog {
                projection: self.name.clone(),
                partition: self.partition,
                checkpoint: checkpoint.position,
                end: horizon.end,
            }));
        }
        let position = checkpoint.position;
        debug!(
            checkpoint = position.get(),
            epoch = checkpoint.epoch.get(),
            horizon = horizon.position.get(),
            "taking up"
        );
        if is_first || checkpoint.epoch != self.epoch {
            self.failing = Failing::noted(&checkpoint);
        }
        (self.saved, self.reached, self.epoch) = (position, position, checkpoint.epoch);
        (self.stop_at, self.replay_until) = (checkpoint.stop_at, checkpoint.replay_until);
        (self.is_paused, self.is_taken_up, self.ahead) = (checkpoint.is_paused, true, None);
        Ok(horizon.position)
    }

    async fn step(&mut self, has_goal: bool) -> Result<Step, Setback> {
        let is_at_barrier = self.stop_at.is_some_and(|stop_at| self.reached >= stop_at);
        if self.is_paused || is_at_barrier {
            self.save_reached().await?;
            // A leased run ends when its epoch changes. An assigned one reads the checkpoint again.
            self.is_taken_up = self.hold != Hold::Assigned;
            return Ok(Step::Held);
        }
        let ahead = self.ahead.take().filter(|(after, _)| *after == self.reached);
        let batch = if let Some((_, batch)) = ahead {
            batch
        } else {
            let slot = self.slot().await?;
            let read = self.answered(self.read_after(self.reached, self.pace.limit()));
            // Dropped in the middle, it takes its connection with it.
            let Some(batch) = self.shutdown.run_until_cancelled(read).await else {
                return Ok(Step::Passed);
            };
            drop(slot);
            if batch.as_ref().is_err_and(|error| no_answer(error)) {
                self.pace.took_too_long(self.pace.limit().events_max());
            }
            batch.map_err(|error| self.store(error))?
        };
        if !batch.events.is_empty() {
            self.handle_and_read_ahead(batch).await?;
            return Ok(Step::Committed);
        }
        let step = if batch.is_nothing(self.reached) { Step::Idle } else { Step::Passed };
        // Nothing here is for this run. The checkpoint may trail: what lies between is empty.
        self.reached = batch.complete_through;
        if has_goal || self.last_save.elapsed() >= EMPTY_SAVE_INTERVAL {
            self.save_reached().await?;
        }
        Ok(step)
    }

    pub(super) async fn save_reached(&mut self) -> Result<(), Setback> {
        if self.reached == self.saved {
            return Ok(());
        }
        self.commit_handled(&[], self.reached, 1).await.map_err(BatchError::without_event)
    }

    /// Leaves the checkpoint where the run has really come; a failure here loses nothing.
    async fn finish(mut self) -> Result<Ended, ProcessorError> {
        if !self.is_taken_up {
            return Ok(Ended::Finished);
        }
        match self.save_reached().await {
            Err(Setback::Stop(error)) => Err(error),
            Err(Setback::Lost) => Ok(Ended::Lost),
            Ok(()) | Err(Setback::Retry(_)) => Ok(Ended::Finished),
        }
    }

    async fn pause_after(
        &mut self,
        step: &Step,
        appended: impl Future<Output = ()>,
    ) -> Result<(), Setback> {
        match step {
            Step::TakenUp => {}
            Step::Passed | Step::Committed => self.begin_pauses(),
            Step::Held => {
                self.sleep(self.processor.poll_interval_max, pending()).await?;
            }
            Step::Idle => {
                self.pause = next_pause(self.idle_since, self.processor.poll_interval_max);
                if self.sleep(self.pause, appended).await? {
                    self.begin_pauses();
                }
            }
        }
        Ok(())
    }

    fn begin_pauses(&mut self) {
        self.idle_since = Instant::now();
        self.pause = Duration::ZERO;
    }

    /// Sleeps, and keeps the lease meanwhile; says whether `wake` ended it.
    pub(super) async fn sleep(
        &mut self,
        duration: Duration,
        wake: impl Future<Output = ()>,
    ) -> Result<bool, Setback> {
        tokio::pin!(wake);
        let until = Instant::now() + duration;
        loop {
            let next = match self.hold {
                Hold::Assigned => until,
                Hold::Leased { .. } => until.min(self.renew_at),
            };
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(false),
                () = sleep_until(next) => {}
                () = &mut wake => return Ok(true),
            }
            if next == until {
                return Ok(false);
            }
            match self.renew_if_due().await {
                // The lease has two thirds left, and the pause is not over.
                Err(Setback::Retry(_)) => self.renew_at = Instant::now() + self.lease() / 10,
                renewed => renewed?,
            }
        }
    }

    fn lease(&self) -> Duration {
        match self.hold {
            Hold::Leased { lease, .. } => lease,
            Hold::Assigned => Duration::ZERO,
        }
    }

    /// A third of the lease passes at most before it is renewed, unless a batch takes longer: its
    /// lock on the checkpoint then keeps others out.
    async fn renew_if_due(&mut self) -> Result<(), Setback> {
        let Hold::Leased { epoch, lease } = self.hold else {
            return Ok(());
        };
        let now = Instant::now();
        if now < self.renew_at {
            return Ok(());
        }
        let source = &*self.processor.source;
        let renew = async {
            let mut conn = source.acquire().await?;
            let store = source.store();
            let renewed = store.renew(&mut conn, &self.name, self.partition, epoch, lease).await?;
            source.release(conn);
            Ok::<bool, StoreError>(renewed)
        };
        // An answer that comes after the lease is of no use.
        let renewed = answered_within(lease.min(self.processor.time_max), renew).await;
        if !renewed.map_err(|error| self.store(error))? {
            return Err(Setback::Lost);
        }
        self.renew_at = now + lease / 3;
        Ok(())
    }

    /// A worker's partition waits for whatever the store needs; a processor of its own tells who
    /// started it. What was written outside a transaction, and a filter that no event can pass, are
    /// nothing that time heals.
    pub(super) fn store(&self, source: StoreError) -> Setback {
        let is_final =
            matches!(source, StoreError::NoTransaction { .. } | StoreError::InvalidFilter { .. });
        let waits = self.hold != Hold::Assigned && !is_final;
        if source.is_retryable() || waits {
            return Setback::Retry(Retry { source: source.into(), position: None });
        }
        Setback::Stop(ProcessorError::Store {
            projection: self.name.clone(),
            partition: self.partition,
            source,
        })
    }

    pub(super) fn checkpoint(&self, error: CheckpointError) -> Setback {
        match error {
            CheckpointError::Store(error) => self.store(error),
            stale @ CheckpointError::Stale { .. } => {
                Setback::Retry(Retry { source: stale.into(), position: None })
            }
            // Rescaled or deleted since it was claimed.
            _ if self.hold != Hold::Assigned => Setback::Lost,
            error => Setback::Stop(ProcessorError::Checkpoint(error)),
        }
    }

    pub(super) fn retries_exhausted(
        &self,
        attempts: usize,
        position: Option<Position>,
        source: HandlerError,
    ) -> ProcessorError {
        let (projection, partition) = (self.name.clone(), self.partition);
        ProcessorError::RetriesExhausted { projection, partition, position, attempts, source }
    }
}

/// An eighth of the time in which nothing came, 1 ms at least: events that come regularly wait for
/// a sixteenth of their distance on average, and a silent log is asked ever more rarely.
fn next_pause(idle_since: Instant, max: Duration) -> Duration {
    (idle_since.elapsed() / 8).clamp(Duration::from_millis(1), max)
}
