//! Connections that were dropped in the middle of something, or whose transaction SQLite has ended.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Sqlite, SqliteConnection};
use sqlx_core::transaction::TransactionManager;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::sql::trusted;

pub(crate) type Transactions = <Sqlite as sqlx::Database>::TransactionManager;

/// Ends what an abandoned connection is in the middle of and gives it back to its pool. It is not
/// closed if it can be helped: a database in memory lives as long as its connection.
pub(crate) fn abandon(conn: PoolConnection<Sqlite>) {
    abandon_with(conn, None);
}

/// As [`abandon`], and interrupts the statement that runs.
pub(crate) fn abandon_with(mut conn: PoolConnection<Sqlite>, clock: Option<Arc<Clock>>) {
    let Ok(runtime) = Handle::try_current() else {
        return es_sqlx::close(conn);
    };
    if let Some(clock) = &clock {
        clock.interrupt();
    }
    runtime.spawn(async move {
        let answered = conn.ping().await;
        if let Some(clock) = clock {
            clock.stop();
        }
        if answered.is_err() || end_transactions(&mut conn).await.is_err() {
            es_sqlx::close(conn);
        }
    });
}

/// Makes a connection usable again after an error that may have ended its transaction.
///
/// On some errors SQLite ends the transaction by itself: a full disk, an I/O error, too little
/// memory, `on conflict rollback`, `raise(rollback)`, an interrupted statement. sqlx goes on to count
/// it as open: a `rollback` or `commit` then fails, and so does every transaction that is begun on
/// the connection afterwards, also by others once it is back in its pool. The connections of a
/// [`SqliteSource`](crate::SqliteSource) are brought to order by themselves. For those that your own
/// code takes from a pool let the pool do it:
///
/// ```
/// use es_sqlite::sqlx::sqlite::SqlitePoolOptions;
///
/// let options = SqlitePoolOptions::new().after_release(|conn, _| {
///     Box::pin(async move { es_sqlite::restore(conn).await.map(|()| true) })
/// });
/// # let _ = options;
/// ```
///
/// A transaction that is open on the connection is rolled back. It costs nothing if none is.
///
/// # Errors
///
/// The connection cannot be used any more: close it.
///
/// # Cancel safety
///
/// Call it again if its future was dropped.
pub async fn restore(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    if Transactions::get_transaction_depth(conn) == 0 {
        return Ok(());
    }
    end_transactions(conn).await
}

/// Leaves the connection outside any transaction, as SQLite has it and as sqlx counts.
pub(crate) async fn end_transactions(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    // Answered when everything that was sent before is done.
    conn.ping().await?;
    // Fails if SQLite has ended the transaction; what is begun next fails if it has not.
    let _ = sqlx::raw_sql("rollback").execute(&mut *conn).await;
    // With a transaction and savepoints where sqlx believes there are some, its rollbacks succeed.
    sqlx::raw_sql("begin").execute(&mut *conn).await?;
    for depth in 1..Transactions::get_transaction_depth(conn) {
        let savepoint = trusted(format!("savepoint _sqlx_savepoint_{depth}"));
        sqlx::raw_sql(savepoint).execute(&mut *conn).await?;
    }
    if Transactions::get_transaction_depth(conn) == 0 {
        sqlx::raw_sql("rollback").execute(&mut *conn).await?;
    }
    while Transactions::get_transaction_depth(conn) > 0 {
        Transactions::rollback(conn).await?;
    }
    // After a commit or rollback whose future was dropped, sqlx ignores the next rollback that is
    // sent by a dropped transaction: let it be this one, which has nothing to roll back.
    Transactions::start_rollback(conn);
    Ok(())
}
