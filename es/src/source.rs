//! Where a projection gets its connections and transactions from.

use std::error::Error;
use std::future::Future;
use std::ops::DerefMut;

use crate::{ProjectionStore, StoreError};

/// A store together with the pool its readers use: what a projection processor runs on.
///
/// A processor holds one transaction at a time, and at most one connection beside it on which it
/// reads ahead. It waits for none while it holds the other, so a pool of one is enough.
pub trait EventSource: Send + Sync + 'static {
    /// What the store and a projection's handler work on.
    type Connection: Send + 'static;

    /// The store.
    type Store: ProjectionStore<Connection = Self::Connection>;

    /// A connection borrowed for a read; gives itself back when dropped.
    type Pooled: DerefMut<Target = Self::Connection> + Send;

    /// An open transaction that can write; rolls back when dropped.
    type Transaction: DerefMut<Target = Self::Connection> + Send;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Borrows a connection, outside any transaction.
    ///
    /// # Errors
    ///
    /// What the pool could not do, classified as the store classifies.
    fn acquire(&self) -> impl Future<Output = Result<Self::Pooled, StoreError>> + Send;

    /// Begins a transaction that can write.
    ///
    /// # Errors
    ///
    /// As [`acquire`](EventSource::acquire), or that the database is busy.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

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

    /// Whether an error that a projection's handler returned is the database's doing, such as a
    /// deadlock or a lost connection: the transaction is run again and the event not blamed.
    fn is_retryable(&self, error: &(dyn Error + 'static)) -> bool;
}
