//! What no store would append.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, Utc};
use thiserror::Error;
use uuid::Uuid;

use crate::event::Event;

/// The largest number of events one append takes.
///
/// SQLite binds at most 32,766 values to a statement and an append is one statement, so the
/// limit is the same on every store. Split more into several appends of one transaction.
pub const APPEND_EVENTS_MAX: usize = 3000;

/// The largest payload, in bytes: 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest metadata, in bytes: 1 MiB.
pub const METADATA_BYTES_MAX: usize = 1024 * 1024;

/// The largest append, in bytes of payload and metadata: 256 MiB.
pub const APPEND_BYTES_MAX: usize = 256 * 1024 * 1024;

/// An append that no store would take; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidAppend {
    /// There is no event.
    #[error("nothing to append: the list of events is empty")]
    NoEvents,
    /// There are more than [`APPEND_EVENTS_MAX`] events.
    #[error(
        "{count} events in one append, {APPEND_EVENTS_MAX} at most: \
         split them into several appends of one transaction"
    )]
    TooManyEvents {
        /// How many there are.
        count: usize,
    },
    /// A payload has more than [`PAYLOAD_BYTES_MAX`] bytes.
    #[error(
        "the payload of event {index} has {bytes} bytes, {PAYLOAD_BYTES_MAX} at most: \
         store it elsewhere and put a reference in the event"
    )]
    PayloadTooLarge {
        /// Which of the events, from 0.
        index: usize,
        /// The payload's length.
        bytes: usize,
    },
    /// The metadata has more than [`METADATA_BYTES_MAX`] bytes.
    #[error(
        "the metadata of event {index} has {bytes} bytes, {METADATA_BYTES_MAX} at most: \
         move what is large into the payload"
    )]
    MetadataTooLarge {
        /// Which of the events, from 0.
        index: usize,
        /// The metadata's length.
        bytes: usize,
    },
    /// All events together have more than [`APPEND_BYTES_MAX`] bytes.
    #[error(
        "{bytes} bytes in one append, {APPEND_BYTES_MAX} at most: \
         split them into several appends of one transaction"
    )]
    AppendTooLarge {
        /// The length of all payloads and metadata.
        bytes: usize,
    },
    /// Two of the events have the same id.
    #[error("event {index} repeats the event id {event_id}: each event needs its own")]
    RepeatedEventId {
        /// Which of the events, from 0.
        index: usize,
        /// The id it shares with an earlier one.
        event_id: Uuid,
    },
    /// The time lies outside the years 1000 to 9999, which not every database can hold.
    #[error("event {index} was created at {created_at}: the year must be 1000 to 9999")]
    CreatedAtOutOfRange {
        /// Which of the events, from 0.
        index: usize,
        /// The time it carries.
        created_at: DateTime<Utc>,
    },
}

/// Checks what holds for every store, before the first statement.
pub fn validate_append(events: &[Event]) -> Result<(), InvalidAppend> {
    if events.is_empty() {
        return Err(InvalidAppend::NoEvents);
    }
    if events.len() > APPEND_EVENTS_MAX {
        return Err(InvalidAppend::TooManyEvents { count: events.len() });
    }
    let bytes = events.iter().map(Event::size).sum();
    if bytes > APPEND_BYTES_MAX {
        return Err(InvalidAppend::AppendTooLarge { bytes });
    }
    let mut ids = HashSet::with_capacity(if events.len() > 1 { events.len() } else { 0 });
    for (index, event) in events.iter().enumerate() {
        validate_event(index, event)?;
        if events.len() > 1 && !ids.insert(event.id) {
            return Err(InvalidAppend::RepeatedEventId { index, event_id: event.id });
        }
    }
    Ok(())
}

pub(crate) fn validate_event(index: usize, event: &Event) -> Result<(), InvalidAppend> {
    if event.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(InvalidAppend::PayloadTooLarge { index, bytes: event.payload.len() });
    }
    match &event.metadata {
        Some(metadata) if metadata.len() > METADATA_BYTES_MAX => {
            return Err(InvalidAppend::MetadataTooLarge { index, bytes: metadata.len() });
        }
        _ => {}
    }
    if !(1000..=9999).contains(&event.created_at.year()) {
        return Err(InvalidAppend::CreatedAtOutOfRange { index, created_at: event.created_at });
    }
    Ok(())
}
