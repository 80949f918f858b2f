//! Drives one partition of a projection.

mod assignment;
mod attempts;
mod backoff;
mod batch;
mod batch_transaction;
mod blocked;
mod checkpoint;
mod claims;
mod connections;
mod event;
mod failing;
mod horizon_watch;
mod idle;
mod interruption;
mod lease;
mod options;
mod ownership;
mod pace;
mod poll;
mod process;
mod progress;
mod read;
mod rebalance;
mod registration;
mod report;
mod run;
mod run_partition;
mod runner;
mod settings;
mod step;
mod survivor;
mod work;
mod worker;
mod worker_run;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::{EventSource, Partition, ProjectionName, ReadLimit};
use tokio_util::sync::CancellationToken;

use self::options::ProjectionOptions;
use self::ownership::Ownership;
use self::process::Process;
use self::run_partition::{ConfiguredProjection, RunPartition};
use self::step::Until;
use crate::error::ProcessorError;
use crate::projection::Projection;

pub use self::runner::Runner;
pub use self::worker::Worker;

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
    process: Process<S>,
    projection: Arc<P>,
    options: ProjectionOptions,
    partition: Partition,
}

impl<S, P> Processor<S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// A processor for the whole projection, with batches of up to 500 events and a poll interval
    /// of up to 100 ms.
    pub fn new(source: Arc<S>, projection: Arc<P>) -> Self {
        Processor {
            process: Process::new(source),
            projection,
            options: ProjectionOptions::default(),
            partition: Partition::ALL,
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
        let limit = ReadLimit::new(events).with_bytes_max(self.options.limit.bytes_max());
        Processor { options: ProjectionOptions { limit, ..self.options }, ..self }
    }

    /// How many bytes of payloads and metadata end a batch, 8 MiB unless set: a batch has one event
    /// more than fit, at most. One batch is read ahead, so a partition holds twice as much.
    #[must_use]
    pub fn with_batch_bytes_max(self, bytes: usize) -> Self {
        let limit = self.options.limit.with_bytes_max(bytes);
        Processor { options: ProjectionOptions { limit, ..self.options }, ..self }
    }

    /// How long, at most, the processor waits before it looks for new events again; 1 ms at least.
    #[must_use]
    pub fn with_poll_interval_max(self, interval: Duration) -> Self {
        let poll_interval_max = interval.max(Duration::from_millis(1));
        Processor { options: ProjectionOptions { poll_interval_max, ..self.options }, ..self }
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
        let attempts_max = attempts;
        Processor { options: ProjectionOptions { attempts_max, ..self.options }, ..self }
    }

    /// How many events may be parked one after the other without one that can be handled in
    /// between; 10 unless set. After that the partition waits, see
    /// [`TooManyInARow`](crate::TooManyInARow).
    #[must_use]
    pub fn with_parked_in_a_row_max(self, events: NonZeroU32) -> Self {
        let parked_in_a_row_max = events;
        Processor { options: ProjectionOptions { parked_in_a_row_max, ..self.options }, ..self }
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
        let time_max = time_max.max(Duration::from_millis(10));
        Processor { options: ProjectionOptions { time_max, ..self.options }, ..self }
    }

    /// How long the processor may take to stop: its handler to finish, its batch to be committed. 20
    /// seconds unless set. What is not done by then is dropped, and handled by the next run: the
    /// attempt does not count if the database lets it be taken back within a second more. Choose
    /// less than what stops the process by force, such as Kubernetes' grace period of 30 seconds.
    ///
    /// A handler that blocks its thread and never awaits cannot be dropped.
    #[must_use]
    pub fn with_stop_time_max(self, stop_time_max: Duration) -> Self {
        Processor { process: Process { stop_time_max, ..self.process }, ..self }
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

    async fn run_until(
        &self,
        until: Until,
        shutdown: CancellationToken,
    ) -> Result<(), ProcessorError> {
        let (process, partition) = (self.process.clone(), self.partition);
        let run = self.configured();
        run.run_partition(process, partition, Ownership::Assigned, until, shutdown).await.map(drop)
    }

    fn configured(&self) -> Arc<ConfiguredProjection<P>> {
        let (projection, options) = (Arc::clone(&self.projection), self.options);
        Arc::new(ConfiguredProjection { projection, options })
    }
}

impl<S, P> fmt::Debug for Processor<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("partition", &self.partition)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
