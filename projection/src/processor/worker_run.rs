//! One run of a process that claims partitions: which it works on, and which stand still.

use std::collections::{BTreeMap, BTreeSet};

use es::adapter::Epoch;
use es::{EventSource, Partition, ProjectionName, StoreError};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gauges::Gauges;
use super::ownership::Ended;
use super::settings::Settings;
use crate::error::ProcessorError;
use crate::limits::answered_within;

/// One run of a worker.
pub(super) struct WorkerRun<'a, S> {
    pub(super) settings: &'a Settings<S>,
    pub(super) stop_all: CancellationToken,
    pub(super) tasks: JoinSet<Result<Ended, ProcessorError>>,
    pub(super) running: BTreeMap<(ProjectionName, u16), Running>,
    /// The partitions that stand still before an event that cannot be handled.
    pub(super) failed: BTreeMap<(ProjectionName, u16), (Partition, Epoch)>,
    /// The projections that were deleted, so that it is said once.
    pub(super) deleted: BTreeSet<ProjectionName>,
    pub(super) gauges: Gauges,
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
    pub(super) fn new(settings: &'a Settings<S>, shutdown: &CancellationToken) -> Self {
        let stop_all = shutdown.child_token();
        WorkerRun {
            settings,
            stop_all,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            failed: BTreeMap::new(),
            deleted: BTreeSet::new(),
            gauges: Gauges::default(),
        }
    }

    /// The answer of the database, if it comes while the lease lasts.
    pub(super) fn answered<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        answered_within(self.settings.lease, answer)
    }

    /// The partitions that are being worked on, those that are about to end included, and those
    /// that stand still.
    pub(super) fn running_of(&self, name: &ProjectionName) -> BTreeSet<u16> {
        let all = self.running.keys().chain(self.failed.keys());
        all.filter(|(of, _)| of == name).map(|(_, index)| *index).collect()
    }

    /// A partition that stood still is given up, or an operator has seen to it.
    pub(super) fn forget_failed(
        &mut self,
        name: &ProjectionName,
        index: u16,
    ) -> Option<(Partition, Epoch)> {
        let held = self.failed.remove(&(name.clone(), index))?;
        self.settings.process.health.partition_is_well(name, held.0);
        Some(held)
    }

    pub(super) fn store(&self, source: StoreError) -> ProcessorError {
        ProcessorError::Registration { worker: self.settings.id.clone(), source }
    }
}
