//! `MySQL` or `MariaDB`: a server, on which the four workers write side by side.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, bail};
use es::TableNames;
use es_mysql::{MySqlEventStore, MySqlSource};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Connection, MySql as Driver, MySqlConnection, MySqlPool};

use crate::backend::{Backend, CONNECTIONS_MAX, CommitRow, FileStatsRow};
use crate::file_changed::FileChanged;
use crate::repository::CommitParents;

/// A database on a server.
pub(crate) struct MySql {
    pool: MySqlPool,
    source: Arc<MySqlSource>,
}

impl Backend for MySql {
    type Connection = MySqlConnection;
    type Transaction = sqlx::Transaction<'static, Driver>;
    type Source = MySqlSource;

    const NAME: &str = "mysql";

    /// Every statement that makes a table commits.
    const TAKES_BACK_TABLES: bool = false;

    async fn open(url: &str) -> anyhow::Result<Self> {
        // The URL may hold a password, so no message repeats it.
        let options = MySqlConnectOptions::from_str(url)
            .context("--database-url is not a URL such as mysql://user@host/database")?;
        let Some(database) = options.get_database() else {
            bail!("--database-url names no database: write mysql://USER@HOST/DATABASE");
        };
        // The pool would try for half a minute to reach a server that does not answer.
        let conn = MySqlConnection::connect_with(&options).await.with_context(|| {
            format!(
                "cannot connect to {}: the server must be running and the database be there",
                shown(&options, database)
            )
        })?;
        conn.close().await?;

        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let store = MySqlEventStore::new(&TableNames::default());
        let source = Arc::new(MySqlSource::new(pool.clone(), store));
        Ok(MySql { pool, source })
    }

    fn source(&self) -> &Arc<MySqlSource> {
        &self.source
    }

    async fn create_tables(&self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(include_str!("sql/mysql/schema.sql")).execute(&self.pool).await.map(drop)
    }

    async fn run_file(&self, sql: String) -> Result<(), sqlx::Error> {
        // The file is the user's own, named on the command line.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.map(drop)
    }

    async fn begin(&self) -> Result<Self::Transaction, sqlx::Error> {
        self.pool.begin().await
    }

    async fn commit(transaction: Self::Transaction) -> Result<(), sqlx::Error> {
        transaction.commit().await
    }

    async fn insert_commit(
        conn: &mut MySqlConnection,
        commit: &CommitRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/mysql/insert_commit.sql"))
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
        conn: &mut MySqlConnection,
        path: &str,
        change: &FileChanged,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/mysql/upsert_file_stats.sql"))
            .bind(path)
            .bind(change.is_binary())
            .bind(change.added.unwrap_or(0))
            .bind(change.deleted.unwrap_or(0))
            .execute(&mut *conn)
            .await?;
        sqlx::query(include_str!("sql/mysql/insert_file_author.sql"))
            .bind(path)
            .bind(&change.author)
            .bind(&change.author)
            .execute(conn)
            .await
            .map(drop)
    }

    async fn commits(&self) -> Result<CommitParents, sqlx::Error> {
        let sql = include_str!("sql/mysql/read_commits.sql");
        let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }

    async fn commit_counts(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/mysql/read_commit_counts.sql")).fetch_all(&self.pool).await
    }

    async fn stream_lengths(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/mysql/read_stream_lengths.sql"))
            .fetch_all(&self.pool)
            .await
    }

    async fn file_stats(&self) -> Result<Vec<FileStatsRow>, sqlx::Error> {
        let sql = include_str!("sql/mysql/read_file_stats.sql");
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(FileStatsRow::from_columns).collect())
    }

    async fn file_authors(&self) -> Result<Vec<(String, String)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/mysql/read_file_authors.sql")).fetch_all(&self.pool).await
    }

    async fn most_changed(&self, files_max: u32) -> Result<Vec<(FileStatsRow, i64)>, sqlx::Error> {
        let sql = include_str!("sql/mysql/read_most_changed.sql");
        let rows: Vec<(String, i64, i64, i64, i64, i64)> =
            sqlx::query_as(sql).bind(files_max).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(FileStatsRow::from_columns_and_authors).collect())
    }

    async fn changes_projected(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(include_str!("sql/mysql/read_changes_projected.sql"))
            .fetch_one(&self.pool)
            .await
    }
}

/// A URL without its password and options.
fn shown(options: &MySqlConnectOptions, database: &str) -> String {
    let host =
        options.get_socket().map_or(options.get_host().into(), |path| path.to_string_lossy());
    format!("mysql://{}@{host}:{}/{database}", options.get_username(), options.get_port())
}
