//! How a projection is run: the limits of its batches and of its handler.

use std::num::NonZeroU32;
use std::time::Duration;

use es::ReadLimit;
use es::adapter::TRANSACTION_TIME_MAX;

/// How a projection is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProjectionOptions {
    pub(super) limit: ReadLimit,
    pub(super) poll_interval_max: Duration,
    pub(super) attempts_max: NonZeroU32,
    pub(super) parked_in_a_row_max: NonZeroU32,
    pub(super) time_max: Duration,
}

impl Default for ProjectionOptions {
    fn default() -> Self {
        ProjectionOptions {
            limit: ReadLimit::default(),
            poll_interval_max: Duration::from_millis(100),
            attempts_max: NonZeroU32::new(20).expect("it is not zero"),
            parked_in_a_row_max: NonZeroU32::new(10).expect("it is not zero"),
            time_max: TRANSACTION_TIME_MAX,
        }
    }
}
