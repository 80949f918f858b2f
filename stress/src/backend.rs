//! What the stress needs of a database beside the event store.
//!
//! One implementation for each database holds SQL text and driver calls; everything that decides
//! is generic over this trait and written once.

use std::future::Future;
use std::sync::Arc;

use es::{EventSource, PersistedEvent, Position};

use crate::failure::Failure;
use crate::isolation::Isolation;
use crate::sighting::SightingRow;

/// An open transaction of the event source.
pub(crate) type Transaction<B> = <<B as Backend>::Source as EventSource>::Transaction;

/// How a writer's transaction is begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning<'a> {
    /// Ignored where it is not [chosen](Backend::CHOOSES_ISOLATION).
    pub(crate) isolation: Isolation,
    /// The name it will be prepared under, if it will be.
    pub(crate) prepared_name: Option<&'a str>,
}

/// One event store in a database, with the stress's own tables beside it.
///
/// Errors are the driver's own, so that the source can be asked whether to retry.
pub(crate) trait Backend: Send + Sync + Sized + 'static {
    type Connection: Send + 'static;
    type Source: EventSource<Connection = Self::Connection>;

    /// Whether several transactions that have written can be open at once. Where they cannot, no
    /// event commits behind a later one, so a naive reader skips nothing, and no unrelated
    /// transaction can be held open.
    const CONCURRENT_WRITERS: bool;

    /// Whether a run chooses the isolation level of its writers. Elsewhere it is that of the event
    /// source.
    const CHOOSES_ISOLATION: bool = false;

    /// Connects to the store of this name; `url` begins with the scheme of this database. No
    /// statement waits for a lock longer than half a minute.
    fn open(
        url: &str,
        store: &str,
        connections_max: u32,
    ) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// The event store and the pool.
    fn source(&self) -> &Arc<Self::Source>;

    /// Makes all tables.
    fn create(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Removes all tables.
    fn remove(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Begins a writer's transaction.
    fn begin(
        &self,
        _: Beginning<'_>,
    ) -> impl Future<Output = Result<Transaction<Self>, Failure>> + Send {
        async { Ok(self.source().begin().await?) }
    }

    /// Commits a writer's transaction that was begun so.
    fn commit(&self, tx: Transaction<Self>) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(self.source().commit(tx).await?) }
    }

    /// Rolls back a writer's transaction that was begun so.
    fn roll_back(
        &self,
        tx: Transaction<Self>,
        _: Beginning<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(self.source().rollback(tx).await?) }
    }

    /// How many transactions can be prepared at once.
    fn prepared_max(&self) -> impl Future<Output = Result<u32, sqlx::Error>> + Send {
        async { Ok(0) }
    }

    /// Prepares a transaction that was begun with this name. Not called where [`prepared_max`](Backend::prepared_max) is 0.
    fn prepare(
        &self,
        _: Transaction<Self>,
        _name: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Err(sqlx::Error::InvalidArgument("there are no prepared transactions".into())) }
    }

    /// Commits a prepared transaction, on a connection no writer uses.
    fn commit_prepared(&self, _name: &str) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Err(sqlx::Error::InvalidArgument("there are no prepared transactions".into())) }
    }

    fn savepoint(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn rollback_to_savepoint(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes a row of the caller's own.
    fn insert_caller_row(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The events after a position that are visible now: reading without a horizon.
    fn read_naively(
        conn: &mut Self::Connection,
        after: Position,
        events_max: u32,
    ) -> impl Future<Output = Result<Vec<SightingRow>, sqlx::Error>> + Send;

    /// The projection's work for one event: notes it, and counts it for its aggregate.
    fn apply(
        conn: &mut Self::Connection,
        event: &PersistedEvent,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// A statement the database refuses, through no fault of its own.
    fn fail(conn: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The events the projection has noted, in order.
    fn effects(&self) -> impl Future<Output = Result<Vec<SightingRow>, sqlx::Error>> + Send;

    /// Each aggregate's id, number of events and last version, as the projection has counted.
    fn totals(&self) -> impl Future<Output = Result<Vec<(String, i64, i64)>, sqlx::Error>> + Send;
}
