//! `PostgreSQL`: a server, on which the four workers write side by side.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, bail};
use es::TableNames;
use es_postgres::{PgEventStore, PgSource};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres as Driver};

use crate::backend::{Backend, CONNECTIONS_MAX, CommitRow, FileStatsRow};
use crate::file_changed::FileChanged;
use crate::repository::CommitParents;

/// A schema of a database on a server.
pub(crate) struct Postgres {
    pool: PgPool,
    source: Arc<PgSource>,
}

impl Backend for Postgres {
    type Connection = PgConnection;
    type Transaction = sqlx::Transaction<'static, Driver>;
    type Source = PgSource;

    const NAME: &str = "postgres";

    async fn open(url: &str) -> anyhow::Result<Self> {
        // The URL may hold a password, so no message repeats it.
        let options = PgConnectOptions::from_str(url)
            .context("--database-url is not a URL such as postgres://user@host/database")?;
        // The pool would try for half a minute to reach a server that does not answer.
        let mut conn = PgConnection::connect_with(&options).await.with_context(|| {
            format!(
                "cannot connect to {}: the server must be running and the database be there",
                shown(&options)
            )
        })?;
        check_place(&mut conn).await?;
        conn.close().await?;

        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let store = PgEventStore::new(&TableNames::default());
        let source = Arc::new(PgSource::new(pool.clone(), store));
        Ok(Postgres { pool, source })
    }

    fn source(&self) -> &Arc<PgSource> {
        &self.source
    }

    async fn create_tables(&self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(include_str!("sql/postgres/schema.sql")).execute(&self.pool).await.map(drop)
    }

    async fn run_file(&self, sql: String) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        // The file is the user's own, named on the command line.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn begin(&self) -> Result<Self::Transaction, sqlx::Error> {
        self.pool.begin().await
    }

    async fn commit(transaction: Self::Transaction) -> Result<(), sqlx::Error> {
        transaction.commit().await
    }

    async fn insert_commit(
        conn: &mut PgConnection,
        commit: &CommitRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/postgres/insert_commit.sql"))
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
        conn: &mut PgConnection,
        path: &str,
        change: &FileChanged,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/postgres/upsert_file_stats.sql"))
            .bind(path)
            .bind(change.is_binary())
            .bind(change.added.unwrap_or(0))
            .bind(change.deleted.unwrap_or(0))
            .execute(&mut *conn)
            .await?;
        sqlx::query(include_str!("sql/postgres/insert_file_author.sql"))
            .bind(path)
            .bind(&change.author)
            .execute(conn)
            .await
            .map(drop)
    }

    async fn commits(&self) -> Result<CommitParents, sqlx::Error> {
        let mut tx = self.begin().await?;
        sqlx::query(include_str!("sql/postgres/lock_commits.sql")).execute(&mut *tx).await?;
        let sql = include_str!("sql/postgres/read_commits.sql");
        let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows.into_iter().collect())
    }

    async fn commit_counts(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/postgres/read_commit_counts.sql"))
            .fetch_all(&self.pool)
            .await
    }

    async fn stream_lengths(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/postgres/read_stream_lengths.sql"))
            .fetch_all(&self.pool)
            .await
    }

    async fn file_stats(&self) -> Result<Vec<FileStatsRow>, sqlx::Error> {
        let sql = include_str!("sql/postgres/read_file_stats.sql");
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(FileStatsRow::from_columns).collect())
    }

    async fn file_authors(&self) -> Result<Vec<(String, String)>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/postgres/read_file_authors.sql"))
            .fetch_all(&self.pool)
            .await
    }

    async fn most_changed(&self, files_max: u32) -> Result<Vec<(FileStatsRow, i64)>, sqlx::Error> {
        let sql = include_str!("sql/postgres/read_most_changed.sql");
        let rows: Vec<(String, i64, i64, i64, i64, i64)> =
            sqlx::query_as(sql).bind(i64::from(files_max)).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(FileStatsRow::from_columns_and_authors).collect())
    }

    async fn changes_projected(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(include_str!("sql/postgres/read_changes_projected.sql"))
            .fetch_one(&self.pool)
            .await
    }
}

/// Refuses a connection that has nowhere to make tables.
async fn check_place(conn: &mut PgConnection) -> anyhow::Result<()> {
    let sql = include_str!("sql/postgres/read_place.sql");
    let (schema, may_create, role, search_path): (Option<String>, Option<bool>, String, String) =
        sqlx::query_as(sql).fetch_one(conn).await?;
    match (schema, may_create) {
        (Some(_), Some(true)) => Ok(()),
        (Some(schema), _) => bail!(
            "the role {role:?} must not make tables in the schema {schema:?}: as the schema's owner \
             run `grant create on schema \"{schema}\" to \"{role}\"`, or connect as another role"
        ),
        (None, _) => bail!(
            "the role {role:?} finds no schema to make tables in, its search_path is \
             {search_path}: make one with `create schema`, or connect with another search_path"
        ),
    }
}

/// A URL without its password and options.
fn shown(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let host =
        options.get_socket().map_or(options.get_host().into(), |path| path.to_string_lossy());
    // The server's own default.
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{host}:{}/{database}", options.get_port())
}
