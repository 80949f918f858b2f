//! An event before it is stored.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use crate::identifier::{InvalidIdentifier, identifier};

/// Something that happened to an aggregate, not stored yet.
///
/// The store gives it a version and a position when it is appended, see [`PersistedEvent`].
/// Cloning is cheap: type, payload and metadata are shared.
///
/// ```
/// use es::Event;
/// use serde_json::json;
///
/// let placed = Event::json("OrderPlaced", &json!({ "total": 4200 }))?
///     .with_metadata(&json!({ "user": "ada" }))?;
/// assert_eq!(placed.event_type(), "OrderPlaced");
/// assert_eq!(placed.payload(), br#"{"total":4200}"#);
/// # Ok::<(), es::InvalidEvent>(())
/// ```
///
/// [`PersistedEvent`]: crate::persisted_event::PersistedEvent
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub(crate) id: Uuid,
    pub(crate) event_type: Arc<str>,
    pub(crate) event_version: u16,
    pub(crate) payload: Bytes,
    pub(crate) metadata: Option<Bytes>,
    pub(crate) correlation_id: Option<Arc<str>>,
    pub(crate) causation_id: Option<Arc<str>>,
    pub(crate) trace_id: Option<Arc<str>>,
    pub(crate) created_at: DateTime<Utc>,
}

impl Event {
    /// An event whose payload is bytes in any encoding, created now, with a new version 7 id.
    ///
    /// The event type obeys the same rule as the parts of a
    /// [`StreamId`](crate::stream_id::StreamId). The payload may have up to
    /// [`PAYLOAD_BYTES_MAX`](crate::invalid_append::PAYLOAD_BYTES_MAX) bytes, which the append
    /// checks.
    pub fn new(
        event_type: impl AsRef<str>,
        payload: impl Into<Bytes>,
    ) -> Result<Self, InvalidEvent> {
        Ok(Event {
            id: Uuid::now_v7(),
            event_type: identifier("event type", event_type.as_ref())?,
            event_version: 1,
            payload: payload.into(),
            metadata: None,
            correlation_id: None,
            causation_id: None,
            trace_id: None,
            created_at: Utc::now().trunc_subsecs(6),
        })
    }

    /// An event whose payload is `value` as JSON, created now, with a new version 7 id.
    pub fn json(event_type: impl AsRef<str>, value: &impl Serialize) -> Result<Self, InvalidEvent> {
        let payload = serde_json::to_vec(value).map_err(InvalidEvent::Payload)?;
        Event::new(event_type, payload)
    }

    /// Replaces the event id, which no other event of the store may have.
    ///
    /// A caller that may have to repeat an append (the connection was lost at commit) repeats it
    /// with the same ids, and the store answers what it already holds.
    #[must_use]
    pub fn with_id(self, id: Uuid) -> Self {
        Event { id, ..self }
    }

    /// Sets the version of the event type's own schema; 1 unless set.
    #[must_use]
    pub fn with_event_version(self, event_version: u16) -> Self {
        Event { event_version, ..self }
    }

    /// Sets the metadata to `value` as JSON.
    pub fn with_metadata(self, value: &impl Serialize) -> Result<Self, InvalidEvent> {
        let metadata = serde_json::to_vec(value).map_err(InvalidEvent::Metadata)?;
        self.with_metadata_json(metadata)
    }

    /// Sets the metadata to a text that already is JSON, nested 128 levels at most.
    pub fn with_metadata_json(self, json: impl Into<Bytes>) -> Result<Self, InvalidEvent> {
        let metadata = json.into();
        // Read as a value, and not skipped over: that looks at the bytes inside strings, and stops
        // at 128 levels, long before a database would.
        serde_json::from_slice::<serde_json::Value>(&metadata).map_err(InvalidEvent::Metadata)?;
        Ok(Event { metadata: Some(metadata), ..self })
    }

    /// Sets the id that all events of one conversation share: a UUID, a ULID, `req_42`, or whatever
    /// else the application has.
    ///
    /// It obeys the same rule as the parts of a [`StreamId`](crate::stream_id::StreamId), as the
    /// two other ids do.
    pub fn with_correlation_id(self, id: impl AsRef<str>) -> Result<Self, InvalidEvent> {
        let correlation_id = Some(identifier("correlation id", id.as_ref())?);
        Ok(Event { correlation_id, ..self })
    }

    /// Sets the id of the event or command that caused this event.
    pub fn with_causation_id(self, id: impl AsRef<str>) -> Result<Self, InvalidEvent> {
        let causation_id = Some(identifier("causation id", id.as_ref())?);
        Ok(Event { causation_id, ..self })
    }

    /// Sets the id of the distributed trace: 32 hexadecimal digits, a whole `traceparent`, or what
    /// another tracer has.
    pub fn with_trace_id(self, id: impl AsRef<str>) -> Result<Self, InvalidEvent> {
        let trace_id = Some(identifier("trace id", id.as_ref())?);
        Ok(Event { trace_id, ..self })
    }

    /// Sets when the event happened; the part below a microsecond is cut off.
    #[must_use]
    pub fn with_created_at(self, created_at: DateTime<Utc>) -> Self {
        Event { created_at: created_at.trunc_subsecs(6), ..self }
    }

    /// The event id, unique in the store.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What happened, such as `OrderPlaced`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The version of the event type's own schema, from 1.
    pub fn event_version(&self) -> u16 {
        self.event_version
    }

    /// The payload, as given.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The metadata, a JSON text.
    pub fn metadata(&self) -> Option<&str> {
        let text =
            |json| std::str::from_utf8(json).expect("it was checked when it was set or read");
        self.metadata.as_deref().map(text)
    }

    /// The id that all events of one conversation share.
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// The id of the event or command that caused this event.
    pub fn causation_id(&self) -> Option<&str> {
        self.causation_id.as_deref()
    }

    /// The id of the distributed trace.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// When the event happened, to the microsecond, in UTC.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// The bytes of payload and metadata.
    pub(crate) fn size(&self) -> usize {
        self.payload.len() + self.metadata.as_ref().map_or(0, Bytes::len)
    }
}

/// An event that cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// The event type, or another name of the event, breaks the rule for identifiers.
    #[error(transparent)]
    Identifier(#[from] InvalidIdentifier),
    /// The payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
    /// The metadata cannot be written as JSON, or is not a JSON text.
    #[error("the metadata is not valid JSON")]
    Metadata(#[source] serde_json::Error),
}
