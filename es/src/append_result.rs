//! What an append gives back.

use crate::event::Event;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::stream_id::StreamId;
use crate::version::Version;

/// What one append stored, now or when it was first made: just its own events, in order, never
/// none.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendResult {
    events: Vec<PersistedEvent>,
    replayed: bool,
}

impl AppendResult {
    /// The events of an append that was just written: consecutive versions from `first_version`,
    /// at `positions`, which are as many as `events`. Payloads are shared, not copied.
    pub fn written(
        stream: &StreamId,
        events: &[Event],
        first_version: Version,
        positions: impl IntoIterator<Item = Position>,
    ) -> Self {
        AppendResult {
            events: persisted(stream, events, first_version, positions),
            replayed: false,
        }
    }

    /// The events of an append that was made before, at `positions`.
    pub(crate) fn repeated(
        stream: &StreamId,
        events: &[Event],
        first_version: Version,
        positions: impl IntoIterator<Item = Position>,
    ) -> Self {
        let events = persisted(stream, events, first_version, positions);
        AppendResult { events, replayed: true }
    }

    /// The events as they were given to this append, with the versions and positions the store
    /// holds them at. Of a [repetition](AppendResult::is_replay) the store compared the ids only:
    /// should payload, metadata or time differ from what was appended first, it holds the first.
    pub fn events(&self) -> &[PersistedEvent] {
        &self.events
    }

    /// The events, by value.
    pub fn into_events(self) -> Vec<PersistedEvent> {
        self.events
    }

    /// The positions, ascending.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = Position> + '_ {
        self.events.iter().map(PersistedEvent::position)
    }

    /// The position of the last event: what a reader waits for to see its own write.
    pub fn last_position(&self) -> Position {
        self.events.last().map_or(Position::START, PersistedEvent::position)
    }

    /// The version of the stream before the append.
    pub fn from_version(&self) -> Version {
        self.events.first().map_or(Version::NONE, |event| event.version().previous())
    }

    /// The version of the stream after the append.
    pub fn to_version(&self) -> Version {
        self.events.last().map_or(Version::NONE, PersistedEvent::version)
    }

    /// Whether the store already held exactly these events, by id, and wrote nothing now.
    pub fn is_replay(&self) -> bool {
        self.replayed
    }
}

fn persisted(
    stream: &StreamId,
    events: &[Event],
    first_version: Version,
    positions: impl IntoIterator<Item = Position>,
) -> Vec<PersistedEvent> {
    let numbered = events.iter().zip(positions).enumerate();
    numbered
        .map(|(index, (event, position))| {
            let version = first_version.saturating_add(index);
            PersistedEvent::new(position, version, stream.clone(), event.clone())
        })
        .collect()
}
