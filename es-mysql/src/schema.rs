//! The start check: are the tables and the server what the library needs?

use es::{StoreError, check_schema_version};
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use crate::error::{DATABASE, store_error};

/// The tables that are looked at: that of the events and that of the appenders.
const TABLES: usize = 2;

/// Looks at the rows of `check_schema.sql`: a name and a value each.
pub(crate) fn check(rows: &[MySqlRow]) -> Result<(), StoreError> {
    let mut found = 0;
    for row in rows {
        let name: &str = row.try_get(0).map_err(store_error)?;
        let value: Option<&str> = row.try_get(1).map_err(store_error)?;
        check_fact(name, value.unwrap_or_default())?;
        found += usize::from(name.contains('.'));
    }
    if found == TABLES {
        return Ok(());
    }
    Err(unsafe_schema("the table of the events or that of the appenders is not there"))
}

/// Refuses a session that would send names in another encoding than the columns have.
pub(crate) fn check_character_set(name: &str) -> Result<(), StoreError> {
    if name == "utf8mb4" {
        return Ok(());
    }
    Err(unsafe_schema(format!(
        "the session sends text in {name}, which cannot hold every name: connect with the \
         character set utf8mb4, as sqlx does by default"
    )))
}

fn check_fact(name: &str, value: &str) -> Result<(), StoreError> {
    match name {
        "" => check_schema_version(DATABASE, value.parse().unwrap_or(0)),
        "character_set_client" => check_character_set(value),
        "wsrep_on" if is_on(value) => Err(unsafe_schema(
            "the server belongs to a Galera cluster, whose nodes do not show each other who is \
             appending: use a server with one primary",
        )),
        "group_replication_single_primary_mode" if !is_on(value) => Err(unsafe_schema(
            "the server belongs to a replication group with several primaries, which do not show \
             each other who is appending: use single-primary mode",
        )),
        "wsrep_on" | "group_replication_single_primary_mode" => Ok(()),
        table => check_table(table, value),
    }
}

fn check_table(table: &str, collation: &str) -> Result<(), StoreError> {
    let (table, engine) = table.rsplit_once('.').unwrap_or((table, ""));
    if engine != "innodb" {
        return Err(unsafe_schema(format!(
            "table {table} is kept by the engine {engine:?}, which has no transactions like \
             InnoDB's: run `alter table {table} engine = InnoDB`"
        )));
    }
    if collation != "utf8mb4_bin" {
        return Err(unsafe_schema(format!(
            "the collation of table {table} is {collation}, by which different names can be \
             equal: create it as migrate-gen writes it, with utf8mb4_bin"
        )));
    }
    Ok(())
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("on") || value == "1"
}

fn unsafe_schema(reason: impl Into<String>) -> StoreError {
    StoreError::SchemaUnsafe { reason: reason.into() }
}
