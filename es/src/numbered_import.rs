//! Importing by an adapter's bulk insert.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use crate::error::StoreError;
use crate::event::Event;
use crate::event_log::EventLog;
use crate::import::{Chunks, ImportError, ImportResult};
use crate::position::Position;
use crate::stream_id::StreamId;
use crate::version::Version;

/// Of how many streams an import remembers the version; more are looked up again.
const STREAMS_REMEMBERED_MAX: usize = 100_000;

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
    /// everything is sent and dropped, and before it waits for the server: that pulls the next
    /// events from the caller's iterator, so that both overlap.
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

/// [`EventStore::import`](crate::EventStore::import), given an adapter's bulk insert: cuts the
/// events into chunks and counts each stream on from the version it has.
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
}
