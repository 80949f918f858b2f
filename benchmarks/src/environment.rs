//! On what a run is made.

use std::fs;

use anyhow::Context;
use sqlx::{Connection, MySqlConnection, PgConnection, Row};

use crate::figure::Environment;

/// The settings of `PostgreSQL` that decide what is measured.
const PG_SETTINGS: [&str; 8] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
    "autovacuum",
];

/// Those of `MariaDB`.
const MYSQL_SETTINGS: [&str; 5] = [
    "innodb_flush_log_at_trx_commit",
    "innodb_buffer_pool_size",
    "innodb_autoinc_lock_mode",
    "sync_binlog",
    "tx_isolation",
];

/// The machine and the date; server and settings are empty.
pub(crate) fn environment(is_quick: bool, command: String) -> Environment {
    Environment {
        taken_at: chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
        machine: machine(),
        server: String::new(),
        settings: Vec::new(),
        libraries: Vec::new(),
        is_quick,
        command,
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("an unknown processor", |line| line.trim_start_matches([' ', '\t', ':']));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    let memory = kibibytes.map_or_else(String::new, |kib| format!(", {} GiB", kib / 1024 / 1024));
    format!("{count} × {model}{memory}; server and clients on the same machine")
}

/// Asks `PostgreSQL`.
pub(crate) async fn postgres(url: &str, environment: &mut Environment) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect(url).await.context("cannot connect to the database")?;
    let version: String = sqlx::query_scalar("show server_version").fetch_one(&mut conn).await?;
    environment.server = format!("PostgreSQL {version}");
    for name in PG_SETTINGS {
        let value = sqlx::query_scalar("select current_setting($1)").bind(name);
        environment.settings.push((name.to_owned(), value.fetch_one(&mut conn).await?));
    }
    Ok(())
}

/// Asks `MariaDB`.
pub(crate) async fn mysql(url: &str, environment: &mut Environment) -> anyhow::Result<()> {
    let mut conn = MySqlConnection::connect(url).await.context("cannot connect to the database")?;
    let version: String = sqlx::query_scalar("select version()").fetch_one(&mut conn).await?;
    environment.server = version;
    let rows = sqlx::raw_sql("show variables").fetch_all(&mut conn).await?;
    for row in rows {
        let name: String = row.try_get(0)?;
        if MYSQL_SETTINGS.contains(&name.as_str()) {
            environment.settings.push((name, row.try_get(1)?));
        }
    }
    Ok(())
}
