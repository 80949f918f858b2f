//! How a projection is run: its partitions, and the limits of its batches and of its handler.

use std::num::NonZeroU32;
use std::time::Duration;

use es::adapter::TRANSACTION_TIME_MAX;
use es::{PartitionCount, ReadLimit};

/// How a projection is run. Made by [`Default`]: one partition, batches of up to 500 events and 8
/// MiB, and a look for new events every 100 ms at least.
#[derive(Debug, Clone, Copy)]
pub struct ProjectionOptions {
    pub(super) partitions: PartitionCount,
    pub(super) limit: ReadLimit,
    pub(super) poll_interval_max: Duration,
    pub(super) attempts_max: NonZeroU32,
    pub(super) parked_in_a_row_max: NonZeroU32,
    pub(super) time_max: Duration,
}

impl Default for ProjectionOptions {
    fn default() -> Self {
        ProjectionOptions {
            partitions: PartitionCount::ONE,
            limit: ReadLimit::default(),
            poll_interval_max: Duration::from_millis(100),
            attempts_max: NonZeroU32::new(20).expect("it is not zero"),
            parked_in_a_row_max: NonZeroU32::new(10).expect("it is not zero"),
            time_max: TRANSACTION_TIME_MAX,
        }
    }
}

impl ProjectionOptions {
    /// With how many partitions the projection is created if it is new; 1 unless set. One that is
    /// there keeps its number until it is [rescaled](crate::Operator::rescale).
    #[must_use]
    pub fn with_partitions(self, partitions: PartitionCount) -> Self {
        ProjectionOptions { partitions, ..self }
    }

    /// How many events, at most, are handled in one transaction; 500 unless set.
    #[must_use]
    pub fn with_batch_size_max(self, events: NonZeroU32) -> Self {
        let limit = ReadLimit::new(events).with_bytes_max(self.limit.bytes_max());
        ProjectionOptions { limit, ..self }
    }

    /// How many bytes of payloads and metadata end a batch, 8 MiB unless set: a batch has one event
    /// more than fit, at most. One batch is read ahead, so a partition holds twice as much.
    #[must_use]
    pub fn with_batch_bytes_max(self, bytes: usize) -> Self {
        let limit = self.limit.with_bytes_max(bytes);
        ProjectionOptions { limit, ..self }
    }

    /// How long, at most, the processor waits before it looks for new events again; 1 ms at least.
    #[must_use]
    pub fn with_poll_interval_max(self, interval: Duration) -> Self {
        let poll_interval_max = interval.max(Duration::from_millis(1));
        ProjectionOptions { poll_interval_max, ..self }
    }

    /// How many times in a row an event is tried at which one transaction after the other is
    /// undone (by a deadlock, a time limit, a lost connection), before the projection's
    /// [policy](crate::FailurePolicy) decides about it; 20 unless set. The pauses between the
    /// attempts grow to between 3 and 6 seconds: half a minute to a minute in all.
    ///
    /// What concerns no single event, such as a server that is away, is tried without an end by
    /// [`Processor::run`](crate::Processor::run), and as often as this by
    /// [`run_until_caught_up`](crate::Processor::run_until_caught_up).
    #[must_use]
    pub fn with_attempts_max(self, attempts: NonZeroU32) -> Self {
        ProjectionOptions { attempts_max: attempts, ..self }
    }

    /// How many events may be parked one after the other without one that can be handled in
    /// between; 10 unless set. After that the partition waits, see
    /// [`TooManyInARow`](crate::TooManyInARow).
    #[must_use]
    pub fn with_parked_in_a_row_max(self, events: NonZeroU32) -> Self {
        ProjectionOptions { parked_in_a_row_max: events, ..self }
    }

    /// How long the handler may take for a batch, and for an event that is handled on its own; 60
    /// seconds unless set, 10 ms at least. A handler that takes longer is dropped with its
    /// transaction, and the events of the batch are handled one by one, those of the next in
    /// smaller batches. It is also how long the processor waits for an answer of the database, and
    /// how long the database lets a statement of the transaction, or a pause between two, last: if
    /// the process hangs or cannot be reached, its partition is free after a lease and this time.
    ///
    /// A handler that blocks its thread and never awaits cannot be dropped. The database ends its
    /// transaction, and another worker takes its partition over, after about a lease more;
    /// [`Health`](crate::Health) says so.
    #[must_use]
    pub fn with_time_max(self, time_max: Duration) -> Self {
        let time_max = time_max.max(Duration::from_millis(10));
        ProjectionOptions { time_max, ..self }
    }
}
