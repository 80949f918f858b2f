//! Runs projections.

mod assigned;
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
mod gauges;
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
mod settings;
mod step;
mod survivor;
mod work;
mod worker_run;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use es::{EventSource, Partition, WorkerId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use self::assigned::{Assigned, all_partitions, run_assigned};
use self::process::Process;
use self::run_partition::{ConfiguredProjection, RunPartition};
use self::settings::Settings;
use self::step::Until;
use self::worker_run::WorkerRun;
use crate::error::ProcessorError;
use crate::health::Health;
use crate::projection::Projection;

pub use self::options::ProjectionOptions;

/// Runs projections: any number of them, in as many processes as you like.
///
/// A process that runs one is a *worker*. Workers share the partitions: each claims its share of
/// every projection's, for the time of a lease that it keeps renewing. A processor that is
/// [told its partitions](Processor::with_assigned) claims nothing, and neither does
/// [`run_until_caught_up`](Processor::run_until_caught_up).
///
/// For each partition it reads a batch on a connection of its own, then begins a transaction, locks
/// the checkpoint, hands the batch to the projection, saves the checkpoint and commits. While it
/// does, it reads the next batch if there is a connection for it: a partition uses two connections
/// at most, and works with one.
///
/// While there is something to do it reads without pause. When there is nothing it looks again
/// after an eighth of the time for which there has been nothing: 1 ms at least, the largest poll
/// interval at most. All partitions of a processor then ask the database together, one query for
/// all of them.
///
/// # Workers
///
/// A worker that joins is given its share as soon as the others have looked around; one that stops
/// gives its partitions up at once; those of one that dies are taken over once their lease has
/// expired and another worker polls: after one *lease* and one *poll interval* at most. If it died
/// or hangs in the middle of a batch and the server does not notice, such as across a network that
/// swallows everything, the server ends its transaction after
/// [`ProjectionOptions::with_time_max`], so that is the time at most which is added. A worker that
/// was paused for longer, or cut off, finds its partitions in another epoch and cannot commit.
///
/// The lease only avoids wasted work. That every event is handled once is up to the checkpoint:
/// several processors for the same partition, told or by lease, are safe and a waste. One of them
/// commits, the others find the checkpoint moved, roll back and go on from there.
///
/// A partition whose policy is to stop at an event that cannot be handled stands still before it:
/// its worker keeps it, so that no other fails on the same event, and the other partitions go on.
/// [`Operator::status`] and [`Processor::health`] show what it failed with; it is tried again after
/// [`Operator::resume`] or [`Operator::reset`], or when its worker is started again (not if the event
/// killed the processes that handled it), and [`Operator::skip_failing`] lets it past. A checkpoint
/// that lies beyond the log, or went back, makes it stand still, too. A partition that cannot go on
/// for any other reason (a server that is away, full or read-only, an event that cannot be read)
/// tries again by itself, for as long as it takes. Nothing that happens to one partition stops
/// another, or the worker.
///
/// # Connections
///
/// At most [`with_connections_max`](Processor::with_connections_max) are used for batches and reads
/// at the same time, however many partitions there are. A worker needs one now and then to look
/// around, and renewing a lease needs one: give the pool two more.
///
/// [`Operator::status`]: crate::Operator::status
/// [`Operator::resume`]: crate::Operator::resume
/// [`Operator::reset`]: crate::Operator::reset
/// [`Operator::skip_failing`]: crate::Operator::skip_failing
pub struct Processor<S> {
    settings: Settings<S>,
    assigned: Option<Vec<Partition>>,
}

/// How many connections are used for batches and reads, unless set.
const CONNECTIONS_MAX: usize = 8;

impl<S: EventSource> Processor<S> {
    /// A processor without projections, with a random name, a lease of 10 s and a poll interval of
    /// 1 s.
    pub fn new(source: Arc<S>) -> Self {
        let id = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let id = WorkerId::new(id).expect("digits and a hyphen");
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let process = Process::new(source, slots);
        let (lease, poll_interval) = (Duration::from_secs(10), Duration::from_secs(1));
        let settings = Settings { process, id, lease, poll_interval, projections: Vec::new() };
        Processor { settings, assigned: None }
    }

    /// Adds a projection, with the default options.
    #[must_use]
    pub fn with_projection<P: Projection<Connection = S::Connection>>(self, projection: P) -> Self {
        self.with_projection_options(projection, ProjectionOptions::default())
    }

    /// Adds a projection, with options of its own.
    #[must_use]
    pub fn with_projection_options<P: Projection<Connection = S::Connection>>(
        mut self,
        projection: P,
        options: ProjectionOptions,
    ) -> Self {
        self.settings.projections.push(Arc::new(ConfiguredProjection { projection, options }));
        self
    }

    /// Handles these partitions of its projections, and no others, without a lease: each process is
    /// told its own, such as by the number of its pod in a Kubernetes `StatefulSet`. All have the
    /// same total: a projection with another number of partitions needs a processor of its own. A
    /// partition that nobody is told is handled by nobody, and a processor that is told none waits
    /// to be stopped.
    ///
    /// While the projection is paused, and when it is to be given another number of partitions and
    /// this one has come to the barrier, the processor waits. Started for a number of partitions
    /// that the projection no longer has, it stops with an error, as it does at an event whose
    /// policy is to stop.
    #[must_use]
    pub fn with_assigned(self, partitions: impl IntoIterator<Item = Partition>) -> Self {
        Processor { assigned: Some(partitions.into_iter().collect()), ..self }
    }

    /// The worker's name, which no other process may have at the same time. A process that is
    /// started again under its name need not wait for its own lease.
    #[must_use]
    pub fn with_id(mut self, id: WorkerId) -> Self {
        self.settings.id = id;
        self
    }

    /// How long a partition stays with a worker that is not heard of; 10 s unless set, 10 ms at
    /// least. It must be longer than any pause a healthy process makes. A batch may take longer.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(Duration::from_millis(10));
        self
    }

    /// How often a worker looks at who is there and what is free; 1 s unless set, a third of the
    /// lease at most.
    #[must_use]
    pub fn with_poll_interval(mut self, poll_interval: Duration) -> Self {
        self.settings.poll_interval = poll_interval.max(Duration::from_millis(1));
        self
    }

    /// How many connections are used at most for batches and reads; 8 unless set, which goes with
    /// sqlx's pool of 10. Partitions that want one more wait, and keep their leases.
    #[must_use]
    pub fn with_connections_max(mut self, connections: NonZeroUsize) -> Self {
        let permits = connections.get().min(Semaphore::MAX_PERMITS);
        self.settings.process.slots = Arc::new(Semaphore::new(permits));
        self
    }

    /// How long a stop may take: a handler to finish, its batch to be committed. 20 seconds unless
    /// set. What is not done by then is dropped, and handled by the next run: the attempt does not
    /// count if the database lets it be taken back within a second more. To give its partitions up,
    /// a worker takes up to six seconds more. Choose less than what stops the process by force,
    /// such as Kubernetes' grace period of 30 seconds.
    ///
    /// A handler that blocks its thread and never awaits cannot be dropped.
    #[must_use]
    pub fn with_stop_time_max(mut self, stop_time_max: Duration) -> Self {
        self.settings.process.stop_time_max = stop_time_max;
        self
    }

    /// The worker's name.
    pub fn id(&self) -> &WorkerId {
        &self.settings.id
    }

    /// How the processor is doing, for a health check of the process: it asks no database.
    pub fn health(&self) -> Health {
        self.settings.process.health.clone()
    }

    /// Handles events as they come, until `shutdown` is cancelled.
    ///
    /// # Errors
    ///
    /// A worker ends only for what no wait can cure, found when it registers its projections: a
    /// schema that is missing or of another version, a filter with an impossible name. Never
    /// because of an event, a partition, or a server that is away.
    ///
    /// A processor that was [told its partitions](Processor::with_assigned) ends for any
    /// [`ProcessorError`], once all its partitions have finished their batch; never because the
    /// database cannot be reached or cannot serve: that is waited for.
    ///
    /// # Cancel safety
    ///
    /// Cancelling `shutdown` lets every partition finish its batch, within the
    /// [stop time](Processor::with_stop_time_max), and a worker gives it up at once. Dropping the
    /// future instead rolls the batches back and closes their connections; their events are handled
    /// again by the next run, which is, for claimed partitions, when their lease is over.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ProcessorError> {
        if let Some(partitions) = &self.assigned {
            let assigned = self.assigned_to(partitions);
            let run = run_assigned(&self.settings, assigned, Until::Shutdown, shutdown);
            return Box::pin(run).await;
        }
        let span = info_span!("worker", worker = %self.settings.id);
        Box::pin(WorkerRun::new(&self.settings, &shutdown).run(shutdown)).instrument(span).await
    }

    /// Handles every event up to the horizon as it is when this begins, then returns; earlier if
    /// `shutdown` is cancelled. Events after a transaction that has appended and is still open are
    /// left for the next time.
    ///
    /// It handles the partitions that it was [told](Processor::with_assigned), or all partitions of
    /// its projections, and claims none: a worker beside it loses nothing.
    ///
    /// # Errors
    ///
    /// Any [`ProcessorError`], once all partitions have finished their batch;
    /// [`ProcessorError::RetriesExhausted`] if the database cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Processor::run).
    pub async fn run_until_caught_up(
        &self,
        shutdown: CancellationToken,
    ) -> Result<(), ProcessorError> {
        let assigned = match &self.assigned {
            Some(partitions) => self.assigned_to(partitions),
            None => Box::pin(all_partitions(&self.settings, &shutdown)).await?,
        };
        Box::pin(run_assigned(&self.settings, assigned, Until::CaughtUp, shutdown)).await
    }

    /// These partitions of each projection.
    fn assigned_to(&self, partitions: &[Partition]) -> Vec<Assigned<S>> {
        let of = |projection: &Arc<dyn RunPartition<S>>| {
            let assigned = |partition: &Partition| (Arc::clone(projection), *partition);
            partitions.iter().map(assigned).collect::<Vec<_>>()
        };
        self.settings.projections.iter().flat_map(of).collect()
    }
}

impl<S> fmt::Debug for Processor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("id", &self.settings.id)
            .field("lease", &self.settings.lease)
            .field("assigned", &self.assigned)
            .field("projections", &self.settings.projections.len())
            .finish_non_exhaustive()
    }
}
