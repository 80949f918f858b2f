//! A worker that claims partitions by lease, shares them with others, and gives them up.

use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use es::{EventSource, WorkerId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::Processor;
use super::process::Process;
use super::run_partition::ConfiguredProjection;
use super::settings::{Member, Settings};
use super::worker_run::WorkerRun;
use crate::error::WorkerError;
use crate::health::Health;
use crate::projection::Projection;

/// Works on projections together with other workers, in this process and others: each claims its
/// share of every projection's partitions, for the time of a lease that it keeps renewing.
///
/// A worker that joins is given its share as soon as the others have looked around; one that stops
/// gives its partitions up at once; those of one that dies are taken over once their lease has
/// expired and another worker polls: after one *lease* and one *poll interval* at most. If it died
/// or hangs in the middle of a batch and the server does not notice, such as across a network that
/// swallows everything, the server ends its transaction after
/// [`Processor::with_time_max`], so that is the time at most which is added. A worker that was paused
/// for longer, or cut off, finds its partitions in another epoch and cannot commit.
///
/// The lease only avoids wasted work. That every event is handled once is up to the checkpoint, as
/// with a [`Processor`], which takes no lease and is safe beside a worker.
///
/// A partition whose policy is to stop at an event that cannot be handled stands still before it:
/// its worker keeps it, so that no other fails on the same event, and the other partitions go on.
/// [`operator::status`] and [`Worker::health`] show what it failed with; it is tried again after
/// [`operator::resume`] or [`operator::reset`], or when its worker is started again (not if the event
/// killed the processes that handled it), and [`operator::skip_failing`] lets it past. A checkpoint that
/// lies beyond the log, or went back, makes it stand still, too. A partition that cannot go on for
/// any other reason (a server that is away, full or read-only, an event that cannot be read) tries
/// again by itself, for as long as it takes. Nothing that happens to one partition stops another, or
/// the worker.
///
/// # Connections
///
/// At most [`with_connections_max`](Worker::with_connections_max) are used for batches and reads at
/// the same time, however many partitions there are. The worker needs one now and then to look
/// around, and renewing a lease needs one: give the pool two more.
///
/// [`operator::status`]: crate::operator::status
/// [`operator::resume`]: crate::operator::resume
/// [`operator::reset`]: crate::operator::reset
/// [`operator::skip_failing`]: crate::operator::skip_failing
pub struct Worker<S> {
    settings: Settings<S>,
}

/// How many connections a worker uses for batches and reads, unless set.
const CONNECTIONS_MAX: usize = 8;

impl<S: EventSource> Worker<S> {
    /// A worker without projections, with a random name, a lease of 10 s and a poll interval of
    /// 1 s.
    pub fn new(source: Arc<S>) -> Self {
        let id = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let id = WorkerId::new(id).expect("digits and a hyphen");
        let slots = Some(Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        let process = Process { slots, ..Process::new(source) };
        let (lease, poll_interval) = (Duration::from_secs(10), Duration::from_secs(1));
        Worker { settings: Settings { process, id, lease, poll_interval, projections: Vec::new() } }
    }

    /// The worker's name, which no other process may have at the same time. A process that is
    /// started again under its name need not wait for its own lease.
    #[must_use]
    pub fn with_id(self, id: WorkerId) -> Self {
        Worker { settings: Settings { id, ..self.settings } }
    }

    /// How long a partition stays with a worker that is not heard of; 10 ms at least. It must be
    /// longer than any pause a healthy process makes. A batch may take longer.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        let lease = lease.max(Duration::from_millis(10));
        Worker { settings: Settings { lease, ..self.settings } }
    }

    /// How often the worker looks at who is there and what is free: a third of the lease at most.
    #[must_use]
    pub fn with_poll_interval(self, poll_interval: Duration) -> Self {
        let poll_interval = poll_interval.max(Duration::from_millis(1));
        Worker { settings: Settings { poll_interval, ..self.settings } }
    }

    /// How many connections the worker uses at most for batches and reads; 8 unless set, which goes
    /// with sqlx's pool of 10. Partitions that want one more wait, and keep their leases.
    #[must_use]
    pub fn with_connections_max(mut self, connections: NonZeroUsize) -> Self {
        let permits = connections.get().min(Semaphore::MAX_PERMITS);
        self.settings.process.slots = Some(Arc::new(Semaphore::new(permits)));
        self
    }

    /// How long the worker may take to stop; 20 seconds unless set. What is not done by then is
    /// dropped, and handled by whichever worker takes the partition over; giving the partitions up
    /// takes up to six seconds more. Choose less than what stops the process by force, such as
    /// Kubernetes' grace period of 30 seconds.
    #[must_use]
    pub fn with_stop_time_max(mut self, stop_time_max: Duration) -> Self {
        self.settings.process.stop_time_max = stop_time_max;
        self
    }

    /// Adds a projection with the default settings. A new projection is created with `partitions`
    /// partitions; an existing one keeps its number until it is
    /// [rescaled](crate::operator::rescale).
    #[must_use]
    pub fn with_projection<P: Projection<S::Connection>>(
        self,
        projection: &Arc<P>,
        partitions: NonZeroU16,
    ) -> Self {
        let processor =
            Processor::new(Arc::clone(&self.settings.process.source), Arc::clone(projection));
        self.with_processor(processor, partitions)
    }

    /// Adds a projection with the settings of `processor`. Its source, partition and stop time do
    /// not matter: they are the worker's.
    #[must_use]
    pub fn with_processor<P: Projection<S::Connection>>(
        mut self,
        processor: Processor<S, P>,
        partitions: NonZeroU16,
    ) -> Self {
        // One source, so that a checkpoint, a lease and the log are those of one database.
        let Processor { projection, options, .. } = processor;
        let projection = Arc::new(ConfiguredProjection { projection, options });
        self.settings.projections.push(Member { projection, partitions });
        self
    }

    /// The worker's name.
    pub fn id(&self) -> &WorkerId {
        &self.settings.id
    }

    /// How the worker is doing, for a health check of the process: it asks no database.
    pub fn health(&self) -> Health {
        self.settings.process.health.clone()
    }

    /// Works until `shutdown` is cancelled.
    ///
    /// # Errors
    ///
    /// What no wait can cure, found when the projections are registered: a schema that is missing or
    /// of another version, a filter with an impossible name. Never because of an event, a partition,
    /// or a server that is away.
    ///
    /// # Cancel safety
    ///
    /// Cancelling `shutdown` lets every partition finish its batch, within the
    /// [stop time](Worker::with_stop_time_max), and gives it up at once. Dropping the future instead
    /// rolls the batches back, and the partitions are free only when their lease is over.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let span = info_span!("worker", worker = %self.settings.id);
        WorkerRun::new(&self.settings, &shutdown).run(shutdown).instrument(span).await
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.settings.id)
            .field("lease", &self.settings.lease)
            .field("projections", &self.settings.projections.len())
            .finish_non_exhaustive()
    }
}
