//! The store with a pool: what a projection processor runs on.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use es::{Cause, EventSource, StoreError};
use es_sqlx::{PoolTransaction, PooledConnection};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::Notify;

use crate::error::{error_cause, is_aborted, retryable, store_error};
use crate::sql::trusted;
use crate::{PgEventStore, PgNotifications};

/// A connection in the middle of something is closed.
const ABANDON: fn(PoolConnection<Postgres>) = es_sqlx::close;

/// A [`PgEventStore`] and the pool projections take their connections from.
///
/// The connections must reach the primary and default to READ COMMITTED.
#[derive(Debug, Clone)]
pub struct PgSource {
    pool: PgPool,
    store: PgEventStore,
    appended: Option<Arc<Notify>>,
}

impl PgSource {
    /// Uses `pool`, whose connections find the store's tables.
    pub fn new(pool: PgPool, store: PgEventStore) -> Self {
        PgSource { pool, store, appended: None }
    }

    /// A source whose processors are woken by notifications instead of waiting out their poll
    /// interval, and the listener that wakes them: spawn its
    /// [`run`](PgNotifications::run). The schema must have been written with
    /// `migrate-gen --notify`.
    ///
    /// Polling needs none of this and is quick by itself; notifications are worth it when many idle
    /// processes must not poll (raise the poll interval then). They cost the writers much:
    /// PostgreSQL takes a cluster-wide lock at the commit of every transaction that notifies, which
    /// cut eight writers from 4,900 to 2,600 transactions a second where it was measured. And such
    /// a transaction cannot be prepared (`prepare transaction`).
    ///
    /// # Errors
    ///
    /// The database cannot be reached, [`StoreError::SchemaMissing`], or [`StoreError::Misuse`] if
    /// no trigger of the events table notifies.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn with_notifications(self) -> Result<(Self, PgNotifications), StoreError> {
        let appended = Arc::new(Notify::new());
        let (pool, store) = (&self.pool, &self.store);
        let listener = PgNotifications::listen(pool, store, Arc::clone(&appended)).await?;
        Ok((PgSource { appended: Some(appended), ..self }, listener))
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl EventSource for PgSource {
    type Connection = PgConnection;
    type Store = PgEventStore;
    type Pooled = PooledConnection<Postgres>;
    type Transaction = PoolTransaction<Postgres>;

    fn store(&self) -> &PgEventStore {
        &self.store
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        PooledConnection::acquire(&self.pool, ABANDON).await.map_err(store_error)
    }

    fn release(&self, conn: Self::Pooled) {
        conn.release();
    }

    async fn begin_within(&self, time_max: Duration) -> Result<Self::Transaction, StoreError> {
        let begin = trusted(begin_within(time_max));
        PoolTransaction::begin(&self.pool, begin, ABANDON).await.map_err(store_error)
    }

    fn appended(&self) -> impl Future<Output = ()> + Send {
        // From here on nothing is missed, whenever the future is first polled.
        let appended = self.appended.as_ref().map(|appended| appended.notified());
        async move {
            match appended {
                Some(appended) => appended.await,
                None => std::future::pending().await,
            }
        }
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.commit().await.map_err(store_error)
    }

    /// The server refuses every statement after an error. But a savepoint's `begin` whose future was
    /// dropped makes sqlx roll the whole transaction back, and what is sent next commit by itself.
    async fn check_open(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        if transaction.is_open() {
            return Ok(());
        }
        Err(StoreError::NoTransaction {
            reason: "what is sent now would commit by itself: the future that begins a savepoint was \
                     dropped, which rolls the transaction back, and the error was hidden",
            source: sqlx::Error::BeginFailed.into(),
        })
    }

    async fn probe(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        self.check_open(transaction).await?;
        let probed = sqlx::raw_sql("select 1").execute(&mut **transaction).await;
        match probed {
            Err(error) if is_aborted(&error) => Err(retryable(error)),
            probed => probed.map(drop).map_err(store_error),
        }
    }

    async fn rollback(&self, mut transaction: Self::Transaction) -> Result<(), StoreError> {
        // A statement of the handler's may be what failed, for it is stale, and would be so again.
        transaction.clear_cached_statements().await.map_err(store_error)?;
        transaction.rollback().await.map_err(store_error)
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause> {
        es::adapter::cause(error, error_cause)
    }
}

/// Begins a transaction that the server ends if a statement in it, the pause between two, or the
/// wait for the client to acknowledge what was sent takes longer than this.
fn begin_within(time_max: Duration) -> String {
    // Zero would be no limit.
    let millis = time_max.as_nanos().div_ceil(1_000_000).clamp(1, i32::MAX as u128);
    // Sooner than the time of the handler is over that waits: a lock is not the handler's fault.
    let lock_millis = millis.div_ceil(2);
    format!(
        "begin; set local lock_timeout = {lock_millis}; \
         set local statement_timeout = {millis}; \
         set local idle_in_transaction_session_timeout = {millis}; \
         set local tcp_user_timeout = {millis}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_rounded_up_and_never_none() {
        let millis = |time_max| {
            let begin = begin_within(time_max);
            begin.rsplit(" = ").next().expect("the last limit").parse::<u64>().expect("a number")
        };
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(millis(Duration::from_mins(1)), 60_000);
        assert_eq!(millis(Duration::MAX), 2_147_483_647);
    }
}
