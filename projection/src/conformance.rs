//! The clauses a processor must hold on every store, as tests an adapter's crate instantiates.
//!
//! They take the same [`Harness`] as the clauses of the store, and the same list of capabilities:
//!
//! ```
//! mod memory_projections {
//!     projection::conformance_tests!(es::conformance::MemoryHarness, [concurrent_appenders]);
//! }
//! ```

mod failures;
mod faulty;
mod fixture;
mod handling;
mod polls;
mod rendezvous;
mod workers;

pub use es::conformance::{Harness, run};
pub use failures::*;
pub use faulty::{CommitFault, Faulty};
pub use fixture::{Recorder, append_numbers};
pub use handling::*;
pub use rendezvous::Rendezvous;
pub use workers::*;

/// Writes a `#[test]` for each clause, with `$harness` as the expression that makes a harness.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr, [$($capability:ident),* $(,)?]) => {
        $crate::conformance_tests!(@clauses $harness =>
            every_event_is_handled_once_and_in_order
            a_projection_goes_on_where_it_stopped
            a_filtered_projection_passes_what_is_not_for_it
            a_quiet_projection_keeps_its_checkpoint_up
            partitions_share_the_work
            a_batch_is_no_larger_than_asked
            lag_counts_down_to_nothing
            events_appended_while_it_runs_are_handled
            a_failing_handler_keeps_the_good_prefix_and_names_the_event
            a_failing_batch_handler_keeps_the_good_prefix
            a_retryable_error_is_not_the_events_fault
            retries_have_an_end
            a_commit_of_unknown_outcome_repeats_nothing_and_loses_nothing
            a_shutdown_saves_how_far_it_came
            a_dropped_run_leaves_nothing_half_done
            a_shutdown_lets_the_batch_finish
            a_checkpoint_beyond_the_log_is_refused
            a_checkpoint_that_went_back_stops_the_processor
            another_partition_count_stops_the_processor
            two_processors_on_one_partition_handle_every_event_once
            many_processors_on_one_partition_handle_every_event_once
            a_failure_stops_the_whole_runner
            a_panic_stops_the_whole_runner
        );
        $($crate::conformance_tests!(@capability $capability $harness);)*
    };
    (@capability append_outside_a_transaction $harness:expr) => {};
    (@capability append_inside_transactions_only $harness:expr) => {};
    (@capability concurrent_appenders $harness:expr) => {
        $crate::conformance_tests!(@clauses $harness =>
            an_event_that_commits_late_is_handled
        );
    };
    (@clauses $harness:expr => $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::conformance::run($crate::conformance::$clause($harness));
            }
        )*
    };
}
