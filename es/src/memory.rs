//! An event store in memory, for unit tests and as the model the conformance suite compares with.
//!
//! It behaves as a server with READ COMMITTED isolation does: transactions run side by side,
//! positions are drawn when events are appended and appear when the transaction commits, in
//! whatever order that happens, and a rollback leaves a hole. Where a server would make a
//! transaction wait for another one's lock, this store answers [`StoreError::Retryable`] at
//! once, so a test on a single thread never hangs.
//!
//! ```
//! use es::memory::MemoryStore;
//! use es::{Event, EventStore, ExpectedVersion, StreamId};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = MemoryStore::default();
//! let mut conn = store.connect();
//! let order = StreamId::new("Sales", "Order", "order-1")?;
//!
//! conn.begin()?;
//! let placed = Event::json("OrderPlaced", &4200)?;
//! store.append(&mut conn, &order, ExpectedVersion::NoStream, &[placed]).await?;
//! conn.commit()?;
//!
//! assert_eq!(store.read_stream(&mut conn, &order, ..).await?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod projections;
mod state;
mod tables;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::error::{Cause, StoreError};
use crate::event::Event;
use crate::event_log::EventLog;
use crate::filter::EventFilter;
use crate::position::Position;
use crate::read::{Horizon, ReadWindow, WindowEvents};
use crate::rejected_append::RejectedAppend;
use crate::source::EventSource;
use crate::stream::Stream;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version, VersionRange};

pub use connection::MemoryConnection;
use state::{Clock, Lock, State};

/// An event store in memory. Clones share their contents.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    state: SharedState,
}

type SharedState = Arc<Mutex<State>>;

/// A panic elsewhere leaves the state whole: nothing unwinds in the middle of a change.
fn lock(state: &SharedState) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    /// A store whose leases run by `clock`, which says how much time has passed since whenever it
    /// likes: for tests in virtual time. The default takes the operating system's.
    pub fn with_clock(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let state = State::new(Clock(Arc::new(clock)));
        MemoryStore { state: Arc::new(Mutex::new(state)) }
    }

    /// Opens a connection: the thing that has, or has not, a transaction.
    pub fn connect(&self) -> MemoryConnection {
        MemoryConnection::new(Arc::clone(&self.state))
    }
}

impl EventLog for MemoryStore {
    type Connection = MemoryConnection;

    async fn append_valid(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        conn.in_transaction(|state, transaction| {
            let locks = events.iter().map(|event| Lock::EventId(event.id()));
            state.acquire(transaction, locks.chain([Lock::Stream(stream.clone())]))?;
            let actual = state.stream_version(transaction, stream);
            let existing = state.existing_events(transaction, events);
            if !expected.accepts(actual) || !existing.is_empty() {
                return RejectedAppend { stream, expected, events, actual }.resolve(&existing);
            }
            let positions = state.draw_positions(transaction, events.len());
            let written = AppendResult::written(stream, events, actual.next(), positions);
            transaction.write(written.events());
            Ok(written)
        })
    }

    async fn version_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        conn.read(|state, transaction| Ok(state.stream_version(transaction, stream)))
    }

    async fn events_of(
        &self,
        conn: &mut MemoryConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        conn.read(|state, transaction| {
            let all = state.stream_events(transaction, stream);
            let events = all.filter(|event| versions.contains(event.version()));
            Ok(Stream::new(stream.clone(), events.cloned().collect()))
        })
    }

    async fn horizon_after(
        &self,
        conn: &mut MemoryConnection,
        _known: Position,
    ) -> Result<Horizon, StoreError> {
        conn.read(|state, _| Ok(state.horizon()))
    }

    async fn window(
        &self,
        conn: &mut MemoryConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        conn.read(|state, transaction| {
            let mut events = WindowEvents::new(window);
            for event in state.window(transaction, window) {
                if filter.matches(&event) && !events.push(event) {
                    break;
                }
            }
            Ok(events)
        })
    }

    async fn check_tables(&self, _conn: &mut MemoryConnection) -> Result<(), StoreError> {
        Ok(())
    }

    async fn first_position_since(
        &self,
        conn: &mut MemoryConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        conn.read(|state, transaction| Ok(state.first_position_since(transaction, time)))
    }
}

impl EventSource for MemoryStore {
    type Connection = MemoryConnection;
    type Store = MemoryStore;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &MemoryStore {
        self
    }

    async fn acquire(&self) -> Result<Box<MemoryConnection>, StoreError> {
        Ok(Box::new(self.connect()))
    }

    fn release(&self, conn: Box<MemoryConnection>) {
        drop(conn);
    }

    async fn begin_within(&self, _: Duration) -> Result<Box<MemoryConnection>, StoreError> {
        let mut conn = self.connect();
        conn.begin()?;
        Ok(Box::new(conn))
    }

    async fn commit(&self, mut transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        transaction.commit()
    }

    async fn rollback(&self, mut transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        transaction.rollback()
    }

    async fn check_open(&self, transaction: &mut Box<MemoryConnection>) -> Result<(), StoreError> {
        transaction.check_open()
    }

    fn cause(&self, error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
        crate::cause::cause(error, |_| None)
    }
}
