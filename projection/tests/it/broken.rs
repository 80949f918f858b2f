//! Stores that break what the processor relies on: its clauses must notice.

use chrono::{DateTime, Utc};
use es::adapter::EventLog;
use std::error::Error;
use std::sync::{Arc, Mutex};

use es::adapter::{
    Checkpoint, CheckpointMove, CheckpointStore, PartitionCheckpoint, ReadWindow, WindowEvents,
};
use es::conformance::MemoryHarness;
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    AppendError, AppendResult, CheckpointError, Event, EventFilter, EventSource, ExpectedVersion,
    Horizon, Partition, Position, ProjectionName, StoreError, Stream, StreamId, Version,
    VersionRange,
};
use projection::conformance::{late_commit_over, run, two_processors_over};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Believes that the checkpoint is where this instance left it, and saves without looking.
    NoFence,
    /// Takes the last position given out for the horizon.
    NoHorizon,
}

#[derive(Debug)]
struct Broken {
    inner: MemoryStore,
    fault: Fault,
    believed: Arc<Mutex<Position>>,
}

#[test]
#[should_panic(expected = "every event once, none twice")]
fn two_processors_repeat_events_without_the_fence() {
    run(two_processors_over(MemoryHarness, |inner| Broken::new(inner, Fault::NoFence)));
}

#[test]
#[should_panic(expected = "position 1 may still appear")]
fn a_processor_skips_events_without_the_horizon() {
    run(late_commit_over(MemoryHarness, |inner| Broken::new(inner, Fault::NoHorizon)));
}

/// The same race over the same wrapper's inner store, to show that the race itself is fair.
#[test]
fn two_processors_repeat_nothing_with_the_fence() {
    run(two_processors_over(MemoryHarness, |inner| inner));
}

impl Broken {
    fn new(inner: MemoryStore, fault: Fault) -> Self {
        Broken { inner, fault, believed: Arc::default() }
    }
}

impl CheckpointStore for Broken {
    async fn register_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let checkpoint = self.inner.register_checkpoint(conn, projection, partition).await?;
        *self.believed.lock().expect("no panic") = checkpoint.position;
        Ok(checkpoint)
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let actual = self.inner.lock_checkpoint(conn, projection, partition).await?;
        if self.fault != Fault::NoFence {
            return Ok(actual);
        }
        let position = *self.believed.lock().expect("no panic");
        Ok(Checkpoint { position, ..actual })
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        if self.fault != Fault::NoFence {
            return self.inner.save_checkpoint(conn, projection, partition, to).await;
        }
        let actual = self.inner.lock_checkpoint(conn, projection, partition).await?;
        *self.believed.lock().expect("no panic") = to.to;
        let to = CheckpointMove { from: actual.position, ..to };
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

es::forward_projection_store!(Broken => inner);

impl EventLog for Broken {
    type Connection = MemoryConnection;

    async fn append_valid(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        self.inner.append_valid(conn, stream, expected, events).await
    }

    async fn version_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        self.inner.version_of(conn, stream).await
    }

    async fn events_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        self.inner.events_of(conn, stream, versions).await
    }

    async fn horizon_after(
        &self,
        conn: &mut MemoryConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        let horizon = self.inner.horizon_after(conn, known).await?;
        match self.fault {
            Fault::NoHorizon => Ok(Horizon::new(horizon.end, horizon.end)),
            Fault::NoFence => Ok(horizon),
        }
    }

    async fn window(
        &self,
        conn: &mut MemoryConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        self.inner.window(conn, window, filter).await
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

impl EventSource for Broken {
    type Connection = MemoryConnection;
    type Store = Broken;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &Broken {
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
