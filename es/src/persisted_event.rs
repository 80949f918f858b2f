//! An event as the store holds it, and how an adapter makes one from a row.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use thiserror::Error;
use uuid::Uuid;

use crate::error::StoreError;
use crate::event::Event;
use crate::position::Position;
use crate::slot::Slot;
use crate::stream_id::StreamId;
use crate::version::Version;

/// An event as the store holds it: with its stream, version and position.
///
/// Payload and metadata stay raw bytes until asked for. Cloning is cheap: strings and bytes
/// are shared.
///
/// Two are equal if they are the same event at the same place. When the database has recorded it is
/// not compared, for an append does not learn it.
#[derive(Debug, Clone)]
pub struct PersistedEvent {
    position: Position,
    version: Version,
    stream: StreamId,
    event: Event,
    recorded_at: Option<DateTime<Utc>>,
}

impl PartialEq for PersistedEvent {
    fn eq(&self, other: &Self) -> bool {
        (self.position, self.version) == (other.position, other.version)
            && self.stream == other.stream
            && self.event == other.event
    }
}

impl PersistedEvent {
    /// The event `event` of `stream` with what the store gave it.
    pub fn new(position: Position, version: Version, stream: StreamId, event: Event) -> Self {
        PersistedEvent { position, version, stream, event, recorded_at: None }
    }

    /// Sets when the store recorded it.
    #[must_use]
    pub fn with_recorded_at(self, recorded_at: DateTime<Utc>) -> Self {
        PersistedEvent { recorded_at: Some(recorded_at), ..self }
    }

    /// Decodes a row; fails with [`StoreError::Corrupt`] if it holds what no append wrote.
    pub fn from_record(
        record: EventRecord<'_>,
        shared: &mut SharedStrings,
    ) -> Result<Self, StoreError> {
        let row = record.global_position;
        let corrupt = |what: &str| StoreError::corrupt(format!("event {row} has {what}"));
        let position = Position::try_from(row).ok().filter(|at| *at > Position::START);
        let version = Version::try_from(record.aggregate_version).ok();
        if record.metadata.as_deref().is_some_and(|json| str::from_utf8(json).is_err()) {
            return Err(corrupt("metadata that is no text"));
        }
        Ok(PersistedEvent {
            position: position.ok_or_else(|| corrupt("a position below 1"))?,
            version: version
                .filter(|version| *version > Version::NONE)
                .ok_or_else(|| corrupt("an aggregate version below 1"))?,
            stream: StreamId::from_stored(
                shared.share(record.bounded_context),
                shared.share(record.aggregate_type),
                shared.share_aggregate_id(record.aggregate_id),
            ),
            event: Event {
                id: record.event_id,
                event_type: shared.share(record.event_type),
                event_version: u16::try_from(record.event_version)
                    .map_err(|_| corrupt("an event version outside 0 to 65535"))?,
                payload: record.payload,
                metadata: record.metadata,
                correlation_id: record.correlation_id.map(Arc::from),
                causation_id: record.causation_id.map(Arc::from),
                trace_id: record.trace_id.map(Arc::from),
                created_at: record.created_at,
            },
            recorded_at: Some(record.recorded_at),
        })
    }

    /// The place in the global order.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The place in its stream, from 1.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// What was appended.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The bounded context of its stream.
    pub fn bounded_context(&self) -> &str {
        self.stream.bounded_context()
    }

    /// The aggregate type of its stream.
    pub fn aggregate_type(&self) -> &str {
        self.stream.aggregate_type()
    }

    /// The aggregate id of its stream.
    pub fn aggregate_id(&self) -> &str {
        self.stream.aggregate_id()
    }

    /// The slot of its aggregate id.
    pub fn slot(&self) -> Slot {
        self.stream.slot()
    }

    /// The event id, unique in the store.
    pub fn id(&self) -> Uuid {
        self.event.id
    }

    /// What happened, such as `OrderPlaced`.
    pub fn event_type(&self) -> &str {
        &self.event.event_type
    }

    /// The version of the event type's own schema.
    pub fn event_version(&self) -> u16 {
        self.event.event_version
    }

    /// The payload, as appended.
    pub fn payload(&self) -> &[u8] {
        &self.event.payload
    }

    /// The payload, decoded from JSON.
    pub fn payload_json<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.decode("payload", &self.event.payload)
    }

    /// The metadata, a JSON text; the store may have changed its white space and key order.
    pub fn metadata(&self) -> Option<&str> {
        self.event.metadata()
    }

    /// The metadata, decoded from JSON; `None` if there is none.
    pub fn metadata_json<T: DeserializeOwned>(&self) -> Result<Option<T>, DecodeError> {
        let json = self.event.metadata.as_deref();
        json.map(|json| self.decode("metadata", json)).transpose()
    }

    /// The id that all events of one conversation share.
    pub fn correlation_id(&self) -> Option<&str> {
        self.event.correlation_id()
    }

    /// The id of the event or command that caused this event.
    pub fn causation_id(&self) -> Option<&str> {
        self.event.causation_id()
    }

    /// The id of the distributed trace.
    pub fn trace_id(&self) -> Option<&str> {
        self.event.trace_id()
    }

    /// When the event happened, to the microsecond, in UTC, as its writer said.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.event.created_at
    }

    /// When the event was written, to the microsecond, in UTC, by the database's clock; `None` of
    /// the events that an append gives back, for it does not ask. Later positions may have earlier
    /// times, by as long as appends take or the clock is set back.
    pub fn recorded_at(&self) -> Option<DateTime<Utc>> {
        self.recorded_at
    }

    fn decode<T: DeserializeOwned>(
        &self,
        part: &'static str,
        json: &[u8],
    ) -> Result<T, DecodeError> {
        serde_json::from_slice(json).map_err(|source| DecodeError {
            part,
            position: self.position,
            event_type: Arc::clone(&self.event.event_type),
            source,
        })
    }
}

/// What was appended, to append it elsewhere: with the same id, ids, times of its writer and
/// metadata.
impl From<PersistedEvent> for Event {
    fn from(event: PersistedEvent) -> Self {
        event.event
    }
}

/// A payload or metadata that is not the JSON the reader asked for.
#[derive(Debug, Error)]
#[error("the {part} of event {position} ({event_type}) does not decode as the type asked for")]
pub struct DecodeError {
    part: &'static str,
    position: Position,
    event_type: Arc<str>,
    source: serde_json::Error,
}

impl DecodeError {
    /// Where the event stands.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// One row of the events table as an adapter reads it, before any check.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is the column of its name")]
pub struct EventRecord<'row> {
    pub global_position: i64,
    pub bounded_context: &'row str,
    pub aggregate_type: &'row str,
    pub aggregate_id: &'row str,
    pub aggregate_version: i64,
    pub event_id: Uuid,
    pub event_type: &'row str,
    pub event_version: i64,
    pub payload: Bytes,
    pub metadata: Option<Bytes>,
    pub correlation_id: Option<&'row str>,
    pub causation_id: Option<&'row str>,
    pub trace_id: Option<&'row str>,
    pub created_at: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
}

/// The strings that repeat within one read, each kept once.
///
/// Make one for each read and drop it with the read, so that it never outgrows one batch.
#[derive(Debug, Default)]
pub struct SharedStrings {
    strings: HashSet<Arc<str>>,
    last_aggregate_id: Option<Arc<str>>,
}

impl SharedStrings {
    fn share(&mut self, string: &str) -> Arc<str> {
        if let Some(shared) = self.strings.get(string) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = string.into();
        self.strings.insert(Arc::clone(&shared));
        shared
    }

    /// Aggregate ids rarely repeat but in runs, so only the last one is kept.
    fn share_aggregate_id(&mut self, string: &str) -> Arc<str> {
        match &self.last_aggregate_id {
            Some(last) if **last == *string => Arc::clone(last),
            _ => Arc::clone(self.last_aggregate_id.insert(string.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_is_no_text_is_an_error_and_no_panic() {
        let record = |metadata: &'static [u8]| EventRecord {
            global_position: 1,
            bounded_context: "c",
            aggregate_type: "t",
            aggregate_id: "i",
            aggregate_version: 1,
            event_id: Uuid::nil(),
            event_type: "E",
            event_version: 1,
            payload: Bytes::new(),
            metadata: Some(Bytes::from_static(metadata)),
            correlation_id: None,
            causation_id: None,
            trace_id: None,
            created_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
        };
        let read =
            |metadata| PersistedEvent::from_record(record(metadata), &mut SharedStrings::default());
        assert_eq!(read(b"{}").unwrap().metadata(), Some("{}"));
        let error = read(b"\xff").unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
}
