//! The clauses every event store must hold, as tests an adapter's crate instantiates.
//!
//! Implement [`Harness`] for the adapter, then let [`conformance_tests!`](crate::conformance_tests)
//! write one `#[test]` for each clause, in a module of its own:
//!
//! ```
//! # use es::conformance::Harness;
//! mod memory_conformance {
//!     es::conformance_tests!(es::conformance::MemoryHarness, [
//!         append_outside_a_transaction,
//!         concurrent_appenders,
//!     ]);
//! }
//! ```
//!
//! # Capabilities
//!
//! What not every database can do stands in clauses of its own, named in the macro's list:
//!
//! | capability | what it adds |
//! |---|---|
//! | `append_outside_a_transaction` | an append on a connection without a transaction commits by itself |
//! | `append_inside_transactions_only` | an append on a connection without a transaction is refused |
//! | `concurrent_appenders` | two transactions can have appended and be open at the same time |
//! | `transactions_with_time_limits` | the database ends a transaction whose client pauses for too long |
//!
//! A store has one of the first two. One that lacks a capability must say so in its documentation.
//!
//! The clauses panic with a message when the store breaks its promise. Random ones print their
//! seed; run them again with the environment variable `ES_SEED` set to it.

mod append;
mod checkpoints;
mod concurrency;
mod contents;
mod dead_letters;
mod fixture;
mod forward;
mod imports;
mod json;
mod leases;
mod limits;
mod memory_harness;
mod model;
mod reads;
mod repetition;
mod settings;
mod transactions;

use std::future::Future;

use crate::error::StoreError;
use crate::source::EventSource;
use crate::stream_id::StreamId;

pub use append::*;
pub use checkpoints::*;
pub use concurrency::*;
pub use contents::*;
pub use dead_letters::*;
pub use fixture::{Fixture, seed};
pub use imports::*;
pub use json::*;
pub use leases::*;
pub use limits::*;
pub use memory_harness::MemoryHarness;
pub use model::*;
pub use reads::*;
pub use repetition::*;
pub use settings::*;
pub use transactions::*;

/// A point in time, as events have it.
pub type UtcTime = chrono::DateTime<chrono::Utc>;

/// The connection of a harness's source.
pub type Conn<H> = <<H as Harness>::Source as EventSource>::Connection;

/// How the clauses get at a store, and at what they need of its database besides.
pub trait Harness: Send + Sync + 'static {
    /// The store under test with a way to get connections, at least three at a time.
    type Source: EventSource;

    /// Makes a new, empty store with the current schema, which lasts as long as the harness, and
    /// a place for rows of the caller's own.
    fn source(&self) -> impl Future<Output = Self::Source> + Send;

    /// Sets a savepoint in the connection's transaction.
    fn savepoint(
        &self,
        conn: &mut Conn<Self>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Undoes what the transaction wrote since its savepoint.
    fn rollback_to_savepoint(
        &self,
        conn: &mut Conn<Self>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a row of the caller's own: `value` under `label`. The same row may be there
    /// several times.
    fn insert_row(
        &self,
        conn: &mut Conn<Self>,
        label: &str,
        value: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The values of the caller's own rows under `label`, in the order they were inserted.
    fn rows(
        &self,
        conn: &mut Conn<Self>,
        label: &str,
    ) -> impl Future<Output = Result<Vec<i64>, StoreError>> + Send;

    /// Deletes the events of a stream, as somebody does who has to forget a person.
    fn delete_stream(
        &self,
        conn: &mut Conn<Self>,
        stream: &StreamId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Longer than any clause takes on a slow machine; a clause that hangs has failed.
const CLAUSE_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(2);

/// Runs one clause to its end on a runtime of its own.
pub fn run<F: Future<Output = ()>>(clause: F) {
    let clause = async {
        let ended = tokio::time::timeout(CLAUSE_TIMEOUT, clause).await;
        ended.expect("the clause ends within two minutes");
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the operating system gives a thread to run the clause on")
        .block_on(clause);
}

/// Writes a `#[test]` for each clause, with `$harness` as the expression that makes a harness.
///
/// The second argument lists the capabilities, see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr, [$($capability:ident),* $(,)?]) => {
        $crate::conformance_tests!(@clauses $harness =>
            versions_count_from_one_and_positions_increase
            an_append_returns_only_its_own_events
            any_appends_at_every_version
            no_stream_appends_only_to_a_new_stream
            exact_appends_only_at_that_version
            a_stale_version_is_rejected_and_the_transaction_stays_usable
            a_rollback_leaves_nothing
            rows_and_events_commit_together
            a_savepoint_undoes_only_what_came_after_it
            ids_compare_byte_for_byte
            contexts_and_types_keep_streams_apart
            every_field_survives
            numbers_in_json_survive
            numbers_beyond_a_double_are_kept
            the_longest_names_fit
            invalid_appends_are_refused_and_write_nothing
            the_largest_append_is_stored
            the_largest_payload_is_stored
            a_repeated_append_returns_what_it_wrote_first
            a_taken_event_id_is_rejected_and_the_transaction_stays_usable
            new_event_ids_may_lie_around_taken_ones
            a_stream_reads_back_in_version_order
            a_range_of_versions_reads_just_those
            an_unknown_stream_is_empty
            an_import_keeps_its_order_and_counts_streams_on
            an_imported_event_reads_back_as_it_was
            an_import_commits_with_the_callers_rows
            an_import_of_a_taken_event_id_is_refused
            an_import_of_an_invalid_event_is_refused
            a_long_import_is_complete
            the_log_reads_in_position_order
            filters_choose_what_their_oracle_chooses
            partitions_are_disjoint_and_complete
            a_filtered_read_is_complete_beyond_its_last_event
            a_full_batch_is_complete_only_through_its_last_event
            one_read_covers_a_bounded_stretch_of_positions
            a_read_is_bounded_in_bytes
            a_filter_with_an_impossible_name_is_refused
            an_empty_log_is_complete_through_its_start
            the_horizon_reaches_the_last_committed_event
            a_rolled_back_hole_is_passed
            uncommitted_events_are_invisible_to_others
            the_schema_check_accepts_the_current_schema
            a_new_projection_starts_at_the_start
            registering_again_keeps_the_checkpoint
            a_checkpoint_moves_only_from_where_it_is
            a_checkpoint_rolls_back_with_its_transaction
            a_stale_worker_is_fenced_out
            of_two_open_transactions_one_moves_the_checkpoint
            partitions_have_their_own_checkpoints
            another_partition_count_is_refused
            a_missing_checkpoint_is_an_error
            a_stale_epoch_cannot_save
            a_checkpoint_stops_at_its_barrier
            claims_are_exclusive
            an_expired_lease_is_taken_over
            a_lease_is_renewed_alone_and_with_a_checkpoint
            a_release_frees_at_once
            a_locked_partition_is_not_claimed
            a_paused_projection_is_not_claimed
            workers_are_there_until_they_leave_or_expire
            failures_are_noted_and_forgotten
            settings_of_a_projection_are_kept
            partitions_are_rewritten_as_told
            a_deleted_projection_is_gone
            dead_letters_keep_their_order
            dead_letters_are_counted_by_partition
            dead_letters_are_bounded
            dead_letters_are_removed_as_told
            a_dead_letter_rolls_back_with_its_transaction
            a_position_is_found_by_its_time
            random_operations_agree_with_the_memory_store
        );
        $($crate::conformance_tests!(@capability $capability $harness);)*
    };
    (@capability append_outside_a_transaction $harness:expr) => {
        $crate::conformance_tests!(@clauses $harness =>
            an_append_outside_a_transaction_commits_by_itself
            a_rejected_append_outside_a_transaction_writes_nothing
        );
    };
    (@capability append_inside_transactions_only $harness:expr) => {
        $crate::conformance_tests!(@clauses $harness =>
            an_append_outside_a_transaction_is_refused
        );
    };
    (@capability transactions_with_time_limits $harness:expr) => {};
    (@capability concurrent_appenders $harness:expr) => {
        $crate::conformance_tests!(@clauses $harness =>
            the_first_event_ever_is_not_skipped_while_its_transaction_is_open
            a_position_that_commits_late_is_not_skipped
            a_second_append_of_a_transaction_is_not_skipped
            an_append_after_a_savepoint_rollback_is_not_skipped
            a_rolled_back_transaction_does_not_hold_the_log
            an_import_that_commits_late_is_not_skipped
            a_race_for_a_version_has_one_winner
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

/// A harness that is shared, as clauses do whose parts outlive each other.
impl<H: Harness> Harness for std::sync::Arc<H> {
    type Source = H::Source;

    async fn source(&self) -> H::Source {
        (**self).source().await
    }

    async fn savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        (**self).savepoint(conn).await
    }

    async fn rollback_to_savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        (**self).rollback_to_savepoint(conn).await
    }

    async fn insert_row(
        &self,
        conn: &mut Conn<Self>,
        label: &str,
        value: i64,
    ) -> Result<(), StoreError> {
        (**self).insert_row(conn, label, value).await
    }

    async fn rows(&self, conn: &mut Conn<Self>, label: &str) -> Result<Vec<i64>, StoreError> {
        (**self).rows(conn, label).await
    }

    async fn delete_stream(
        &self,
        conn: &mut Conn<Self>,
        stream: &StreamId,
    ) -> Result<(), StoreError> {
        (**self).delete_stream(conn, stream).await
    }
}
