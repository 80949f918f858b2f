//! SQLite.

use std::time::Duration;

use es_sqlite::{SqliteEventStore, SqliteSource};
use migrate_gen::{Database, Schema};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Backend;

/// Longest list of rows in one statement.
const ROWS_MAX: usize = 1000;

impl Backend for SqliteSource {
    const APPENDS_ALONE: bool = true;

    async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        let options: SqliteConnectOptions = url.parse()?;
        // A commit waits for the disk, as the servers' commits do.
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_mins(1));
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(SqliteSource::new(pool, SqliteEventStore::default()))
    }

    async fn reset(&self) -> anyhow::Result<()> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'",
        )
        .fetch_all(self.pool())
        .await?;
        let drop: Vec<_> = tables.iter().map(|table| format!("drop table \"{table}\";")).collect();
        let migration = Schema::new(Database::Sqlite).to_sql()?;
        let own = "create table orders (id text primary key, note text) strict;
                   create table totals (aggregate_id text primary key, count integer not null) strict;";
        for sql in [drop.join("\n"), migration, own.to_owned()] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.pool()).await?;
        }
        Ok(())
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("analyze").execute(self.pool()).await?;
        Ok(())
    }

    async fn insert_order(conn: &mut SqliteConnection, id: &str) -> Result<(), sqlx::Error> {
        let insert = sqlx::query("insert into orders (id, note) values (?, 'ordered')");
        insert.bind(id.to_owned()).execute(conn).await.map(drop)
    }

    async fn upsert(conn: &mut SqliteConnection, aggregate_id: &str) -> Result<(), sqlx::Error> {
        let upsert = sqlx::query(
            "insert into totals (aggregate_id, count) values (?, 1)
             on conflict (aggregate_id) do update set count = count + 1",
        );
        upsert.bind(aggregate_id.to_owned()).execute(conn).await.map(drop)
    }

    async fn upsert_many(
        conn: &mut SqliteConnection,
        counts: &[(String, i64)],
    ) -> Result<(), sqlx::Error> {
        for counts in counts.chunks(ROWS_MAX) {
            let rows = vec!["(?, ?)"; counts.len()].join(", ");
            let sql = format!(
                "insert into totals (aggregate_id, count) values {rows}
                 on conflict (aggregate_id) do update set count = count + excluded.count"
            );
            let mut upsert = sqlx::query(AssertSqlSafe(sql));
            for (id, count) in counts {
                upsert = upsert.bind(id.clone()).bind(count);
            }
            upsert.execute(&mut *conn).await?;
        }
        Ok(())
    }
}
