//! `SQLite`: each store is a file of its own, for a file has one writer at a time.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::{PersistedEvent, Position, TableNames};
use es_sqlite::{SqliteEventStore, SqliteSource};
use migrate_gen::{Database, Schema};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use crate::backend::Backend;
use crate::sighting::SightingRow;

/// How long a writer waits for the one that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A file: the one of the URL with the store's name behind it.
pub(crate) struct Sqlite {
    file: PathBuf,
    pool: SqlitePool,
    source: Arc<SqliteSource>,
}

impl Sqlite {
    /// Connects to the store of this name through a pool of these settings.
    pub(crate) async fn open_with(
        url: &str,
        store: &str,
        pool: SqlitePoolOptions,
        busy_timeout: Duration,
    ) -> anyhow::Result<Self> {
        let file = Sqlite::file_of(url, store)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .busy_timeout(busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            // No power failure is part of this.
            .synchronous(SqliteSynchronous::Normal);
        let pool = pool
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .context("cannot open the file: its directory must be there and writable")?;
        let store = SqliteEventStore::new(&TableNames::default());
        let source = Arc::new(SqliteSource::new(pool.clone(), store));
        Ok(Sqlite { file, pool, source })
    }

    /// The file of the store of this name.
    pub(crate) fn file_of(url: &str, store: &str) -> anyhow::Result<PathBuf> {
        let options = SqliteConnectOptions::from_str(url).context("write sqlite://PATH")?;
        let mut file = options.get_filename().as_os_str().to_owned();
        file.push(format!("-{store}"));
        Ok(file.into())
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Connections to the file.
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

impl Backend for Sqlite {
    type Connection = SqliteConnection;
    type Source = SqliteSource;

    const CONCURRENT_WRITERS: bool = false;

    async fn open(url: &str, store: &str, connections_max: u32) -> anyhow::Result<Self> {
        let pool = SqlitePoolOptions::new().max_connections(connections_max);
        Sqlite::open_with(url, store, pool, BUSY_TIMEOUT).await
    }

    fn source(&self) -> &Arc<SqliteSource> {
        &self.source
    }

    async fn create(&self) -> anyhow::Result<()> {
        let migration = Schema::new(Database::Sqlite).to_sql()?;
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&self.pool).await?;
        sqlx::raw_sql(include_str!("../sql/sqlite/schema.sql")).execute(&self.pool).await?;
        Ok(())
    }

    async fn remove(&self) -> anyhow::Result<()> {
        self.pool.close().await;
        for suffix in ["", "-wal", "-shm"] {
            let mut file = self.file.clone().into_os_string();
            file.push(suffix);
            match std::fs::remove_file(&file) {
                // The last connection to close takes the other two files with it.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn savepoint(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("savepoint before").execute(conn).await.map(drop)
    }

    async fn rollback_to_savepoint(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("rollback to savepoint before").execute(conn).await.map(drop)
    }

    async fn insert_caller_row(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let sql = include_str!("../sql/sqlite/insert_caller_row.sql");
        sqlx::query(sql).execute(conn).await.map(drop)
    }

    async fn read_naively(
        conn: &mut SqliteConnection,
        after: Position,
        events_max: u32,
    ) -> Result<Vec<SightingRow>, sqlx::Error> {
        sqlx::query_as(include_str!("../sql/sqlite/read_naively.sql"))
            .bind(after.get())
            .bind(events_max)
            .fetch_all(conn)
            .await
    }

    async fn apply(conn: &mut SqliteConnection, event: &PersistedEvent) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../sql/sqlite/insert_effect.sql"))
            .bind(event.id())
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .bind(event.position().get())
            .execute(&mut *conn)
            .await?;
        sqlx::query(include_str!("../sql/sqlite/upsert_total.sql"))
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn fail(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("delete from nothing_of_this_name").execute(conn).await.map(drop)
    }

    async fn effects(&self) -> Result<Vec<SightingRow>, sqlx::Error> {
        let sql = include_str!("../sql/sqlite/read_effects.sql");
        sqlx::query_as(sql).fetch_all(&self.pool).await
    }

    async fn totals(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("../sql/sqlite/read_totals.sql")).fetch_all(&self.pool).await
    }
}
