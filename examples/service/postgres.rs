//! `PostgreSQL`: a server, on which requests and projections write side by side.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::Version;
use es_postgres::{PgEventStore, PgSource};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::backend::{Backend, CONNECTIONS_MAX, RequestRow, SummaryRow};
use crate::order::{ItemAdded, OrderPlaced};

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A schema of a database on a server.
pub(crate) struct Postgres {
    pool: PgPool,
    source: Arc<PgSource>,
}

impl Backend for Postgres {
    type Connection = PgConnection;
    type Source = PgSource;

    const KIND: migrate_gen::Database = migrate_gen::Database::Postgres;
    const TABLES: &str = include_str!("sql/postgres/schema.sql");

    async fn open(url: &str) -> anyhow::Result<Self> {
        // The URL may hold a password, so no message repeats it.
        let options = PgConnectOptions::from_str(url)
            .context("--database-url is not a URL such as postgres://user@host/database")?;
        // The pool would go on trying to reach a server that does not answer.
        let conn = PgConnection::connect_with(&options)
            .await
            .context("cannot connect: the server must be running and the database be there")?;
        conn.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        let source = Arc::new(PgSource::new(pool.clone(), PgEventStore::default()));
        Ok(Postgres { pool, source })
    }

    fn source(&self) -> &Arc<PgSource> {
        &self.source
    }

    async fn lock_schema(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/postgres/lock_schema.sql")).execute(conn).await.map(drop)
    }

    async fn run_sql(conn: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
        // Only this program's own texts and those of migrate-gen come here.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
    }

    async fn insert_request(
        conn: &mut PgConnection,
        request: &RequestRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/postgres/insert_request.sql"))
            .bind(request.order_id)
            .bind(request.command)
            .bind(request.outcome)
            .bind(request.version.get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn insert_summary(
        conn: &mut PgConnection,
        order_id: &str,
        placed: &OrderPlaced,
        version: Version,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/postgres/insert_summary.sql"))
            .bind(order_id)
            .bind(placed.customer.as_str())
            .bind(version.get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn add_item(
        conn: &mut PgConnection,
        order_id: &str,
        item: &ItemAdded,
        version: Version,
    ) -> Result<u64, sqlx::Error> {
        let query = sqlx::query(include_str!("sql/postgres/add_item.sql"));
        let query = query.bind(order_id).bind(item.total_cents()).bind(version.get());
        Ok(query.execute(conn).await?.rows_affected())
    }

    async fn ship(
        conn: &mut PgConnection,
        order_id: &str,
        version: Version,
    ) -> Result<u64, sqlx::Error> {
        let query = sqlx::query(include_str!("sql/postgres/ship.sql"));
        Ok(query.bind(order_id).bind(version.get()).execute(conn).await?.rows_affected())
    }

    async fn summary(&self, order_id: &str) -> Result<Option<SummaryRow>, sqlx::Error> {
        let query = sqlx::query_as(include_str!("sql/postgres/read_summary.sql"));
        query.bind(order_id).fetch_optional(&self.pool).await
    }
}
