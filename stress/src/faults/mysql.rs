//! The faults of `MySQL` and `MariaDB`.

use std::time::Duration;

use es::PersistedEvent;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use tokio::time::sleep;
use uuid::Uuid;

use super::database::{Fault, Faulty};
use crate::mysql::MySql;
use crate::sighting::SightingRow;

/// Who works and writes: root would not notice that the server is read-only.
const USER: &str = "stress_user";

impl Faulty for MySql {
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

    const SIGNALS: (Signal, Signal) = (Signal::SIGTERM, Signal::SIGKILL);

    fn user_url(url: &str, store: &str) -> String {
        match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => {
                let server = place.split('/').next().unwrap_or(place);
                format!("{scheme}://{USER}@{server}/{store}")
            }
            _ => url.to_owned(),
        }
    }

    async fn create_faulty(&self) -> Result<(), sqlx::Error> {
        let sql = include_str!("../../sql/mysql/faults.sql");
        sqlx::raw_sql(sql).execute(self.pool()).await?;
        for statement in [
            format!("create user if not exists {USER}"),
            format!("grant all on `{}`.* to {USER}", self.schema()),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(self.pool()).await?;
        }
        Ok(())
    }

    async fn insert_own_row(conn: &mut MySqlConnection, event_id: Uuid) -> Result<(), sqlx::Error> {
        let sql = "insert into own_rows (event_id) values (?)";
        sqlx::query(sql).bind(event_id).execute(conn).await.map(drop)
    }

    async fn note_effect(
        conn: &mut MySqlConnection,
        projection: &str,
        event: &PersistedEvent,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../../sql/mysql/insert_fault_effect.sql"))
            .bind(projection)
            .bind(event.id())
            .bind(event.aggregate_id())
            .bind(event.version().get())
            .bind(event.position().get())
            .execute(conn)
            .await
            .map(drop)
    }

    async fn sleep(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        sqlx::query("select sleep(120)").execute(conn).await.map(drop)
    }

    async fn ping(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        sqlx::query("select 1").execute(conn).await.map(drop)
    }

    async fn noted(&self, projection: &str) -> Result<Vec<SightingRow>, sqlx::Error> {
        let sql = include_str!("../../sql/mysql/read_fault_effects.sql");
        sqlx::query_as(sql).bind(projection).fetch_all(self.pool()).await
    }

    async fn own_rows(&self) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar("select event_id from own_rows").fetch_all(self.pool()).await
    }

    async fn set_read_only(&self, is_read_only: bool) -> Result<(), sqlx::Error> {
        let setting =
            if is_read_only { "set global read_only = 1" } else { "set global read_only = 0" };
        sqlx::raw_sql(setting).execute(self.pool()).await.map(drop)
    }

    async fn set_full(&self, is_full: bool) -> Result<(), sqlx::Error> {
        let sql = if is_full {
            "insert ignore into full_disk (is_full) values (true)"
        } else {
            "delete from full_disk"
        };
        sqlx::raw_sql(sql).execute(self.pool()).await.map(drop)
    }

    async fn lock(&self, fault: Fault, time: Duration) -> Result<(), sqlx::Error> {
        let lock = match fault {
            Fault::LockEffects => "lock tables fault_effects write",
            _ => "begin; select 1 from projection_checkpoints for update",
        };
        // One of its own, closed in any case, which lets go of everything.
        let mut conn = self.pool().acquire().await?.detach();
        sqlx::raw_sql(lock).execute(&mut conn).await?;
        sleep(time).await;
        conn.close().await
    }

    async fn disconnect_some(&self) -> Result<u64, sqlx::Error> {
        let sql = include_str!("../../sql/mysql/list_some_sessions.sql");
        let sessions: Vec<i64> = sqlx::query_scalar(sql).fetch_all(self.pool()).await?;
        let mut ended = 0;
        for session in sessions {
            let kill = AssertSqlSafe(format!("kill connection {session}"));
            // It may be gone.
            if sqlx::raw_sql(kill).execute(self.pool()).await.is_ok() {
                ended += 1;
            }
        }
        Ok(ended)
    }

    async fn open_transactions(&self) -> Result<i64, sqlx::Error> {
        let sql = include_str!("../../sql/mysql/count_open_transactions.sql");
        sqlx::query_scalar(sql).fetch_one(self.pool()).await
    }
}
