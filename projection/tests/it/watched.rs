//! The in-memory store with a hook around each of its calls.

use chrono::{DateTime, Utc};
use es::adapter::EventLog;
use std::error::Error;
use std::time::Duration;

use es::adapter::{
    Checkpoint, CheckpointMove, CheckpointStore, PartitionCheckpoint, ReadWindow, WindowEvents,
};
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    AppendError, AppendResult, CheckpointError, Event, EventFilter, EventSource, ExpectedVersion,
    Horizon, Partition, Position, ProjectionName, StoreError, Stream, StreamId, Version,
    VersionRange,
};
use futures_util::future::BoxFuture;

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The call has had no effect yet.
    Before,
    /// It has, and the caller does not know.
    After,
}

/// What happens at a moment of the call of this name; if it never ends, nor does the call.
pub(crate) type Hook = Box<dyn Fn(Moment, &'static str) -> BoxFuture<'static, ()> + Send + Sync>;

/// Asks its hook before and after each call, and does as the store it wraps.
pub(crate) struct Watched {
    inner: MemoryStore,
    hook: Hook,
}

impl Watched {
    pub(crate) fn new(inner: &MemoryStore, hook: Hook) -> Self {
        Watched { inner: inner.clone(), hook }
    }

    async fn pass<T>(&self, call: &'static str, answer: impl Future<Output = T>) -> T {
        (self.hook)(Moment::Before, call).await;
        let answer = answer.await;
        (self.hook)(Moment::After, call).await;
        answer
    }
}

impl CheckpointStore for Watched {
    async fn register_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        self.pass(
            "register_checkpoint",
            self.inner.register_checkpoint(conn, projection, partition),
        )
        .await
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        self.pass("lock_checkpoint", self.inner.lock_checkpoint(conn, projection, partition)).await
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        self.pass("save_checkpoint", self.inner.save_checkpoint(conn, projection, partition, to))
            .await
    }

    async fn checkpoints(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        self.pass("checkpoints", self.inner.checkpoints(conn, projection)).await
    }
}

es::forward_projection_store!(Watched => inner, through pass);

impl EventLog for Watched {
    type Connection = MemoryConnection;

    async fn append_valid(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        self.pass("append", self.inner.append_valid(conn, stream, expected, events)).await
    }

    async fn version_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        self.pass("stream_version", self.inner.version_of(conn, stream)).await
    }

    async fn events_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        self.pass("read_stream", self.inner.events_of(conn, stream, versions)).await
    }

    async fn horizon_after(
        &self,
        conn: &mut MemoryConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        self.pass("horizon", self.inner.horizon_after(conn, known)).await
    }

    async fn window(
        &self,
        conn: &mut MemoryConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        self.pass("read_window", self.inner.window(conn, window, filter)).await
    }

    async fn check_tables(&self, conn: &mut MemoryConnection) -> Result<(), StoreError> {
        self.pass("check_schema", self.inner.check_tables(conn)).await
    }

    async fn first_position_since(
        &self,
        conn: &mut MemoryConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        self.pass("first_position_since", self.inner.first_position_since(conn, time)).await
    }
}

impl EventSource for Watched {
    type Connection = MemoryConnection;
    type Store = Watched;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &Watched {
        self
    }

    async fn acquire(&self) -> Result<Box<MemoryConnection>, StoreError> {
        self.pass("acquire", self.inner.acquire()).await
    }

    fn release(&self, conn: Box<MemoryConnection>) {
        self.inner.release(conn);
    }

    async fn begin_within(&self, time_max: Duration) -> Result<Box<MemoryConnection>, StoreError> {
        self.pass("begin", self.inner.begin_within(time_max)).await
    }

    async fn check_open(&self, transaction: &mut Box<MemoryConnection>) -> Result<(), StoreError> {
        self.pass("check_open", self.inner.check_open(transaction)).await
    }

    async fn probe(&self, transaction: &mut Box<MemoryConnection>) -> Result<(), StoreError> {
        self.pass("probe", self.inner.probe(transaction)).await
    }

    async fn commit(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.pass("commit", self.inner.commit(transaction)).await
    }

    async fn rollback(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.pass("rollback", self.inner.rollback(transaction)).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}
