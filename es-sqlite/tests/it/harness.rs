//! SQLite files for the tests, each with the schema that migrate-gen writes.

use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{StoreError, StreamId, TableNames};
use es_sqlite::{SqliteEventStore, SqliteSource, sqlx};
use migrate_gen::{Database, Schema};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};
use tempfile::TempDir;

/// Makes a SQLite file in a directory of its own, gone with the harness.
#[derive(Debug)]
pub(crate) struct SqliteHarness {
    directory: TempDir,
}

impl SqliteHarness {
    pub(crate) fn new() -> Self {
        SqliteHarness { directory: TempDir::new().expect("a temporary directory") }
    }

    /// Without waiting for the disk, and patient with other writers: how busy the machine is must
    /// not decide over a test.
    pub(crate) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.directory.path().join("events.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(Duration::from_secs(30))
    }

    /// A file with the schema under these names.
    pub(crate) async fn pool(&self, tables: &TableNames) -> SqlitePool {
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(self.options())
            .await
            .expect("a file in a new directory opens");
        migrate(&pool, tables).await;
        pool
    }
}

pub(crate) async fn migrate(pool: &SqlitePool, tables: &TableNames) {
    let schema = Schema::new(Database::Sqlite).with_tables(tables.clone());
    let sql = schema.to_sql().expect("valid names");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("the migration runs");
}

impl Harness for SqliteHarness {
    type Source = SqliteSource;

    async fn source(&self) -> SqliteSource {
        let pool = self.pool(&TableNames::default()).await;
        sqlx::raw_sql("create table caller_rows (label text not null, value integer not null)")
            .execute(&pool)
            .await
            .expect("a table of the caller's own");
        SqliteSource::new(pool, SqliteEventStore::default())
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
        sqlx::query("insert into caller_rows (label, value) values (?, ?)")
            .bind(label.to_owned())
            .bind(value)
            .execute(conn)
            .await
            .map_err(StoreError::database)?;
        Ok(())
    }

    async fn rows(&self, conn: &mut Conn<Self>, label: &str) -> Result<Vec<i64>, StoreError> {
        sqlx::query_scalar("select value from caller_rows where label = ? order by rowid")
            .bind(label.to_owned())
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
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .execute(conn)
            .await
            .map_err(StoreError::database)?;
        Ok(())
    }
}

pub(crate) async fn execute(
    conn: &mut SqliteConnection,
    sql: &'static str,
) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(conn).await.map_err(StoreError::database)?;
    Ok(())
}
