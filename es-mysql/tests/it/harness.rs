//! Databases for the tests, each with the tables that migrate-gen writes.

use std::sync::atomic::{AtomicU32, Ordering};

use es::conformance::{Conn, Harness};
use es::{StoreError, StreamId, TableNames};
use es_mysql::{MySqlEventStore, MySqlSource, sqlx};
use migrate_gen::{Database, Schema};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, MySqlPool};

/// Where the server listens, from the environment `cargo xtask test` sets.
pub(crate) fn url() -> MySqlConnectOptions {
    let url = std::env::var("ES_MYSQL_URL");
    let url = url.unwrap_or_else(|_| panic!("set ES_MYSQL_URL, or run `cargo xtask test`"));
    url.parse().expect("the variable holds a URL")
}

/// Makes a database of its own on the test server, and tables in it.
#[derive(Debug)]
pub(crate) struct MySqlHarness {
    database: String,
    after_connect: &'static str,
}

impl MySqlHarness {
    /// Connections as the server makes them: in REPEATABLE READ, unless it was told otherwise.
    pub(crate) fn new() -> Self {
        MySqlHarness::with("do 0")
    }

    /// Connections on which `after_connect` was run first.
    pub(crate) fn with(after_connect: &'static str) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        MySqlHarness { database: format!("test_{}_{number}", std::process::id()), after_connect }
    }

    pub(crate) fn options(&self) -> MySqlConnectOptions {
        url().database(&self.database)
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// A connection of its own, set up like the others.
    pub(crate) async fn connect(&self) -> MySqlConnection {
        let mut conn = self.options().connect().await.expect("the server accepts connections");
        sqlx::raw_sql(self.after_connect).execute(&mut conn).await.expect("it is set up");
        conn
    }

    /// The database, without tables.
    pub(crate) async fn create_database(&self) {
        let mut conn = url().connect().await.expect("the server accepts connections");
        let create = format!("create database {}", self.database);
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut conn).await.expect("a new database");
        conn.close().await.expect("it closes");
    }

    /// A pool on the database, with its tables.
    pub(crate) async fn pool(&self) -> MySqlPool {
        self.create_database().await;
        let after_connect = self.after_connect;
        let pool = MySqlPoolOptions::new()
            .max_connections(8)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    sqlx::raw_sql(after_connect).execute(conn).await?;
                    Ok(())
                })
            })
            .connect_with(self.options())
            .await
            .expect("the server accepts connections");
        migrate(&pool, &TableNames::default()).await;
        pool
    }
}

/// The databases of passed tests are of no use to anybody.
impl Drop for MySqlHarness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // A connection that is not closed yet may hold a table for a moment.
        let drop = format!("set lock_wait_timeout = 3; drop database if exists {}", self.database);
        let run = async move {
            if let Ok(mut conn) = url().connect().await {
                let _ = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut conn).await;
            }
        };
        // A runtime cannot be entered twice on one thread.
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(run);
        });
        let _ = thread.join();
    }
}

/// Makes the tables.
pub(crate) async fn migrate(pool: &MySqlPool, tables: &TableNames) {
    let schema = Schema::new(Database::Mysql).with_tables(tables.clone());
    // A session that was set up so commits nothing by itself.
    let sql = schema.to_sql().expect("valid names") + "commit;\n";
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("the migration runs");
}

impl Harness for MySqlHarness {
    type Source = MySqlSource;

    async fn source(&self) -> MySqlSource {
        let pool = self.pool().await;
        sqlx::raw_sql(
            "create table caller_rows (
                id bigint not null auto_increment primary key,
                label varchar(255) not null,
                value bigint not null
            ) engine = InnoDB",
        )
        .execute(&pool)
        .await
        .expect("a table of the caller's own");
        MySqlSource::new(pool, MySqlEventStore::default())
    }

    async fn savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        execute(conn, "savepoint before_it").await
    }

    async fn rollback_to_savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        execute(conn, "rollback to savepoint before_it").await
    }

    async fn insert_row(
        &self,
        conn: &mut Conn<Self>,
        label: &str,
        value: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("insert into caller_rows (label, value) values (?, ?)")
            .bind(label)
            .bind(value)
            .execute(conn)
            .await
            .map_err(StoreError::database)?;
        Ok(())
    }

    async fn rows(&self, conn: &mut Conn<Self>, label: &str) -> Result<Vec<i64>, StoreError> {
        sqlx::query_scalar(
            "select value from caller_rows where label = ? order by id limit 1000000",
        )
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
            where bounded_context = ? and aggregate_type = ? and aggregate_id = ?";
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

/// Runs statements of a test.
pub(crate) async fn execute(
    conn: &mut MySqlConnection,
    sql: impl sqlx::SqlSafeStr,
) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(conn).await.map_err(StoreError::database)?;
    Ok(())
}
