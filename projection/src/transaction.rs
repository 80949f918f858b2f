//! The end of a transaction.

use std::error::Error;

use es::{EventSource, StoreError};

use crate::limits::{answered, roll_back};

/// Commits if what was `done` in the transaction succeeded, and rolls it back if not.
pub(crate) async fn ended<S: EventSource, T, E: From<StoreError> + Error + 'static>(
    source: &S,
    tx: S::Transaction,
    done: Result<T, E>,
) -> Result<T, E> {
    match done {
        Ok(done) => {
            answered::<_, StoreError>(source.commit(tx)).await?;
            Ok(done)
        }
        Err(error) => {
            roll_back(source, tx, &error).await;
            Err(error)
        }
    }
}
