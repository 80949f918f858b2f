//! The end of a transaction.

use std::error::Error;

use es::{EventSource, StoreError};
use tracing::debug;

/// Commits if what was `done` in the transaction succeeded, and rolls it back if not.
pub(crate) async fn ended<S: EventSource, T, E: From<StoreError>>(
    source: &S,
    tx: S::Transaction,
    done: Result<T, E>,
) -> Result<T, E> {
    match done {
        Ok(done) => {
            source.commit(tx).await?;
            Ok(done)
        }
        Err(error) => {
            if let Err(error) = source.rollback(tx).await {
                debug!(error = &error as &dyn Error, "the rollback failed");
            }
            Err(error)
        }
    }
}
