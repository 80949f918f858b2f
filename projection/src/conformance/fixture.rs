//! What the clauses share: a projection that records what it handles, and events for it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::conformance::{Conn, Fixture, Harness};
use es::{
    Event, EventFilter, EventSource, ExpectedVersion, Partition, PersistedEvent, Position,
    ProjectionName, StreamId,
};

use crate::operator::ProjectionStatus;
use crate::{
    EventContext, HandlerError, Operator, OperatorError, Processor, Projection, ProjectionOptions,
};

/// Writes the position of each event it handles as a row of the caller's own, under its name.
#[derive(Debug)]
pub struct Recorder<H> {
    harness: Arc<H>,
    name: ProjectionName,
    filter: EventFilter,
}

impl<H: Harness> Recorder<H> {
    /// A recorder of everything.
    pub fn new(harness: Arc<H>, name: &str) -> Self {
        let name = ProjectionName::new(name).expect("a valid name");
        Recorder { harness, name, filter: EventFilter::default() }
    }

    /// A recorder of what the filter wants.
    #[must_use]
    pub fn with_filter(self, filter: EventFilter) -> Self {
        Recorder { filter, ..self }
    }

    /// Writes the row.
    pub async fn record(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
    ) -> Result<(), HandlerError> {
        let position = event.position().get();
        Ok(self.harness.insert_row(conn, self.name.as_str(), position).await?)
    }
}

impl<H: Harness> Projection for Recorder<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        &self.name
    }

    fn filter(&self) -> EventFilter {
        self.filter.clone()
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.record(conn, event).await
    }
}

/// A store with projections on it.
pub(super) struct Stage<H: Harness> {
    pub(super) harness: Arc<H>,
    pub(super) store: Fixture<Arc<H>>,
    pub(super) source: Arc<H::Source>,
}

impl<H: Harness> Stage<H> {
    pub(super) async fn new(harness: H) -> Self
    where
        H::Source: Clone,
    {
        let harness = Arc::new(harness);
        let store = Fixture::new(Arc::clone(&harness)).await;
        let source = Arc::new(store.source.clone());
        Stage { harness, store, source }
    }

    pub(super) fn recorder(&self, name: &str) -> Arc<Recorder<H>> {
        Arc::new(Recorder::new(Arc::clone(&self.harness), name))
    }

    /// A processor that is told to handle the whole projection.
    pub(super) fn processor<P: Projection<Connection = Conn<H>>>(
        &self,
        projection: &Arc<P>,
    ) -> Processor<H::Source> {
        self.processor_with(projection, options())
    }

    pub(super) fn processor_with<P: Projection<Connection = Conn<H>>>(
        &self,
        projection: &Arc<P>,
        options: ProjectionOptions,
    ) -> Processor<H::Source> {
        Processor::new(Arc::clone(&self.source))
            .with_projection_options(Arc::clone(projection), options)
            .with_assigned([Partition::ALL])
    }

    pub(super) fn operator(&self) -> Operator<'_, H::Source> {
        Operator::new(&self.source)
    }

    /// How the projection is doing; `None` if it is not registered.
    pub(super) async fn status_of(&self, name: &ProjectionName) -> Option<ProjectionStatus> {
        match self.operator().status_of(name).await {
            Err(OperatorError::UnknownProjection { .. }) => None,
            status => Some(status.expect("the status")),
        }
    }

    /// Positions handled under `name`, in the order their rows were written.
    pub(super) async fn handled(&self, name: &str) -> Vec<Position> {
        let mut conn = self.store.conn().await;
        let rows = self.harness.rows(&mut conn, name).await.expect("rows");
        rows.into_iter().map(|row| Position::try_from(row).expect("a position")).collect()
    }

    /// Checks that every event of the log which `filter` wants was handled once under `name`,
    /// and the events of each stream in order.
    pub(super) async fn assert_handled_once(&self, name: &str, filter: &EventFilter) {
        let handled = self.handled(name).await;
        let log = self.store.log().await;
        let wanted: BTreeMap<Position, &PersistedEvent> = log
            .iter()
            .filter(|event| filter.matches(event))
            .map(|event| (event.position(), event))
            .collect();
        let mut sorted = handled.clone();
        sorted.sort_unstable();
        let expected: Vec<Position> = wanted.keys().copied().collect();
        assert_eq!(sorted, expected, "{name}: every event once, none twice");
        let mut last: BTreeMap<&StreamId, Position> = BTreeMap::new();
        for position in handled {
            let before = last.insert(wanted[&position].stream(), position);
            assert!(before < Some(position), "{name}: {position} after {before:?} of its stream");
        }
    }

    pub(super) async fn checkpoint(&self, name: &str, partition: Partition) -> Position {
        let name = ProjectionName::new(name).expect("a valid name");
        let lag = self.operator().lag(&name).await.expect("the lag");
        let lag = lag.into_iter().find(|lag| lag.partition == partition);
        lag.expect("the partition is registered").checkpoint
    }
}

/// Small batches and short pauses.
pub(super) fn options() -> ProjectionOptions {
    ProjectionOptions::default()
        .with_batch_size_max(batch(7))
        .with_poll_interval_max(Duration::from_millis(5))
}

pub(super) fn batch(events_max: u32) -> NonZeroU32 {
    NonZeroU32::new(events_max).expect("a test handles at least one event")
}

/// Appends `count` events, each in a transaction of its own, spread over a few streams.
pub async fn append_numbers<H: Harness>(store: &Fixture<H>, count: i64) {
    for number in 0..count {
        let stream = StreamId::new("Test", "Thing", format!("stream-{}", number % 5));
        let event = Event::json("Happened", &number).expect("a valid event");
        store.append(&stream.expect("a valid name"), &[event]).await;
    }
}

/// Appends without waiting for a lock: an error that a new transaction cures is tried again.
pub(super) async fn append_stubbornly<H: Harness>(
    store: &Fixture<H>,
    stream: &StreamId,
    event: Event,
) {
    for _ in 0..10_000 {
        let Ok(mut tx) = store.source.begin().await else {
            continue;
        };
        let events = std::slice::from_ref(&event);
        let result = store.append_in(&mut tx, stream, ExpectedVersion::Any, events).await;
        let done = match result {
            Ok(_) => store.source.commit(tx).await.is_ok(),
            Err(error) => {
                assert!(error.is_retryable() || error.is_conflict(), "{error:?}");
                store.rollback(tx).await;
                false
            }
        };
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("10,000 attempts to append to {stream} failed");
}
