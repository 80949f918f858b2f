//! What an adapter implements of the log: the events of one database.

use std::future::Future;

use chrono::{DateTime, Utc};

use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::error::StoreError;
use crate::event::Event;
use crate::filter::EventFilter;
use crate::import::{Chunks, ImportError, ImportResult};
use crate::invalid_append::{APPEND_EVENTS_MAX, InvalidAppend, validate_append};
use crate::position::Position;
use crate::read::{EventBatch, Horizon, ReadLimit, ReadWindow, WindowEvents};
use crate::stream::Stream;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version, VersionRange};

/// The events of one database, as an adapter gives them: every implementor is an
/// [`EventStore`](crate::store::EventStore), which is what services call. It checks what it is
/// given, and these methods rely on that.
///
/// As there, no method begins, commits or rolls back a transaction.
pub trait EventLog: Send + Sync {
    /// The connection type. A transaction and a pooled connection dereference to it: `&mut *tx`.
    type Connection: Send;

    /// [`EventStore::append`](crate::store::EventStore::append) of events that every store takes.
    ///
    /// # Errors
    ///
    /// As there, but for [`AppendError::Invalid`].
    fn append_valid(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> impl Future<Output = Result<AppendResult, AppendError>> + Send;

    /// [`EventStore::import`](crate::store::EventStore::import), by appends unless the database has
    /// a quicker way. Checks the events as it takes them.
    ///
    /// # Errors
    ///
    /// As there.
    fn import_all<I>(
        &self,
        conn: &mut Self::Connection,
        events: I,
    ) -> impl Future<Output = Result<ImportResult, ImportError>> + Send
    where
        I: Iterator<Item = (StreamId, Event)> + Send,
    {
        import_by_appends(self, conn, events)
    }

    /// The version of `stream`; [`Version::NONE`] if it has no events.
    ///
    /// # Errors
    ///
    /// Whatever the database says.
    fn version_of(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
    ) -> impl Future<Output = Result<Version, StoreError>> + Send;

    /// The events of a range of versions of `stream`, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if a row cannot have been written by this library, else whatever
    /// the database says.
    fn events_of(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> impl Future<Output = Result<Stream, StoreError>> + Send;

    /// [`EventStore::horizon`](crate::store::EventStore::horizon).
    ///
    /// # Errors
    ///
    /// As there.
    fn horizon_after(
        &self,
        conn: &mut Self::Connection,
        known: Position,
    ) -> impl Future<Output = Result<Horizon, StoreError>> + Send;

    /// The wanted events of a window, in position order.
    ///
    /// # Errors
    ///
    /// As [`events_of`](EventLog::events_of).
    fn window(
        &self,
        conn: &mut Self::Connection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> impl Future<Output = Result<WindowEvents, StoreError>> + Send;

    /// The position through which there is no event after `after`, if the database can say so at
    /// once and it is worth it: `through` at most.
    ///
    /// # Errors
    ///
    /// Whatever the database says.
    fn empty_through(
        &self,
        _conn: &mut Self::Connection,
        after: Position,
        _through: Position,
    ) -> impl Future<Output = Result<Position, StoreError>> + Send {
        std::future::ready(Ok(after))
    }

    /// The first position whose event was recorded at `time` or later, by the database's clock;
    /// `None` if there is none. Without an index on the time it reads the log up to there.
    ///
    /// # Errors
    ///
    /// As [`events_of`](EventLog::events_of).
    fn first_position_since(
        &self,
        conn: &mut Self::Connection,
        time: DateTime<Utc>,
    ) -> impl Future<Output = Result<Option<Position>, StoreError>> + Send;

    /// [`EventStore::check_schema`](crate::store::EventStore::check_schema).
    ///
    /// # Errors
    ///
    /// As there.
    fn check_tables(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// [`EventStore::check_log_schema`](crate::store::EventStore::check_log_schema).
    ///
    /// # Errors
    ///
    /// As there.
    fn check_log_tables(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.check_tables(conn)
    }
}

/// Reads the run of events after `after` that has no hole, which needs no horizon.
///
/// # Errors
///
/// As [`EventStore::read_events`](crate::store::EventStore::read_events).
pub async fn read_dense<L: EventLog + ?Sized>(
    log: &L,
    conn: &mut L::Connection,
    after: Position,
    limit: ReadLimit,
) -> Result<EventBatch, StoreError> {
    let window = ReadWindow::dense(after, limit);
    let events = log.window(conn, window, &EventFilter::default()).await?;
    Ok(window.complete_dense(events))
}

/// Reads up to a `horizon` obtained before, from this connection or another.
///
/// # Errors
///
/// As [`EventStore::read_events`](crate::store::EventStore::read_events).
pub async fn read_below<L: EventLog + ?Sized>(
    log: &L,
    conn: &mut L::Connection,
    after: Position,
    horizon: Position,
    filter: &EventFilter,
    limit: ReadLimit,
) -> Result<EventBatch, StoreError> {
    filter.check()?;
    let Some(window) = ReadWindow::below_horizon(after, horizon, limit) else {
        return Ok(EventBatch::nothing(after));
    };
    let mut batch = window.complete(log.window(conn, window, filter).await?);
    if batch.events.is_empty() && batch.complete_through < horizon {
        let empty_through = log.empty_through(conn, batch.complete_through, horizon).await?;
        batch.complete_through = batch.complete_through.max(empty_through);
    }
    Ok(batch)
}

/// [`EventStore::import`](crate::EventStore::import) by appends: one for each run of events of the
/// same stream.
///
/// # Errors
///
/// As [`EventStore::import`](crate::EventStore::import).
async fn import_by_appends<S: EventLog + ?Sized>(
    store: &S,
    conn: &mut S::Connection,
    events: impl Iterator<Item = (StreamId, Event)> + Send,
) -> Result<ImportResult, ImportError> {
    let mut chunks = Chunks { events, count: 0 };
    let mut result = ImportResult::default();
    while let Some(chunk) = chunks.next()? {
        for run in chunk.chunk_by(|(one, _), (other, _)| one == other) {
            let events: Vec<Event> = run.iter().map(|(_, event)| event.clone()).collect();
            for events in events.chunks(APPEND_EVENTS_MAX) {
                result.last_position = append(store, conn, &run[0].0, events).await?;
            }
        }
        result.events = chunks.count as u64;
    }
    Ok(result)
}

async fn append<S: EventLog + ?Sized>(
    store: &S,
    conn: &mut S::Connection,
    stream: &StreamId,
    events: &[Event],
) -> Result<Position, ImportError> {
    let appended = match validate_append(events) {
        Ok(()) => store.append_valid(conn, stream, ExpectedVersion::Any, events).await,
        Err(invalid) => Err(invalid.into()),
    };
    match appended {
        Ok(appended) if appended.is_replay() => {
            Err(ImportError::DuplicateEventId { event_id: events[0].id() })
        }
        Ok(appended) => Ok(appended.last_position()),
        Err(
            AppendError::Invalid(InvalidAppend::RepeatedEventId { event_id, .. })
            | AppendError::DuplicateEventId { event_id, .. },
        ) => Err(ImportError::DuplicateEventId { event_id }),
        Err(AppendError::Invalid(error)) => Err(error.into()),
        Err(AppendError::Store(error)) => Err(error.into()),
        Err(error @ AppendError::Conflict { .. }) => Err(StoreError::database(error).into()),
    }
}
