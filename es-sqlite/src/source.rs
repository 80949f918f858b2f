//! The store with a pool: what a projection processor runs on.

use std::error::Error;
use std::time::Duration;

use es::{Cause, EventSource, StoreError};
use es_sqlx::PooledConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::abandoned::{abandon, restore};
use crate::error::{error_cause, store_error};
use crate::{SqliteEventStore, SqliteTransaction};

/// A [`SqliteEventStore`] and the pool projections take their connections from.
///
/// Each transaction of a processor sets a progress handler on its connection, which stays there and
/// replaces one of yours.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    pool: SqlitePool,
    store: SqliteEventStore,
}

impl SqliteSource {
    /// Uses `pool`, whose connections find the store's tables.
    pub fn new(pool: SqlitePool, store: SqliteEventStore) -> Self {
        SqliteSource { pool, store }
    }

    /// The pool.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

impl EventSource for SqliteSource {
    type Connection = SqliteConnection;
    type Store = SqliteEventStore;
    type Pooled = PooledConnection<Sqlite>;
    type Transaction = SqliteTransaction;

    fn store(&self) -> &SqliteEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        let conn = PooledConnection::acquire(&self.pool, abandon).await;
        let mut conn = conn.map_err(store_error)?;
        restore(&mut conn).await.map_err(store_error)?;
        Ok(conn)
    }

    fn release(&self, conn: Self::Pooled) {
        conn.release();
    }

    /// SQLite interrupts what takes longer than `time_max` on one borrow of the transaction's
    /// connection, such as one call of a handler: its code is not told one statement from the next.
    /// It looks between two instructions of its own, so not while it waits for a lock (that is what
    /// `busy_timeout` limits) or for the disk.
    ///
    /// Nothing limits a pause: nobody could end another process's transaction: a process that
    /// is stopped while it writes (SIGSTOP, a debugger, a frozen container) keeps every other one
    /// from writing until it goes on or is killed. Within one process a processor's own limits end a
    /// handler that hangs, and dropping its transaction frees the database at once.
    async fn begin_within(&self, time_max: Duration) -> Result<Self::Transaction, StoreError> {
        SqliteTransaction::begin(&self.pool, time_max).await.map_err(store_error)
    }

    /// Some errors make SQLite end the transaction (`on conflict rollback`, a full disk), and the
    /// next statement would commit by itself. The savepoint ends with the transaction.
    async fn check_open(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        ask(transaction, "release savepoint es_open").await
    }

    /// The savepoint is there again for [`check_open`](EventSource::check_open).
    async fn probe(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        ask(transaction, "release savepoint es_open; savepoint es_open").await
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.commit().await.map_err(store_error)
    }

    /// A transaction that SQLite has ended by itself is rolled back already.
    async fn rollback(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.rollback().await.map_err(store_error)
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause> {
        es::adapter::cause(error, error_cause)
    }
}

async fn ask(conn: &mut SqliteConnection, question: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(question).execute(conn).await.map_err(store_error)?;
    Ok(())
}
