//! What is counted, with the facade `metrics` if its feature is on; nothing otherwise. The names
//! are those of the module [`metrics`](crate::metrics).

use std::time::Duration;

use es::{Partition, ProjectionName};

#[cfg(feature = "metrics")]
use crate::metrics as name;

/// A batch of `events` was committed.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "a batch has no more events than fit")]
pub(crate) fn handled(projection: &ProjectionName, events: usize, took: Duration) {
    let projection = projection.as_str().to_owned();
    ::metrics::counter!(name::EVENTS_HANDLED, "projection" => projection.clone())
        .increment(events as u64);
    ::metrics::histogram!(name::BATCH_EVENTS, "projection" => projection.clone())
        .record(events as f64);
    ::metrics::histogram!(name::BATCH_SECONDS, "projection" => projection).record(took);
}

/// The handler failed on an event.
#[cfg(feature = "metrics")]
pub(crate) fn failed(projection: &ProjectionName) {
    let projection = projection.as_str().to_owned();
    ::metrics::counter!(name::FAILURES, "projection" => projection).increment(1);
}

/// The database asked for another attempt.
#[cfg(feature = "metrics")]
pub(crate) fn retried(projection: &ProjectionName) {
    let projection = projection.as_str().to_owned();
    ::metrics::counter!(name::RETRIES, "projection" => projection).increment(1);
}

/// An event was parked.
#[cfg(feature = "metrics")]
pub(crate) fn parked(projection: &ProjectionName) {
    let projection = projection.as_str().to_owned();
    ::metrics::counter!(name::DEAD_LETTERS, "projection" => projection).increment(1);
}

/// This many partitions of a projection wait for an operator.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "a projection has few partitions")]
pub(crate) fn standing_still(projection: &ProjectionName, partitions: usize) {
    let projection = projection.as_str().to_owned();
    ::metrics::gauge!(name::PARTITIONS_STANDING_STILL, "projection" => projection)
        .set(partitions as f64);
}

/// How far a partition's checkpoint is from the end of the log, in positions.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "nobody counts a lag to the last position")]
pub(crate) fn lag(projection: &ProjectionName, partition: Partition, positions: u64) {
    let (projection, partition) = (projection.as_str().to_owned(), partition.to_string());
    ::metrics::gauge!(name::LAG_POSITIONS, "projection" => projection, "partition" => partition)
        .set(positions as f64);
}

/// How far, and for how long, an open transaction has held the horizon.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "nobody counts a lag to the last position")]
pub(crate) fn horizon_held(positions: u64, held: Duration) {
    ::metrics::gauge!(name::HORIZON_HELD_POSITIONS).set(positions as f64);
    ::metrics::gauge!(name::HORIZON_HELD_SECONDS).set(held.as_secs_f64());
}

#[cfg(not(feature = "metrics"))]
mod off {
    use super::{Duration, Partition, ProjectionName};

    pub(crate) fn handled(_: &ProjectionName, _: usize, _: Duration) {}
    pub(crate) fn failed(_: &ProjectionName) {}
    pub(crate) fn retried(_: &ProjectionName) {}
    pub(crate) fn parked(_: &ProjectionName) {}
    pub(crate) fn standing_still(_: &ProjectionName, _: usize) {}
    pub(crate) fn lag(_: &ProjectionName, _: Partition, _: u64) {}
    pub(crate) fn horizon_held(_: u64, _: Duration) {}
}

#[cfg(not(feature = "metrics"))]
pub(crate) use off::{failed, handled, horizon_held, lag, parked, retried, standing_still};
