//! Importing: many events of many streams at once, such as the log of another store.

use thiserror::Error;
use uuid::Uuid;

use crate::error::StoreError;
use crate::event::Event;
use crate::invalid_append::InvalidAppend;
use crate::invalid_append::validate_event;
use crate::position::Position;
use crate::stream_id::StreamId;

/// How many events an import takes, and holds in memory, at a time.
const CHUNK_EVENTS_MAX: usize = 10_000;

/// After how many bytes of payload and metadata a chunk is full: 8 MiB.
const CHUNK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an import has written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

/// The events of an import, checked and cut to what fits into memory.
pub(crate) struct Chunks<I> {
    pub(crate) events: I,
    /// How many were taken so far.
    pub(crate) count: usize,
}

impl<I: Iterator<Item = (StreamId, Event)>> Chunks<I> {
    pub(crate) fn next(&mut self) -> Result<Option<Vec<(StreamId, Event)>>, InvalidAppend> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(stream: &str) -> (StreamId, Event) {
        let id = StreamId::new("c", "t", stream).expect("a valid name");
        (id, Event::new("E", vec![0; 100]).expect("a valid event"))
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
