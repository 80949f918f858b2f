//! Names in SQL, and SQL that may be sent.

use es::{SqlName, TableNames};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Renders a file below `sql/`, without its comments: most statements are sent as text each time.
macro_rules! statement {
    ($file:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::sql::without_comments(&format!(include_str!(concat!("../sql/events/", $file)) $(, $name = $value)*))
    };
}

pub(crate) use statement;

/// A name in quotes, with the schema if there is one.
pub(crate) fn quoted(tables: &TableNames, name: &SqlName) -> String {
    match tables.schema() {
        Some(schema) => format!("`{schema}`.`{name}`"),
        None => format!("`{name}`"),
    }
}

pub(crate) fn without_comments(sql: &str) -> String {
    sql.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n")
}

/// What varies in a statement are names that [`SqlName`] has validated, numbers, and literals of
/// hexadecimal digits.
pub(crate) fn trusted(sql: String) -> SqlStr {
    AssertSqlSafe(std::sync::Arc::<str>::from(sql)).into_sql_str()
}
