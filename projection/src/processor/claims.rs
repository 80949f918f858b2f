//! How a worker comes to a partition, keeps it where it stands still, and gives it up.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use es::adapter::{Epoch, ProjectionStore};
use es::{EventSource, Partition, PartitionState, ProjectionName, StoreError};
use tracing::{Instrument, debug, error, info};

use super::ownership::{Ended, Ownership};
use super::run_partition::RunPartition;
use super::settings::Settings;
use super::step::Until;
use super::worker_run::{Finished, Running, WorkerRun};
use crate::handler_error::error_text;
use crate::limits::answered_within;
use crate::user_code::panic_message;

/// The first pause before the database is asked again; each is twice as long, six at most.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(10);

impl<S: EventSource> WorkerRun<'_, S> {
    pub(super) async fn claim(
        &mut self,
        projection: &Arc<dyn RunPartition<S>>,
        state: &PartitionState,
    ) -> Result<(), StoreError> {
        let Settings { process, id, lease, .. } = self.settings;
        let source = &process.source;
        let (name, partition, lease) = (projection.name(), state.partition, *lease);
        let claim = async {
            let mut tx = source.begin_within(lease).await?;
            match source.store().claim(&mut tx, name, partition, id, lease).await? {
                None => source.rollback(tx).await.map(|()| None),
                epoch => source.commit(tx).await.map(|()| epoch),
            }
        };
        let Some(epoch) = answered_within::<_, StoreError>(lease, claim).await? else {
            return Ok(());
        };
        info!(
            projection = %name,
            %partition,
            epoch = epoch.get(),
            from = state.owner.as_ref().map(tracing::field::display),
            "claimed a partition"
        );
        let stop = self.stop_all.child_token();
        let projection = Arc::clone(projection);
        let task = projection.run_partition(
            process.clone(),
            partition,
            Ownership::Leased { epoch, lease },
            Until::Shutdown,
            stop.clone(),
        );
        let task = self.tasks.spawn(task.in_current_span()).id();
        let (without_lease_since, is_blocked) = (None, false);
        let running = Running { task, partition, epoch, stop, without_lease_since, is_blocked };
        self.running.insert((name.clone(), partition.index()), running);
        Ok(())
    }

    /// Gives up the partition of a task that has ended, or keeps it where it stands still.
    pub(super) async fn ended(&mut self, finished: Finished) {
        let task = match &finished {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let key = self.running.iter().find(|(_, running)| running.task == task);
        let Some(key) = key.map(|(key, _)| key.clone()) else {
            return;
        };
        let Some(Running { partition, epoch, .. }) = self.running.remove(&key) else {
            return;
        };
        let name = key.0.clone();
        let reason = match finished {
            Ok((_, Ok(ended))) => {
                self.settings.process.health.partition_is_well(&name, partition);
                if ended == Ended::Lost {
                    info!(projection = %name, %partition, "lost a partition");
                } else if let Err(error) = self.release(&name, partition, epoch).await {
                    // It is free when its lease is over.
                    debug!(error = &error as &dyn std::error::Error, "could not give it up");
                }
                return;
            }
            Ok((_, Err(failure))) => error_text(&failure),
            Err(panicked) => match panicked.try_into_panic() {
                Ok(payload) => format!("panicked: {}", panic_message(&*payload)),
                Err(error) => error.to_string(),
            },
        };
        error!(reason, projection = %name, %partition, "a partition stands still");
        self.settings.process.health.partition_fails(&name, partition, true, reason);
        self.failed.insert(key, (partition, epoch));
    }

    /// Gives a partition up, if the database lets it; otherwise it is free when the lease is over.
    pub(super) async fn release(
        &self,
        name: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let source = &*self.settings.process.source;
        let release = || async {
            let mut conn = source.acquire().await?;
            source.store().release(&mut conn, name, partition, epoch).await?;
            source.release(conn);
            Ok(())
        };
        self.retried(release).await
    }

    /// Gives up whatever still has this worker's name, such as a partition that stands still or
    /// one that was claimed without an answer, and takes the worker out of the count.
    pub(super) async fn leave(&self, name: &ProjectionName) -> Result<(), StoreError> {
        let Settings { process, id, .. } = self.settings;
        let source = &process.source;
        let look = || async {
            let mut conn = source.acquire().await?;
            let partitions = source.store().partitions(&mut conn, name).await?;
            source.release(conn);
            Ok(partitions)
        };
        let partitions = self.retried(look).await?;
        for state in partitions.iter().filter(|state| state.owner.as_ref() == Some(id)) {
            self.release(name, state.partition, state.epoch).await?;
        }
        let leave = || async {
            let mut conn = source.acquire().await?;
            source.store().leave(&mut conn, name, id).await?;
            source.release(conn);
            Ok(())
        };
        self.retried(leave).await
    }

    /// What the database answers; a transaction that was in the way is waited for.
    async fn retried<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let ask = || self.answered::<T, StoreError>(ask());
        let pauses = ExponentialBuilder::new().with_min_delay(RETRY_PAUSE_MIN).with_max_times(6);
        ask.retry(pauses).sleep(tokio::time::sleep).when(StoreError::is_retryable).await
    }
}
