//! The store with a pool: what a projection processor runs on.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use es::{Cause, EventSource, StoreError};
use es_sqlx::{PoolTransaction, PooledConnection};
use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool, Row};

use crate::MySqlEventStore;
use crate::error::{error_cause, store_error};
use crate::sql::trusted;
use crate::time_limits;

/// READ COMMITTED, so that handlers do not lock gaps; and a savepoint that ends with the
/// transaction. sqlx gives a connection back with its transaction open when the future that begins
/// it is dropped at the wrong moment: the rollback is for that.
const BEGIN: &str = "set transaction isolation level read committed; \
                     start transaction; \
                     savepoint es_open";

/// A connection in the middle of something is closed.
const ABANDON: fn(PoolConnection<MySql>) = es_sqlx::close;

/// What a handler has done whose transaction is gone.
const HIDDEN_ERROR: &str = "what was written since it ended is committed already: the handler \
                            hid the error that ended it, so let it return its errors";

/// A [`MySqlEventStore`] and the pool projections take their connections from.
///
/// The connections must reach the primary. Projections handle events in READ COMMITTED. Where the
/// pool's sessions have autocommit off, connections of the source have it on, for two more round
/// trips each time; the first connection tells what they have.
#[derive(Debug, Clone)]
pub struct MySqlSource {
    pool: MySqlPool,
    store: MySqlEventStore,
    /// Whether the pool's sessions commit each statement by themselves.
    autocommit: Arc<OnceLock<bool>>,
}

impl MySqlSource {
    /// Uses `pool`, whose connections find the store's tables.
    pub fn new(pool: MySqlPool, store: MySqlEventStore) -> Self {
        MySqlSource { pool, store, autocommit: Arc::default() }
    }

    /// The pool.
    pub fn pool(&self) -> &MySqlPool {
        &self.pool
    }
}

impl MySqlSource {
    /// What is written outside a transaction must be committed at once: a lease, an attempt.
    async fn switch_autocommit_on(&self, conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let is_on = if let Some(is_on) = self.autocommit.get() {
            *is_on
        } else {
            let row = sqlx::raw_sql("select cast(@@autocommit as signed)");
            let is_on: i64 = row.fetch_one(&mut *conn).await?.try_get(0)?;
            *self.autocommit.get_or_init(|| is_on != 0)
        };
        if !is_on {
            // The switch alone would commit what somebody has left open.
            let on = "rollback and no chain no release; set autocommit = 1";
            sqlx::raw_sql(on).execute(conn).await?;
        }
        Ok(())
    }

    async fn end(
        &self,
        mut transaction: PoolTransaction<MySql>,
        sql: String,
    ) -> Result<(), StoreError> {
        let end = sqlx::raw_sql(trusted(sql));
        end.execute(&mut *transaction).await.map_err(store_error)?;
        transaction.ended();
        Ok(())
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
        let conn = PooledConnection::acquire(&self.pool, ABANDON).await;
        let mut conn = conn.map_err(store_error)?;
        self.switch_autocommit_on(&mut conn).await.map_err(store_error)?;
        Ok(conn)
    }

    fn release(&self, mut conn: Self::Pooled) {
        if self.autocommit.get() == Some(&false) {
            es_sqlx::in_background(async move {
                if sqlx::raw_sql("set autocommit = 0").execute(&mut *conn).await.is_ok() {
                    conn.release();
                }
            });
            return;
        }
        conn.release();
    }

    /// The server ends the session of a transaction that pauses for longer, and a statement that
    /// takes longer; on MySQL it ends a statement that only waits, and selects. The limits are
    /// whole seconds, rounded up, and the session's own where they are smaller. A wait for a lock has
    /// half of the time.
    async fn begin_within(&self, time_max: Duration) -> Result<Self::Transaction, StoreError> {
        let begin =
            format!("rollback and no chain no release; {}; {BEGIN}", time_limits::set(time_max));
        let begin = trusted(begin);
        PoolTransaction::begin(&self.pool, begin, ABANDON).await.map_err(store_error)
    }

    /// A deadlock makes the server end the transaction, and the next statement would commit by
    /// itself. The savepoint ends with the transaction.
    async fn check_open(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        ask(transaction, "release savepoint es_open").await
    }

    /// The savepoint is there again for [`check_open`](EventSource::check_open).
    async fn probe(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        ask(transaction, "release savepoint es_open; savepoint es_open").await
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        // In this order, so that an error always means that nothing was committed.
        self.end(
            transaction,
            format!("{}; commit and no chain no release", time_limits::put_back()),
        )
        .await
    }

    async fn rollback(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        self.end(
            transaction,
            format!("rollback and no chain no release; {}", time_limits::put_back()),
        )
        .await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause> {
        es::adapter::cause(error, error_cause)
    }
}

async fn ask(conn: &mut MySqlConnection, question: &'static str) -> Result<(), StoreError> {
    match sqlx::raw_sql(question).execute(conn).await.map_err(store_error) {
        Ok(_) => Ok(()),
        Err(StoreError::NoTransaction { source, .. }) => {
            Err(StoreError::NoTransaction { reason: HIDDEN_ERROR, source })
        }
        Err(error) => Err(error),
    }
}
