//! An event store over a connection the caller owns, as a service calls it.

use std::future::Future;

use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::error::StoreError;
use crate::event::Event;
use crate::event_log::{EventLog, read_below, read_dense};
use crate::filter::EventFilter;
use crate::import::{ImportError, ImportResult};
use crate::invalid_append::validate_append;
use crate::position::Position;
use crate::read::{EventBatch, Horizon, ReadLimit};
use crate::stream::Stream;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version, VersionRange};

/// An event store that works on connections its caller owns.
///
/// No method begins, commits or rolls back a transaction: give `append` the transaction that
/// holds your own writes, and both commit together or not at all.
///
/// # Cancel safety
///
/// Dropping the future of a read changes nothing in the database. Dropping the future of an
/// `append` leaves it open whether the events were written to the transaction; roll the transaction
/// back, or, outside one, repeat the append with the same events. In both cases the connection may
/// be in the middle of an answer, and whether it can be used again depends on the driver: see the
/// adapter.
pub trait EventStore: EventLog {
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
    ) -> impl Future<Output = Result<AppendResult, AppendError>> + Send {
        async move {
            validate_append(events)?;
            self.append_valid(conn, stream, expected, events).await
        }
    }

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
        self.import_all(conn, events.into_iter())
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
    ) -> impl Future<Output = Result<Version, StoreError>> + Send {
        self.version_of(conn, stream)
    }

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
    ) -> impl Future<Output = Result<Stream, StoreError>> + Send {
        self.events_of(conn, stream, versions.into())
    }

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
    ) -> impl Future<Output = Result<Horizon, StoreError>> + Send {
        self.horizon_after(conn, known)
    }

    /// Checks that the schema in the database is the one this library needs, and that this user has
    /// all rights to it. Processors do this when they start; a service that appends should, too,
    /// or, if its user has no rights to the tables of the projections,
    /// [`check_log_schema`](EventStore::check_log_schema).
    ///
    /// # Errors
    ///
    /// One of the variants `Schema…` of [`StoreError`], each of which says what to do. Where the
    /// database ends a transaction with any error, so does this one.
    fn check_schema(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.check_tables(conn)
    }

    /// As [`check_schema`](EventStore::check_schema), for a user that only appends and reads: looks
    /// at the tables of the events, and not at those of the projections.
    ///
    /// # Errors
    ///
    /// As [`check_schema`](EventStore::check_schema).
    fn check_log_schema(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.check_log_tables(conn)
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
                let batch = read_dense(self, conn, after, limit).await?;
                if !batch.is_nothing(after) {
                    return Ok(batch);
                }
            }
            filter.check()?;
            let horizon = self.horizon(conn, after).await?;
            read_below(self, conn, after, horizon.position, filter, limit).await
        }
    }
}

impl<L: EventLog + ?Sized> EventStore for L {}
