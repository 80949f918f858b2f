//! The store with a pool: what a projection processor runs on.

use std::error::Error;

use es::{EventSource, StoreError};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::PgEventStore;
use crate::error::{is_retryable, store_error};

/// A [`PgEventStore`] and the pool projections take their connections from.
///
/// The connections must reach the primary and default to READ COMMITTED.
#[derive(Debug, Clone)]
pub struct PgSource {
    pool: PgPool,
    store: PgEventStore,
}

impl PgSource {
    /// Uses `pool`, whose connections find the store's tables.
    pub fn new(pool: PgPool, store: PgEventStore) -> Self {
        PgSource { pool, store }
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl EventSource for PgSource {
    type Connection = PgConnection;
    type Store = PgEventStore;
    type Pooled = PoolConnection<Postgres>;
    type Transaction = Transaction<'static, Postgres>;

    fn store(&self) -> &PgEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        self.pool.acquire().await.map_err(store_error)
    }

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.pool.begin().await.map_err(store_error)
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
