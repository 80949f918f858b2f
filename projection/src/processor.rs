//! Drives one partition of a projection.

mod attempts;
mod backoff;
mod batch;
mod blocked;
mod claims;
mod horizon_watch;
mod pace;
mod read;
mod rebalance;
mod registration;
mod run;
mod run_partition;
mod runner;
mod survivor;
mod worker;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::adapter::TRANSACTION_TIME_MAX;
use es::{EventSource, Partition, ProjectionName, ReadLimit};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use self::horizon_watch::HorizonWatch;
use self::run::{Ended, Ownership, Run, Until};
pub use self::runner::Runner;
pub use self::worker::Worker;
use crate::health::Health;
use crate::{ProcessorError, Projection};

/// Drives one partition of a projection: the whole projection unless told otherwise.
///
/// It reads a batch on a connection of its own, then begins a transaction, locks the checkpoint,
/// hands the batch to the projection, saves the checkpoint and commits. While it does, it reads the
/// next batch if there is a connection for it: it uses two connections at most, and works with one.
///
/// While there is something to do it reads without pause. When there is nothing it looks again
/// after an eighth of the time for which there has been nothing: 1 ms at least, the largest poll
/// interval at most. Processors of one [`Runner`](crate::Runner) or [`Worker`](crate::Worker) then
/// ask the database together, one query for all of them.
///
/// Several processors for the same partition, in one process or many, are safe and a waste: one
/// of them commits, the others find the checkpoint moved, roll back and go on from there. The same
/// goes for a processor beside a [`Worker`](crate::Worker) that has claimed its partition.
///
/// While the projection is paused, and when it is to be given another number of partitions and
/// this one has come to the barrier, the processor waits. Started for a number of partitions that
/// the projection no longer has, it stops with an error.
pub struct Processor<S, P> {
    pub(crate) source: Arc<S>,
    pub(crate) projection: Arc<P>,
    pub(crate) partition: Partition,
    pub(crate) limit: ReadLimit,
    pub(crate) poll_interval_max: Duration,
    pub(crate) attempts_max: NonZeroU32,
    pub(crate) parked_in_a_row_max: NonZeroU32,
    pub(crate) time_max: Duration,
    pub(crate) stop_time_max: Duration,
    pub(crate) horizon: Arc<HorizonWatch>,
    pub(crate) health: Health,
    /// How many batches and reads of a worker may be under way; `None` for no limit.
    pub(crate) slots: Option<Arc<Semaphore>>,
}

/// How long a stop may take, unless set.
pub(crate) const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// What a partition has, after its stop time, for leaving its checkpoint where it came to, and for
/// taking back an attempt that was dropped.
const LAST_SAVE_TIME_MAX: Duration = Duration::from_secs(1);

impl<S, P> Processor<S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// A processor for the whole projection, with batches of up to 500 events and a poll interval
    /// of up to 100 ms.
    pub fn new(source: Arc<S>, projection: Arc<P>) -> Self {
        Processor {
            source,
            projection,
            partition: Partition::ALL,
            limit: ReadLimit::default(),
            poll_interval_max: Duration::from_millis(100),
            attempts_max: NonZeroU32::new(20).expect("it is not zero"),
            parked_in_a_row_max: NonZeroU32::new(10).expect("it is not zero"),
            time_max: TRANSACTION_TIME_MAX,
            stop_time_max: STOP_TIME_MAX,
            horizon: Arc::default(),
            health: Health::default(),
            slots: None,
        }
    }

    /// Drives this partition only. All partitions of a projection have the same total.
    #[must_use]
    pub fn with_partition(self, partition: Partition) -> Self {
        Processor { partition, ..self }
    }

    /// How many events, at most, are handled in one transaction; 500 unless set.
    #[must_use]
    pub fn with_batch_size_max(self, events: NonZeroU32) -> Self {
        Processor { limit: ReadLimit::new(events).with_bytes_max(self.limit.bytes_max()), ..self }
    }

    /// How many bytes of payloads and metadata end a batch, 8 MiB unless set: a batch has one event
    /// more than fit, at most. One batch is read ahead, so a partition holds twice as much.
    #[must_use]
    pub fn with_batch_bytes_max(self, bytes: usize) -> Self {
        Processor { limit: self.limit.with_bytes_max(bytes), ..self }
    }

    /// How long, at most, the processor waits before it looks for new events again; 1 ms at least.
    #[must_use]
    pub fn with_poll_interval_max(self, interval: Duration) -> Self {
        Processor { poll_interval_max: interval.max(Duration::from_millis(1)), ..self }
    }

    /// How many times in a row an event is tried at which one transaction after the other is
    /// undone (by a deadlock, a time limit, a lost connection), before the projection's
    /// [policy](crate::FailurePolicy) decides about it; 20 unless set. The pauses between the
    /// attempts grow to between 3 and 6 seconds: half a minute to a minute in all.
    ///
    /// What concerns no single event, such as a server that is away, is tried without an end by
    /// [`run`](Processor::run), and as often as this by
    /// [`run_until_caught_up`](Processor::run_until_caught_up).
    #[must_use]
    pub fn with_attempts_max(self, attempts: NonZeroU32) -> Self {
        Processor { attempts_max: attempts, ..self }
    }

    /// How many events may be parked one after the other without one that can be handled in
    /// between; 10 unless set. After that the partition waits, see
    /// [`TooManyInARow`](crate::TooManyInARow).
    #[must_use]
    pub fn with_parked_in_a_row_max(self, events: NonZeroU32) -> Self {
        Processor { parked_in_a_row_max: events, ..self }
    }

    /// How long the handler may take for a batch, and for an event that is handled on its own; 60
    /// seconds unless set, 10 ms at least. A handler that takes longer is dropped with its
    /// transaction, and the events of the batch are handled one by one, those of the next in smaller
    /// batches. It is also how long the processor waits for an answer of the database, and how long
    /// the database lets a statement of the transaction, or a pause between two, last: if the
    /// process hangs or cannot be reached, its partition is free after a lease and this time.
    ///
    /// A handler that blocks its thread and never awaits cannot be dropped. The database ends its
    /// transaction, and another [`Worker`](crate::Worker) takes its partition over, after about a
    /// lease more; [`Health`](crate::Health) says so.
    #[must_use]
    pub fn with_time_max(self, time_max: Duration) -> Self {
        Processor { time_max: time_max.max(Duration::from_millis(10)), ..self }
    }

    /// How long the processor may take to stop: its handler to finish, its batch to be committed. 20
    /// seconds unless set. What is not done by then is dropped, and handled by the next run: the
    /// attempt does not count if the database lets it be taken back within a second more. Choose
    /// less than what stops the process by force, such as Kubernetes' grace period of 30 seconds.
    ///
    /// A handler that blocks its thread and never awaits cannot be dropped.
    #[must_use]
    pub fn with_stop_time_max(self, stop_time_max: Duration) -> Self {
        Processor { stop_time_max, ..self }
    }

    /// The projection's name.
    pub fn name(&self) -> ProjectionName {
        self.projection.name()
    }

    /// The partition this processor drives.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Handles events as they come, until `shutdown` is cancelled.
    ///
    /// # Errors
    ///
    /// What [`ProcessorError`] lists; never because the database cannot be reached or cannot serve:
    /// that is waited for.
    ///
    /// # Cancel safety
    ///
    /// Cancelling `shutdown` lets the current batch finish. Dropping the future instead rolls
    /// the current batch back and closes its connection; its events are handled again by the next
    /// run.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ProcessorError> {
        self.run_until(Until::Shutdown, shutdown).await
    }

    /// Handles every event up to the horizon as it is when this begins, then returns; earlier if
    /// `shutdown` is cancelled. Events after a transaction that has appended and is still open are
    /// left for the next time.
    ///
    /// # Errors
    ///
    /// As [`run`](Processor::run), and [`ProcessorError::RetriesExhausted`] if the database cannot
    /// be reached.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Processor::run).
    pub async fn run_until_caught_up(
        &self,
        shutdown: CancellationToken,
    ) -> Result<(), ProcessorError> {
        self.run_until(Until::CaughtUp, shutdown).await
    }

    pub(crate) async fn run_until(
        &self,
        until: Until,
        shutdown: CancellationToken,
    ) -> Result<(), ProcessorError> {
        let run = Run::new(self, self.partition, Ownership::Assigned, shutdown.clone());
        let run = Box::pin(run.run(until));
        self.stopped_in_time(self.partition, run, shutdown).await.map(|_: Ended| ())
    }

    /// Works on a partition that was claimed, until told to stop or until it is lost.
    pub(crate) async fn run_leased(
        &self,
        partition: Partition,
        ownership: Ownership,
        shutdown: CancellationToken,
    ) -> Result<Ended, ProcessorError> {
        let run = Run::new(self, partition, ownership, shutdown.clone());
        let run = Box::pin(run.run(Until::Shutdown));
        self.stopped_in_time(partition, run, shutdown).await
    }

    /// Drops a run that does not come to its end in time after it was told to stop.
    async fn stopped_in_time(
        &self,
        partition: Partition,
        run: impl Future<Output = Result<Ended, ProcessorError>>,
        shutdown: CancellationToken,
    ) -> Result<Ended, ProcessorError> {
        let span = info_span!("projection", projection = %self.name(), %partition);
        let overdue = async {
            shutdown.cancelled().await;
            sleep(self.stop_time_max + LAST_SAVE_TIME_MAX).await;
        };
        let stopped = async {
            tokio::select! {
                biased;
                ended = run => ended,
                () = overdue => {
                    warn!(stop_time_max = ?self.stop_time_max, "dropped a batch that did not end in time");
                    Ok(Ended::Finished)
                }
            }
        };
        stopped.instrument(span).await
    }
}

impl<S, P> fmt::Debug for Processor<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("partition", &self.partition)
            .field("limit", &self.limit)
            .field("poll_interval_max", &self.poll_interval_max)
            .field("attempts_max", &self.attempts_max)
            .finish_non_exhaustive()
    }
}
