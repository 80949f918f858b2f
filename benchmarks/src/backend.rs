//! What a database adds to the comparison: its schema, and the caller's own statements.

mod mysql;
mod postgres;
mod sqlite;

use std::future::Future;

use es::EventSource;

/// A source on an empty database that is the benchmark's alone.
pub(crate) trait Backend: EventSource + Clone {
    /// Whether an append needs no transaction.
    const APPENDS_ALONE: bool;

    /// Opens the database at `url` with a pool of `connections`.
    fn open(url: &str, connections: u32) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Drops whatever tables are there and makes those of the store, `orders` and `totals`.
    fn reset(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Lets the planner's statistics be gathered.
    fn analyze(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Inserts the caller's own row.
    fn insert_order(
        conn: &mut Self::Connection,
        id: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Counts one event of an aggregate.
    fn upsert(
        conn: &mut Self::Connection,
        aggregate_id: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Counts many events, by aggregate.
    fn upsert_many(
        conn: &mut Self::Connection,
        counts: &[(String, i64)],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}
