//! MySQL and MariaDB.

use es_mysql::{MySqlEventStore, MySqlSource};
use migrate_gen::{Database, Schema};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::Backend;

/// Longest list of rows in one statement.
const ROWS_MAX: usize = 1000;

impl Backend for MySqlSource {
    const APPENDS_ALONE: bool = false;

    async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        let options: MySqlConnectOptions = url.parse()?;
        let pool = MySqlPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(MySqlSource::new(pool, MySqlEventStore::default()))
    }

    async fn reset(&self) -> anyhow::Result<()> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_name from information_schema.tables where table_schema = database()",
        )
        .fetch_all(self.pool())
        .await?;
        let drop: Vec<_> = tables.iter().map(|table| format!("drop table `{table}`;")).collect();
        let drop = drop.join("\n");
        let migration = Schema::new(Database::Mysql).to_sql()?;
        let own = "create table orders (id varchar(255) primary key, note text);
                   create table totals (aggregate_id varchar(255) primary key, count bigint not null);";
        let sql = format!(
            "set foreign_key_checks = 0; {drop} set foreign_key_checks = 1; {migration} {own}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.pool()).await?;
        Ok(())
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("analyze table events, totals").execute(self.pool()).await?;
        Ok(())
    }

    async fn insert_order(conn: &mut MySqlConnection, id: &str) -> Result<(), sqlx::Error> {
        let insert = sqlx::query("insert into orders (id, note) values (?, 'ordered')");
        insert.bind(id).execute(conn).await.map(drop)
    }

    async fn upsert(conn: &mut MySqlConnection, aggregate_id: &str) -> Result<(), sqlx::Error> {
        let upsert = sqlx::query(
            "insert into totals (aggregate_id, count) values (?, 1)
             on duplicate key update count = count + 1",
        );
        upsert.bind(aggregate_id).execute(conn).await.map(drop)
    }

    async fn upsert_many(
        conn: &mut MySqlConnection,
        counts: &[(String, i64)],
    ) -> Result<(), sqlx::Error> {
        for counts in counts.chunks(ROWS_MAX) {
            let rows = vec!["(?, ?)"; counts.len()].join(", ");
            let sql = format!(
                "insert into totals (aggregate_id, count) values {rows}
                 on duplicate key update count = count + values(count)"
            );
            let mut upsert = sqlx::query(AssertSqlSafe(sql));
            for (id, count) in counts {
                upsert = upsert.bind(id).bind(count);
            }
            upsert.execute(&mut *conn).await?;
        }
        Ok(())
    }
}
