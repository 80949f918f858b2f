//! The kinds of database there is a schema for.

use std::fmt;

/// The kinds of database there is a schema for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Database {
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// As the command line calls it.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Mysql => "mysql",
            Database::Postgres => "postgres",
            Database::Sqlite => "sqlite",
        })
    }
}
