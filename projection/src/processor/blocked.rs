//! Handlers that do not give their thread back: no future can be dropped there, and no limit be
//! kept.

use std::sync::Arc;

use es::{EventSource, PartitionState, ProjectionName};
use tokio::time::Instant;
use tracing::warn;

use super::run_partition::RunPartition;
use super::worker_run::WorkerRun;

const REASON: &str = "the handler has not given its thread back in the time it has: it blocks, in a \
                      loop, a lock or a call without `await`, which belongs into \
                      `tokio::task::spawn_blocking`; other workers may take the partition over";

impl<S: EventSource> WorkerRun<'_, S> {
    /// Looks whether a partition that this worker runs has been without a lease for longer than a
    /// batch can take: then it cannot do anything about it, and is not counted among the workers of
    /// the projection until the handler returns, so that others have room for the partition.
    pub(super) fn look_for_blocked(
        &mut self,
        projection: &Arc<dyn RunPartition<S>>,
        partitions: &[PartitionState],
    ) {
        let (name, now) = (projection.name(), Instant::now());
        let time_max = projection.options().time_max.saturating_add(self.settings.lease);
        for state in partitions {
            let key = (name.clone(), state.partition.index());
            let Some(running) = self.running.get_mut(&key) else {
                continue;
            };
            if state.epoch == running.epoch && !state.is_free() {
                running.without_lease_since = None;
                continue;
            }
            let since = *running.without_lease_since.get_or_insert(now);
            if now.duration_since(since) < time_max || running.is_blocked {
                continue;
            }
            running.is_blocked = true;
            warn!(projection = %name, partition = %state.partition, "{REASON}");
            self.settings.process.health.partition_fails(
                name,
                state.partition,
                false,
                REASON.to_owned(),
            );
        }
    }

    /// Whether a handler of the projection blocks a thread.
    pub(super) fn is_blocked(&self, name: &ProjectionName) -> bool {
        self.running.iter().any(|((of, _), running)| of == name && running.is_blocked)
    }
}
