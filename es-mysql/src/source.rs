//! The store with a pool: what a projection processor runs on.

use std::error::Error;
use std::time::Duration;

use es::{Cause, EventSource, StoreError};
use es_sqlx::{PoolTransaction, PooledConnection};
use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool, SqlSafeStr};

use crate::MySqlEventStore;
use crate::error::{error_cause, store_error};

/// READ COMMITTED, so that handlers do not lock gaps; and a savepoint that ends with the
/// transaction. sqlx gives a connection back with its transaction open when the future that begins
/// it is dropped at the wrong moment: the rollback is for that.
const BEGIN: &str = "rollback; \
                     set transaction isolation level read committed; \
                     start transaction; \
                     savepoint es_open";

/// A connection in the middle of something is closed.
const ABANDON: fn(PoolConnection<MySql>) = es_sqlx::close;

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
    type Pooled = PooledConnection<MySql>;
    type Transaction = PoolTransaction<MySql>;

    fn store(&self) -> &MySqlEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        PooledConnection::acquire(&self.pool, ABANDON).await.map_err(store_error)
    }

    fn release(&self, conn: Self::Pooled) {
        conn.release();
    }

    async fn begin_within(&self, _time_max: Duration) -> Result<Self::Transaction, StoreError> {
        let begin = BEGIN.into_sql_str();
        PoolTransaction::begin(&self.pool, begin, ABANDON).await.map_err(store_error)
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

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause> {
        es::cause(error, |error| error.downcast_ref().map(error_cause))
    }
}
