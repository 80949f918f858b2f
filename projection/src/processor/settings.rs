//! What is set for a process that claims partitions.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use es::WorkerId;

use super::process::Process;
use super::run_partition::RunPartition;

/// What is set for a process that claims partitions.
pub(super) struct Settings<S> {
    pub(super) process: Process<S>,
    pub(super) id: WorkerId,
    pub(super) lease: Duration,
    pub(super) poll_interval: Duration,
    pub(super) projections: Vec<Member<S>>,
}

/// A projection, and how many partitions it gets if it is new.
pub(super) struct Member<S> {
    pub(super) projection: Arc<dyn RunPartition<S>>,
    pub(super) partitions: NonZeroU16,
}
