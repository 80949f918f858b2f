//! PostgreSQL schemas for the tests, each made by the migration that migrate-gen writes.

use std::sync::atomic::{AtomicU32, Ordering};

use es::conformance::{Conn, Harness};
use es::{StoreError, StreamId, TableNames};
use es_postgres::{PgEventStore, PgSource, sqlx};
use migrate_gen::{Database, Schema};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

/// Where a server listens, from the environment `cargo xtask test` sets.
pub(crate) fn url(variable: &str) -> PgConnectOptions {
    let url = std::env::var(variable);
    let url = url.unwrap_or_else(|_| panic!("set {variable}, or run `cargo xtask test`"));
    url.parse().expect("the variable holds a URL")
}

/// Makes a schema of its own on the test server, and tables in it.
#[derive(Debug)]
pub(crate) struct PgHarness {
    schema: String,
}

impl PgHarness {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        PgHarness { schema: format!("test_{}_{number}", std::process::id()) }
    }

    /// The name of the schema.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The names of the default tables, in this harness's schema.
    pub(crate) fn tables(&self) -> TableNames {
        TableNames::default().with_schema(self.schema.parse().expect("a valid name"))
    }

    /// Connections that find this harness's tables without naming the schema, too.
    pub(crate) fn options(&self) -> PgConnectOptions {
        url("ES_POSTGRES_URL").options([("search_path", &self.schema)])
    }

    /// The schema, without tables.
    pub(crate) async fn create_schema(&self) {
        let mut conn = self.options().connect().await.expect("the server accepts connections");
        let create = AssertSqlSafe(format!("create schema {}", self.schema));
        sqlx::raw_sql(create).execute(&mut conn).await.expect("a new schema");
        conn.close().await.expect("it closes");
    }

    /// A pool on the schema, with its tables.
    pub(crate) async fn pool(&self) -> PgPool {
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .test_before_acquire(false)
            .connect_with(self.options())
            .await
            .expect("the server accepts connections");
        migrate(&pool, &self.tables()).await;
        pool
    }

    pub(crate) fn store(&self) -> PgEventStore {
        PgEventStore::new(&self.tables())
    }
}

/// Makes the tables.
pub(crate) async fn migrate(pool: &PgPool, tables: &TableNames) {
    let schema = Schema::new(Database::Postgres).with_tables(tables.clone());
    let sql = schema.to_sql().expect("valid names");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("the migration runs");
}

impl Harness for PgHarness {
    type Source = PgSource;

    async fn source(&self) -> PgSource {
        let pool = self.pool().await;
        sqlx::raw_sql(
            "create table caller_rows (
                id bigint generated always as identity,
                label text not null,
                value bigint not null
            )",
        )
        .execute(&pool)
        .await
        .expect("a table of the caller's own");
        PgSource::new(pool, self.store())
    }

    async fn savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        execute(conn, "savepoint before").await
    }

    async fn rollback_to_savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        execute(conn, "rollback to savepoint before").await
    }

    async fn insert_row(
        &self,
        conn: &mut Conn<Self>,
        label: &str,
        value: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("insert into caller_rows (label, value) values ($1, $2)")
            .bind(label)
            .bind(value)
            .execute(conn)
            .await
            .map_err(StoreError::database)?;
        Ok(())
    }

    async fn rows(&self, conn: &mut Conn<Self>, label: &str) -> Result<Vec<i64>, StoreError> {
        sqlx::query_scalar("select value from caller_rows where label = $1 order by id")
            .bind(label)
            .fetch_all(conn)
            .await
            .map_err(StoreError::database)
    }

    async fn delete_stream(
        &self,
        conn: &mut Conn<Self>,
        stream: &StreamId,
    ) -> Result<(), StoreError> {
        let delete = "delete from events
            where bounded_context = $1 and aggregate_type = $2 and aggregate_id = $3";
        sqlx::query(delete)
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .execute(conn)
            .await
            .map_err(StoreError::database)?;
        Ok(())
    }
}

/// Runs one statement of a test.
pub(crate) async fn execute(conn: &mut PgConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(conn).await.map_err(StoreError::database)?;
    Ok(())
}
