//! A stream: the events of one aggregate, and the three names that identify it.

use std::fmt;
use std::sync::Arc;

use crate::identifier::{InvalidIdentifier, identifier};
use crate::partition::Slot;
use crate::persisted_event::PersistedEvent;
use crate::version::Version;

/// The name of a stream: bounded context, aggregate type, aggregate id.
///
/// Each part has 1–255 bytes, no control characters and no white space at its ends; parts
/// compare byte for byte on every database. Cloning is cheap: the parts are shared.
///
/// ```
/// use es::StreamId;
///
/// let order = StreamId::new("Sales", "Order", "order-1")?;
/// assert_eq!(order.to_string(), "Sales/Order/order-1");
/// # Ok::<(), es::InvalidIdentifier>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    bounded_context: Arc<str>,
    aggregate_type: Arc<str>,
    aggregate_id: Arc<str>,
}

impl StreamId {
    /// Names the stream of one aggregate.
    pub fn new(
        bounded_context: impl AsRef<str>,
        aggregate_type: impl AsRef<str>,
        aggregate_id: impl AsRef<str>,
    ) -> Result<Self, InvalidIdentifier> {
        Ok(StreamId {
            bounded_context: identifier("bounded context", bounded_context.as_ref())?,
            aggregate_type: identifier("aggregate type", aggregate_type.as_ref())?,
            aggregate_id: identifier("aggregate id", aggregate_id.as_ref())?,
        })
    }

    /// A name read back from a store, which has been through [`StreamId::new`] before.
    pub(crate) fn from_stored(
        bounded_context: Arc<str>,
        aggregate_type: Arc<str>,
        aggregate_id: Arc<str>,
    ) -> Self {
        StreamId { bounded_context, aggregate_type, aggregate_id }
    }

    /// The part of the domain the aggregate belongs to, such as `Sales`.
    pub fn bounded_context(&self) -> &str {
        &self.bounded_context
    }

    /// The kind of aggregate, such as `Order`.
    pub fn aggregate_type(&self) -> &str {
        &self.aggregate_type
    }

    /// Which aggregate of its kind.
    pub fn aggregate_id(&self) -> &str {
        &self.aggregate_id
    }

    /// The slot of the aggregate id, which decides the partition of all its events.
    pub fn slot(&self) -> Slot {
        Slot::of(&self.aggregate_id)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.bounded_context, self.aggregate_type, self.aggregate_id)
    }
}

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
