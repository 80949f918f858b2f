//! What SQLite's result codes mean: <https://www.sqlite.org/rescode.html>.

/// What an error means to the statement, its transaction and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Another connection is in the way.
    Busy,
    /// The statement was not at fault, and may succeed in another transaction.
    Again,
    /// SQLite has ended the transaction, of which this statement was a part.
    TransactionEnded,
    /// The statement needs a transaction, and none is open.
    NoTransaction,
    /// The database cannot do it now, whatever is asked of it.
    Unable,
    /// The file holds what SQLite never wrote.
    Damaged,
    NoConnection,
    /// The pool gave no connection in time.
    NoneInTime,
    NoTable,
    TooLarge,
    Undecodable,
    UniqueViolation,
    /// The statement's own, or that of its data.
    Statement,
}

/// Sorts an error by its extended result code, whose low byte is the primary one.
pub(crate) fn code_kind(code: u32, message: &str) -> Kind {
    match (code & 0xff, code) {
        // SQLITE_ERROR_RETRY and SQLITE_ERROR_SNAPSHOT.
        (_, 513 | 769) => Kind::Again,
        // SQLITE_ABORT_ROLLBACK: another statement of the connection rolled back.
        (_, 516) => Kind::TransactionEnded,
        // SQLITE_CONSTRAINT_UNIQUE.
        (_, 2067) => Kind::UniqueViolation,
        // SQLITE_ERROR is every mistake in a statement; only the message tells them apart.
        (1, _) => message_kind(message),
        // SQLITE_BUSY and SQLITE_LOCKED, also by recovery, by an older snapshot, by a time-out, by
        // a shared cache; SQLITE_PROTOCOL, the same race at the beginning of a WAL transaction.
        (5 | 6 | 15, _) => Kind::Busy,
        // SQLITE_INTERRUPT; SQLITE_SCHEMA, the schema changed each time the statement was prepared.
        (9 | 17, _) => Kind::Again,
        // SQLITE_CORRUPT (also of a virtual table, of sqlite_sequence, of an index) and
        // SQLITE_NOTADB.
        (11 | 26, _) => Kind::Damaged,
        (18, _) => Kind::TooLarge,
        // SQLITE_ABORT, SQLITE_NOTFOUND, SQLITE_EMPTY, SQLITE_CONSTRAINT, SQLITE_MISMATCH,
        // SQLITE_MISUSE, SQLITE_FORMAT, SQLITE_RANGE, SQLITE_NOTICE, SQLITE_WARNING.
        (4 | 12 | 16 | 19 | 20 | 21 | 24 | 25 | 27 | 28, _) => Kind::Statement,
        // SQLITE_INTERNAL, SQLITE_PERM, SQLITE_NOMEM, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL,
        // SQLITE_CANTOPEN, SQLITE_NOLFS, SQLITE_AUTH; and codes that are not known yet.
        _ => Kind::Unable,
    }
}

fn message_kind(message: &str) -> Kind {
    let ended = ["cannot commit - no tr", "cannot rollback - no tr", "no such savepoint: es_open"];
    if message.starts_with("no such table") {
        Kind::NoTable
    } else if ended.iter().any(|ended| message.starts_with(ended)) {
        Kind::NoTransaction
    } else {
        Kind::Statement
    }
}
