//! The contract of an event store over a connection the caller owns.

use std::future::Future;

use crate::import::import_by_appends;
use crate::{
    AppendError, AppendResult, Event, EventBatch, EventFilter, ExpectedVersion, Horizon,
    ImportError, ImportResult, Position, ReadLimit, ReadWindow, StoreError, Stream, StreamId,
    Version, VersionRange, WindowEvents,
};

/// An event store that works on connections its caller owns.
///
/// No method begins, commits or rolls back a transaction: give `append` the transaction that
/// holds your own writes, and both commit together or not at all.
///
/// # Cancel safety
///
/// Dropping the future of a read changes nothing in the database. Dropping the future of an `append`
/// leaves it open whether the events were written to the transaction; roll the transaction back,
/// or, outside one, repeat the append with the same events. In both cases the connection may be in
/// the middle of an answer, and whether it can be used again depends on the driver: see the adapter.
pub trait EventStore: Send + Sync {
    /// The connection type. A transaction and a pooled connection dereference to it: `&mut *tx`.
    type Connection: Send;

    /// Appends `events` to `stream` if it is at the `expected` version: all of them or none.
    ///
    /// Repeating an append that succeeded, with the same events, writes nothing and returns the
    /// original versions and positions, marked by [`AppendResult::is_replay`].
    ///
    /// # Errors
    ///
    /// After [`AppendError::Conflict`], [`AppendError::Invalid`] and
    /// [`AppendError::DuplicateEventId`] nothing was written and the caller's transaction is
    /// usable. After a [`StoreError`] roll the transaction back, unless
    /// [`StoreError::transaction`] says that it is usable.
    fn append(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> impl Future<Output = Result<AppendResult, AppendError>> + Send;

    /// Appends many events of many streams, in the order given: each gets the next version of its
    /// stream and a higher position than the one before. For the log of another store, or for test
    /// data; a store may have a quicker way for it than appends.
    ///
    /// It takes no expected versions, and does not recognise a repetition: an event id that is
    /// there already is an error. Call it in a transaction; one that also notes how far the import
    /// has come makes it resumable. It takes the events as it goes and holds 10,000 or about 8 MiB
    /// at a time, so the iterator may read them from a file.
    ///
    /// # Errors
    ///
    /// [`ImportError`]; roll the transaction back after each of them.
    fn import<I>(
        &self,
        conn: &mut Self::Connection,
        events: I,
    ) -> impl Future<Output = Result<ImportResult, ImportError>> + Send
    where
        I: IntoIterator<Item = (StreamId, Event), IntoIter: Send> + Send,
    {
        async move { import_by_appends(self, conn, events.into_iter()).await }
    }

    /// The version of `stream`; [`Version::NONE`] if it has no events.
    ///
    /// # Errors
    ///
    /// Whatever the database says.
    fn stream_version(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
    ) -> impl Future<Output = Result<Version, StoreError>> + Send;

    /// The events of `stream`: all with `..`, or those of a range of versions.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if a row cannot have been written by this library, else whatever
    /// the database says.
    fn read_stream(
        &self,
        conn: &mut Self::Connection,
        stream: &StreamId,
        versions: impl Into<VersionRange> + Send,
    ) -> impl Future<Output = Result<Stream, StoreError>> + Send;

    /// How far the log can be read now. `known` is a position through which the caller knows the
    /// log to be complete, or [`Position::START`]. It spares the store the work where no position
    /// beyond it was given out. It makes the answer no more than it would be without, but where the
    /// last events were deleted the log is complete through `known` all the same.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnsafeRead`] if the answer could not be trusted on this connection.
    fn horizon(
        &self,
        conn: &mut Self::Connection,
        known: Position,
    ) -> impl Future<Output = Result<Horizon, StoreError>> + Send;

    /// The wanted events of a window, in position order: the one SQL statement of
    /// [`read_events`](EventStore::read_events), which is the method to call.
    ///
    /// # Errors
    ///
    /// As [`read_stream`](EventStore::read_stream).
    fn read_window(
        &self,
        conn: &mut Self::Connection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> impl Future<Output = Result<WindowEvents, StoreError>> + Send;

    /// Checks that the schema in the database is the one this library needs, and that this user has
    /// all rights to it. Processors do this when they start; a service that appends should, too, or,
    /// if its user has no rights to the tables of the projections,
    /// [`check_log_schema`](EventStore::check_log_schema).
    ///
    /// # Errors
    ///
    /// One of the variants `Schema…` of [`StoreError`], each of which says what to do. Where the
    /// database ends a transaction with any error, so does this one.
    fn check_schema(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`check_schema`](EventStore::check_schema), for a user that only appends and reads: looks at
    /// the tables of the events, and not at those of the projections.
    ///
    /// # Errors
    ///
    /// As [`check_schema`](EventStore::check_schema).
    fn check_log_schema(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.check_schema(conn)
    }

    /// Reads the log after a position, and says how far the answer is complete.
    ///
    /// An event that is not in the answer and lies at or before
    /// [`complete_through`](EventBatch::complete_through) will never appear there, whatever
    /// order transactions commit in. Call it outside a transaction: one that has already taken
    /// its snapshot cannot see what was committed since.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnsafeRead`] if events could be skipped on this connection,
    /// [`StoreError::InvalidFilter`] if the filter asks for a name that no event can have.
    fn read_events(
        &self,
        conn: &mut Self::Connection,
        after: Position,
        filter: &EventFilter,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<EventBatch, StoreError>> + Send {
        async move {
            if filter.is_unfiltered() {
                let batch = self.read_dense(conn, after, limit).await?;
                if !batch.is_nothing(after) {
                    return Ok(batch);
                }
            }
            filter.check()?;
            let horizon = self.horizon(conn, after).await?;
            self.read_below(conn, after, horizon.position, filter, limit).await
        }
    }

    /// Reads the run of events after `after` that has no hole, which needs no horizon.
    ///
    /// # Errors
    ///
    /// As [`read_events`](EventStore::read_events).
    fn read_dense(
        &self,
        conn: &mut Self::Connection,
        after: Position,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<EventBatch, StoreError>> + Send {
        async move {
            let window = ReadWindow::dense(after, limit);
            let events = self.read_window(conn, window, &EventFilter::default()).await?;
            Ok(window.complete_dense(events))
        }
    }

    /// Reads up to a `horizon` obtained before, from this connection or another.
    ///
    /// # Errors
    ///
    /// As [`read_events`](EventStore::read_events).
    fn read_below(
        &self,
        conn: &mut Self::Connection,
        after: Position,
        horizon: Position,
        filter: &EventFilter,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<EventBatch, StoreError>> + Send {
        async move {
            filter.check()?;
            match ReadWindow::below_horizon(after, horizon, limit) {
                None => Ok(EventBatch::nothing(after)),
                Some(window) => {
                    let events = self.read_window(conn, window, filter).await?;
                    Ok(window.complete(events))
                }
            }
        }
    }
}
