//! `SQLite`: one file, one writer at a time.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::TableNames;
use es_sqlite::{SqliteEventStore, SqliteSource};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Sqlite as Driver, SqliteConnection, SqlitePool};

use crate::backend::{Backend, CONNECTIONS_MAX, CommitRow, FileStatsRow};
use crate::file_changed::FileChanged;
use crate::repository::CommitParents;

/// How long a writer waits for the one that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_mins(1);

/// A database in a file.
pub(crate) struct Sqlite {
    pool: SqlitePool,
    source: Arc<SqliteSource>,
}

impl Backend for Sqlite {
    type Connection = SqliteConnection;
    type Transaction = sqlx::Transaction<'static, Driver>;
    type Source = SqliteSource;

    const NAME: &str = "sqlite";

    async fn open(url: &str) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)
            .with_context(|| format!("{url:?} is not a URL such as sqlite://history.db"))?
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            // A power failure may take back the last commits, whole ones; a killed process none.
            .synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .with_context(|| {
                format!("cannot open {url:?}: its directory must be there and writable")
            })?;
        let store = SqliteEventStore::new(&TableNames::default());
        let source = Arc::new(SqliteSource::new(pool.clone(), store));
        Ok(Sqlite { pool, source })
    }

    fn source(&self) -> &Arc<SqliteSource> {
        &self.source
    }

    async fn create_tables(&self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(include_str!("sql/sqlite/schema.sql")).execute(&self.pool).await.map(drop)
    }

    async fn run_file(&self, sql: String) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        // The file is the user's own, named on the command line.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn begin(&self) -> Result<Self::Transaction, sqlx::Error> {
        // A plain BEGIN reads first and fails if another writes before it does.
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    async fn commit(transaction: Self::Transaction) -> Result<(), sqlx::Error> {
        transaction.commit().await
    }

    async fn insert_commit(
        conn: &mut SqliteConnection,
        commit: &CommitRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/sqlite/insert_commit.sql"))
            .bind(commit.hash)
            .bind(commit.parent)
            .bind(commit.author)
            .bind(commit.events)
            .bind(commit.refused)
            .execute(conn)
            .await
            .map(drop)
    }

    async fn add_file_change(
        conn: &mut SqliteConnection,
        path: &str,
        change: &FileChanged,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/sqlite/upsert_file_stats.sql"))
            .bind(path)
            .bind(change.is_binary())
            .bind(change.added.unwrap_or(0))
            .bind(change.deleted.unwrap_or(0))
            .execute(&mut *conn)
            .await?;
        sqlx::query(include_str!("sql/sqlite/insert_file_author.sql"))
            .bind(path)
            .bind(&change.author)
            .execute(conn)
            .await
            .map(drop)
    }

    async fn commits(&self) -> Result<CommitParents, sqlx::Error> {
        let sql = include_str!("sql/sqlite/read_commits.sql");
        let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }

    async fn commit_counts(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/sqlite/read_commit_counts.sql"))
            .fetch_all(&self.pool)
            .await
    }

    async fn stream_lengths(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/sqlite/read_stream_lengths.sql"))
            .fetch_all(&self.pool)
            .await
    }

    async fn file_stats(&self) -> Result<Vec<FileStatsRow>, sqlx::Error> {
        let sql = include_str!("sql/sqlite/read_file_stats.sql");
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(FileStatsRow::from_columns).collect())
    }

    async fn file_authors(&self) -> Result<Vec<(String, String)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/sqlite/read_file_authors.sql")).fetch_all(&self.pool).await
    }

    async fn most_changed(&self, files_max: u32) -> Result<Vec<(FileStatsRow, i64)>, sqlx::Error> {
        let sql = include_str!("sql/sqlite/read_most_changed.sql");
        let rows: Vec<(String, i64, i64, i64, i64, i64)> =
            sqlx::query_as(sql).bind(files_max).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(FileStatsRow::from_columns_and_authors).collect())
    }

    async fn changes_projected(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(include_str!("sql/sqlite/read_changes_projected.sql"))
            .fetch_one(&self.pool)
            .await
    }
}
