//! What SQLite's errors mean to a caller.

use es::{Cause, StoreError, TransactionState};
use thiserror::Error;

/// What `migrate-gen --database` calls it.
pub(crate) const DATABASE: &str = "sqlite";

/// Primary result codes, <https://www.sqlite.org/rescode.html>.
const SQLITE_ERROR: u32 = 1;
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_TOOBIG: u32 = 18;

/// Extended result codes.
const SQLITE_CONSTRAINT_UNIQUE: u32 = 2067;

/// Another connection is writing.
#[derive(Debug, Error)]
#[error(
    "another connection is writing: begin transactions that append with BEGIN IMMEDIATE, \
     and set a busy timeout"
)]
struct Busy(#[source] sqlx::Error);

/// Sorts an error by what the caller can do about it.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match kind(&error) {
        Kind::Busy => StoreError::Retryable {
            transaction: TransactionState::MustRollBack,
            source: Box::new(Busy(error)),
        },
        Kind::NoConnection => StoreError::ConnectionLost { source: error.into() },
        Kind::NoTable => {
            StoreError::SchemaMissing { database: DATABASE, options: None, source: error.into() }
        }
        Kind::TooLarge => StoreError::TooLarge { source: error.into() },
        Kind::Undecodable => StoreError::corrupt(error.to_string()),
        Kind::UniqueViolation | Kind::Other => StoreError::database(error),
    }
}

/// Whose fault an error of the driver is.
pub(crate) fn error_cause(error: &sqlx::Error) -> Cause {
    match kind(error) {
        Kind::Busy | Kind::NoConnection => Cause::Transaction,
        _ => Cause::Statement,
    }
}

/// Whether the unique index of the event ids refused a row.
pub(crate) fn is_taken_event_id(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    database_kind(error.as_ref()) == Kind::UniqueViolation && error.message().ends_with(".event_id")
}

#[derive(Debug, PartialEq)]
enum Kind {
    Busy,
    NoConnection,
    NoTable,
    TooLarge,
    Undecodable,
    UniqueViolation,
    Other,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => database_kind(error.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut => {
            Kind::NoConnection
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Undecodable,
        _ => Kind::Other,
    }
}

fn database_kind(error: &dyn sqlx::error::DatabaseError) -> Kind {
    let code: u32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(SQLITE_ERROR);
    match code & 0xff {
        _ if code == SQLITE_CONSTRAINT_UNIQUE => Kind::UniqueViolation,
        SQLITE_BUSY | SQLITE_LOCKED => Kind::Busy,
        SQLITE_TOOBIG => Kind::TooLarge,
        // SQLite has one code for every mistake in a statement; only the message tells them apart.
        SQLITE_ERROR if error.message().starts_with("no such table") => Kind::NoTable,
        _ => Kind::Other,
    }
}
