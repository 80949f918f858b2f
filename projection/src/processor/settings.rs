//! What is set for a processor.

use std::sync::Arc;
use std::time::Duration;

use es::WorkerId;

use super::process::Process;
use super::run_partition::RunPartition;

/// What is set for a processor.
pub(super) struct Settings<S> {
    pub(super) process: Process<S>,
    pub(super) id: WorkerId,
    pub(super) lease: Duration,
    pub(super) poll_interval: Duration,
    pub(super) projections: Vec<Arc<dyn RunPartition<S>>>,
}
