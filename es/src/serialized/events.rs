//! Events and their streams.

use std::borrow::Cow;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::payload::Payload;
use super::written_as;
use crate::event::{Event, InvalidEvent};
use crate::identifier::InvalidIdentifier;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::stream_id::StreamId;
use crate::version::Version;

#[derive(Serialize, Deserialize)]
#[serde(rename = "StreamId")]
struct StreamForm<'a> {
    bounded_context: Cow<'a, str>,
    aggregate_type: Cow<'a, str>,
    aggregate_id: Cow<'a, str>,
}

impl<'a> From<&'a StreamId> for StreamForm<'a> {
    fn from(stream: &'a StreamId) -> Self {
        StreamForm {
            bounded_context: stream.bounded_context().into(),
            aggregate_type: stream.aggregate_type().into(),
            aggregate_id: stream.aggregate_id().into(),
        }
    }
}

impl TryFrom<StreamForm<'_>> for StreamId {
    type Error = InvalidIdentifier;

    fn try_from(form: StreamForm<'_>) -> Result<Self, InvalidIdentifier> {
        StreamId::new(form.bounded_context, form.aggregate_type, form.aggregate_id)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Event")]
struct EventForm<'a> {
    id: Uuid,
    event_type: Cow<'a, str>,
    event_version: u16,
    payload: Payload<'a>,
    metadata: Option<Cow<'a, str>>,
    correlation_id: Option<Cow<'a, str>>,
    causation_id: Option<Cow<'a, str>>,
    trace_id: Option<Cow<'a, str>>,
    created_at: DateTime<Utc>,
}

impl<'a> From<&'a Event> for EventForm<'a> {
    fn from(event: &'a Event) -> Self {
        EventForm {
            id: event.id(),
            event_type: event.event_type().into(),
            event_version: event.event_version(),
            payload: Payload(event.payload().into()),
            metadata: event.metadata().map(Cow::from),
            correlation_id: event.correlation_id().map(Cow::from),
            causation_id: event.causation_id().map(Cow::from),
            trace_id: event.trace_id().map(Cow::from),
            created_at: event.created_at(),
        }
    }
}

impl TryFrom<EventForm<'_>> for Event {
    type Error = InvalidEvent;

    fn try_from(form: EventForm<'_>) -> Result<Self, InvalidEvent> {
        let mut event = Event::new(form.event_type, form.payload.0.into_owned())?
            .with_id(form.id)
            .with_event_version(form.event_version)
            .with_created_at(form.created_at);
        if let Some(json) = form.metadata {
            event = event.with_metadata_json(json.into_owned())?;
        }
        if let Some(id) = form.correlation_id {
            event = event.with_correlation_id(id)?;
        }
        if let Some(id) = form.causation_id {
            event = event.with_causation_id(id)?;
        }
        if let Some(id) = form.trace_id {
            event = event.with_trace_id(id)?;
        }
        Ok(event)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "PersistedEvent")]
struct PersistedEventForm<'a> {
    position: Position,
    version: Version,
    stream: Cow<'a, StreamId>,
    event: Cow<'a, Event>,
    recorded_at: Option<DateTime<Utc>>,
}

impl<'a> From<&'a PersistedEvent> for PersistedEventForm<'a> {
    fn from(event: &'a PersistedEvent) -> Self {
        PersistedEventForm {
            position: event.position(),
            version: event.version(),
            stream: Cow::Borrowed(event.stream()),
            event: Cow::Borrowed(event.event()),
            recorded_at: event.recorded_at(),
        }
    }
}

/// No store has given an event such a place.
#[derive(Debug, Error)]
#[error(
    "a stored event has a position and a version of at least 1, and not {position} and {version}"
)]
struct NoPlace {
    position: Position,
    version: Version,
}

impl TryFrom<PersistedEventForm<'_>> for PersistedEvent {
    type Error = NoPlace;

    fn try_from(form: PersistedEventForm<'_>) -> Result<Self, NoPlace> {
        let PersistedEventForm { position, version, stream, event, recorded_at } = form;
        if position == Position::START || version == Version::NONE {
            return Err(NoPlace { position, version });
        }
        let (stream, event) = (stream.into_owned(), event.into_owned());
        let event = PersistedEvent::new(position, version, stream, event);
        Ok(match recorded_at {
            Some(at) => event.with_recorded_at(at.trunc_subsecs(6)),
            None => event,
        })
    }
}

written_as! {
    StreamId => StreamForm<'_>;
    Event => EventForm<'_>;
    PersistedEvent => PersistedEventForm<'_>;
}
