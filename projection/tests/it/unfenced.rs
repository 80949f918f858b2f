//! A store that lets a stale checkpoint through: the clause about two processors must notice.

use std::error::Error;
use std::sync::{Arc, Mutex};

use es::conformance::MemoryHarness;
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    AppendError, AppendResult, CheckpointError, CheckpointStore, Event, EventFilter, EventSource,
    EventStore, ExpectedVersion, Horizon, Partition, PartitionCheckpoint, PersistedEvent, Position,
    ProjectionName, ReadWindow, StoreError, Stream, StreamId, Version, VersionRange,
};
use projection::conformance::{run, two_processors_over};

/// Believes that the checkpoint is where this instance left it, and saves without looking.
#[derive(Debug)]
struct Unfenced {
    inner: MemoryStore,
    believed: Arc<Mutex<Position>>,
}

#[test]
#[should_panic(expected = "every event once, none twice")]
fn two_processors_repeat_events_without_the_fence() {
    run(two_processors_over(MemoryHarness, |inner| Unfenced { inner, believed: Arc::default() }));
}

/// The same race over the same wrapper's inner store, to show that the race itself is fair.
#[test]
fn two_processors_repeat_nothing_with_the_fence() {
    run(two_processors_over(MemoryHarness, |inner| inner));
}

impl CheckpointStore for Unfenced {
    async fn register_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Position, CheckpointError> {
        let position = self.inner.register_checkpoint(conn, projection, partition).await?;
        *self.believed.lock().expect("no panic") = position;
        Ok(position)
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Position, CheckpointError> {
        self.inner.lock_checkpoint(conn, projection, partition).await?;
        Ok(*self.believed.lock().expect("no panic"))
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        _from: Position,
        to: Position,
    ) -> Result<(), CheckpointError> {
        let actual = self.inner.lock_checkpoint(conn, projection, partition).await?;
        *self.believed.lock().expect("no panic") = to;
        self.inner.save_checkpoint(conn, projection, partition, actual, to).await
    }

    async fn checkpoints(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        self.inner.checkpoints(conn, projection).await
    }
}

impl EventStore for Unfenced {
    type Connection = MemoryConnection;

    async fn append(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        self.inner.append(conn, stream, expected, events).await
    }

    async fn stream_version(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        self.inner.stream_version(conn, stream).await
    }

    async fn read_stream(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        versions: impl Into<VersionRange> + Send,
    ) -> Result<Stream, StoreError> {
        self.inner.read_stream(conn, stream, versions).await
    }

    async fn horizon(
        &self,
        conn: &mut MemoryConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        self.inner.horizon(conn, known).await
    }

    async fn read_window(
        &self,
        conn: &mut MemoryConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<Vec<PersistedEvent>, StoreError> {
        self.inner.read_window(conn, window, filter).await
    }

    async fn check_schema(&self, conn: &mut MemoryConnection) -> Result<(), StoreError> {
        self.inner.check_schema(conn).await
    }
}

impl EventSource for Unfenced {
    type Connection = MemoryConnection;
    type Store = Unfenced;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &Unfenced {
        self
    }

    async fn acquire(&self) -> Result<Box<MemoryConnection>, StoreError> {
        self.inner.acquire().await
    }

    async fn begin(&self) -> Result<Box<MemoryConnection>, StoreError> {
        self.inner.begin().await
    }

    async fn commit(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.inner.commit(transaction).await
    }

    async fn rollback(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.inner.rollback(transaction).await
    }

    fn is_retryable(&self, error: &(dyn Error + 'static)) -> bool {
        self.inner.is_retryable(error)
    }
}
