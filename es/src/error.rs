//! What can go wrong in a store, sorted by what the caller can do about it.

use std::error::Error;
use std::fmt;

use thiserror::Error;

use crate::identifier::InvalidIdentifier;

/// The cause of an error, as the driver gave it.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// What has become of the caller's transaction after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    /// Only the statement was undone; the transaction can go on.
    Usable,
    /// The transaction refuses further statements: roll it back.
    MustRollBack,
    /// The server has rolled the transaction back and ended it: the next statement on the
    /// connection would run outside any transaction. Drop the transaction and begin another one.
    Ended,
}

/// The database has ended the transaction together with a statement that failed: the source of a
/// [`StoreError`] whose [`transaction`](StoreError::transaction) is [`TransactionState::Ended`].
#[derive(Debug, Error)]
#[error("the transaction has ended with it: drop it before the next statement")]
pub struct TransactionEnded {
    /// What the driver said.
    pub source: BoxError,
}

/// The database did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another transaction stood in the way; running this one again may succeed.
    #[error("the database asks to run the transaction again{}", advice(*.transaction))]
    Retryable {
        /// What has become of the caller's transaction.
        transaction: TransactionState,
        /// What the driver said.
        source: BoxError,
    },

    /// The connection is gone, and with it the transaction. After a commit that ended so,
    /// repeat the append with the same event ids: the store says whether it holds them.
    #[error("the connection to the database was lost, or none could be made")]
    ConnectionLost {
        /// What the driver said.
        source: BoxError,
    },

    /// The server cannot serve now, whatever is asked of it: its disk is full, it is read-only,
    /// starts or shuts down, or lacks memory. Nothing was written; roll the transaction back.
    #[error("the database cannot do it now: see to the server, then run the transaction again")]
    Unavailable {
        /// What the driver said.
        source: BoxError,
    },

    /// No connection could be had from the pool in time: all of them are in use, or the server
    /// cannot be reached. What the caller holds is as it was.
    #[error(
        "no connection could be had from the pool in time: if the server can be reached, give back \
         the connection or transaction you hold before you ask for another, or give the pool more \
         connections"
    )]
    PoolTimedOut {
        /// What the driver said.
        source: BoxError,
    },

    /// The database role lacks a right. An operator grants it; the statement is as it should be.
    #[error(
        "the database role lacks a right, it needs {needed}: `migrate-gen --role` writes the grants"
    )]
    MissingRight {
        /// What the statement needs.
        needed: String,
        /// What the driver said.
        source: BoxError,
    },

    /// The database finds its own file damaged. Nothing that is written now can be relied on.
    #[error("the database says that its file is damaged: stop writing, keep a copy, restore it")]
    Damaged {
        /// What the driver said.
        source: BoxError,
    },

    /// A table of the store does not exist: said by the start check if none does, and by any other
    /// call that needs one.
    #[error("{}", missing_advice(.database, .options.as_deref()))]
    SchemaMissing {
        /// What `migrate-gen --database` calls the database.
        database: &'static str,
        /// The options by which `migrate-gen` is told the store's names; `None` if only the start
        /// check could say what is missing.
        options: Option<String>,
        /// What the driver said, or where the tables were looked for.
        source: BoxError,
    },

    /// None of the store's tables is there, but there are some of other names or in another place
    /// that look like them.
    #[error(
        "the event store's tables are not in {place}. There is {found}. If that is what is meant, \
         give the store its names; if not, write the tables with \
         `migrate-gen --database {database}{options} --output migrations`, then run the file"
    )]
    SchemaElsewhere {
        /// What `migrate-gen --database` calls the database.
        database: &'static str,
        /// The options by which `migrate-gen` is told the store's names.
        options: String,
        /// Where the tables were looked for.
        place: String,
        /// The tables that were found, and how the store is told of each.
        found: String,
    },

    /// Some of the store's tables are there, and not all that belongs to them.
    #[error(
        "the event store's schema is not whole: {lacks}. \
         `migrate-gen --database {database}{options} --stdout` prints how it must be"
    )]
    SchemaIncomplete {
        /// What `migrate-gen --database` calls the database.
        database: &'static str,
        /// The options by which `migrate-gen` is told the store's names.
        options: String,
        /// What is missing or different, with semicolons.
        lacks: String,
    },

    /// The connection's user lacks rights to the store's tables.
    #[error("{user} lacks rights to the event store's tables. Let their owner run: {grants}")]
    SchemaForbidden {
        /// The user, as a grant names it.
        user: String,
        /// The statements that give the rights, with semicolons.
        grants: String,
    },

    /// The schema in the database is not the one this version of the library needs.
    #[error(
        "the event store's schema has version {found}, this library needs {needed}: {}",
        schema_advice(*.found, *.needed, .database)
    )]
    SchemaVersion {
        /// What `migrate-gen --database` calls the database.
        database: &'static str,
        /// The version recorded in the database.
        found: i64,
        /// [`SCHEMA_VERSION`](crate::schema::SCHEMA_VERSION).
        needed: i64,
    },

    /// The schema was changed by hand in a way that breaks a promise.
    #[error("the event store's schema is unsafe: {reason}")]
    SchemaUnsafe {
        /// What is wrong, and what to do.
        reason: String,
    },

    /// The store appends inside a transaction only, and there is none: none was begun, or the
    /// database ended it after an earlier error, such as a deadlock. Nothing was written.
    #[error("no transaction is open, and {reason}")]
    NoTransaction {
        /// Why the store needs one.
        reason: &'static str,
        /// What the driver said.
        source: BoxError,
    },

    /// The log cannot be read on this connection without the danger of skipping events.
    #[error("the log cannot be read safely on this connection: {reason}")]
    UnsafeRead {
        /// What is wrong, and what to do.
        reason: String,
    },

    /// The filter asks for a name that no event can have. Nothing was sent to the database.
    #[error("the event filter asks for a name that no event can have")]
    InvalidFilter {
        /// Which name, and why.
        source: InvalidIdentifier,
    },

    /// The database takes no value or statement of this size.
    #[error("the append is larger than the database takes: split it, or raise the server's limit")]
    TooLarge {
        /// What the driver said.
        source: BoxError,
    },

    /// The tables hold what this library never writes.
    #[error("the event store's tables hold what no append wrote: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },

    /// What was asked for makes no sense; no database was asked.
    #[error("{reason}")]
    Misuse {
        /// What is wrong, and what to do.
        reason: String,
    },

    /// Anything else the database refused.
    #[error("the database refused the statement")]
    Database {
        /// What the driver said.
        source: BoxError,
    },
}

impl StoreError {
    /// [`StoreError::Corrupt`] from a description of what was found.
    pub fn corrupt(what: impl Into<String>) -> Self {
        StoreError::Corrupt { what: what.into() }
    }

    /// [`StoreError::Misuse`] of what is wrong with what was asked for.
    pub fn misuse(reason: impl fmt::Display) -> Self {
        StoreError::Misuse { reason: reason.to_string() }
    }

    /// [`StoreError::Database`] around what the driver said.
    pub fn database(source: impl Into<BoxError>) -> Self {
        StoreError::Database { source: source.into() }
    }

    /// Whether the same work may succeed in a new transaction, on a new connection if need be.
    pub fn is_retryable(&self) -> bool {
        let is_damaged = matches!(self, StoreError::Damaged { .. });
        !is_damaged && self.cause().is_some_and(|cause| cause > Cause::Statement)
    }

    /// Whose fault it is, where the error says so.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            StoreError::Unavailable { .. }
            | StoreError::MissingRight { .. }
            | StoreError::Damaged { .. } => Some(Cause::Server),
            StoreError::Retryable { .. }
            | StoreError::ConnectionLost { .. }
            | StoreError::PoolTimedOut { .. } => Some(Cause::Transaction),
            _ => None,
        }
    }

    /// What has become of the caller's transaction, where the error says so.
    pub fn transaction(&self) -> Option<TransactionState> {
        match self {
            StoreError::Unavailable { source }
            | StoreError::Damaged { source }
            | StoreError::TooLarge { source }
            | StoreError::Database { source }
                if source.is::<TransactionEnded>() =>
            {
                Some(TransactionState::Ended)
            }
            StoreError::Retryable { transaction, .. } => Some(*transaction),
            StoreError::Unavailable { .. }
            | StoreError::MissingRight { .. }
            | StoreError::Damaged { .. } => Some(TransactionState::MustRollBack),
            StoreError::ConnectionLost { .. } | StoreError::NoTransaction { .. } => {
                Some(TransactionState::Ended)
            }
            _ => None,
        }
    }
}

/// Whose fault an error is, from the least to the most that has to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// The statement's, or the data's: another transaction would fail as well.
    Statement,
    /// The transaction's: a deadlock, a time limit, a lost connection. Another transaction may
    /// succeed. If one after the other fails in the same place, what was done there is to blame.
    Transaction,
    /// The server's: it is read-only, its disk is full, it shuts down. Whatever was asked of it is
    /// not to blame, however often it fails.
    Server,
}

fn advice(transaction: TransactionState) -> &'static str {
    match transaction {
        TransactionState::Usable => "",
        TransactionState::MustRollBack => ": roll this one back first",
        TransactionState::Ended => {
            ": the server has already ended this one, drop it before the next statement"
        }
    }
}

fn missing_advice(database: &str, options: Option<&str>) -> String {
    let command =
        |options| format!("`migrate-gen --database {database}{options} --output migrations`");
    match options {
        Some(options) => format!(
            "the event store's tables are missing: write them with {}, then run the file",
            command(options)
        ),
        None => format!(
            "a table or column of the event store is missing: `EventStore::check_schema` says \
             which. {} writes them all",
            command("")
        ),
    }
}

fn schema_advice(found: i64, needed: i64, database: &str) -> String {
    if found > needed {
        return "use the library version that wrote it, or a later one".to_owned();
    }
    if found == 0 {
        return "its row is gone: find out which migration ran last and insert its number"
            .to_owned();
    }
    format!(
        "`migrate-gen --database {database} --stdout` prints the schema of this version: change \
         the tables to it, then the recorded version"
    )
}
