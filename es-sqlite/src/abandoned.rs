//! Connections that were dropped in the middle of something.

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Sqlite, SqliteConnection};
use sqlx_core::transaction::TransactionManager;
use tokio::runtime::Handle;

type Transactions = <Sqlite as sqlx::Database>::TransactionManager;

/// Ends what an abandoned connection is in the middle of and gives it back to its pool. It is not
/// closed if it can be helped: a database in memory lives as long as its connection.
pub(crate) fn abandon(mut conn: PoolConnection<Sqlite>) {
    let Ok(runtime) = Handle::try_current() else {
        return es_sqlx::close(conn);
    };
    runtime.spawn(async move {
        if end_transactions(&mut conn).await.is_err() {
            es_sqlx::close(conn);
        }
    });
}

/// Leaves the connection outside any transaction, as SQLite has it and as sqlx counts.
pub(crate) async fn end_transactions(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    // Answered when everything that was sent before is done.
    conn.ping().await?;
    while Transactions::get_transaction_depth(conn) > 0 {
        if Transactions::rollback(conn).await.is_err() {
            // SQLite has ended the transaction by itself and sqlx does not know: with another one
            // in its place the rollback succeeds.
            sqlx::raw_sql("begin").execute(&mut *conn).await?;
            Transactions::rollback(conn).await?;
        }
    }
    Ok(())
}
