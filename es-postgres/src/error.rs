//! What PostgreSQL's errors mean to a caller.

use std::error::Error;
use std::io;

use es::{Cause, StoreError, TransactionState};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::sqlstate::{Meaning, meaning};

/// What `migrate-gen --database` calls it.
pub(crate) const DATABASE: &str = "postgres";

/// Sorts an error by what the caller can do about it.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match kind(&error) {
        Kind::Database(Meaning::Retryable | Meaning::Stale) => retryable(error),
        Kind::NoConnection | Kind::Database(Meaning::NoConnection) => {
            StoreError::ConnectionLost { source: error.into() }
        }
        Kind::NoneInTime => StoreError::PoolTimedOut { source: error.into() },
        Kind::Database(Meaning::Unavailable) => StoreError::Unavailable { source: error.into() },
        Kind::Database(Meaning::NoRight) => {
            let needed = "what the cause names".to_owned();
            StoreError::MissingRight { needed, source: error.into() }
        }
        Kind::Database(Meaning::NoTable) => {
            StoreError::SchemaMissing { database: DATABASE, options: None, source: error.into() }
        }
        Kind::Database(Meaning::TooLarge) => StoreError::TooLarge { source: error.into() },
        Kind::Undecodable => StoreError::corrupt(error.to_string()),
        Kind::Database(Meaning::Statement | Meaning::Aborted) | Kind::Other => {
            StoreError::database(error)
        }
    }
}

/// Sorts an error of one of the store's own statements, whose SQL says which rights it needs.
pub(crate) fn statement_error(sql: &str, error: sqlx::Error) -> StoreError {
    match store_error(error) {
        StoreError::MissingRight { source, .. } => {
            StoreError::MissingRight { needed: rights(sql), source }
        }
        other => other,
    }
}

/// Sorts an error of the append. A unique violation there is an event id that another transaction
/// stored at the same moment, after the first event: the next attempt finds it and says so.
pub(crate) fn append_error(sql: &str, error: sqlx::Error) -> StoreError {
    let constraint = error.as_database_error().and_then(DatabaseError::constraint);
    if constraint.is_some_and(|constraint| constraint.ends_with("_event_id_key")) {
        return retryable(error);
    }
    statement_error(sql, error)
}

/// The transaction must be rolled back, and another may succeed.
pub(crate) fn retryable(error: sqlx::Error) -> StoreError {
    let transaction = TransactionState::MustRollBack;
    StoreError::Retryable { transaction, source: error.into() }
}

/// Whether the statement has to be prepared again.
pub(crate) fn is_stale(error: &sqlx::Error) -> bool {
    matches!(kind(error), Kind::Database(Meaning::Stale))
}

/// Whether an earlier error has aborted the transaction.
pub(crate) fn is_aborted(error: &sqlx::Error) -> bool {
    matches!(kind(error), Kind::Database(Meaning::Aborted))
}

/// Whose fault an error is, if it is one of the driver's. An error that wraps the driver's
/// transparently hides it: then its cause shows, or nothing but its words.
pub(crate) fn error_cause(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return Some(kind_cause(&kind(error)));
    }
    if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
        return Some(kind_cause(&database_kind(&**error)));
    }
    if let Some(error) = error.downcast_ref::<PgDatabaseError>() {
        return Some(kind_cause(&database_kind(error)));
    }
    if error.is::<io::Error>() {
        // The driver's stands below an error that is known by its words. Another one is of a socket or
        // a file of the handler's own: the transaction tells whether its connection is lost, too.
        return None;
    }
    let words = error.to_string();
    CONNECTION_WORDS.iter().any(|known| words.contains(known)).then_some(Cause::Transaction)
}

/// How sqlx words the errors that have no cause of their own to be known by.
const CONNECTION_WORDS: [&str; 6] = [
    "error communicating with database",
    "pool timed out while waiting for an open connection",
    "attempted to acquire a connection on a closed pool",
    "attempted to communicate with a crashed background worker",
    "error occurred while attempting to establish a TLS connection",
    "got unexpected connection status after attempting to begin transaction",
];

fn kind_cause(kind: &Kind) -> Cause {
    match kind {
        Kind::Database(Meaning::Unavailable | Meaning::NoRight) => Cause::Server,
        Kind::NoConnection
        | Kind::NoneInTime
        | Kind::Database(
            Meaning::Stale | Meaning::Aborted | Meaning::Retryable | Meaning::NoConnection,
        ) => Cause::Transaction,
        Kind::Database(Meaning::Statement | Meaning::NoTable | Meaning::TooLarge)
        | Kind::Undecodable
        | Kind::Other => Cause::Statement,
    }
}

/// What an error of the driver is.
enum Kind {
    Database(Meaning),
    NoConnection,
    NoneInTime,
    Undecodable,
    Other,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => database_kind(&**error),
        sqlx::Error::PoolTimedOut => Kind::NoneInTime,
        // What the protocol does not allow says that the connection is out of step.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed => Kind::NoConnection,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Undecodable,
        _ => Kind::Other,
    }
}

fn database_kind(error: &dyn DatabaseError) -> Kind {
    // An error of another database, which a handler may use beside this one.
    let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else { return Kind::Other };
    let ends_session = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    match meaning(error.code(), error.routine()) {
        Meaning::Unavailable => Kind::Database(Meaning::Unavailable),
        Meaning::NoRight => Kind::Database(Meaning::NoRight),
        _ if ends_session => Kind::NoConnection,
        meaning => Kind::Database(meaning),
    }
}

/// What a statement needs, as `grant` has it.
fn rights(sql: &str) -> String {
    let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
    let sql = lines.collect::<Vec<_>>().join(" ");
    let has = |clause: &str| sql.contains(clause);
    let mut rights = vec!["select"];
    rights.extend((has("insert into ") || has("copy ")).then_some("insert"));
    rights.extend((has("update ") || has("for update")).then_some("update"));
    rights.extend(has("delete from ").then_some("delete"));
    format!("{} on what the cause names, or usage if that is a schema", rights.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_of_a_statement_are_read_from_its_clauses() {
        let rights = |sql| rights(sql).split(" on").next().map(str::to_owned);
        assert_eq!(rights(include_str!("../sql/events/read_stream.sql")).unwrap(), "select");
        assert_eq!(rights(include_str!("../sql/events/append.sql")).unwrap(), "select, insert");
        assert_eq!(
            rights(include_str!("../sql/projections/lock_checkpoint.sql")).unwrap(),
            "select, update"
        );
        assert_eq!(
            rights(include_str!("../sql/projections/delete_workers.sql")).unwrap(),
            "select, delete"
        );
    }

    #[test]
    fn an_io_error_that_is_not_the_drivers_says_nothing_about_the_database() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::ConnectionReset] {
            assert_eq!(error_cause(&io::Error::from(kind)), None);
            let drivers = sqlx::Error::Io(kind.into());
            assert_eq!(error_cause(&drivers), Some(Cause::Transaction));
        }
    }
}
