//! Whether an error has ended the caller's transaction.

use es::adapter::TransactionEnded;
use es::{AppendError, StoreError, TransactionState};
use sqlx::SqliteConnection;
use sqlx_core::transaction::TransactionManager;

use crate::abandoned::Transactions;

/// Says so in the error if SQLite has ended the transaction that sqlx counts as open.
pub(crate) async fn tell(conn: &mut SqliteConnection, error: AppendError) -> AppendError {
    let AppendError::Store(error) = error else { return error };
    if Transactions::get_transaction_depth(conn) == 0 || !has_ended(conn).await {
        return error.into();
    }
    let source = |source| Box::new(TransactionEnded { source });
    let error = match error {
        StoreError::Retryable { source, .. } => {
            StoreError::Retryable { transaction: TransactionState::Ended, source }
        }
        StoreError::Unavailable { source: cause } => {
            StoreError::Unavailable { source: source(cause) }
        }
        StoreError::Damaged { source: cause } => StoreError::Damaged { source: source(cause) },
        StoreError::TooLarge { source: cause } => StoreError::TooLarge { source: source(cause) },
        StoreError::Database { source: cause } => StoreError::Database { source: source(cause) },
        other => other,
    };
    error.into()
}

/// Inside a transaction SQLite refuses to begin one.
async fn has_ended(conn: &mut SqliteConnection) -> bool {
    sqlx::raw_sql("begin; rollback").execute(conn).await.is_ok()
}
