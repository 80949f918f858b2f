//! Appending by an adapter's statements.

use std::future::Future;

use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::error::StoreError;
use crate::event::Event;
use crate::event_log::EventLog;
use crate::position::Position;
use crate::rejected_append::{ExistingEvent, RejectedAppend};
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version};

/// How often an append that expects [`ExpectedVersion::Any`] is tried when other writers come
/// first each time.
pub const ANY_ATTEMPTS_MAX: usize = 10;

/// What an adapter adds to [`append_guarded`]: the SQL. A service calls
/// [`EventStore::append`](crate::EventStore::append), which checks the events first; these methods
/// do not.
pub trait AppendStatements: EventLog {
    /// Inserts the events at the versions after the stream's current one, all or none.
    ///
    /// Nothing is written if the stream is not at the expected version, if another writer comes
    /// first, or if an event id is taken. The caller's transaction is usable after that. The events
    /// have passed [`validate_append`](crate::adapter::validate_append).
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

/// [`EventStore::append`](crate::EventStore::append), given an adapter's statements and events that
/// have passed [`validate_append`](crate::adapter::validate_append): inserts them, and finds out
/// what it means if nothing was written.
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
