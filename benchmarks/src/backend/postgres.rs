//! PostgreSQL.

use es_postgres::{PgEventStore, PgSource};
use migrate_gen::{Database, Schema};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection};

use super::Backend;

/// The caller's tables.
pub(crate) const TABLES: &str = "
    create table orders (id text primary key, note text);
    create table totals (aggregate_id text primary key, count bigint not null);
";

impl Backend for PgSource {
    const APPENDS_ALONE: bool = true;

    async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(PgSource::new(pool, PgEventStore::default()))
    }

    async fn reset(&self) -> anyhow::Result<()> {
        let drop = "drop schema public cascade; create schema public;";
        sqlx::raw_sql(drop).execute(self.pool()).await?;
        let migration = Schema::new(Database::Postgres).to_sql()?;
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(self.pool()).await?;
        sqlx::raw_sql(TABLES).execute(self.pool()).await?;
        Ok(())
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("analyze").execute(self.pool()).await?;
        Ok(())
    }

    async fn insert_order(conn: &mut PgConnection, id: &str) -> Result<(), sqlx::Error> {
        let insert = sqlx::query("insert into orders (id, note) values ($1, 'ordered')");
        insert.bind(id).execute(conn).await.map(drop)
    }

    async fn upsert(conn: &mut PgConnection, aggregate_id: &str) -> Result<(), sqlx::Error> {
        let upsert = sqlx::query(
            "insert into totals (aggregate_id, count) values ($1, 1)
             on conflict (aggregate_id) do update set count = totals.count + 1",
        );
        upsert.bind(aggregate_id).execute(conn).await.map(drop)
    }

    async fn upsert_many(
        conn: &mut PgConnection,
        counts: &[(String, i64)],
    ) -> Result<(), sqlx::Error> {
        let upsert = sqlx::query(
            "insert into totals (aggregate_id, count) select * from unnest($1::text[], $2::bigint[])
             on conflict (aggregate_id) do update set count = totals.count + excluded.count",
        );
        let ids: Vec<&str> = counts.iter().map(|(id, _)| id.as_str()).collect();
        let counts: Vec<i64> = counts.iter().map(|(_, count)| *count).collect();
        upsert.bind(ids).bind(counts).execute(conn).await.map(drop)
    }
}
