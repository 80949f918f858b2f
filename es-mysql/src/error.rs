//! What the errors of MySQL and MariaDB mean to a caller.

mod codes;
mod right;

use std::error::Error;
use std::io;

use es::{Cause, StoreError, TransactionState};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use codes::Kind;

/// What `migrate-gen --database` calls it.
pub(crate) const DATABASE: &str = "mysql";

/// Why an append needs a transaction.
const WHY_A_TRANSACTION: &str =
    "outside one the announcement of an append would reach readers only after positions were drawn";

/// Sorts an error by what the caller can do about it.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    let retryable = |transaction, error: sqlx::Error| StoreError::Retryable {
        transaction,
        source: error.into(),
    };
    match kind(&error) {
        Kind::StatementUndone => retryable(TransactionState::Usable, error),
        Kind::TransactionUseless => retryable(TransactionState::MustRollBack, error),
        Kind::TransactionEnded => retryable(TransactionState::Ended, error),
        Kind::ServerUnable => StoreError::Unavailable { source: error.into() },
        Kind::NoRight => {
            let message = error.as_database_error().map_or("", DatabaseError::message);
            StoreError::MissingRight { needed: right::needed(message), source: error.into() }
        }
        Kind::NoTransaction => {
            StoreError::NoTransaction { reason: WHY_A_TRANSACTION, source: error.into() }
        }
        Kind::InTransaction => StoreError::UnsafeRead {
            reason: "a transaction is open on it, whose snapshot may be older than the horizon: \
                     read the log outside a transaction, with autocommit on"
                .to_owned(),
        },
        Kind::NoneInTime => StoreError::PoolTimedOut { source: error.into() },
        Kind::NoConnection => StoreError::ConnectionLost { source: error.into() },
        Kind::NoTable => {
            StoreError::SchemaMissing { database: DATABASE, options: None, source: error.into() }
        }
        Kind::TooLarge => StoreError::TooLarge { source: error.into() },
        Kind::CounterExhausted => StoreError::corrupt(format!(
            "no position is left, because somebody gave an event the largest there is: delete \
             that event and set the table's auto_increment back ({error})"
        )),
        Kind::Undecodable => StoreError::corrupt(error.to_string()),
        Kind::Duplicate | Kind::Statement => StoreError::database(error),
    }
}

/// Whose fault an error is, if it is the driver's: the driver's own type, what it wraps, or what
/// shows when somebody has wrapped it transparently, which hides its outermost layer.
pub(crate) fn error_cause(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return Some(kind_cause(kind(error)));
    }
    if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
        return Some(kind_cause(server_kind(&**error)));
    }
    if let Some(error) = error.downcast_ref::<MySqlDatabaseError>() {
        return Some(kind_cause(server_error_kind(error)));
    }
    if error.is::<io::Error>() {
        // The driver's stands below an error that is known by its words. Another one is of a socket or
        // a file of the handler's own: the transaction tells whether its connection is lost, too.
        return None;
    }
    let text = error.to_string();
    let hidden = [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed];
    let is_hidden = hidden.iter().any(|hidden| text == hidden.to_string());
    let is_hidden = is_hidden || HIDDEN_WORDS.iter().any(|words| text.starts_with(words));
    is_hidden.then_some(Cause::Transaction)
}

/// How sqlx words what was said by a socket.
const HIDDEN_WORDS: [&str; 2] = [
    "error communicating with database: ",
    "error occurred while attempting to establish a TLS connection: ",
];

fn kind_cause(kind: Kind) -> Cause {
    match kind {
        Kind::ServerUnable | Kind::NoRight => Cause::Server,
        Kind::StatementUndone
        | Kind::TransactionUseless
        | Kind::TransactionEnded
        | Kind::NoTransaction
        | Kind::NoneInTime
        | Kind::NoConnection => Cause::Transaction,
        _ => Cause::Statement,
    }
}

/// Whether a unique key refused a row. The statement is undone, the transaction goes on.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    matches!(kind(error), Kind::Duplicate)
}

/// Whether the key that refused a row is that of the streams.
pub(crate) fn is_taken_version(error: &sqlx::Error) -> bool {
    duplicate_key(error) == Some(Key::Stream)
}

/// Whether the key that refused a row is that of the event ids.
pub(crate) fn is_taken_id(error: &sqlx::Error) -> bool {
    duplicate_key(error) == Some(Key::EventId)
}

#[derive(Debug, PartialEq)]
enum Key {
    Stream,
    EventId,
}

/// The key that refused a row. The message names it last, as `'events_stream_key'` on MariaDB and
/// as `'events.events_stream_key'` on MySQL; in some languages words follow.
fn duplicate_key(error: &sqlx::Error) -> Option<Key> {
    if !is_duplicate(error) {
        return None;
    }
    let message = error.as_database_error()?.message();
    let stream = message.rfind("_stream_key'");
    let event_id = message.rfind("_event_id_key'");
    match (stream, event_id) {
        (None, None) => None,
        _ if stream > event_id => Some(Key::Stream),
        _ => Some(Key::EventId),
    }
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => server_kind(&**error),
        sqlx::Error::PoolTimedOut => Kind::NoneInTime,
        // A protocol error is an answer that cannot be understood: nothing further on this
        // connection can be.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed => Kind::NoConnection,
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => Kind::Undecodable,
        _ => Kind::Statement,
    }
}

fn server_kind(error: &dyn DatabaseError) -> Kind {
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => server_error_kind(error),
        None => Kind::Statement,
    }
}

fn server_error_kind(error: &MySqlDatabaseError) -> Kind {
    match codes::kind(error.number(), error.code()) {
        // The same number says that a function of the user's is not there.
        Kind::NoTransaction if !error.message().contains("SAVEPOINT") => Kind::Statement,
        kind => kind,
    }
}
