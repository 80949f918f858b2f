//! Where a projection gets its connections and transactions from.

use std::error::Error;
use std::future::Future;
use std::ops::DerefMut;
use std::time::Duration;

use crate::error::{Cause, StoreError};
use crate::projection_store::ProjectionStore;

/// How long a transaction of [`EventSource::begin`] may pause or run one statement.
pub const TRANSACTION_TIME_MAX: Duration = Duration::from_mins(1);

/// A store together with the pool its readers use: what a projection processor runs on.
///
/// A processor holds one transaction at a time, and at most one connection beside it on which it
/// reads ahead. The transaction never waits for that one, so a pool of one is enough.
pub trait EventSource: Send + Sync + 'static {
    /// What the store and a projection's handler work on.
    type Connection: Send + 'static;

    /// The store.
    type Store: ProjectionStore<Connection = Self::Connection>;

    /// A connection borrowed for a read. [`release`](EventSource::release) gives it back; dropped
    /// without, such as in the middle of an answer, it must not be given to anybody as it is.
    type Pooled: DerefMut<Target = Self::Connection> + Send;

    /// An open transaction that can write. Dropped without being committed or rolled back, such as
    /// in the middle of a statement, it ends, and its connection is not given to anybody as it is.
    type Transaction: DerefMut<Target = Self::Connection> + Send;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Borrows a connection, outside any transaction.
    ///
    /// # Errors
    ///
    /// What the pool could not do, classified as the store classifies.
    fn acquire(&self) -> impl Future<Output = Result<Self::Pooled, StoreError>> + Send;

    /// Gives back a connection of which nothing is being asked.
    fn release(&self, conn: Self::Pooled);

    /// Begins a transaction that can write, with a time limit of [`TRANSACTION_TIME_MAX`].
    ///
    /// # Errors
    ///
    /// As [`acquire`](EventSource::acquire), or that the database is busy.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send {
        self.begin_within(TRANSACTION_TIME_MAX)
    }

    /// Begins a transaction that can write, and that the database itself ends when a statement in
    /// it, or the pause between two, takes longer than `time_max`: so the rows it has locked become
    /// free although its process hangs or cannot be reached.
    ///
    /// # Errors
    ///
    /// As [`begin`](EventSource::begin).
    fn begin_within(
        &self,
        time_max: Duration,
    ) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Resolves when the source hears that events were appended, from the moment this is called:
    /// processors that wait for new events then look at once. It may miss some, and the default
    /// hears nothing; processors look for themselves now and then in any case.
    fn appended(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Checks that a transaction from [`begin`](EventSource::begin) is still open, after code that
    /// may have swallowed an error which ended it. Called once, before the last statement.
    ///
    /// A database that refuses every statement after an error needs no check.
    ///
    /// # Errors
    ///
    /// It has ended: what is sent now would not be part of it.
    fn check_open(
        &self,
        _transaction: &mut Self::Transaction,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Asks a transaction whether it can go on, after code in it failed with an error that says
    /// nothing about the database: it may have hidden a deadlock, or a connection that is lost.
    ///
    /// # Errors
    ///
    /// It cannot go on.
    fn probe(
        &self,
        transaction: &mut Self::Transaction,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.check_open(transaction)
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// The transaction did not commit, unless the error is [`StoreError::ConnectionLost`]: then
    /// nobody knows, and the checkpoint in the database tells.
    fn commit(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Rolls back and waits until it is done.
    ///
    /// # Errors
    ///
    /// The connection failed; the database rolls back by itself.
    fn rollback(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whose fault an error is that code of the user returned, as far as the error and its causes
    /// say; `None` if they say nothing. Most is said by [`cause`](crate::cause::cause); an adapter
    /// adds its driver's errors, whichever of them shows in the chain.
    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause>;
}
