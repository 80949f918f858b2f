//! What the errors of MySQL and MariaDB mean to a caller.

use es::{Cause, StoreError, TransactionState};
use sqlx::mysql::MySqlDatabaseError;

/// What `migrate-gen --database` calls it.
pub(crate) const DATABASE: &str = "mysql";

/// Why an append needs a transaction.
const WHY_A_TRANSACTION: &str =
    "an append outside one would tell readers that it draws positions only after it has drawn them";

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
        Kind::NoTransaction => {
            StoreError::NoTransaction { reason: WHY_A_TRANSACTION, source: error.into() }
        }
        Kind::InTransaction => StoreError::UnsafeRead {
            reason: "a transaction is open on it, whose snapshot may be older than the horizon: \
                     read the log outside a transaction, with autocommit on"
                .to_owned(),
        },
        Kind::NoConnection => StoreError::ConnectionLost { source: error.into() },
        Kind::NoTable => StoreError::SchemaMissing { database: DATABASE, source: error.into() },
        Kind::TooLarge => StoreError::TooLarge { source: error.into() },
        Kind::Undecodable => StoreError::corrupt(error.to_string()),
        Kind::Duplicate | Kind::Other => StoreError::database(error),
    }
}

/// Whose fault an error of the driver is.
pub(crate) fn error_cause(error: &sqlx::Error) -> Cause {
    match kind(error) {
        Kind::StatementUndone
        | Kind::TransactionUseless
        | Kind::TransactionEnded
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

enum Kind {
    /// The statement had no effect and can be repeated; the transaction is open.
    StatementUndone,
    /// The transaction is open, and only another one can succeed.
    TransactionUseless,
    /// The server has rolled the transaction back and ended it.
    TransactionEnded,
    NoTransaction,
    InTransaction,
    NoConnection,
    NoTable,
    TooLarge,
    Duplicate,
    Undecodable,
    Other,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => database_kind(error.number()),
            None => Kind::Other,
        },
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut => {
            Kind::NoConnection
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Undecodable,
        _ => Kind::Other,
    }
}

/// By the server's numbers, <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>
/// and <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
fn database_kind(number: u16) -> Kind {
    match number {
        // ER_LOCK_WAIT_TIMEOUT; ER_QUERY_INTERRUPTED, ER_QUERY_TIMEOUT and MariaDB's
        // ER_STATEMENT_TIMEOUT; ER_TOO_MANY_CONCURRENT_TRXS; ER_NEED_REPREPARE.
        1205 | 1317 | 3024 | 1969 | 1637 | 1615 => Kind::StatementUndone,
        // ER_TABLE_DEF_CHANGED; ER_OPTION_PREVENTS_STATEMENT and ER_READ_ONLY_MODE, which a primary
        // says that has just become a replica.
        1412 | 1290 | 1836 => Kind::TransactionUseless,
        // ER_LOCK_DEADLOCK; ER_CHECKREAD, by which MariaDB says that a row has changed since the
        // snapshot; ER_LOCK_TABLE_FULL.
        1213 | 1020 | 1206 => Kind::TransactionEnded,
        // ER_SP_DOES_NOT_EXIST, said of a savepoint.
        1305 => Kind::NoTransaction,
        // ER_CANT_CHANGE_TX_CHARACTERISTICS.
        1568 => Kind::InTransaction,
        // ER_CON_COUNT_ERROR, ER_SERVER_SHUTDOWN, ER_FORCING_CLOSE, ER_ABORTING_CONNECTION,
        // ER_NET_READ_ERROR to ER_NET_WRITE_INTERRUPTED, ER_NEW_ABORTING_CONNECTION,
        // ER_USER_LIMIT_REACHED, MariaDB's ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT,
        // and what clients call a lost connection.
        1040
        | 1053
        | 1080
        | 1152
        | 1158..=1161
        | 1184
        | 1203
        | 1226
        | 1927
        | 2006
        | 2013
        | 4031 => Kind::NoConnection,
        // ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR, ER_NO_DB_ERROR, ER_BAD_DB_ERROR.
        1146 | 1054 | 1046 | 1049 => Kind::NoTable,
        // ER_NET_PACKET_TOO_LARGE, ER_DATA_TOO_LONG, ER_TOO_BIG_ROWSIZE.
        1153 | 1406 | 1118 => Kind::TooLarge,
        // ER_DUP_ENTRY.
        1062 => Kind::Duplicate,
        _ => Kind::Other,
    }
}
