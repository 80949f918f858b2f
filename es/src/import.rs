//! Importing: many events of many streams at once, such as the log of another store.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use thiserror::Error;
use uuid::Uuid;

use crate::append::validate_event;
use crate::append::{APPEND_EVENTS_MAX, InvalidAppend, validate_append};
use crate::error::{AppendError, StoreError};
use crate::event::Event;
use crate::event_log::EventLog;
use crate::position::Position;
use crate::stream::StreamId;
use crate::version::{ExpectedVersion, Version};

/// How many events an import takes, and holds in memory, at a time.
const CHUNK_EVENTS_MAX: usize = 10_000;

/// After how many bytes of payload and metadata a chunk is full: 8 MiB.
const CHUNK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Of how many streams an import remembers the version; more are looked up again.
const STREAMS_REMEMBERED_MAX: usize = 100_000;

/// What an import has written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ImportResult {
    /// How many events.
    pub events: u64,
    /// The position of the last one; [`Position::START`] if there were none.
    pub last_position: Position,
}

/// Why an import did not succeed. Roll its transaction back: some of the events may be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// An event would not be taken by an append either; the index counts from the first event of
    /// the import.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),

    /// An event id is in the store already, or twice in the import: was it imported before?
    #[error("event id {event_id} is taken: leave out what was imported before")]
    DuplicateEventId {
        /// The id that is taken.
        event_id: Uuid,
    },

    /// The database did not do what it was asked. [`StoreError::Retryable`] says, too, that
    /// another writer appended to one of the streams.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event with the place it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedEvent {
    /// Its stream.
    pub stream: StreamId,
    /// Its version there.
    pub version: Version,
    /// The event.
    pub event: Event,
}

/// What an adapter adds to [`import_numbered`]: the SQL of a bulk insert.
pub trait ImportStatements: EventLog {
    /// Whatever has to come before the first position is drawn.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoTransaction`] if none is open and the database needs one.
    fn begin_import(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The versions of those of `streams` that have events, in any order.
    ///
    /// # Errors
    ///
    /// The database did not do what it was asked.
    fn stream_versions(
        &self,
        conn: &mut Self::Connection,
        streams: &[&StreamId],
    ) -> impl Future<Output = Result<Vec<(StreamId, Version)>, StoreError>> + Send;

    /// Inserts events at ascending positions, in the order given; gives the last position.
    ///
    /// Takes all of `events`: their versions are counted as it does. May call `meanwhile` after
    /// everything is sent and dropped, and before it waits for the server: that pulls the next events
    /// from the caller's iterator, so that both overlap.
    ///
    /// # Errors
    ///
    /// [`ImportError::DuplicateEventId`]; [`StoreError::Retryable`] if a version is taken.
    fn insert_numbered(
        &self,
        conn: &mut Self::Connection,
        events: impl Iterator<Item = NumberedEvent> + Send,
        meanwhile: impl FnOnce() + Send,
    ) -> impl Future<Output = Result<Position, ImportError>> + Send;
}

/// [`EventStore::import`](crate::EventStore::import), given an adapter's bulk insert: cuts the events into chunks and counts
/// each stream on from the version it has.
///
/// # Errors
///
/// As [`EventStore::import`](crate::EventStore::import).
///
/// # Cancel safety
///
/// As [`EventStore`](crate::EventStore).
pub async fn import_numbered<S: ImportStatements>(
    store: &S,
    conn: &mut S::Connection,
    events: impl Iterator<Item = (StreamId, Event)> + Send,
) -> Result<ImportResult, ImportError> {
    store.begin_import(conn).await?;
    let mut chunks = Chunks { events, count: 0 };
    let mut versions = Versions::default();
    let mut last_position = Position::START;
    let mut next = chunks.next()?;
    while let Some(chunk) = next {
        let unknown = versions.unknown(&chunk);
        if !unknown.is_empty() {
            let found = store.stream_versions(conn, &unknown).await?;
            versions.learn(&unknown, found);
        }
        let numbered = versions.number(chunk);
        let mut taken = None;
        let take = || taken = Some(chunks.next());
        last_position = store.insert_numbered(conn, numbered, take).await?;
        next = taken.unwrap_or_else(|| chunks.next())?;
    }
    Ok(ImportResult { events: chunks.count as u64, last_position })
}

/// [`EventStore::import`](crate::EventStore::import) by appends: one for each run of events of the same stream.
///
/// # Errors
///
/// As [`EventStore::import`](crate::EventStore::import).
pub(crate) async fn import_by_appends<S: EventLog + ?Sized>(
    store: &S,
    conn: &mut S::Connection,
    events: impl Iterator<Item = (StreamId, Event)> + Send,
) -> Result<ImportResult, ImportError> {
    let mut chunks = Chunks { events, count: 0 };
    let mut result = ImportResult::default();
    while let Some(chunk) = chunks.next()? {
        for run in chunk.chunk_by(|(one, _), (other, _)| one == other) {
            let events: Vec<Event> = run.iter().map(|(_, event)| event.clone()).collect();
            for events in events.chunks(APPEND_EVENTS_MAX) {
                result.last_position = append(store, conn, &run[0].0, events).await?;
            }
        }
        result.events = chunks.count as u64;
    }
    Ok(result)
}

async fn append<S: EventLog + ?Sized>(
    store: &S,
    conn: &mut S::Connection,
    stream: &StreamId,
    events: &[Event],
) -> Result<Position, ImportError> {
    let appended = match validate_append(events) {
        Ok(()) => store.append_valid(conn, stream, ExpectedVersion::Any, events).await,
        Err(invalid) => Err(invalid.into()),
    };
    match appended {
        Ok(appended) if appended.is_replay() => {
            Err(ImportError::DuplicateEventId { event_id: events[0].id() })
        }
        Ok(appended) => Ok(appended.last_position()),
        Err(
            AppendError::Invalid(InvalidAppend::RepeatedEventId { event_id, .. })
            | AppendError::DuplicateEventId { event_id, .. },
        ) => Err(ImportError::DuplicateEventId { event_id }),
        Err(AppendError::Invalid(error)) => Err(error.into()),
        Err(AppendError::Store(error)) => Err(error.into()),
        Err(error @ AppendError::Conflict { .. }) => Err(StoreError::database(error).into()),
    }
}

/// The events of an import, checked and cut to what fits into memory.
struct Chunks<I> {
    events: I,
    /// How many were taken so far.
    count: usize,
}

impl<I: Iterator<Item = (StreamId, Event)>> Chunks<I> {
    fn next(&mut self) -> Result<Option<Vec<(StreamId, Event)>>, InvalidAppend> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < CHUNK_EVENTS_MAX && bytes < CHUNK_BYTES_MAX {
            let Some((stream, event)) = self.events.next() else { break };
            validate_event(self.count, &event)?;
            bytes += event.size();
            self.count += 1;
            chunk.push((stream, event));
        }
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}

/// The versions of the streams of an import.
#[derive(Debug, Default)]
struct Versions {
    known: HashMap<StreamId, Version>,
}

impl Versions {
    /// The streams of the chunk whose versions must be looked up, each once.
    fn unknown<'c>(&mut self, chunk: &'c [(StreamId, Event)]) -> Vec<&'c StreamId> {
        if self.known.len() > STREAMS_REMEMBERED_MAX {
            self.known.clear();
        }
        let streams = chunk.iter().map(|(stream, _)| stream);
        let unknown: HashSet<&StreamId> = streams.filter(|s| !self.known.contains_key(s)).collect();
        unknown.into_iter().collect()
    }

    /// Remembers what was found of the streams that were asked for.
    fn learn(&mut self, asked: &[&StreamId], found: Vec<(StreamId, Version)>) {
        self.known.extend(asked.iter().map(|&stream| (stream.clone(), Version::NONE)));
        self.known.extend(found);
    }

    /// Gives each event the version after its stream's last.
    fn number(&mut self, chunk: Vec<(StreamId, Event)>) -> impl Iterator<Item = NumberedEvent> {
        chunk.into_iter().map(|(stream, event)| {
            let last = self.known.entry(stream.clone()).or_insert(Version::NONE);
            *last = last.next();
            NumberedEvent { version: *last, stream, event }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(stream: &str) -> (StreamId, Event) {
        let id = StreamId::new("c", "t", stream).expect("a valid name");
        (id, Event::new("E", vec![0; 100]).expect("a valid event"))
    }

    #[test]
    fn versions_count_on_from_what_was_found() {
        let chunk: Vec<_> = ["a", "b", "a", "c", "a"].map(event).into();
        let mut versions = Versions::default();
        let unknown = versions.unknown(&chunk);
        assert_eq!(unknown.len(), 3);
        versions.learn(&unknown, vec![(event("b").0, Version::from(7))]);
        let numbered = versions.number(chunk.clone());
        let numbers: Vec<i64> = numbered.map(|event| event.version.get()).collect();
        assert_eq!(numbers, [1, 8, 2, 1, 3]);
        assert!(versions.unknown(&chunk).is_empty(), "they are known by now");
        let again = versions.number(chunk).next();
        assert_eq!(again.map(|event| event.version), Some(Version::from(4)));
    }

    #[test]
    fn chunks_are_bounded_by_count_and_by_bytes() {
        let sizes = |count: usize, bytes: usize| {
            let one = event("a").0;
            let events = (0..count)
                .map(|_| (one.clone(), Event::new("E", vec![0; bytes]).expect("a valid event")));
            let mut chunks = Chunks { events, count: 0 };
            let mut sizes = Vec::new();
            while let Some(chunk) = chunks.next().expect("valid events") {
                sizes.push(chunk.len());
            }
            sizes
        };
        assert_eq!(sizes(0, 1), [0; 0]);
        assert_eq!(sizes(25_000, 1), [10_000, 10_000, 5_000]);
        assert_eq!(sizes(20, 1024 * 1024), [8, 8, 4]);
    }
}
