//! Connections that never go back to their pool in the middle of something.
//!
//! A future of sqlx that is dropped leaves its connection in the middle of an answer, or of a
//! `begin` whose transaction nobody then knows of. sqlx gives such a connection back to the pool
//! and lets the next user find out: on MySQL the test of the connection may never return, on
//! PostgreSQL the next append may run in a transaction that nobody commits. So a connection of
//! this crate goes back only if it is [released](PooledConnection::release), or its transaction
//! ended; otherwise it is [abandoned](Abandon).
//!
//! For the adapters of this workspace; not covered by semver.

mod background;

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool, SqlStr};
use sqlx_core::transaction::TransactionManager as _;

pub use background::{RETURN_TIME_MAX, in_background};

/// What becomes of a connection that is dropped in the middle of something.
pub type Abandon<DB> = fn(PoolConnection<DB>);

/// Closes the socket at once and makes room in the pool. The server notices, and ends the
/// transaction, if there is one.
pub fn close<DB: Database>(conn: PoolConnection<DB>) {
    drop(conn.detach());
}

/// A connection that is borrowed from a pool. Unless it is [released](PooledConnection::release),
/// dropping it abandons it.
pub struct PooledConnection<DB: Database> {
    conn: Option<PoolConnection<DB>>,
    abandon: Abandon<DB>,
}

impl<DB: Database> PooledConnection<DB> {
    /// Borrows a connection.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn acquire(pool: &Pool<DB>, abandon: Abandon<DB>) -> Result<Self, sqlx::Error> {
        Ok(PooledConnection { conn: Some(pool.acquire().await?), abandon })
    }

    /// Gives the connection back. Nothing is being asked of it, and no transaction is open.
    ///
    /// The pool asks whether it lives. On a network that has fallen silent no answer comes, and the
    /// connection would be missing in the pool for as long as the kernel keeps trying; so it is
    /// closed after [`RETURN_TIME_MAX`].
    pub fn release(mut self) {
        if let Some(mut conn) = self.conn.take() {
            in_background(conn.return_to_pool());
        }
    }
}

impl<DB: Database> Drop for PooledConnection<DB> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            (self.abandon)(conn);
        }
    }
}

impl<DB: Database> Deref for PooledConnection<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        self.conn.as_ref().expect("only `release` and `drop` take it")
    }
}

impl<DB: Database> DerefMut for PooledConnection<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.conn.as_mut().expect("only `release` and `drop` take it")
    }
}

impl<DB: Database> fmt::Debug for PooledConnection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection").finish_non_exhaustive()
    }
}

/// An open transaction on a pool's connection. Unless it is committed or rolled back, dropping it
/// abandons the connection: a rollback that waits for the connection's next user would keep the
/// transaction open until then.
pub struct PoolTransaction<DB: Database> {
    conn: PooledConnection<DB>,
}

impl<DB: Database> PoolTransaction<DB> {
    /// Begins a transaction by `statement`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the connection is abandoned.
    pub async fn begin(
        pool: &Pool<DB>,
        statement: SqlStr,
        abandon: Abandon<DB>,
    ) -> Result<Self, sqlx::Error> {
        let mut conn = PooledConnection::acquire(pool, abandon).await?;
        // By the driver's own count of transactions, so that a handler's `begin` is a savepoint.
        DB::TransactionManager::begin(&mut conn, Some(statement)).await?;
        Ok(PoolTransaction { conn })
    }

    /// Commits and gives the connection back; abandons it if the commit fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the transaction was committed.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::commit(&mut self.conn).await?;
        self.conn.release();
        Ok(())
    }

    /// Rolls back and gives the connection back; abandons it if the rollback fails.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the connection is abandoned, and the server rolls back.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::rollback(&mut self.conn).await?;
        self.conn.release();
        Ok(())
    }

    /// Whether the driver counts the transaction as open. No server is asked.
    pub fn is_open(&self) -> bool {
        DB::TransactionManager::get_transaction_depth(&self.conn) > 0
    }

    /// Gives the connection back after a statement of the caller's own has ended the transaction.
    /// The driver, which still counts it as open, sends a rollback of nothing with what comes next.
    pub fn ended(mut self) {
        while DB::TransactionManager::get_transaction_depth(&self.conn) > 0 {
            DB::TransactionManager::start_rollback(&mut self.conn);
        }
        self.conn.release();
    }
}

impl<DB: Database> Deref for PoolTransaction<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.conn
    }
}

impl<DB: Database> DerefMut for PoolTransaction<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.conn
    }
}

impl<DB: Database> fmt::Debug for PoolTransaction<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolTransaction").finish_non_exhaustive()
    }
}

/// What is wrong with a value that cannot be read, without the number of its column.
pub fn unreadable(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::ColumnDecode { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}
