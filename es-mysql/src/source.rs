//! The store with a pool: what a projection processor runs on.

use std::error::Error;

use es::{EventSource, StoreError};
use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool, Transaction};

use crate::MySqlEventStore;
use crate::error::{is_retryable, store_error};

/// READ COMMITTED, so that handlers do not lock gaps; and a savepoint that ends with the
/// transaction. sqlx gives a connection back with its transaction open when the future that begins
/// it is dropped at the wrong moment: the rollback is for that.
const BEGIN: &str = "rollback; \
                     set transaction isolation level read committed; \
                     start transaction; \
                     savepoint es_open";

/// What a handler has done whose transaction is gone.
const HIDDEN_ERROR: &str = "what was written since it ended is committed already: the handler \
                            hid the error that ended it, so let it return its errors";

/// A [`MySqlEventStore`] and the pool projections take their connections from.
///
/// The connections must reach the primary. Projections handle events in READ COMMITTED.
#[derive(Debug, Clone)]
pub struct MySqlSource {
    pool: MySqlPool,
    store: MySqlEventStore,
}

impl MySqlSource {
    /// Uses `pool`, whose connections find the store's tables.
    pub fn new(pool: MySqlPool, store: MySqlEventStore) -> Self {
        MySqlSource { pool, store }
    }

    /// The pool.
    pub fn pool(&self) -> &MySqlPool {
        &self.pool
    }
}

impl EventSource for MySqlSource {
    type Connection = MySqlConnection;
    type Store = MySqlEventStore;
    type Pooled = PoolConnection<MySql>;
    type Transaction = Transaction<'static, MySql>;

    fn store(&self) -> &MySqlEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        self.pool.acquire().await.map_err(store_error)
    }

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.pool.begin_with(BEGIN).await.map_err(store_error)
    }

    /// A deadlock makes the server end the transaction, and the next statement would commit by
    /// itself. The savepoint ends with the transaction.
    async fn check_open(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        let release = sqlx::raw_sql("release savepoint es_open");
        match release.execute(&mut **transaction).await.map_err(store_error) {
            Ok(_) => Ok(()),
            Err(StoreError::NoTransaction { source, .. }) => {
                Err(StoreError::NoTransaction { reason: HIDDEN_ERROR, source })
            }
            Err(error) => Err(error),
        }
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
