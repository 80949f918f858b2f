//! What the partitions that run in one process share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::horizon_watch::HorizonWatch;
use crate::health::Health;

/// How long a stop may take, unless set.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// What the partitions that run in one process share.
pub(super) struct Process<S> {
    pub(super) source: Arc<S>,
    pub(super) horizon: Arc<HorizonWatch>,
    pub(super) health: Health,
    /// How many batches and reads may be under way.
    pub(super) slots: Arc<Semaphore>,
    pub(super) stop_time_max: Duration,
}

impl<S> Process<S> {
    pub(super) fn new(source: Arc<S>, slots: Arc<Semaphore>) -> Self {
        Process {
            source,
            horizon: Arc::default(),
            health: Health::default(),
            slots,
            stop_time_max: STOP_TIME_MAX,
        }
    }
}

impl<S> Clone for Process<S> {
    fn clone(&self) -> Self {
        Process {
            source: Arc::clone(&self.source),
            horizon: Arc::clone(&self.horizon),
            health: self.health.clone(),
            slots: Arc::clone(&self.slots),
            stop_time_max: self.stop_time_max,
        }
    }
}
