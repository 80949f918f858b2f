//! The faults of `PostgreSQL`.

use std::time::Duration;

use es::PersistedEvent;
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use super::database::{Fault, Faulty};
use crate::postgres::Postgres;
use crate::sighting::SightingRow;

impl Faulty for Postgres {
    const FAULTS: &'static [Fault] = &[
        Fault::ReadOnly,
        Fault::FullDisk,
        Fault::LockEffects,
        Fault::LockCheckpoints,
        Fault::Silence,
        Fault::NoAnswer,
        Fault::Disconnect,
        Fault::KillWorker,
        Fault::SilenceWorker,
    ];

    const SIGNALS: (Signal, Signal) = (Signal::SIGINT, Signal::SIGQUIT);

    async fn create_faulty(&self) -> Result<(), sqlx::Error> {
        let sql = include_str!("../../sql/postgres/faults.sql");
        sqlx::raw_sql(sql).execute(self.pool()).await.map(drop)
    }

    async fn insert_own_row(conn: &mut PgConnection, event_id: Uuid) -> Result<(), sqlx::Error> {
        let sql = "insert into own_rows (event_id) values ($1)";
        sqlx::query(sql).bind(event_id).execute(conn).await.map(drop)
    }

    async fn note_effect(
        conn: &mut PgConnection,
        projection: &str,
        event: &PersistedEvent,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../../sql/postgres/insert_fault_effect.sql"))
            .bind(projection)
            .bind(event.id())
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .bind(event.position().get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn sleep(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("select pg_sleep(120)").execute(conn).await.map(drop)
    }

    async fn ping(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("select 1").execute(conn).await.map(drop)
    }

    async fn noted(&self, projection: &str) -> Result<Vec<SightingRow>, sqlx::Error> {
        let sql = include_str!("../../sql/postgres/read_fault_effects.sql");
        sqlx::query_as(sql).bind(projection).fetch_all(self.pool()).await
    }

    async fn own_rows(&self) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar("select event_id from own_rows").fetch_all(self.pool()).await
    }

    async fn set_read_only(&self, is_read_only: bool) -> Result<(), sqlx::Error> {
        let setting = if is_read_only {
            "alter system set default_transaction_read_only = on"
        } else {
            "alter system reset default_transaction_read_only"
        };
        sqlx::query(setting).execute(self.pool()).await?;
        sqlx::query("select pg_reload_conf()").execute(self.pool()).await.map(drop)
    }

    async fn set_full(&self, is_full: bool) -> Result<(), sqlx::Error> {
        let sql = if is_full {
            "insert into full_disk (is_full) values (true) on conflict (is_full) do nothing"
        } else {
            "delete from full_disk"
        };
        let mut tx = self.pool().begin_with("begin read write").await?;
        sqlx::query(sql).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn lock(&self, fault: Fault, time: Duration) -> Result<(), sqlx::Error> {
        let lock = match fault {
            Fault::LockEffects => "lock table fault_effects in exclusive mode",
            _ => "select 1 from projection_checkpoints for update",
        };
        // One of its own, closed in any case.
        let mut conn = self.pool().acquire().await?.detach();
        let mut tx = conn.begin_with("begin read write").await?;
        sqlx::raw_sql(lock).execute(&mut *tx).await?;
        sleep(time).await;
        tx.rollback().await?;
        conn.close().await
    }

    async fn disconnect_some(&self) -> Result<u64, sqlx::Error> {
        let sql = include_str!("../../sql/postgres/disconnect_some.sql");
        let ended: Vec<bool> = sqlx::query_scalar(sql).fetch_all(self.pool()).await?;
        Ok(u64::try_from(ended.iter().filter(|is_ended| **is_ended).count()).unwrap_or(0))
    }

    async fn open_transactions(&self) -> Result<i64, sqlx::Error> {
        let sql = include_str!("../../sql/postgres/count_open_transactions.sql");
        sqlx::query_scalar(sql).fetch_one(self.pool()).await
    }
}
