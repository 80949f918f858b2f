//! `MySQL` or `MariaDB`: each store is a database of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::{PersistedEvent, Position, SqlName, TableNames};
use es_mysql::{MySqlEventStore, MySqlSource};
use migrate_gen::{Database, Schema};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool, SqlSafeStr};
use tokio::time::sleep;

use crate::backend::{Backend, Beginning, Transaction};
use crate::failure::Failure;
use crate::isolation::Isolation;
use crate::sighting::SightingRow;

/// Connections that only end other sessions, and commit what those have prepared.
const COMMITTERS: u32 = 2;

/// How often it is asked whether a session that was ended is gone.
const POLL: Duration = Duration::from_millis(2);

/// In seconds. The second is for the locks of whole tables.
const LOCK_WAITS_MAX: &str = "set innodb_lock_wait_timeout = 30, lock_wait_timeout = 30";

/// A database.
pub(crate) struct MySql {
    schema: SqlName,
    tables: TableNames,
    server: MySqlConnectOptions,
    pool: MySqlPool,
    committers: MySqlPool,
    source: Arc<MySqlSource>,
}

impl Backend for MySql {
    type Connection = MySqlConnection;
    type Source = MySqlSource;

    const CONCURRENT_WRITERS: bool = true;

    const CHOOSES_ISOLATION: bool = true;

    async fn open(url: &str, store: &str, connections_max: u32) -> anyhow::Result<Self> {
        let schema: SqlName = store.parse()?;
        let tables = TableNames::default().with_schema(schema.clone());
        let server: MySqlConnectOptions =
            url.parse().context("write the URL as mysql://USER@HOST:PORT/DATABASE")?;
        let conn = MySqlConnection::connect_with(&server).await;
        conn.context("cannot connect to the database")?.close().await?;
        let pool = |connections| {
            MySqlPoolOptions::new()
                .max_connections(connections)
                .test_before_acquire(false)
                .after_connect(|conn, _| {
                    Box::pin(async { sqlx::raw_sql(LOCK_WAITS_MAX).execute(conn).await.map(drop) })
                })
                // It may not be there yet.
                .connect_lazy_with(server.clone().database(store))
        };
        let (pool, committers) = (pool(connections_max), pool(COMMITTERS));
        let source = Arc::new(MySqlSource::new(pool.clone(), MySqlEventStore::new(&tables)));
        Ok(MySql { schema, tables, server, pool, committers, source })
    }

    fn source(&self) -> &Arc<MySqlSource> {
        &self.source
    }

    async fn create(&self) -> anyhow::Result<()> {
        let migration = Schema::new(Database::Mysql).with_tables(self.tables.clone()).to_sql()?;
        let mut conn = MySqlConnection::connect_with(&self.server).await?;
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&mut conn).await?;
        conn.close().await?;
        sqlx::raw_sql(include_str!("../sql/mysql/schema.sql")).execute(&self.pool).await?;
        Ok(())
    }

    async fn remove(&self) -> anyhow::Result<()> {
        let drop = format!("drop database if exists `{}`", self.schema);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&self.pool).await?;
        Ok(())
    }

    async fn begin(&self, beginning: Beginning<'_>) -> Result<Transaction<Self>, Failure> {
        let isolation = match beginning.isolation {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
        };
        let begin = match beginning.prepared_name {
            Some(name) => format!("xa start '{name}'"),
            None => "start transaction".to_owned(),
        };
        let sql = format!("set transaction isolation level {isolation}; {begin}");
        let begin = AssertSqlSafe(sql).into_sql_str();
        let transaction = es_sqlx::PoolTransaction::begin(&self.pool, begin, es_sqlx::close);
        transaction.await.map_err(|error| self.failure(error))
    }

    /// As it was begun: the source's own way would put back limits that were not set.
    async fn commit(&self, tx: Transaction<Self>) -> Result<(), Failure> {
        tx.commit().await.map_err(|error| self.failure(error))
    }

    async fn roll_back(
        &self,
        mut tx: Transaction<Self>,
        beginning: Beginning<'_>,
    ) -> Result<(), Failure> {
        if let Some(name) = beginning.prepared_name {
            // Fails if the server has rolled back already, because of a deadlock.
            let _ =
                sqlx::raw_sql(AssertSqlSafe(format!("xa end '{name}'"))).execute(&mut *tx).await;
            let rollback = AssertSqlSafe(format!("xa rollback '{name}'"));
            let ended = sqlx::raw_sql(rollback).execute(&mut *tx).await;
            ended.map_err(|error| self.failure(error))?;
        }
        tx.rollback().await.map_err(|error| self.failure(error))
    }

    /// Without a limit of its own.
    async fn prepared_max(&self) -> Result<u32, sqlx::Error> {
        Ok(u32::MAX)
    }

    async fn prepare(&self, mut tx: Transaction<Self>, name: &str) -> Result<(), sqlx::Error> {
        let session: u64 = sqlx::query_scalar("select connection_id()").fetch_one(&mut *tx).await?;
        let prepare = AssertSqlSafe(format!("xa end '{name}'; xa prepare '{name}'"));
        sqlx::raw_sql(prepare).execute(&mut *tx).await?;
        // Another session can commit it only when its own is gone.
        let kill = AssertSqlSafe(format!("kill {session}"));
        sqlx::raw_sql(kill).execute(&self.committers).await?;
        while self.is_there(session).await? {
            sleep(POLL).await;
        }
        // The driver does not know, and notices that the session is gone.
        let _ = tx.rollback().await;
        Ok(())
    }

    async fn commit_prepared(&self, name: &str) -> Result<(), sqlx::Error> {
        let commit = AssertSqlSafe(format!("xa commit '{name}'"));
        sqlx::raw_sql(commit).execute(&self.committers).await.map(drop)
    }

    async fn savepoint(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("savepoint before_append").execute(conn).await.map(drop)
    }

    async fn rollback_to_savepoint(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("rollback to savepoint before_append").execute(conn).await.map(drop)
    }

    async fn insert_caller_row(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let sql = include_str!("../sql/mysql/insert_caller_row.sql");
        sqlx::query(sql).execute(conn).await.map(drop)
    }

    async fn read_naively(
        conn: &mut MySqlConnection,
        after: Position,
        events_max: u32,
    ) -> Result<Vec<SightingRow>, sqlx::Error> {
        sqlx::query_as(include_str!("../sql/mysql/read_naively.sql"))
            .bind(after.get())
            .bind(events_max)
            .fetch_all(conn)
            .await
    }

    async fn apply(conn: &mut MySqlConnection, event: &PersistedEvent) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../sql/mysql/insert_effect.sql"))
            .bind(event.id())
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .bind(event.position().get())
            .execute(&mut *conn)
            .await?;
        sqlx::query(include_str!("../sql/mysql/upsert_total.sql"))
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn fail(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("delete from nothing_of_this_name").execute(conn).await.map(drop)
    }

    async fn effects(&self) -> Result<Vec<SightingRow>, sqlx::Error> {
        let sql = include_str!("../sql/mysql/read_effects.sql");
        sqlx::query_as(sql).fetch_all(&self.pool).await
    }

    async fn totals(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        sqlx::query_as(include_str!("../sql/mysql/read_totals.sql")).fetch_all(&self.pool).await
    }
}

impl MySql {
    /// Connections to the database.
    pub(crate) fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    /// The database's name.
    pub(crate) fn schema(&self) -> &SqlName {
        &self.schema
    }

    /// Whether a session is still there. One that was ended lets go of a prepared transaction
    /// before it leaves this list.
    async fn is_there(&self, session: u64) -> Result<bool, sqlx::Error> {
        let sql = "select count(*) from information_schema.processlist where id = ?";
        let sessions: i64 =
            sqlx::query_scalar(sql).bind(session).fetch_one(&self.committers).await?;
        Ok(sessions > 0)
    }

    fn failure(&self, error: sqlx::Error) -> Failure {
        Failure::of_statement(&*self.source, error)
    }
}
