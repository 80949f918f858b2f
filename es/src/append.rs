//! Appending: what may be asked, what comes back, and what a rejected append means.

use std::collections::HashSet;
use std::future::Future;

use chrono::{DateTime, Datelike, Utc};
use thiserror::Error;
use uuid::Uuid;

use crate::error::{AppendError, StoreError, TransactionState};
use crate::event::Event;
use crate::event_log::EventLog;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::stream::StreamId;
use crate::version::{ExpectedVersion, Version};

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

/// What one append stored, now or when it was first made: just its own events, in order, never none.
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

/// How often an append that expects [`ExpectedVersion::Any`] is tried when other writers come
/// first each time.
pub const ANY_ATTEMPTS_MAX: usize = 10;

/// What an adapter adds to [`append_guarded`]: the SQL. A service calls [`EventStore::append`](crate::EventStore::append), which
/// checks the events first; these methods do not.
pub trait AppendStatements: EventLog {
    /// Inserts the events at the versions after the stream's current one, all or none.
    ///
    /// Nothing is written if the stream is not at the expected version, if another writer comes
    /// first, or if an event id is taken. The caller's transaction is usable after that. The events
    /// have passed [`validate_append`].
    ///
    /// # Errors
    ///
    /// The database did not do what it was asked.
    fn insert_events(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> impl Future<Output = Result<Insertion, StoreError>> + Send;

    /// What the store holds under the ids of these events, in any order.
    ///
    /// # Errors
    ///
    /// The database did not do what it was asked.
    fn existing_events(
        &self,
        conn: &mut Self::Connection,
        events: &[Event],
    ) -> impl Future<Output = Result<Vec<ExistingEvent>, StoreError>> + Send;
}

/// What became of the insert of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insertion {
    /// All events are written.
    Written(InsertedEvents),
    /// Nothing is written, and what the store can look up now says why.
    Rejected,
    /// Nothing is written, because the database refused this version of the stream: another writer
    /// has committed it. The transaction's snapshot may be older than that.
    VersionTaken(Version),
}

impl From<Option<InsertedEvents>> for Insertion {
    fn from(inserted: Option<InsertedEvents>) -> Self {
        inserted.map_or(Insertion::Rejected, Insertion::Written)
    }
}

/// What the database gave the events of one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertedEvents {
    /// The version of the first; the others follow.
    pub first_version: Version,
    /// The position of each, in the order of the events.
    pub positions: Vec<Position>,
}

impl InsertedEvents {
    /// Sorts what a database returned into the order of the versions; `None` if it is nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if the versions are not consecutive.
    pub fn from_rows(mut rows: Vec<(Version, Position)>) -> Result<Option<Self>, StoreError> {
        // No database promises an order for the rows of `returning`.
        rows.sort_unstable();
        let Some((first_version, _)) = rows.first().copied() else { return Ok(None) };
        let expected = (0..rows.len()).map(|index| first_version.saturating_add(index));
        if !rows.iter().map(|(version, _)| *version).eq(expected) {
            return Err(StoreError::corrupt("an append whose versions are not consecutive"));
        }
        let positions = rows.into_iter().map(|(_, position)| position).collect();
        Ok(Some(InsertedEvents { first_version, positions }))
    }

    /// What every reader relies on: all events are there, where they were expected, in order.
    fn check(&self, expected: ExpectedVersion, count: usize) -> Result<(), StoreError> {
        let is_sound = self.positions.len() == count
            && self.positions.is_sorted_by(|earlier, later| earlier < later)
            && expected.accepts(self.first_version.previous());
        if is_sound {
            return Ok(());
        }
        Err(StoreError::corrupt(format!("an append of {count} events that wrote {self:?}")))
    }
}

/// [`EventStore::append`](crate::EventStore::append), given an adapter's statements and events that have passed
/// [`validate_append`]: inserts them, and finds out what it means if nothing was written.
///
/// # Errors
///
/// As [`EventStore::append`](crate::EventStore::append).
///
/// # Cancel safety
///
/// As [`EventStore`](crate::EventStore).
pub async fn append_guarded<S: AppendStatements>(
    store: &S,
    conn: &mut S::Connection,
    stream: &StreamId,
    expected: ExpectedVersion,
    events: &[Event],
) -> Result<AppendResult, AppendError> {
    let mut attempts = 1;
    loop {
        let taken = match store.insert_events(conn, stream, expected, events).await? {
            Insertion::Written(inserted) => {
                inserted.check(expected, events.len())?;
                let InsertedEvents { first_version, positions } = inserted;
                return Ok(AppendResult::written(stream, events, first_version, positions));
            }
            Insertion::Rejected => Version::NONE,
            Insertion::VersionTaken(version) => version,
        };
        let existing = store.existing_events(conn, events).await?;
        let visible = store.version_of(conn, stream).await?;
        let rejected = RejectedAppend { stream, expected, events, actual: visible.max(taken) };
        // A snapshot that does not show the other writer's events will not show them later.
        let may_try_again = expected.is_any() && visible >= taken && attempts < ANY_ATTEMPTS_MAX;
        match rejected.resolve(&existing) {
            Err(error) if error.is_retryable() && may_try_again => attempts += 1,
            result => return result,
        }
    }
}

/// What the store holds under an event id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingEvent {
    /// The event id.
    pub event_id: Uuid,
    /// The stream the event belongs to.
    pub stream: StreamId,
    /// Its version there.
    pub version: Version,
    /// Its position.
    pub position: Position,
}

/// An append that wrote nothing, before it is known why.
///
/// The guarded insert of an adapter either writes all events or none. When it wrote none,
/// [`append_guarded`] looks up the stream's version and the event ids, and
/// [`RejectedAppend::resolve`] says what it means, the same on every database.
#[derive(Debug)]
pub struct RejectedAppend<'a> {
    /// The stream appended to.
    pub stream: &'a StreamId,
    /// What the writer expected.
    pub expected: ExpectedVersion,
    /// What the writer tried to append.
    pub events: &'a [Event],
    /// The version the stream is at.
    pub actual: Version,
}

impl RejectedAppend<'_> {
    /// Says why nothing was written, given what the store holds under the ids of `events`.
    ///
    /// - Exactly these events, in this order, consecutively in this stream: the append is a
    ///   repetition of one that succeeded, and its result is given again.
    /// - Some of the ids, or in another stream: [`AppendError::DuplicateEventId`].
    /// - None of them, and the stream is not at the expected version: [`AppendError::Conflict`].
    /// - None of them, and the stream is where it should be: another writer came first and has
    ///   gone, or this connection's snapshot does not show it. [`StoreError::Retryable`].
    pub fn resolve(&self, existing: &[ExistingEvent]) -> Result<AppendResult, AppendError> {
        let Some(found) = existing.first() else {
            return Err(self.overtaken());
        };
        match self.replayed(existing) {
            Some(replayed) => Ok(replayed),
            None => Err(AppendError::DuplicateEventId {
                event_id: found.event_id,
                stream: found.stream.clone(),
                version: found.version,
            }),
        }
    }

    fn overtaken(&self) -> AppendError {
        if self.expected.accepts(self.actual) {
            let source = "another writer came first, and is gone or cannot be seen".into();
            return StoreError::Retryable { transaction: TransactionState::Usable, source }.into();
        }
        AppendError::Conflict {
            stream: self.stream.clone(),
            expected: self.expected,
            actual: self.actual,
        }
    }

    fn replayed(&self, existing: &[ExistingEvent]) -> Option<AppendResult> {
        let mut existing: Vec<&ExistingEvent> = existing.iter().collect();
        existing.sort_by_key(|found| found.version);
        let first_version = existing.first()?.version;
        let same = existing.len() == self.events.len()
            && existing.iter().zip(self.events).enumerate().all(|(index, (found, event))| {
                found.stream == *self.stream
                    && found.event_id == event.id
                    && found.version == first_version.saturating_add(index)
            });
        same.then(|| AppendResult {
            events: persisted(
                self.stream,
                self.events,
                first_version,
                existing.iter().map(|found| found.position),
            ),
            replayed: true,
        })
    }
}
