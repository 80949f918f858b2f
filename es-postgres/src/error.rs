//! What PostgreSQL's errors mean to a caller.

use es::{Cause, StoreError, TransactionState};

/// What `migrate-gen --database` calls it.
pub(crate) const DATABASE: &str = "postgres";

/// Sorts an error by what the caller can do about it.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match kind(&error) {
        Kind::Retryable => StoreError::Retryable {
            transaction: TransactionState::MustRollBack,
            source: error.into(),
        },
        Kind::NoConnection => StoreError::ConnectionLost { source: error.into() },
        Kind::NoTable => {
            StoreError::SchemaMissing { database: DATABASE, options: None, source: error.into() }
        }
        Kind::TooLarge => StoreError::TooLarge { source: error.into() },
        Kind::Undecodable => StoreError::corrupt(error.to_string()),
        Kind::Other => StoreError::database(error),
    }
}

/// Sorts an error of the append. A unique violation there is an event id that another transaction
/// stored at the same moment, behind the first event: the next attempt finds it and says so.
pub(crate) fn append_error(error: sqlx::Error) -> StoreError {
    let constraint = error.as_database_error().and_then(sqlx::error::DatabaseError::constraint);
    if constraint.is_some_and(|constraint| constraint.ends_with("_event_id_key")) {
        let transaction = TransactionState::MustRollBack;
        return StoreError::Retryable { transaction, source: error.into() };
    }
    store_error(error)
}

/// Whose fault an error of the driver is.
pub(crate) fn error_cause(error: &sqlx::Error) -> Cause {
    match kind(error) {
        Kind::Retryable | Kind::NoConnection => Cause::Transaction,
        _ => Cause::Statement,
    }
}

enum Kind {
    Retryable,
    NoConnection,
    NoTable,
    TooLarge,
    Undecodable,
    Other,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => {
            error.code().map_or(Kind::Other, |sqlstate| database_kind(&sqlstate))
        }
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut => {
            Kind::NoConnection
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Undecodable,
        _ => Kind::Other,
    }
}

/// By SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn database_kind(sqlstate: &str) -> Kind {
    match sqlstate {
        // serialization_failure, deadlock_detected; lock_not_available and query_canceled, the
        // timeouts an operator has set.
        "40001" | "40P01" | "55P03" | "57014" => Kind::Retryable,
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout,
        // idle_in_transaction_session_timeout, transaction_timeout, too_many_connections.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" | "53300" => Kind::NoConnection,
        // undefined_table, undefined_column, invalid_schema_name.
        "42P01" | "42703" | "3F000" => Kind::NoTable,
        // connection_exception, program_limit_exceeded.
        _ if sqlstate.starts_with("08") => Kind::NoConnection,
        _ if sqlstate.starts_with("54") => Kind::TooLarge,
        _ => Kind::Other,
    }
}
