//! The faults of `SQLite`: it has no server, so what can be set is set on each connection, by files
//! beside the database that say what is wrong at the moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use es::PersistedEvent;
use nix::sys::signal::Signal;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::time::sleep;
use uuid::Uuid;

use super::database::{Fault, Faulty};
use crate::sighting::SightingRow;
use crate::sqlite::Sqlite;

/// Shorter than a statement may take, so that it is the database that says it is busy.
const BUSY_TIMEOUT: Duration = Duration::from_millis(300);

const READ_ONLY: &str = "read-only";
const FULL: &str = "full";

impl Faulty for Sqlite {
    const FAULTS: &'static [Fault] =
        &[Fault::ReadOnly, Fault::FullDisk, Fault::LockEffects, Fault::KillWorker];

    /// Shorter than a lease: who hangs has the one lock without which nobody can renew theirs.
    const TIME_MAX: Duration = Duration::from_millis(500);

    const SIGNALS: (Signal, Signal) = (Signal::SIGTERM, Signal::SIGKILL);

    async fn open_faulty(url: &str, store: &str, connections_max: u32) -> anyhow::Result<Self> {
        let file = Sqlite::file_of(url, store)?;
        let (at_first, again) = (file.clone(), file);
        let pool = SqlitePoolOptions::new()
            .max_connections(connections_max)
            .after_connect(move |conn, _| {
                let file = at_first.clone();
                Box::pin(async move { set_faults(&file, conn).await })
            })
            .before_acquire(move |conn, _| {
                let file = again.clone();
                Box::pin(async move { set_faults(&file, conn).await.map(|()| true) })
            });
        Sqlite::open_with(url, store, pool, BUSY_TIMEOUT).await
    }

    async fn create_faulty(&self) -> Result<(), sqlx::Error> {
        let sql = include_str!("../../sql/sqlite/faults.sql");
        sqlx::raw_sql(sql).execute(self.pool()).await.map(drop)
    }

    async fn insert_own_row(
        conn: &mut SqliteConnection,
        event_id: Uuid,
    ) -> Result<(), sqlx::Error> {
        let sql = "insert into own_rows (event_id) values (?1)";
        sqlx::query(sql).bind(event_id).execute(conn).await.map(drop)
    }

    async fn note_effect(
        conn: &mut SqliteConnection,
        projection: &str,
        event: &PersistedEvent,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../../sql/sqlite/insert_fault_effect.sql"))
            .bind(projection)
            .bind(event.id())
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .bind(event.position().get())
            .execute(conn)
            .await
            .map(drop)
    }

    /// Not for ever, for nobody can end a statement of another process.
    async fn sleep(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let sql = include_str!("../../sql/sqlite/take_long.sql");
        sqlx::query(sql).execute(conn).await.map(drop)
    }

    async fn ping(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query("select 1").execute(conn).await.map(drop)
    }

    async fn noted(&self, projection: &str) -> Result<Vec<SightingRow>, sqlx::Error> {
        let sql = include_str!("../../sql/sqlite/read_fault_effects.sql");
        sqlx::query_as(sql).bind(projection).fetch_all(self.pool()).await
    }

    async fn own_rows(&self) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar("select event_id from own_rows").fetch_all(self.pool()).await
    }

    async fn set_read_only(&self, is_read_only: bool) -> Result<(), sqlx::Error> {
        set(&beside(self.file(), READ_ONLY), is_read_only)
    }

    async fn set_full(&self, is_full: bool) -> Result<(), sqlx::Error> {
        set(&beside(self.file(), FULL), is_full)
    }

    async fn lock(&self, _: Fault, time: Duration) -> Result<(), sqlx::Error> {
        let mut conn = self.pool().acquire().await?.detach();
        let tx = conn.begin_with("begin immediate").await?;
        sleep(time).await;
        tx.rollback().await?;
        conn.close().await
    }

    async fn disconnect_some(&self) -> Result<u64, sqlx::Error> {
        Ok(0)
    }

    /// There can be one: that it can be begun proves that nobody has it.
    async fn open_transactions(&self) -> Result<i64, sqlx::Error> {
        let mut conn = self.pool().acquire().await?.detach();
        let tx = conn.begin_with("begin immediate").await?;
        tx.rollback().await?;
        conn.close().await?;
        Ok(0)
    }
}

/// The database is never smaller than it is, so this is the size at the moment.
const NOT_A_PAGE_MORE: &str = "pragma max_page_count = 1";
const ANY_SIZE: &str = "pragma max_page_count = 4294967294";

async fn set_faults(file: &Path, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let is_read_only = beside(file, READ_ONLY).exists();
    let read_only = if is_read_only { "pragma query_only = on" } else { "pragma query_only = off" };
    sqlx::raw_sql(read_only).execute(&mut *conn).await?;
    let size = if beside(file, FULL).exists() { NOT_A_PAGE_MORE } else { ANY_SIZE };
    sqlx::raw_sql(size).execute(conn).await.map(drop)
}

fn beside(file: &Path, fault: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-");
    name.push(fault);
    name.into()
}

fn set(file: &Path, is_set: bool) -> Result<(), sqlx::Error> {
    let result = if is_set { std::fs::write(file, "") } else { std::fs::remove_file(file) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
