//! The names of what is measured, with the facade [`metrics`](https://docs.rs/metrics) if the
//! crate's feature `metrics` is on.
//!
//! All are set by the process that runs the projections; nothing has to ask for a status. Those of
//! a partition and of the log are set by a [worker](crate::Processor) at each of its polls. Once a
//! partition or a projection is gone, after a rescale or a deletion, its gauges are 0.
//!
//! | name | kind | labels | worth an alarm |
//! |---|---|---|---|
//! | [`EVENTS_HANDLED`] | counter | `projection` | stays, while the log grows |
//! | [`BATCH_EVENTS`] | histogram | `projection` | |
//! | [`BATCH_SECONDS`] | histogram | `projection` | near the time limit |
//! | [`FAILURES`] | counter | `projection` | grows |
//! | [`RETRIES`] | counter | `projection` | grows without an end: the database is away |
//! | [`DEAD_LETTERS`] | counter | `projection` | grows |
//! | [`PARTITIONS_STANDING_STILL`] | gauge | `projection` | above 0 |
//! | [`LAG_POSITIONS`] | gauge | `projection`, `partition` | above what you can wait for |
//! | [`HORIZON_HELD_POSITIONS`] | gauge | | stays above 0: an open transaction holds the log back |
//! | [`HORIZON_HELD_SECONDS`] | gauge | | above the longest transaction that appends |

/// Events that were handled and committed.
pub const EVENTS_HANDLED: &str = "projection_events_handled_total";

/// Events in a batch that was committed.
pub const BATCH_EVENTS: &str = "projection_batch_events";

/// How long a batch took, from before its transaction began until it was committed.
pub const BATCH_SECONDS: &str = "projection_batch_seconds";

/// Attempts at an event that failed and count, whatever the policy made of them.
pub const FAILURES: &str = "projection_failures_total";

/// Attempts that the database undid or could not serve, and that do not count.
pub const RETRIES: &str = "projection_retries_total";

/// Events that were parked; not those that queue after them.
pub const DEAD_LETTERS: &str = "projection_dead_letters_total";

/// Partitions of this worker that wait for an operator.
pub const PARTITIONS_STANDING_STILL: &str = "projection_partitions_standing_still";

/// Positions between a partition's checkpoint and the end of the log: an upper bound of the events
/// left.
pub const LAG_POSITIONS: &str = "projection_lag_positions";

/// Positions between the horizon and the end of the log: no projection can handle them yet, because
/// of a transaction that has appended and is still open.
pub const HORIZON_HELD_POSITIONS: &str = "projection_horizon_held_positions";

/// How long that transaction has been open, as far as the database says.
pub const HORIZON_HELD_SECONDS: &str = "projection_horizon_held_seconds";
