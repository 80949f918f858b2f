//! A transaction of a projection, on a connection that goes back to its pool in order.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{SqlSafeStr, Sqlite, SqliteConnection, SqlitePool};
use sqlx_core::transaction::TransactionManager;

use crate::abandoned::{Transactions, abandon_with, end_transactions, restore};
use crate::clock::{Clock, INSTRUCTIONS};

/// A deferred transaction would read first and then fail to become a writer. The savepoint tells
/// later whether the transaction is still the one that was begun.
const BEGIN: &str = "begin immediate; savepoint es_open";

/// An open transaction that can write, on a connection of a
/// [`SqliteSource`](crate::SqliteSource)'s pool. Dropped without being committed or rolled back, it
/// interrupts the statement that runs, and rolls back in a task.
pub struct SqliteTransaction {
    conn: Option<PoolConnection<Sqlite>>,
    clock: Arc<Clock>,
}

impl SqliteTransaction {
    pub(crate) async fn begin(pool: &SqlitePool, time_max: Duration) -> Result<Self, sqlx::Error> {
        let clock = Arc::new(Clock::new(time_max));
        let conn = Some(pool.acquire().await?);
        let mut tx = SqliteTransaction { conn, clock };
        restore(&mut tx).await?;
        // By sqlx's own count of transactions, so that a handler's `begin` is a savepoint.
        Transactions::begin(&mut tx, Some(BEGIN.into_sql_str())).await?;
        let clock = Arc::clone(&tx.clock);
        let mut handle = tx.lock_handle().await?;
        handle.set_progress_handler(INSTRUCTIONS, move || clock.may_go_on());
        drop(handle);
        Ok(tx)
    }

    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.clock.stop();
        Transactions::commit(self.conn()).await?;
        self.release();
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.clock.stop();
        let conn = self.conn();
        let is_plain = Transactions::get_transaction_depth(conn) == 1;
        if !is_plain || Transactions::rollback(conn).await.is_err() {
            end_transactions(conn).await?;
        }
        self.release();
        Ok(())
    }

    /// Gives the connection back as it is.
    fn release(mut self) {
        drop(self.conn.take());
    }

    fn conn(&mut self) -> &mut SqliteConnection {
        self.conn.as_mut().expect("only `release` and `drop` take it")
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            abandon_with(conn, Some(Arc::clone(&self.clock)));
        }
    }
}

impl Deref for SqliteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.conn.as_ref().expect("only `release` and `drop` take it")
    }
}

/// The one who borrows the connection has the whole time for what it does.
impl DerefMut for SqliteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.clock.restart();
        self.conn()
    }
}

impl fmt::Debug for SqliteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").finish_non_exhaustive()
    }
}
