//! One poll of a worker: who is there, what is free, what has changed.

use std::sync::Arc;

use es::adapter::ProjectionStore;
use es::{
    CheckpointError, EventSource, PartitionState, Position, ProjectionName, ProjectionState,
    StoreError, WorkerId,
};
use tracing::{info, warn};

use super::rebalance::{Rebalance, rebalance};
use super::registration::register_projection;
use super::run_partition::RunPartition;
use super::settings::Settings;
use super::worker_run::WorkerRun;
use crate::error::ProcessorError;
use crate::limits::answered_within;
use crate::observe;
use crate::rescale::{complete_rescale, is_drained};

/// What a worker sees of one projection.
struct Seen {
    workers: Vec<WorkerId>,
    partitions: Vec<PartitionState>,
    /// The partitions that stood still here, and that an operator has seen to, by index.
    let_go: Vec<u16>,
}

impl<S: EventSource> WorkerRun<'_, S> {
    pub(super) async fn poll(&mut self, is_registered: &mut bool) -> Result<(), ProcessorError> {
        if !*is_registered {
            self.register().await?;
            *is_registered = true;
        }
        let source = &*self.settings.process.source;
        let look = async {
            let mut conn = source.acquire().await?;
            let states = source.store().projections(&mut conn).await?;
            source.release(conn);
            Ok::<_, StoreError>(states)
        };
        let states = self.answered(look).await.map_err(|error| self.store(error))?;
        let end = self.settings.process.horizon.end(source, self.settings.poll_interval);
        let end = self.answered(end).await.map_err(|error| self.store(error))?;
        let mut outcome = Ok(());
        for projection in &self.settings.projections {
            let name = projection.name();
            let Some(state) = states.iter().find(|state| state.name == *name) else {
                if self.deleted.insert(name.clone()) {
                    // To make it again would apply everything a second time.
                    warn!(projection = %name, "the projection was deleted: start the worker again");
                }
                self.nothing_is_left_of(name, end);
                continue;
            };
            // What keeps it from one projection keeps it from no other.
            let looked = self.poll_projection(projection, state, end).await;
            outcome = outcome.and(looked.map_err(|error| self.store(error)));
            observe::standing_still(name, self.settings.process.health.standing_still(name));
        }
        outcome
    }

    /// A projection was deleted: none of its partitions lags or stands still.
    fn nothing_is_left_of(&mut self, name: &ProjectionName, end: Position) {
        let failed = self.failed.keys().filter(|(of, _)| of == name);
        for index in failed.map(|(_, index)| *index).collect::<Vec<_>>() {
            self.forget_failed(name, index);
        }
        self.gauges.set_lags(name, &[], end);
        observe::standing_still(name, self.settings.process.health.standing_still(name));
    }

    pub(super) async fn register(&self) -> Result<(), ProcessorError> {
        let (source, lease) = (&*self.settings.process.source, self.settings.lease);
        for projection in &self.settings.projections {
            let partitions = projection.options().partitions;
            projection.check_filter().map_err(|error| self.store(error))?;
            match self
                .answered(register_projection(source, projection.name(), partitions, lease))
                .await
            {
                Ok(()) => {}
                Err(CheckpointError::Store(error)) => return Err(self.store(error)),
                Err(error) => return Err(ProcessorError::Checkpoint(error)),
            }
        }
        Ok(())
    }

    /// Claims or gives up what the shares of the workers ask for.
    async fn poll_projection(
        &mut self,
        projection: &Arc<dyn RunPartition<S>>,
        state: &ProjectionState,
        end: Position,
    ) -> Result<(), StoreError> {
        let Settings { process, id, lease, .. } = self.settings;
        let Seen { workers, partitions, let_go } =
            answered_within(*lease, self.heartbeat(state)).await?;
        for index in let_go {
            self.forget_failed(&state.name, index);
        }
        self.gauges.set_lags(&state.name, &partitions, end);
        self.look_for_blocked(projection, &partitions);
        if state.is_paused || self.stop_all.is_cancelled() || self.is_blocked(&state.name) {
            return Ok(());
        }
        if let Some(total) = state.rescale_to.filter(|_| is_drained(&partitions)) {
            info!(projection = %state.name, partitions = %total, "all partitions are at the barrier");
            // They are claimed at the next poll, in their new number.
            let complete = complete_rescale(&*process.source, &state.name);
            return answered_within(*lease, complete).await;
        }
        let running = self.running_of(&state.name);
        let plan = rebalance(&state.name, id, &workers, &partitions, &running);
        self.carry_out(plan, projection, &partitions).await
    }

    /// Says that this worker is there, keeps the partitions that stand still, and gives what it
    /// sees.
    async fn heartbeat(&self, state: &ProjectionState) -> Result<Seen, StoreError> {
        let Settings { process, id, lease, .. } = self.settings;
        let (source, store) = (&*process.source, process.source.store());
        let mut conn = source.acquire().await?;
        // A worker that dies is out of the count before its leases are over: they are renewed every
        // third, so a third of the lease is the longest that one can be ahead of this.
        if !self.is_blocked(&state.name) {
            store.heartbeat(&mut conn, &state.name, id, *lease * 2 / 3).await?;
        }
        // The partitions that stand still are kept, so that no other worker fails on the same
        // event, until an operator has seen to them, which raises the epoch.
        let mut let_go = Vec::new();
        for ((_, index), (partition, epoch)) in
            self.failed.iter().filter(|((of, _), _)| *of == state.name)
        {
            if !store.renew(&mut conn, &state.name, *partition, *epoch, *lease).await? {
                let_go.push(*index);
            }
        }
        let workers = store.workers(&mut conn, &state.name).await?;
        let partitions = store.partitions(&mut conn, &state.name).await?;
        source.release(conn);
        Ok(Seen { workers, partitions, let_go })
    }

    async fn carry_out(
        &mut self,
        plan: Rebalance,
        projection: &Arc<dyn RunPartition<S>>,
        partitions: &[PartitionState],
    ) -> Result<(), StoreError> {
        let name = projection.name();
        let find = |index| partitions.iter().find(move |one| one.partition.index() == index);
        for index in plan.release {
            if let Some(running) = self.running.get(&(name.clone(), index)) {
                info!(projection = %name, partition = index, "giving a partition up");
                running.stop.cancel();
            } else if let Some((partition, epoch)) = self.forget_failed(name, index) {
                self.release(name, partition, epoch).await?;
            } else if let Some(one) = find(index) {
                // Claimed without an answer, and more than the share by now.
                self.release(name, one.partition, one.epoch).await?;
            }
        }
        for index in plan.claim {
            if let Some(state) = find(index) {
                self.claim(projection, state).await?;
            }
        }
        Ok(())
    }
}
