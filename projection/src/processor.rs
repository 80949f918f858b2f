//! Drives one partition of a projection.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::{EventSource, Partition, ProjectionName, ReadLimit};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::horizon_watch::HorizonWatch;
use crate::run::{Ended, Hold, Run, Until};
use crate::{ProcessorError, Projection};

/// Drives one partition of a projection: the whole projection unless told otherwise.
///
/// It reads a batch on a connection of its own, then begins a transaction, locks the checkpoint,
/// hands the batch to the projection, saves the checkpoint and commits. While it does, it reads the
/// next batch if there is a connection for it: it holds two at most, and is content with one.
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
    pub(crate) horizon: Arc<HorizonWatch>,
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
            source,
            projection,
            partition: Partition::ALL,
            limit: ReadLimit::default(),
            poll_interval_max: Duration::from_millis(100),
            attempts_max: NonZeroU32::new(20).expect("it is not zero"),
            horizon: Arc::default(),
        }
    }

    /// Drives this partition only. All partitions of a projection have the same total.
    #[must_use]
    pub fn with_partition(self, partition: Partition) -> Self {
        Processor { partition, ..self }
    }

    /// How many events, at most, are handled in one transaction.
    #[must_use]
    pub fn with_batch_size_max(self, events: NonZeroU32) -> Self {
        Processor { limit: ReadLimit::new(events), ..self }
    }

    /// How long, at most, the processor waits before it looks for new events again; 1 ms at least.
    #[must_use]
    pub fn with_poll_interval_max(self, interval: Duration) -> Self {
        Processor { poll_interval_max: interval.max(Duration::from_millis(1)), ..self }
    }

    /// How many times in a row the same work is tried when the database asks for it or cannot be
    /// reached; 20 unless set. The pauses between them grow to 3 seconds and add up to about half a
    /// minute, beside what the pool itself waits for a connection.
    #[must_use]
    pub fn with_attempts_max(self, attempts: NonZeroU32) -> Self {
        Processor { attempts_max: attempts, ..self }
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
    /// What [`ProcessorError`] lists; never because of a single lost connection or deadlock.
    ///
    /// # Cancel safety
    ///
    /// Cancelling `shutdown` lets the current batch finish. Dropping the future instead rolls
    /// the current batch back; its events are handled again by the next run.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ProcessorError> {
        self.run_until(Until::Shutdown, shutdown).await
    }

    /// Handles every event the log holds now, then returns; earlier if `shutdown` is cancelled.
    ///
    /// # Errors
    ///
    /// As [`run`](Processor::run).
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
        let span = info_span!("projection", projection = %self.name(), partition = %self.partition);
        let run = Run::new(self, self.partition, Hold::Assigned, shutdown);
        run.run(until).instrument(span).await.map(|_: Ended| ())
    }

    /// Works on a partition that was claimed, until told to stop or until it is lost.
    pub(crate) async fn run_leased(
        &self,
        partition: Partition,
        hold: Hold,
        shutdown: CancellationToken,
    ) -> Result<Ended, ProcessorError> {
        let span = info_span!("projection", projection = %self.name(), %partition);
        Run::new(self, partition, hold, shutdown).run(Until::Shutdown).instrument(span).await
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
