//! What is counted, with the facade `metrics` if its feature is on; nothing otherwise.
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `projection_events_handled_total` | counter | `projection` |
//! | `projection_batch_events` | histogram | `projection` |
//! | `projection_batch_seconds` | histogram | `projection` |
//! | `projection_failures_total` | counter | `projection` |
//! | `projection_retries_total` | counter | `projection` |
//! | `projection_dead_letters_total` | counter | `projection` |
//! | `projection_lag_positions` | gauge | `projection`, `partition` |
//! | `projection_horizon_held_seconds` | gauge | |

use std::time::Duration;

use es::{Partition, ProjectionName};

/// A batch of `events` was committed.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "a batch has no more events than fit")]
pub(crate) fn handled(projection: &ProjectionName, events: usize, took: Duration) {
    let name = projection.as_str().to_owned();
    metrics::counter!("projection_events_handled_total", "projection" => name.clone())
        .increment(events as u64);
    metrics::histogram!("projection_batch_events", "projection" => name.clone())
        .record(events as f64);
    metrics::histogram!("projection_batch_seconds", "projection" => name).record(took);
}

/// The handler failed on an event.
#[cfg(feature = "metrics")]
pub(crate) fn failed(projection: &ProjectionName) {
    let name = projection.as_str().to_owned();
    metrics::counter!("projection_failures_total", "projection" => name).increment(1);
}

/// The database asked for another attempt.
#[cfg(feature = "metrics")]
pub(crate) fn retried(projection: &ProjectionName) {
    let name = projection.as_str().to_owned();
    metrics::counter!("projection_retries_total", "projection" => name).increment(1);
}

/// An event was parked.
#[cfg(feature = "metrics")]
pub(crate) fn parked(projection: &ProjectionName) {
    let name = projection.as_str().to_owned();
    metrics::counter!("projection_dead_letters_total", "projection" => name).increment(1);
}

/// How far a partition is behind, in positions.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "nobody counts a lag to the last position")]
pub(crate) fn lag(projection: &ProjectionName, partition: Partition, positions: u64) {
    let (name, partition) = (projection.as_str().to_owned(), partition.to_string());
    metrics::gauge!("projection_lag_positions", "projection" => name, "partition" => partition)
        .set(positions as f64);
}

/// How long an open transaction has held the horizon.
#[cfg(feature = "metrics")]
pub(crate) fn horizon_held(held: Duration) {
    metrics::gauge!("projection_horizon_held_seconds").set(held.as_secs_f64());
}

#[cfg(not(feature = "metrics"))]
mod off {
    use super::{Duration, Partition, ProjectionName};

    pub(crate) fn handled(_: &ProjectionName, _: usize, _: Duration) {}
    pub(crate) fn failed(_: &ProjectionName) {}
    pub(crate) fn retried(_: &ProjectionName) {}
    pub(crate) fn parked(_: &ProjectionName) {}
    pub(crate) fn lag(_: &ProjectionName, _: Partition, _: u64) {}
    pub(crate) fn horizon_held(_: Duration) {}
}

#[cfg(not(feature = "metrics"))]
pub(crate) use off::{failed, handled, horizon_held, lag, parked, retried};
