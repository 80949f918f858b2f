//! What this service needs of a database beside the event store: its own tables, in its own SQL.
//!
//! One implementation for each database holds SQL text and driver calls; everything that decides
//! is generic over this trait and written once.

use std::future::Future;
use std::sync::Arc;

use es::{EventSource, Version};

use crate::order::{ItemAdded, OrderPlaced};

/// How many connections requests and worker share. A request holds one at a time, each partition
/// two, and the worker two now and then.
pub(crate) const CONNECTIONS_MAX: u32 = 16;

/// A database that holds the events and this service's own tables.
///
/// Errors are the driver's own, so that the [source](EventSource::cause) can be asked
/// whether another attempt may succeed.
pub(crate) trait Backend: Send + Sync + Sized + 'static {
    type Connection: Send + 'static;
    type Source: EventSource<Connection = Self::Connection>;

    const KIND: migrate_gen::Database;

    /// Makes this service's own tables, those that are not there.
    const TABLES: &str;

    /// Connects. `url` begins with the scheme of this database.
    fn open(url: &str) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// The event store and the pool, for the worker and for requests. A request may be dropped at any
    /// moment, so it begins its transactions here: the pool's own `begin` is not made for that.
    fn source(&self) -> &Arc<Self::Source>;

    /// Makes other processes that change the schema wait for this transaction's end.
    fn lock_schema(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs several statements.
    fn run_sql(
        conn: &mut Self::Connection,
        sql: String,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn insert_request(
        conn: &mut Self::Connection,
        request: &RequestRow<'_>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn insert_summary(
        conn: &mut Self::Connection,
        order_id: &str,
        placed: &OrderPlaced,
        version: Version,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Gives the number of rows changed.
    fn add_item(
        conn: &mut Self::Connection,
        order_id: &str,
        item: &ItemAdded,
        version: Version,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Gives the number of rows changed.
    fn ship(
        conn: &mut Self::Connection,
        order_id: &str,
        version: Version,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    fn summary(
        &self,
        order_id: &str,
    ) -> impl Future<Output = Result<Option<SummaryRow>, sqlx::Error>> + Send;
}

/// An open transaction, in which events and this service's own rows are written.
pub(crate) type Transaction<B> = <<B as Backend>::Source as EventSource>::Transaction;

/// A row of the table `requests`: who asked for what, and how it was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestRow<'a> {
    pub(crate) order_id: &'a str,
    pub(crate) command: &'a str,
    pub(crate) outcome: &'a str,
    /// The version the order was at afterwards.
    pub(crate) version: Version,
}

/// A row of the table `order_summaries`: customer, whether it is shipped, items, total in cents,
/// version.
pub(crate) type SummaryRow = (String, bool, i64, i64, i64);
