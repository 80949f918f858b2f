//! Names in SQL, and SQL that may be sent.

use es::SqlName;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

pub(crate) fn quoted(name: &SqlName) -> String {
    format!("\"{name}\"")
}

/// The only places of a statement that vary are names that [`SqlName`] has validated, and numbers.
pub(crate) fn trusted(sql: String) -> SqlStr {
    AssertSqlSafe(std::sync::Arc::<str>::from(sql)).into_sql_str()
}
