//! The clauses a processor must hold on every store, as tests an adapter's crate instantiates.
//!
//! They take the same [`Harness`] as the clauses of the store, and the same list of capabilities:
//!
//! ```
//! mod memory_projections {
//!     projection::conformance_tests!(es::conformance::MemoryHarness, [concurrent_appenders]);
//! }
//! ```

mod blocked;
mod breaker;
mod deletion;
mod elastic;
mod failures;
mod faulty;
mod fixture;
mod frozen;
mod handling;
mod limits;
mod operations;
mod outage;
mod policies;
mod polls;
mod races;
mod rendezvous;
mod survival;
mod survivors;
mod workers;

pub use blocked::*;
pub use breaker::*;
pub use deletion::*;
pub use elastic::*;
pub use es::conformance::{Harness, run};
pub use failures::*;
pub use faulty::{CommitFault, Faulty};
pub use fixture::{Recorder, append_numbers};
pub use frozen::Frozen;
pub use handling::*;
pub use limits::*;
pub use operations::*;
pub use policies::*;
pub use races::*;
pub use rendezvous::Rendezvous;
pub use survival::*;
pub use survivors::*;
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
            catching_up_handles_all_partitions_and_claims_none
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
            a_failure_stops_the_whole_processor
            a_panic_stops_the_whole_processor
            a_parked_event_keeps_its_stream_in_order
            a_retry_keeps_what_it_could_handle
            a_failing_event_is_tried_as_often_as_the_policy_says
            a_handler_that_panics_is_parked
            workers_join_share_and_leave
            a_stopped_worker_hands_over_at_once
            a_poison_event_stops_its_partition_and_nothing_else
            a_dead_worker_is_replaced_after_its_lease
            a_worker_that_stood_still_cannot_commit
            a_processor_beside_a_worker_repeats_nothing
            a_projection_is_rescaled_under_load
            rescaling_is_resumed_by_asking_again
            a_paused_projection_handles_nothing_until_it_is_resumed
            a_paused_processor_goes_on_when_it_is_resumed
            a_reset_projection_replays_while_workers_run
            a_deleted_projection_stays_deleted_while_workers_run
            a_wait_ends_when_what_was_appended_is_handled
            a_rescale_before_each_transaction_of_a_retry_is_noticed
            who_waits_for_a_rescale_goes_on_after_it
            a_handler_that_hangs_in_a_retry_has_failed
            what_the_database_undoes_in_a_retry_is_not_the_events_fault
            what_an_operator_does_in_a_transaction_ends_with_it
            deleting_the_last_stream_stops_no_projection
            a_projection_that_is_registered_again_begins_in_another_epoch
            a_handler_that_hangs_is_dropped_and_its_event_is_the_policys
            a_worker_stops_in_time_although_a_handler_hangs
            an_event_that_is_always_undone_is_the_policys_in_the_end
            what_the_server_causes_is_never_the_events_fault
            an_event_that_kills_its_process_is_parked_in_the_end
            a_handler_that_a_stop_drops_does_not_count
            an_event_that_killed_its_processes_is_not_tried_before_an_operator_says_so
            many_events_that_fail_in_a_row_are_not_the_events_fault
            an_event_that_waits_after_many_others_is_tried_by_the_next_process
            a_permanent_error_is_not_tried_again
            a_retryable_error_of_the_handlers_does_not_count
            an_io_error_of_the_handlers_own_counts
            a_partition_that_stands_still_is_let_past
            a_worker_outlives_an_outage
            an_outage_in_the_middle_of_an_event_is_no_death
            no_handler_is_called_in_an_epoch_that_is_over
            a_batch_ends_at_its_limit_in_bytes
        );
        $($crate::conformance_tests!(@capability $capability $harness);)*
    };
    (@capability append_outside_a_transaction $harness:expr) => {};
    (@capability append_inside_transactions_only $harness:expr) => {};
    (@capability concurrent_appenders $harness:expr) => {
        $crate::conformance_tests!(@clauses $harness =>
            an_event_that_commits_late_is_handled
            a_log_that_is_held_back_is_not_healthy
        );
    };
    (@capability transactions_with_time_limits $harness:expr) => {
        $crate::conformance_tests!(@clauses $harness =>
            a_handler_that_blocks_its_thread_is_taken_over
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
