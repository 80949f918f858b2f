//! `SQLite`: one file, one writer at a time.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::Version;
use es_sqlite::{SqliteEventStore, SqliteSource};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use crate::backend::{Backend, CONNECTIONS_MAX, RequestRow, SummaryRow};
use crate::order::{ItemAdded, OrderPlaced};

/// How long a writer waits for the one that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A database in a file.
pub(crate) struct Sqlite {
    pool: SqlitePool,
    source: Arc<SqliteSource>,
}

impl Backend for Sqlite {
    type Connection = SqliteConnection;
    type Source = SqliteSource;

    const KIND: migrate_gen::Database = migrate_gen::Database::Sqlite;
    const TABLES: &str = include_str!("sql/sqlite/schema.sql");

    async fn open(url: &str) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)
            .with_context(|| format!("{url:?} is not a URL such as sqlite://service.db"))?
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered outlives a power failure.
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .with_context(|| {
                format!("cannot open {url:?}: its directory must be there and writable")
            })?;
        let source = Arc::new(SqliteSource::new(pool.clone(), SqliteEventStore::default()));
        Ok(Sqlite { pool, source })
    }

    fn source(&self) -> &Arc<SqliteSource> {
        &self.source
    }

    async fn lock_schema(_: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // The transaction has begun by BEGIN IMMEDIATE, which has done it.
        Ok(())
    }

    async fn run_sql(conn: &mut SqliteConnection, sql: String) -> Result<(), sqlx::Error> {
        // Only this program's own texts and those of migrate-gen come here.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
    }

    async fn insert_request(
        conn: &mut SqliteConnection,
        request: &RequestRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/sqlite/insert_request.sql"))
            .bind(request.order_id)
            .bind(request.command)
            .bind(request.outcome)
            .bind(request.version.get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn insert_summary(
        conn: &mut SqliteConnection,
        order_id: &str,
        placed: &OrderPlaced,
        version: Version,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/sqlite/insert_summary.sql"))
            .bind(order_id)
            .bind(placed.customer.as_str())
            .bind(version.get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn add_item(
        conn: &mut SqliteConnection,
        order_id: &str,
        item: &ItemAdded,
        version: Version,
    ) -> Result<u64, sqlx::Error> {
        let query = sqlx::query(include_str!("sql/sqlite/add_item.sql"));
        let query = query.bind(order_id).bind(item.total_cents()).bind(version.get());
        Ok(query.execute(conn).await?.rows_affected())
    }

    async fn ship(
        conn: &mut SqliteConnection,
        order_id: &str,
        version: Version,
    ) -> Result<u64, sqlx::Error> {
        let query = sqlx::query(include_str!("sql/sqlite/ship.sql"));
        Ok(query.bind(order_id).bind(version.get()).execute(conn).await?.rows_affected())
    }

    async fn summary(&self, order_id: &str) -> Result<Option<SummaryRow>, sqlx::Error> {
        let query = sqlx::query_as(include_str!("sql/sqlite/read_summary.sql"));
        query.bind(order_id).fetch_optional(&self.pool).await
    }
}
