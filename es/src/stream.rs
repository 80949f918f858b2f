//! The events of a stream.

use crate::persisted_event::PersistedEvent;
use crate::stream_id::StreamId;
use crate::version::Version;

/// Events of one stream in version order: its whole history, or the range that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    id: StreamId,
    events: Vec<PersistedEvent>,
}

impl Stream {
    /// Puts together what a store has read; `events` are in version order.
    pub fn new(id: StreamId, events: Vec<PersistedEvent>) -> Self {
        Stream { id, events }
    }

    /// Whose events these are.
    pub fn id(&self) -> &StreamId {
        &self.id
    }

    /// The events, in version order.
    pub fn events(&self) -> &[PersistedEvent] {
        &self.events
    }

    /// The events, by value, in version order.
    pub fn into_events(self) -> Vec<PersistedEvent> {
        self.events
    }

    /// The version of the last event here; [`Version::NONE`] if there are none.
    ///
    /// After a full read this is what the next append expects:
    /// [`ExpectedVersion::Exact`](crate::version::ExpectedVersion::Exact)`(stream.version())`.
    pub fn version(&self) -> Version {
        self.events.last().map_or(Version::NONE, PersistedEvent::version)
    }

    /// Whether there are no events here.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events are here.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The events, in version order.
    pub fn iter(&self) -> std::slice::Iter<'_, PersistedEvent> {
        self.events.iter()
    }
}

impl<'a> IntoIterator for &'a Stream {
    type Item = &'a PersistedEvent;
    type IntoIter = std::slice::Iter<'a, PersistedEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Stream {
    type Item = PersistedEvent;
    type IntoIter = std::vec::IntoIter<PersistedEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}
