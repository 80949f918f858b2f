//! A rescale that comes between the look at a projection's partitions and the lock on one of them.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    AppendError, AppendResult, Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, Event,
    EventFilter, EventSource, EventStore, ExpectedVersion, Horizon, Partition, PartitionCheckpoint,
    PersistedEvent, Position, ProjectionName, ReadWindow, StoreError, Stream, StreamId, Version,
    VersionRange, WindowEvents,
};
use projection::admin::{self, DeadLetterError, Rescaled, RetriedLetters};
use projection::conformance::append_numbers;
use projection::{EventContext, FailurePolicy, HandlerError, Processor, Projection, Retries};
use tokio_util::sync::CancellationToken;

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

/// Cannot handle number 3.
struct Sick;

impl Projection<MemoryConnection> for Sick {
    fn name(&self) -> ProjectionName {
        name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::MIN))
    }

    async fn handle(
        &self,
        _conn: &mut MemoryConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        if event.payload_json::<i64>()? == 3 { Err("poison".into()) } else { Ok(()) }
    }
}

/// Rescales before it locks a checkpoint, as often as it is told to.
#[derive(Debug)]
struct Interposed {
    inner: MemoryStore,
    rescales_left: AtomicU16,
    rescales: AtomicU16,
}

impl Interposed {
    async fn rescale(&self) {
        let left = self.rescales_left.load(Ordering::Relaxed);
        if left > 0 {
            self.rescales_left.store(left - 1, Ordering::Relaxed);
            // It goes up and down, so that the partition that was found is of another number or
            // not there at all.
            let before = self.rescales.fetch_add(1, Ordering::Relaxed);
            let total = if before.is_multiple_of(2) { 9 } else { 1 };
            let rescaled = admin::rescale(&self.inner, &name(), total).await.expect("rescaled");
            assert_eq!(rescaled, Rescaled::Done);
        }
    }
}

#[tokio::test]
async fn a_retry_looks_again_after_a_rescale() {
    let inner = MemoryStore::default();
    let fixture = Fixture { harness: MemoryHarness, source: inner.clone() };
    append_numbers(&fixture, 10).await;
    let processor = Processor::new(Arc::new(inner.clone()), Arc::new(Sick));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let store = Interposed { inner, rescales_left: 3.into(), rescales: 0.into() };
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    let again = admin::retry(&store, &Sick, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Failed { handled: 0, .. }), "{again:?}");
    assert_eq!(store.rescales.load(Ordering::Relaxed), 3);

    // There is an end to it, and what it says harms nobody.
    store.rescales_left.store(u16::MAX, Ordering::Relaxed);
    let again = admin::retry(&store, &Sick, &stream).await.expect_err("it gives up");
    let DeadLetterError::Store(StoreError::Retryable { source, .. }) = again else {
        panic!("{again:?}")
    };
    assert!(source.to_string().contains("number of partitions"), "{source}");
}

impl CheckpointStore for Interposed {
    async fn register_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        self.inner.register_checkpoint(conn, projection, partition).await
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        self.rescale().await;
        self.inner.lock_checkpoint(conn, projection, partition).await
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
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

es::forward_projection_store!(Interposed => inner);

impl EventStore for Interposed {
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
    ) -> Result<WindowEvents, StoreError> {
        self.inner.read_window(conn, window, filter).await
    }

    async fn check_schema(&self, conn: &mut MemoryConnection) -> Result<(), StoreError> {
        self.inner.check_schema(conn).await
    }
}

impl EventSource for Interposed {
    type Connection = MemoryConnection;
    type Store = Interposed;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &Interposed {
        self
    }

    async fn acquire(&self) -> Result<Box<MemoryConnection>, StoreError> {
        self.inner.acquire().await
    }

    fn release(&self, conn: Box<MemoryConnection>) {
        self.inner.release(conn);
    }

    async fn begin_within(&self, time_max: Duration) -> Result<Box<MemoryConnection>, StoreError> {
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
