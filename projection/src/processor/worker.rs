//! A worker that claims partitions by lease, shares them with others, and gives them up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use es::adapter::{Epoch, ProjectionStore};
use es::{
    CheckpointError, EventSource, EventStore, Partition, Position, ProjectionName, ProjectionState,
    StoreError, WorkerId,
};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::Processor;
use super::ownership::Ended;
use super::process::Process;
use super::rebalance::rebalance;
use super::registration::register;
use super::run_partition::RunPartition;
use crate::error::{ProcessorError, WorkerError};
use crate::handler_error::error_text;
use crate::health::Health;
use crate::limits::{answered_within, ended_within};
use crate::observe;
use crate::projection::Projection;
use crate::rescale::{complete_rescale, is_drained};

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
pub struct Worker<S> {
    pub(super) process: Process<S>,
    pub(super) id: WorkerId,
    pub(super) lease: Duration,
    poll_interval: Duration,
    projections: Vec<Member<S>>,
}

/// How many connections a worker uses for batches and reads, unless set.
const CONNECTIONS_MAX: usize = 8;

/// What a stopping worker has, beside its stop time, for giving its partitions up.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(3);

/// A projection, and how many partitions it gets if it is new.
pub(super) struct Member<S> {
    pub(super) projection: Arc<dyn RunPartition<S>>,
    pub(super) partitions: NonZeroU16,
}

impl<S: EventSource> Worker<S> {
    /// A worker without projections, with a random name, a lease of 10 s and a poll interval of
    /// 1 s.
    pub fn new(source: Arc<S>) -> Self {
        let id = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        Worker {
            process: Process {
                slots: Some(Arc::new(Semaphore::new(CONNECTIONS_MAX))),
                ..Process::new(source)
            },
            id: WorkerId::new(id).expect("digits and a hyphen"),
            lease: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            projections: Vec::new(),
        }
    }

    /// The worker's name, which no other process may have at the same time. A process that is
    /// started again under its name need not wait for its own lease.
    #[must_use]
    pub fn with_id(self, id: WorkerId) -> Self {
        Worker { id, ..self }
    }

    /// How long a partition stays with a worker that is not heard of; 10 ms at least. It must be
    /// longer than any pause a healthy process makes. A batch may take longer.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Worker { lease: lease.max(Duration::from_millis(10)), ..self }
    }

    /// How often the worker looks at who is there and what is free: a third of the lease at most.
    #[must_use]
    pub fn with_poll_interval(self, poll_interval: Duration) -> Self {
        Worker { poll_interval: poll_interval.max(Duration::from_millis(1)), ..self }
    }

    /// How many connections the worker uses at most for batches and reads; 8 unless set, which goes
    /// with sqlx's pool of 10. Partitions that want one more wait, and keep their leases.
    #[must_use]
    pub fn with_connections_max(self, connections: NonZeroUsize) -> Self {
        let permits = connections.get().min(Semaphore::MAX_PERMITS);
        let slots = Some(Arc::new(Semaphore::new(permits)));
        Worker { process: Process { slots, ..self.process }, ..self }
    }

    /// How long the worker may take to stop; 20 seconds unless set. What is not done by then is
    /// dropped, and handled by whichever worker takes the partition over; giving the partitions up
    /// takes up to six seconds more. Choose less than what stops the process by force, such as
    /// Kubernetes' grace period of 30 seconds.
    #[must_use]
    pub fn with_stop_time_max(self, stop_time_max: Duration) -> Self {
        Worker { process: Process { stop_time_max, ..self.process }, ..self }
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
        let processor = Processor::new(Arc::clone(&self.process.source), Arc::clone(projection));
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
        self.projections.push(Member { projection: processor.configured(), partitions });
        self
    }

    /// The worker's name.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// How the worker is doing, for a health check of the process: it asks no database.
    pub fn health(&self) -> Health {
        self.process.health.clone()
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
        let span = info_span!("worker", worker = %self.id);
        WorkerRun::new(self, &shutdown).run(shutdown).instrument(span).await
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .field("lease", &self.lease)
            .field("projections", &self.projections.len())
            .finish_non_exhaustive()
    }
}

/// One run of a worker.
pub(super) struct WorkerRun<'a, S> {
    pub(super) worker: &'a Worker<S>,
    pub(super) stop_all: CancellationToken,
    pub(super) tasks: JoinSet<Result<Ended, ProcessorError>>,
    pub(super) running: BTreeMap<(ProjectionName, u16), Running>,
    /// The partitions that stand still before an event that cannot be handled.
    pub(super) failed: BTreeMap<(ProjectionName, u16), (Partition, Epoch)>,
    /// The projections that were deleted, so that it is said once.
    pub(super) deleted: BTreeSet<ProjectionName>,
}

/// A partition that is being worked on.
pub(super) struct Running {
    pub(super) task: Id,
    pub(super) partition: Partition,
    pub(super) epoch: Epoch,
    pub(super) stop: CancellationToken,
    /// Since when it is known to be without a lease, as it may be in the middle of a batch.
    pub(super) without_lease_since: Option<Instant>,
    /// Whether that is for longer than a batch can take.
    pub(super) is_blocked: bool,
}

pub(super) type Finished = Result<(Id, Result<Ended, ProcessorError>), JoinError>;

impl<'a, S: EventSource> WorkerRun<'a, S> {
    fn new(worker: &'a Worker<S>, shutdown: &CancellationToken) -> Self {
        let stop_all = shutdown.child_token();
        WorkerRun {
            worker,
            stop_all,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            failed: BTreeMap::new(),
            deleted: BTreeSet::new(),
        }
    }

    async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let outcome = self.work(&shutdown).await;
        self.stop_all.cancel();
        // Each stops by itself in the stop time, unless its handler blocks the thread.
        let deadline = Instant::now() + self.worker.process.stop_time_max + LEAVE_TIME_MAX;
        let all_ended = async {
            while let Some(finished) = self.tasks.join_next_with_id().await {
                self.ended(finished).await;
            }
            for member in &self.worker.projections {
                // A worker that cannot say that it is leaving is gone when its time is over.
                if let Err(error) = self.leave(&member.projection.name()).await {
                    debug!(error = &error as &dyn std::error::Error, "could not leave");
                }
            }
        };
        if timeout_at(deadline, all_ended).await.is_err() {
            warn!(
                "stopped without giving every partition up: they are free when their lease is over"
            );
            self.tasks.abort_all();
        }
        outcome
    }

    /// Looks around at every poll, and sees to the partitions that end in between.
    async fn work(&mut self, shutdown: &CancellationToken) -> Result<(), WorkerError> {
        let Worker { lease, poll_interval, .. } = *self.worker;
        let mut polls = interval(poll_interval.min(lease / 3));
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_registered = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(finished) = self.tasks.join_next_with_id() => {
                    // What is left undone is done by leaving.
                    ended_within(LEAVE_TIME_MAX, shutdown, self.ended(finished)).await;
                    continue;
                }
                _ = polls.tick() => {}
            }
            // Ended, so that the worker is not said to be there after it has left. A claim without an
            // answer is noticed by the next poll, or given up when this worker leaves.
            let poll = self.poll(&mut is_registered);
            let looked = ended_within(LEAVE_TIME_MAX, shutdown, poll).await;
            match looked {
                None => return Ok(()),
                Some(Ok(())) => self.worker.process.health.worker_is_well(),
                Some(Err(error)) if is_registered || error.is_cured_by_waiting() => {
                    warn!(reason = &error as &dyn std::error::Error, "looking again");
                    self.worker.process.health.worker_fails(error_text(&error));
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// The answer of the database, if it comes while the lease lasts.
    pub(super) fn answered<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        answered_within(self.worker.lease, answer)
    }

    async fn poll(&mut self, is_registered: &mut bool) -> Result<(), WorkerError> {
        if !*is_registered {
            self.register().await?;
            *is_registered = true;
        }
        let source = &*self.worker.process.source;
        let look = async {
            let mut conn = source.acquire().await?;
            let states = source.store().projections(&mut conn).await?;
            source.release(conn);
            Ok::<_, StoreError>(states)
        };
        let states = self.answered(look).await.map_err(|error| self.store(error))?;
        let end = self.worker.process.horizon.end(source, self.worker.poll_interval);
        let end = self.answered(end).await.map_err(|error| self.store(error))?;
        let mut outcome = Ok(());
        for member in &self.worker.projections {
            let name = member.projection.name();
            let Some(state) = states.iter().find(|state| state.name == name) else {
                if self.deleted.insert(name.clone()) {
                    // To make it again would apply everything a second time.
                    warn!(projection = %name, "the projection was deleted: start the worker again");
                }
                continue;
            };
            // What keeps it from one projection keeps it from no other.
            let looked = self.look_after(member, state, end).await;
            outcome = outcome.and(looked.map_err(|error| self.store(error)));
            observe::standing_still(&name, self.worker.process.health.standing_still(&name));
        }
        outcome
    }

    async fn register(&self) -> Result<(), WorkerError> {
        for Member { projection, partitions } in &self.worker.projections {
            projection.check_filter().map_err(|error| self.store(error))?;
            match self.answered(self.register_one(&projection.name(), *partitions)).await {
                Ok(()) => {}
                Err(CheckpointError::Store(error)) => return Err(self.store(error)),
                Err(error) => return Err(WorkerError::Checkpoint(error)),
            }
        }
        Ok(())
    }

    async fn register_one(
        &self,
        name: &ProjectionName,
        partitions: NonZeroU16,
    ) -> Result<(), CheckpointError> {
        let source = &*self.worker.process.source;
        let mut tx = source.begin_within(self.worker.lease).await?;
        source.store().check_schema(&mut tx).await?;
        if source.store().lock_projection(&mut tx, name).await?.is_none() {
            let first = Partition::new(0, partitions.get()).map_err(StoreError::misuse)?;
            match register(source.store(), &mut tx, name, first).await {
                // Another worker was quicker, with another number: theirs it is.
                Ok(_) | Err(CheckpointError::PartitionCount { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(source.commit(tx).await?)
    }

    /// Says that this worker is there, and claims or gives up what the shares ask for.
    async fn look_after(
        &mut self,
        member: &Member<S>,
        state: &ProjectionState,
        end: Position,
    ) -> Result<(), StoreError> {
        let Worker { process, id, lease, .. } = self.worker;
        let source = &process.source;
        let store = source.store();
        let failed = self.failed.iter().filter(|((of, _), _)| *of == state.name);
        let failed: Vec<_> = failed.map(|((_, index), held)| (*index, *held)).collect();
        let is_blocked = self.is_blocked(&state.name);
        let look = async {
            let mut conn = source.acquire().await?;
            // A worker that dies is out of the count before its leases are over: they are renewed
            // every third, so a third of the lease is the longest that one can be ahead of this.
            if !is_blocked {
                store.heartbeat(&mut conn, &state.name, id, *lease * 2 / 3).await?;
            }
            // The partitions that stand still are kept, so that no other worker fails on the same
            // event, until an operator has seen to them, which raises the epoch.
            let mut let_go = Vec::new();
            for (index, (partition, epoch)) in failed {
                if !store.renew(&mut conn, &state.name, partition, epoch, *lease).await? {
                    let_go.push(index);
                }
            }
            let workers = store.workers(&mut conn, &state.name).await?;
            let partitions = store.partitions(&mut conn, &state.name).await?;
            source.release(conn);
            Ok::<_, StoreError>((let_go, workers, partitions))
        };
        let (let_go, workers, partitions) = answered_within(*lease, look).await?;
        for index in let_go {
            self.forget_failed(&state.name, index);
        }
        for one in &partitions {
            observe::lag(&state.name, one.partition, end.distance_from(one.position));
        }
        self.look_for_blocked(member, &partitions);
        if state.is_paused || self.stop_all.is_cancelled() || self.is_blocked(&state.name) {
            return Ok(());
        }
        if let Some(total) = state.rescale_to.filter(|_| is_drained(&partitions)) {
            info!(projection = %state.name, partitions = total, "all partitions are at the barrier");
            // They are claimed at the next poll, in their new number.
            let complete = complete_rescale(&**source, &state.name);
            return answered_within(*lease, complete).await;
        }
        let running = self.running_of(&state.name);
        let plan = rebalance(&state.name, id, &workers, &partitions, &running);
        for index in plan.release {
            if let Some(running) = self.running.get(&(state.name.clone(), index)) {
                info!(projection = %state.name, partition = index, "giving a partition up");
                running.stop.cancel();
            } else if let Some((partition, epoch)) = self.forget_failed(&state.name, index) {
                self.release(&state.name, partition, epoch).await?;
            } else if let Some(one) = partitions.iter().find(|one| one.partition.index() == index) {
                // Claimed without an answer, and more than the share by now.
                self.release(&state.name, one.partition, one.epoch).await?;
            }
        }
        for index in plan.claim {
            if let Some(state) = partitions.iter().find(|one| one.partition.index() == index) {
                self.claim(member, state).await?;
            }
        }
        Ok(())
    }

    /// The partitions that are being worked on, those that are about to end included, and those
    /// that stand still.
    fn running_of(&self, name: &ProjectionName) -> BTreeSet<u16> {
        let all = self.running.keys().chain(self.failed.keys());
        all.filter(|(of, _)| of == name).map(|(_, index)| *index).collect()
    }

    /// A partition that stood still is given up, or an operator has seen to it.
    fn forget_failed(&mut self, name: &ProjectionName, index: u16) -> Option<(Partition, Epoch)> {
        let held = self.failed.remove(&(name.clone(), index))?;
        self.worker.process.health.partition_is_well(name, held.0);
        Some(held)
    }

    fn store(&self, source: StoreError) -> WorkerError {
        WorkerError::Store { worker: self.worker.id.clone(), source }
    }
}
