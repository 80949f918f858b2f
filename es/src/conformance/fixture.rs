//! What the clauses share: a store to work on, events to append, and the seed of random ones.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::{Conn, Harness};
use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::event::Event;
use crate::filter::EventFilter;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::read::ReadLimit;
use crate::source::EventSource;
use crate::store::EventStore;
use crate::stream::Stream;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version};

/// A store under test.
#[derive(Debug)]
pub struct Fixture<H: Harness> {
    /// The harness the store came from.
    pub harness: H,
    /// The store and its connections.
    pub source: H::Source,
}

pub(super) type Tx<H> = <<H as Harness>::Source as EventSource>::Transaction;

impl<H: Harness> Fixture<H> {
    /// Makes the store.
    pub async fn new(harness: H) -> Self {
        let source = harness.source().await;
        Fixture { harness, source }
    }

    /// The store.
    pub fn store(&self) -> &<H::Source as EventSource>::Store {
        self.source.store()
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Tx<H> {
        self.source.begin().await.expect("a transaction begins")
    }

    /// Commits it.
    pub async fn commit(&self, tx: Tx<H>) {
        self.source.commit(tx).await.expect("the transaction commits");
    }

    /// Rolls it back.
    pub async fn rollback(&self, tx: Tx<H>) {
        self.source.rollback(tx).await.expect("the transaction rolls back");
    }

    /// A connection without a transaction.
    pub async fn conn(&self) -> <H::Source as EventSource>::Pooled {
        self.source.acquire().await.expect("a connection is free")
    }

    /// Appends in an open transaction.
    pub async fn append_in(
        &self,
        conn: &mut Conn<H>,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        self.store().append(conn, stream, expected, events).await
    }

    /// Appends in a transaction of its own, committed whatever the answer is.
    pub async fn try_append(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        let mut tx = self.begin().await;
        let result = self.append_in(&mut tx, stream, expected, events).await;
        self.commit(tx).await;
        result
    }

    /// Appends to whatever is there, in a transaction of its own.
    pub async fn append(&self, stream: &StreamId, events: &[Event]) -> AppendResult {
        self.try_append(stream, ExpectedVersion::Any, events).await.expect("the append succeeds")
    }

    /// The whole stream.
    pub async fn stream(&self, stream: &StreamId) -> Stream {
        let mut conn = self.conn().await;
        self.store().read_stream(&mut conn, stream, ..).await.expect("the stream is read")
    }

    /// The stream's version.
    pub async fn version(&self, stream: &StreamId) -> Version {
        let mut conn = self.conn().await;
        self.store().stream_version(&mut conn, stream).await.expect("the version is read")
    }

    /// One read of the log.
    pub async fn read(
        &self,
        after: Position,
        filter: &EventFilter,
        limit: ReadLimit,
    ) -> crate::read::EventBatch {
        let mut conn = self.conn().await;
        self.store().read_events(&mut conn, after, filter, limit).await.expect("the log is read")
    }

    /// Reads the log from `after` until it gets no further, `events_max` at a time.
    pub async fn read_on(
        &self,
        mut after: Position,
        filter: &EventFilter,
        events_max: u32,
    ) -> Vec<PersistedEvent> {
        let mut events = Vec::new();
        loop {
            let batch = self.read(after, filter, limit(events_max)).await;
            if batch.is_nothing(after) {
                return events;
            }
            assert!(batch.complete_through > after, "a read that found something gets further");
            after = batch.complete_through;
            events.extend(batch.events);
        }
    }

    /// The whole log.
    pub async fn log(&self) -> Vec<PersistedEvent> {
        self.read_on(Position::START, &EventFilter::default(), 100).await
    }
}

/// At most `events_max` events a read.
pub(super) fn limit(events_max: u32) -> ReadLimit {
    ReadLimit::new(NonZeroU32::new(events_max).expect("a test reads at least one event"))
}

/// A stream of the context `Test` and the type `Thing`.
pub(super) fn thing(aggregate_id: &str) -> StreamId {
    StreamId::new("Test", "Thing", aggregate_id).expect("a valid name")
}

/// An event whose payload is its number.
pub(super) fn event(number: i64) -> Event {
    Event::json("Happened", &number).expect("a valid event")
}

/// Events with these numbers.
pub(super) fn events(numbers: std::ops::RangeInclusive<i64>) -> Vec<Event> {
    numbers.map(event).collect()
}

/// The numbers the events were made with.
pub(super) fn numbers(events: &[PersistedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.payload_json().expect("a number")).collect()
}

/// Checks invariant 3 over a whole log: versions 1, 2, 3… in each stream, positions ascending.
pub(super) fn assert_well_formed(log: &[PersistedEvent]) {
    let mut versions: BTreeMap<&StreamId, Version> = BTreeMap::new();
    let mut last = Position::START;
    for event in log {
        assert!(event.position() > last, "position {} follows {last}", event.position());
        last = event.position();
        let version = versions.entry(event.stream()).or_default();
        *version = version.next();
        assert_eq!(event.version(), *version, "at position {last} of stream {}", event.stream());
    }
}

/// The seed of a random clause: `ES_SEED`, or a new one. It is printed, and so shown on failure.
pub fn seed() -> u64 {
    let seed = match std::env::var("ES_SEED") {
        Ok(seed) => seed.parse().expect("ES_SEED is a whole number"),
        Err(_) => fastrand::u64(..),
    };
    println!("ES_SEED={seed}");
    seed
}
