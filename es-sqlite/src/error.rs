//! What SQLite's errors mean to a caller.

mod codes;

use std::error::Error;
use std::io;

use es::{Cause, StoreError, TransactionState};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use thiserror::Error;

use codes::{Kind, code_kind};

/// What `migrate-gen --database` calls it.
pub(crate) const DATABASE: &str = "sqlite";

/// Another connection is writing.
#[derive(Debug, Error)]
#[error(
    "another connection is writing: begin transactions that append with BEGIN IMMEDIATE, \
     and set a busy timeout"
)]
struct Busy(#[source] sqlx::Error);

/// Sorts an error by what the caller can do about it.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    let retryable = |transaction, error: sqlx::Error| StoreError::Retryable {
        transaction,
        source: error.into(),
    };
    match kind(&error) {
        Kind::Busy => StoreError::Retryable {
            transaction: TransactionState::MustRollBack,
            source: Box::new(Busy(error)),
        },
        Kind::Again => retryable(TransactionState::MustRollBack, error),
        Kind::TransactionEnded => retryable(TransactionState::Ended, error),
        Kind::NoTransaction => StoreError::NoTransaction {
            reason: "what is sent now would commit by itself: an error that ended it may have been \
                     hidden, or it was committed or rolled back by a statement",
            source: error.into(),
        },
        Kind::Unable => StoreError::Unavailable { source: error.into() },
        Kind::Damaged => StoreError::Damaged { source: error.into() },
        Kind::NoConnection => StoreError::ConnectionLost { source: error.into() },
        Kind::NoneInTime => StoreError::PoolTimedOut { source: error.into() },
        Kind::NoTable => {
            StoreError::SchemaMissing { database: DATABASE, options: None, source: error.into() }
        }
        Kind::TooLarge => StoreError::TooLarge { source: error.into() },
        Kind::Undecodable => StoreError::corrupt(error.to_string()),
        Kind::UniqueViolation | Kind::Statement => StoreError::database(error),
    }
}

/// Whose fault an error is, if it is the driver's: the driver's own type, what it wraps, or what
/// shows when somebody has wrapped it transparently, which hides its outermost layer.
pub(crate) fn error_cause(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return Some(kind_cause(kind(error)));
    }
    if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
        return Some(kind_cause(database_kind(&**error)));
    }
    if let Some(error) = error.downcast_ref::<SqliteError>() {
        return Some(kind_cause(database_kind(error)));
    }
    if error.is::<io::Error>() {
        // The driver's stands below an error that is known by its words. Another one is of a socket or
        // a file of the handler's own.
        return None;
    }
    let text = error.to_string();
    if text.starts_with("error communicating with database: ") {
        return Some(Cause::Transaction);
    }
    let hidden = [
        sqlx::Error::PoolTimedOut,
        sqlx::Error::PoolClosed,
        sqlx::Error::WorkerCrashed,
        sqlx::Error::BeginFailed,
        sqlx::Error::InvalidSavePointStatement,
    ];
    let is_hidden = hidden.iter().any(|hidden| text == hidden.to_string());
    is_hidden.then_some(Cause::Transaction)
}

fn kind_cause(kind: Kind) -> Cause {
    match kind {
        Kind::Unable | Kind::Damaged => Cause::Server,
        Kind::Busy
        | Kind::Again
        | Kind::TransactionEnded
        | Kind::NoTransaction
        | Kind::NoneInTime
        | Kind::NoConnection => Cause::Transaction,
        Kind::NoTable
        | Kind::TooLarge
        | Kind::Undecodable
        | Kind::UniqueViolation
        | Kind::Statement => Cause::Statement,
    }
}

/// SQLite runs in this process, so what the machine lacks it lacks, too.
fn is_of_the_machine(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, OutOfMemory | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// Whether the unique index of the event ids refused a row.
pub(crate) fn is_taken_event_id(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    database_kind(&**error) == Kind::UniqueViolation && error.message().ends_with(".event_id")
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => database_kind(&**error),
        sqlx::Error::Io(error) if is_of_the_machine(error.kind()) => Kind::Unable,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => {
            Kind::NoConnection
        }
        sqlx::Error::PoolTimedOut => Kind::NoneInTime,
        sqlx::Error::BeginFailed | sqlx::Error::InvalidSavePointStatement => Kind::Again,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Undecodable,
        _ => Kind::Statement,
    }
}

fn database_kind(error: &dyn DatabaseError) -> Kind {
    let code = error.code().and_then(|code| code.parse().ok());
    code.map_or(Kind::Statement, |code| code_kind(code, error.message()))
}
