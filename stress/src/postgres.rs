//! `PostgreSQL`: each store is a schema of its own.

use std::sync::Arc;

use anyhow::Context;
use es::{PersistedEvent, Position, SqlName, TableNames};
use es_postgres::{PgEventStore, PgSource};
use migrate_gen::{Database, Schema};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::backend::{Backend, Transaction};
use crate::sighting::SightingRow;

/// Connections that only commit what others have prepared.
const COMMITTERS: u32 = 2;

/// A schema.
pub(crate) struct Postgres {
    schema: SqlName,
    tables: TableNames,
    pool: PgPool,
    committers: PgPool,
    source: Arc<PgSource>,
}

impl Postgres {
    /// Connections to the schema.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl Backend for Postgres {
    type Connection = PgConnection;
    type Source = PgSource;

    const CONCURRENT_WRITERS: bool = true;

    async fn open(url: &str, store: &str, connections_max: u32) -> anyhow::Result<Self> {
        let schema: SqlName = store.parse()?;
        let tables = TableNames::default().with_schema(schema.clone());
        let options: PgConnectOptions =
            url.parse().context("write the URL as postgres://USER@HOST:PORT/DATABASE")?;
        let options = options
            .application_name("stress")
            .options([("search_path", store), ("lock_timeout", "30s")]);
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .test_before_acquire(false)
                .connect_lazy_with(options.clone())
        };
        let (pool, committers) = (pool(connections_max), pool(COMMITTERS));
        drop(pool.acquire().await.context("cannot connect to the database")?);
        let source = Arc::new(PgSource::new(pool.clone(), PgEventStore::new(&tables)));
        Ok(Postgres { schema, tables, pool, committers, source })
    }

    fn source(&self) -> &Arc<PgSource> {
        &self.source
    }

    async fn create(&self) -> anyhow::Result<()> {
        let migration =
            Schema::new(Database::Postgres).with_tables(self.tables.clone()).to_sql()?;
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&self.pool).await?;
        sqlx::raw_sql(include_str!("../sql/postgres/schema.sql")).execute(&self.pool).await?;
        Ok(())
    }

    async fn remove(&self) -> anyhow::Result<()> {
        let drop = format!("drop schema if exists \"{}\" cascade", self.schema);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&self.pool).await?;
        Ok(())
    }

    async fn prepared_max(&self) -> Result<u32, sqlx::Error> {
        let max: i32 =
            sqlx::query_scalar("select current_setting('max_prepared_transactions')::integer")
                .fetch_one(&self.pool)
                .await?;
        Ok(u32::try_from(max).unwrap_or(0))
    }

    async fn prepare(&self, mut tx: Transaction<Self>, name: &str) -> Result<(), sqlx::Error> {
        let prepare = format!("prepare transaction '{name}'");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *tx).await?;
        // The session has no transaction any more; the driver does not know, and the server
        // answers with a notice.
        tx.rollback().await
    }

    async fn commit_prepared(&self, name: &str) -> Result<(), sqlx::Error> {
        let commit = format!("commit prepared '{name}'");
        sqlx::raw_sql(AssertSqlSafe(commit)).execute(&self.committers).await.map(drop)
    }

    async fn savepoint(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("savepoint before").execute(conn).await.map(drop)
    }

    async fn rollback_to_savepoint(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("rollback to savepoint before").execute(conn).await.map(drop)
    }

    async fn insert_caller_row(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = include_str!("../sql/postgres/insert_caller_row.sql");
        sqlx::query(sql).execute(conn).await.map(drop)
    }

    async fn read_naively(
        conn: &mut PgConnection,
        after: Position,
        events_max: u32,
    ) -> Result<Vec<SightingRow>, sqlx::Error> {
        sqlx::query_as(include_str!("../sql/postgres/read_naively.sql"))
            .bind(after.get())
            .bind(i64::from(events_max))
            .fetch_all(conn)
            .await
    }

    async fn apply(conn: &mut PgConnection, event: &PersistedEvent) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../sql/postgres/insert_effect.sql"))
            .bind(event.id())
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .bind(event.position().get())
            .execute(&mut *conn)
            .await?;
        sqlx::query(include_str!("../sql/postgres/upsert_total.sql"))
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn fail(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("delete from nothing_of_this_name").execute(conn).await.map(drop)
    }

    async fn effects(&self) -> Result<Vec<SightingRow>, sqlx::Error> {
        let sql = include_str!("../sql/postgres/read_effects.sql");
        sqlx::query_as(sql).fetch_all(&self.pool).await
    }

    async fn totals(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("../sql/postgres/read_totals.sql")).fetch_all(&self.pool).await
    }
}
