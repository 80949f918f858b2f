//! Names in SQL, and SQL that may be sent.

use es::TableNames;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A name in quotes, with the schema if there is one.
pub(crate) fn quoted(tables: &TableNames, name: &str) -> String {
    match tables.schema() {
        Some(schema) => format!("\"{schema}\".\"{name}\""),
        None => format!("\"{name}\""),
    }
}

/// The only places of a statement that vary are names that [`es::SqlName`] has validated.
pub(crate) fn trusted(sql: String) -> SqlStr {
    AssertSqlSafe(std::sync::Arc::<str>::from(sql)).into_sql_str()
}
