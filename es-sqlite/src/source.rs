//! The store with a pool: what a projection processor runs on.

use std::error::Error;
use std::time::Duration;

use es::{Cause, EventSource, StoreError};
use es_sqlx::{PoolTransaction, PooledConnection};
use sqlx::{SqlSafeStr, Sqlite, SqliteConnection, SqlitePool};

use crate::SqliteEventStore;
use crate::abandoned::abandon;
use crate::error::{error_cause, store_error};

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
    type Pooled = PooledConnection<Sqlite>;
    type Transaction = PoolTransaction<Sqlite>;

    fn store(&self) -> &SqliteEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        PooledConnection::acquire(&self.pool, abandon).await.map_err(store_error)
    }

    fn release(&self, conn: Self::Pooled) {
        conn.release();
    }

    async fn begin_within(&self, _time_max: Duration) -> Result<Self::Transaction, StoreError> {
        // A deferred transaction would read first and then fail to become a writer.
        let begin = "BEGIN IMMEDIATE".into_sql_str();
        let begun = PoolTransaction::begin(&self.pool, begin, abandon);
        let mut tx = begun.await.map_err(store_error)?;
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

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause> {
        es::cause(error, |error| error.downcast_ref().map(error_cause))
    }
}
