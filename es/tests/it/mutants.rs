//! Stores that each break one promise: the clause that guards the promise must notice.

use chrono::{DateTime, Utc};
use es::adapter::EventLog;
use std::error::Error;

use es::adapter::{
    Checkpoint, CheckpointMove, CheckpointStore, Epoch, PartitionCheckpoint, ReadWindow,
    WindowEvents,
};
use es::conformance::{Harness, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    AppendError, AppendResult, CheckpointError, Event, EventFilter, EventSource, ExpectedVersion,
    Horizon, Partition, Position, ProjectionName, StoreError, Stream, StreamId, Version,
    VersionRange,
};
use uuid::Uuid;

/// What a mutant does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    IgnoresExpectedVersion,
    WritesBeforeItRejects,
    ForgetsEventIds,
    FoldsIds,
    LosesMetadata,
    TakesTheLastPositionForTheHorizon,
    IgnoresFilter,
    IgnoresPartition,
    IgnoresVersionRange,
    ReadsDescending,
    SavesStaleCheckpoints,
    IgnoresEpoch,
    IgnoresPartitionCount,
    CommitsAtOnce,
}

use Fault::*;

macro_rules! mutants {
    ($($fault:ident is noticed by $($clause:ident),+;)*) => {
        $($(
            #[expect(non_snake_case, reason = "the name is the fault's and the clause's")]
            mod $clause {
                #[test]
                #[should_panic(expected = "")]
                fn $fault() {
                    let harness = super::MutantHarness(super::$fault);
                    es::conformance::run(es::conformance::$clause(harness));
                }
            }
        )+)*
    };
}

mutants! {
    IgnoresExpectedVersion is noticed by
        a_stale_version_is_rejected_and_the_transaction_stays_usable,
        exact_appends_only_at_that_version,
        no_stream_appends_only_to_a_new_stream;
    WritesBeforeItRejects is noticed by
        a_rejected_append_outside_a_transaction_writes_nothing;
    ForgetsEventIds is noticed by
        a_repeated_append_returns_what_it_wrote_first,
        a_taken_event_id_is_rejected_and_the_transaction_stays_usable,
        new_event_ids_may_lie_around_taken_ones;
    FoldsIds is noticed by ids_compare_byte_for_byte;
    LosesMetadata is noticed by every_field_survives;
    TakesTheLastPositionForTheHorizon is noticed by
        the_first_event_ever_is_not_skipped_while_its_transaction_is_open,
        a_position_that_commits_late_is_not_skipped,
        a_second_append_of_a_transaction_is_not_skipped,
        an_append_after_a_savepoint_rollback_is_not_skipped;
    IgnoresFilter is noticed by filters_choose_what_their_oracle_chooses;
    IgnoresPartition is noticed by partitions_are_disjoint_and_complete;
    IgnoresVersionRange is noticed by a_range_of_versions_reads_just_those;
    ReadsDescending is noticed by
        the_log_reads_in_position_order,
        random_operations_agree_with_the_memory_store;
    SavesStaleCheckpoints is noticed by
        a_checkpoint_moves_only_from_where_it_is,
        a_stale_worker_is_fenced_out;
    IgnoresEpoch is noticed by a_stale_epoch_cannot_save;
    IgnoresPartitionCount is noticed by another_partition_count_is_refused;
    CommitsAtOnce is noticed by
        a_rollback_leaves_nothing,
        rows_and_events_commit_together,
        uncommitted_events_are_invisible_to_others;
}

struct MutantHarness(Fault);

impl Harness for MutantHarness {
    type Source = Mutant;

    async fn source(&self) -> Mutant {
        Mutant { inner: MemoryStore::default(), fault: self.0 }
    }

    async fn savepoint(&self, conn: &mut MemoryConnection) -> Result<(), StoreError> {
        MemoryHarness.savepoint(conn).await
    }

    async fn rollback_to_savepoint(&self, conn: &mut MemoryConnection) -> Result<(), StoreError> {
        MemoryHarness.rollback_to_savepoint(conn).await
    }

    async fn insert_row(
        &self,
        conn: &mut MemoryConnection,
        label: &str,
        value: i64,
    ) -> Result<(), StoreError> {
        MemoryHarness.insert_row(conn, label, value).await
    }

    async fn rows(&self, conn: &mut MemoryConnection, label: &str) -> Result<Vec<i64>, StoreError> {
        MemoryHarness.rows(conn, label).await
    }

    async fn delete_stream(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
    ) -> Result<(), StoreError> {
        MemoryHarness.delete_stream(conn, stream).await
    }
}

#[derive(Debug, Clone)]
struct Mutant {
    inner: MemoryStore,
    fault: Fault,
}

impl Mutant {
    fn stream(&self, stream: &StreamId) -> StreamId {
        if self.fault != FoldsIds {
            return stream.clone();
        }
        let id = stream.aggregate_id().to_lowercase();
        StreamId::new(stream.bounded_context(), stream.aggregate_type(), id).expect("valid")
    }

    fn event(&self, event: &Event) -> Event {
        match self.fault {
            ForgetsEventIds => event.clone().with_id(Uuid::now_v7()),
            LosesMetadata => Event::new(event.event_type(), event.payload().to_vec())
                .expect("valid")
                .with_id(event.id())
                .with_created_at(event.created_at()),
            _ => event.clone(),
        }
    }
}

impl EventLog for Mutant {
    type Connection = MemoryConnection;

    async fn append_valid(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        let stream = self.stream(stream);
        let events: Vec<Event> = events.iter().map(|event| self.event(event)).collect();
        if self.fault == WritesBeforeItRejects {
            let any = ExpectedVersion::Any;
            let _ = self.inner.append_valid(conn, &stream, any, &events[..1]).await;
        }
        if self.fault == CommitsAtOnce {
            let mut other = self.inner.connect();
            return self.inner.append_valid(&mut other, &stream, expected, &events).await;
        }
        let expected = match self.fault {
            IgnoresExpectedVersion => ExpectedVersion::Any,
            _ => expected,
        };
        self.inner.append_valid(conn, &stream, expected, &events).await
    }

    async fn version_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        self.inner.version_of(conn, &self.stream(stream)).await
    }

    async fn events_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        let versions = match self.fault {
            IgnoresVersionRange => VersionRange::ALL,
            _ => versions,
        };
        self.inner.events_of(conn, &self.stream(stream), versions).await
    }

    async fn horizon_after(
        &self,
        conn: &mut MemoryConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        let horizon = self.inner.horizon_after(conn, known).await?;
        match self.fault {
            TakesTheLastPositionForTheHorizon => Ok(Horizon::new(horizon.end, horizon.end)),
            _ => Ok(horizon),
        }
    }

    async fn window(
        &self,
        conn: &mut MemoryConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        let filter = match self.fault {
            IgnoresFilter => EventFilter::default().with_partition(filter.partition()),
            IgnoresPartition => filter.clone().with_partition(Partition::ALL),
            _ => filter.clone(),
        };
        let events = self.inner.window(conn, window, &filter).await?;
        if self.fault != ReadsDescending {
            return Ok(events);
        }
        let mut descending = WindowEvents::new(window);
        for event in events.events().iter().rev() {
            descending.push(event.clone());
        }
        Ok(descending)
    }

    async fn check_tables(&self, conn: &mut MemoryConnection) -> Result<(), StoreError> {
        self.inner.check_tables(conn).await
    }

    async fn first_position_since(
        &self,
        conn: &mut MemoryConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        self.inner.first_position_since(conn, time).await
    }
}

impl CheckpointStore for Mutant {
    async fn register_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        match self.inner.register_checkpoint(conn, projection, partition).await {
            Err(CheckpointError::PartitionCount { .. }) if self.fault == IgnoresPartitionCount => {
                Ok(Checkpoint {
                    position: Position::START,
                    epoch: Epoch::FIRST,
                    replay_until: Position::START,
                    stop_at: None,
                    attempts: 0,
                    failing_position: None,
                    is_attempt_open: false,
                    is_paused: false,
                    has_dead_letters: false,
                })
            }
            result => result,
        }
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        self.inner.lock_checkpoint(conn, projection, partition).await
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        let actual = match self.fault {
            SavesStaleCheckpoints | IgnoresEpoch => {
                Some(self.inner.lock_checkpoint(conn, projection, partition).await?)
            }
            _ => None,
        };
        let to = match actual {
            Some(actual) if self.fault == IgnoresEpoch => {
                CheckpointMove { epoch: actual.epoch, ..to }
            }
            Some(actual) => CheckpointMove { from: actual.position, ..to },
            None => to,
        };
        self.inner.save_checkpoint(conn, projection, partition, to).await
    }

    async fn checkpoints(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        self.inner.checkpoints(conn, projection).await
    }
}

es::forward_projection_store!(Mutant => inner);

impl EventSource for Mutant {
    type Connection = MemoryConnection;
    type Store = Mutant;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &Mutant {
        self
    }

    async fn acquire(&self) -> Result<Box<MemoryConnection>, StoreError> {
        self.inner.acquire().await
    }

    fn release(&self, conn: Box<MemoryConnection>) {
        self.inner.release(conn);
    }

    async fn begin_within(
        &self,
        time_max: std::time::Duration,
    ) -> Result<Box<MemoryConnection>, StoreError> {
        self.inner.begin_within(time_max).await
    }

    async fn commit(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.inner.commit(transaction).await
    }

    async fn rollback(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.inner.rollback(transaction).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}
