//! A worker that claims partitions by lease, shares them with others, and gives them up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use es::{
    CheckpointError, Epoch, EventSource, EventStore, Partition, PartitionState, ProjectionName,
    ProjectionState, ProjectionStore, StoreError, WorkerId,
};
use futures_util::future::BoxFuture;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::batch::panic_message;
use crate::horizon_watch::HorizonWatch;
use crate::rebalance::rebalance;
use crate::registration::register;
use crate::rescale::is_drained;
use crate::run::{Ended, Hold};
use crate::{Processor, ProcessorError, Projection, WorkerError, admin};

/// How often in a row a look at the partitions may fail before the worker gives up.
const FAILED_POLLS_MAX: u32 = 60;

/// The first pause before a partition is given up again; each is twice as long, six at most.
const RELEASE_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Works on projections together with other workers, in this process and others: each claims its
/// share of every projection's partitions, for the time of a lease that it keeps renewing.
///
/// A worker that joins is given its share as soon as the others have looked around; one that stops
/// gives its partitions up at once; those of one that dies are taken over when their lease is over
/// and somebody has looked, which is a *lease* and a *poll interval* at the latest. A worker that
/// was paused for longer, or cut off, finds its partitions in another epoch and cannot commit.
///
/// The lease only avoids wasted work. That every event is handled once is up to the checkpoint, as
/// with a [`Processor`], which takes no lease and is safe beside a worker.
///
/// A partition whose policy is to stop at an event that cannot be handled stands still behind it:
/// its worker keeps it, so that no other fails on the same event, and the other partitions go on.
/// [`admin::status`] shows what it failed with; it is tried again after [`admin::resume`] or
/// [`admin::reset`], or when its worker is started again. Any other error stops the worker: all
/// partitions finish their batch and are given up.
///
/// # Connections
///
/// Each partition needs one for its transaction and can use another to read ahead; the worker
/// needs one now and then to look around, and renewing a lease needs one: give the pool two more
/// than the partitions that are to be worked on at the same time.
pub struct Worker<S> {
    source: Arc<S>,
    id: WorkerId,
    lease: Duration,
    poll_interval: Duration,
    horizon: Arc<HorizonWatch>,
    projections: Vec<Member>,
}

/// A projection, and how many partitions it gets if it is new.
#[derive(Clone)]
struct Member {
    drive: Arc<dyn Drive>,
    partitions: NonZeroU16,
}

impl<S: EventSource> Worker<S> {
    /// A worker without projections, with a random name, a lease of 10 s and a poll interval of
    /// 1 s.
    pub fn new(source: Arc<S>) -> Self {
        let id = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        Worker {
            source,
            id: WorkerId::new(id).expect("digits and a hyphen"),
            lease: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            horizon: Arc::default(),
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

    /// Adds a projection with the default settings. If it is new it gets so many partitions; if it
    /// is not, it keeps those it has, until it is [rescaled](crate::admin::rescale).
    #[must_use]
    pub fn with_projection<P: Projection<S::Connection>>(
        self,
        projection: &Arc<P>,
        partitions: NonZeroU16,
    ) -> Self {
        let processor = Processor::new(Arc::clone(&self.source), Arc::clone(projection));
        self.with_processor(processor, partitions)
    }

    /// Adds a projection with the settings of `processor`, whose partition does not matter.
    #[must_use]
    pub fn with_processor<P: Projection<S::Connection>>(
        mut self,
        processor: Processor<S, P>,
        partitions: NonZeroU16,
    ) -> Self {
        // One source, so that a checkpoint, a lease and the log are those of one database.
        let source = Arc::clone(&self.source);
        let processor = Processor { source, horizon: Arc::clone(&self.horizon), ..processor };
        self.projections.push(Member { drive: Arc::new(processor), partitions });
        self
    }

    /// The worker's name.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Works until `shutdown` is cancelled or a partition fails.
    ///
    /// # Errors
    ///
    /// The first failure, once every partition has stopped.
    ///
    /// # Cancel safety
    ///
    /// Cancelling `shutdown` lets every partition finish its batch and gives it up at once.
    /// Dropping the future instead rolls the batches back, and the partitions are free only when
    /// their lease is over.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let span = info_span!("worker", worker = %self.id);
        Shift::new(self, &shutdown).run(shutdown).instrument(span).await
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .field("lease", &self.lease)
            .field("poll_interval", &self.poll_interval)
            .field("projections", &self.projections.len())
            .finish_non_exhaustive()
    }
}

/// A projection whose type the worker need not know.
trait Drive: Send + Sync {
    fn name(&self) -> ProjectionName;

    fn drive(
        self: Arc<Self>,
        partition: Partition,
        hold: Hold,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Ended, ProcessorError>>;
}

impl<S, P> Drive for Processor<S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    fn name(&self) -> ProjectionName {
        Processor::name(self)
    }

    fn drive(
        self: Arc<Self>,
        partition: Partition,
        hold: Hold,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Ended, ProcessorError>> {
        Box::pin(async move { self.run_leased(partition, hold, shutdown).await })
    }
}

/// One run of a worker.
struct Shift<'a, S> {
    worker: &'a Worker<S>,
    stop_all: CancellationToken,
    tasks: JoinSet<Result<Ended, ProcessorError>>,
    running: BTreeMap<(ProjectionName, u16), Running>,
    /// The partitions that stand still behind an event that cannot be handled.
    failed: BTreeMap<(ProjectionName, u16), (Partition, Epoch)>,
}

/// A partition that is being worked on.
struct Running {
    task: Id,
    partition: Partition,
    epoch: Epoch,
    stop: CancellationToken,
}

type Finished = Result<(Id, Result<Ended, ProcessorError>), JoinError>;

impl<'a, S: EventSource> Shift<'a, S> {
    fn new(worker: &'a Worker<S>, shutdown: &CancellationToken) -> Self {
        let stop_all = shutdown.child_token();
        Shift {
            worker,
            stop_all,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let mut outcome = self.work(&shutdown).await;
        self.stop_all.cancel();
        while let Some(finished) = self.tasks.join_next_with_id().await {
            let ended = self.ended(finished).await;
            outcome = outcome.and(ended);
        }
        for member in &self.worker.projections {
            // Whoever cannot say that it is leaving is gone when its time is over.
            if let Err(error) = self.leave(&member.drive.name()).await {
                debug!(error = &error as &dyn std::error::Error, "could not leave");
            }
        }
        outcome
    }

    /// Looks around at every poll, and sees to the partitions that end in between.
    async fn work(&mut self, shutdown: &CancellationToken) -> Result<(), WorkerError> {
        let Worker { lease, poll_interval, .. } = *self.worker;
        let mut polls = interval(poll_interval.min(lease / 3));
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failed_polls, mut is_registered) = (0, false);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(finished) = self.tasks.join_next_with_id() => {
                    self.ended(finished).await?;
                    continue;
                }
                _ = polls.tick() => {}
            }
            if shutdown.is_cancelled() {
                return Ok(());
            }
            let looked = self.poll(&mut is_registered).await;
            match looked {
                Ok(()) => failed_polls = 0,
                Err(WorkerError::Store { source, .. })
                    if source.is_retryable() && failed_polls < FAILED_POLLS_MAX =>
                {
                    failed_polls += 1;
                    info!(reason = &source as &dyn std::error::Error, "looking again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn poll(&mut self, is_registered: &mut bool) -> Result<(), WorkerError> {
        if !*is_registered {
            self.register().await?;
            *is_registered = true;
        }
        let mut conn = self.worker.source.acquire().await.map_err(|error| self.store(error))?;
        let states = self.worker.source.store().projections(&mut conn).await;
        let states = states.map_err(|error| self.store(error))?;
        self.worker.source.release(conn);
        for member in self.worker.projections.clone() {
            let name = member.drive.name();
            let Some(state) = states.iter().find(|state| state.name == name) else {
                // To make it anew would apply everything a second time.
                warn!(projection = %name, "the projection was deleted: start the worker again");
                continue;
            };
            self.look_at(&member, state).await.map_err(|error| self.store(error))?;
        }
        Ok(())
    }

    async fn register(&self) -> Result<(), WorkerError> {
        let source = &*self.worker.source;
        for Member { drive, partitions } in &self.worker.projections {
            let mut tx = source.begin().await.map_err(|error| self.store(error))?;
            source.store().check_schema(&mut tx).await.map_err(|error| self.store(error))?;
            let name = drive.name();
            let known = source.store().lock_projection(&mut tx, &name).await;
            if known.map_err(|error| self.store(error))?.is_none() {
                let first = Partition::new(0, partitions.get());
                let first = first.map_err(|error| self.store(StoreError::database(error)))?;
                match register(source.store(), &mut tx, &name, first).await {
                    // Somebody else was quicker, with another number: theirs it is.
                    Ok(_) | Err(CheckpointError::PartitionCount { .. }) => {}
                    Err(CheckpointError::Store(error)) => return Err(self.store(error)),
                    Err(error) => return Err(WorkerError::Checkpoint(error)),
                }
            }
            source.commit(tx).await.map_err(|error| self.store(error))?;
        }
        Ok(())
    }

    /// Says that this worker is there, and claims or gives up what the shares ask for.
    async fn look_at(
        &mut self,
        member: &Member,
        state: &ProjectionState,
    ) -> Result<(), StoreError> {
        let Worker { source, id, lease, .. } = self.worker;
        let store = source.store();
        let mut conn = source.acquire().await?;
        // A worker that dies is out of the count before its leases are over: they are renewed
        // every third, so a third of the lease is the longest that one can be ahead of this.
        store.heartbeat(&mut conn, &state.name, id, *lease * 2 / 3).await?;
        self.hold_failed(&mut conn, &state.name).await?;
        let workers = store.workers(&mut conn, &state.name).await?;
        let partitions = store.partitions(&mut conn, &state.name).await?;
        source.release(conn);
        if state.is_paused {
            return Ok(());
        }
        if let Some(total) = state.rescale_to.filter(|_| is_drained(&partitions)) {
            info!(projection = %state.name, partitions = total, "all partitions are at the barrier");
            // They are claimed at the next poll, in their new number.
            return admin::complete_rescale(&**source, &state.name).await;
        }
        let running = self.running_of(&state.name);
        let plan = rebalance(&state.name, id, &workers, &partitions, &running);
        for index in plan.release {
            if let Some(running) = self.running.get(&(state.name.clone(), index)) {
                info!(projection = %state.name, partition = index, "giving a partition up");
                running.stop.cancel();
            } else if let Some((partition, epoch)) =
                self.failed.remove(&(state.name.clone(), index))
            {
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

    /// Keeps the partitions that stand still, so that no other worker fails on the same event, until
    /// an operator has seen to them, which raises the epoch.
    async fn hold_failed(
        &mut self,
        conn: &mut S::Connection,
        name: &ProjectionName,
    ) -> Result<(), StoreError> {
        let (store, lease) = (self.worker.source.store(), self.worker.lease);
        let of_it: Vec<_> = self.failed.iter().filter(|((of, _), _)| of == name).collect();
        let mut let_go = Vec::new();
        for (key, (partition, epoch)) in of_it {
            if !store.renew(conn, name, *partition, *epoch, lease).await? {
                let_go.push(key.clone());
            }
        }
        for key in let_go {
            self.failed.remove(&key);
        }
        Ok(())
    }

    async fn claim(&mut self, member: &Member, state: &PartitionState) -> Result<(), StoreError> {
        let Worker { source, id, lease, .. } = self.worker;
        let (name, partition, lease) = (member.drive.name(), state.partition, *lease);
        let mut tx = source.begin().await?;
        let claimed = source.store().claim(&mut tx, &name, partition, id, lease).await;
        let Some(epoch) = claimed? else {
            return source.rollback(tx).await;
        };
        source.commit(tx).await?;
        info!(
            projection = %name,
            %partition,
            epoch = epoch.get(),
            from = state.owner.as_ref().map(tracing::field::display),
            "claimed a partition"
        );
        let stop = self.stop_all.child_token();
        let drive = Arc::clone(&member.drive);
        let task = drive.drive(partition, Hold::Leased { epoch, lease }, stop.clone());
        let task = self.tasks.spawn(task.in_current_span()).id();
        let running = Running { task, partition, epoch, stop };
        self.running.insert((name, partition.index()), running);
        Ok(())
    }

    /// Gives up the partition of a task that has ended.
    async fn ended(&mut self, finished: Finished) -> Result<(), WorkerError> {
        let task = match &finished {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let key = self.running.iter().find(|(_, running)| running.task == task);
        let Some(key) = key.map(|(key, _)| key.clone()) else {
            return Ok(());
        };
        let Some(Running { partition, epoch, .. }) = self.running.remove(&key) else {
            return Ok(());
        };
        let name = key.0.clone();
        if matches!(finished, Ok((_, Ok(Ended::Lost)))) {
            info!(projection = %name, %partition, "lost a partition");
            return Ok(());
        }
        if let Ok((_, Err(failure @ ProcessorError::Handler { .. }))) = &finished {
            let failure: &dyn std::error::Error = failure;
            error!(error = failure, projection = %name, %partition, "a partition stands still");
            self.failed.insert(key, (partition, epoch));
            return Ok(());
        }
        // If it cannot be released it is free when its lease is over.
        if let Err(error) = self.release(&name, partition, epoch).await {
            debug!(error = &error as &dyn std::error::Error, "could not give a partition up");
        }
        match finished {
            Ok((_, Ok(_))) => Ok(()),
            Ok((_, Err(failure))) => {
                error!(error = &failure as &dyn std::error::Error, "stopping the worker");
                Err(failure.into())
            }
            Err(panicked) => {
                let message = match panicked.try_into_panic() {
                    Ok(payload) => panic_message(&*payload),
                    Err(error) => error.to_string(),
                };
                Err(WorkerError::Panicked { worker: self.worker.id.clone(), message })
            }
        }
    }

    /// Gives a partition up, if the database lets it; otherwise it is free when the lease is over.
    async fn release(
        &self,
        name: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let source = &*self.worker.source;
        let release = || async {
            let mut conn = source.acquire().await?;
            source.store().release(&mut conn, name, partition, epoch).await?;
            source.release(conn);
            Ok(())
        };
        let pauses = ExponentialBuilder::new().with_min_delay(RELEASE_PAUSE_MIN).with_max_times(6);
        release.retry(pauses).sleep(tokio::time::sleep).when(StoreError::is_retryable).await
    }

    /// Gives up whatever still has this worker's name, such as a partition that stands still or
    /// one that was claimed without an answer, and takes the worker out of the count.
    async fn leave(&self, name: &ProjectionName) -> Result<(), StoreError> {
        let Worker { source, id, .. } = self.worker;
        let mut conn = source.acquire().await?;
        let partitions = source.store().partitions(&mut conn, name).await?;
        source.release(conn);
        for state in partitions.iter().filter(|state| state.owner.as_ref() == Some(id)) {
            self.release(name, state.partition, state.epoch).await?;
        }
        let mut conn = source.acquire().await?;
        source.store().leave(&mut conn, name, id).await?;
        source.release(conn);
        Ok(())
    }

    fn store(&self, source: StoreError) -> WorkerError {
        WorkerError::Store { worker: self.worker.id.clone(), source }
    }
}
