//! The store with a pool: what a projection processor runs on.

use std::error::Error;

use es::{EventSource, StoreError};
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::SqliteEventStore;
use crate::error::{is_retryable, store_error};

/// A [`SqliteEventStore`] and the pool projections take their connections from.
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
    type Pooled = PoolConnection<Sqlite>;
    type Transaction = Transaction<'static, Sqlite>;

    fn store(&self) -> &SqliteEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        self.pool.acquire().await.map_err(store_error)
    }

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        // A deferred transaction would read first and then fail to become a writer.
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)?;
        sqlx::raw_sql("savepoint es_open").execute(&mut *tx).await.map_err(store_error)?;
        Ok(tx)
    }

    /// Some errors make SQLite end the transaction (`on conflict rollback`, a full disk), and the
    /// next statement would commit by itself. The savepoint ends with the transaction.
    async fn check_open(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        let release = sqlx::raw_sql("release savepoint es_open");
        release.execute(&mut **transaction).await.map_err(store_error)?;
        Ok(())
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.commit().await.map_err(store_error)
    }

    async fn rollback(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.rollback().await.map_err(store_error)
    }

    fn is_retryable(&self, error: &(dyn Error + 'static)) -> bool {
        es::is_retryable(error, |cause| cause.downcast_ref().is_some_and(is_retryable))
    }
}
