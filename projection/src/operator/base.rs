//! What an operator works on.

use std::fmt;

use es::adapter::ProjectionStore;
use es::{EventSource, ProjectionName};

use super::error::OperatorError;
use crate::limits::answered;

/// Operates the projections of a database: looks, pauses, resets, rescales, sees to dead letters.
/// Safe while workers run.
///
/// ```
/// use es::ProjectionName;
/// use es::memory::MemoryStore;
/// use projection::{Operator, OperatorError};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let database = MemoryStore::default();
/// let revenue = ProjectionName::new("revenue")?;
///
/// let paused = Operator::new(&database).pause(&revenue).await;
/// assert!(matches!(paused, Err(OperatorError::UnknownProjection { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Whatever is changed here, every partition of the projection gets a new epoch in the same
/// transaction. So a batch that was read before cannot be committed after, no worker needs to be
/// stopped first, and workers take their partitions up again at their next poll.
///
/// # Transactions
///
/// Each method that changes something does it in a transaction of its own, and is done when it
/// returns. Its namesake with `_in` works in a transaction of the caller's, on `conn`: there the
/// read model can be cleared, or a note be taken of who has done what and why. It is done when that
/// is committed; after an error, roll it back. Where the database has one writer at a time, begin it
/// as one that writes. Only [`retry`](Operator::retry) takes several transactions, and has no such
/// namesake.
///
/// # Time limits
///
/// Nothing here waits for ever for a database that does not answer: after 65 seconds for an answer,
/// or ten minutes in a transaction of the caller's and for the time in a
/// [`reset`](Operator::reset), it fails with
/// [`StoreError::ConnectionLost`](es::StoreError::ConnectionLost). A transaction of the caller's is
/// then to be dropped and not to be used again, nor to be rolled back: it may be in the middle of a
/// statement.
///
/// In a transaction of its own a batch that is being handled is waited for up to a minute, which is
/// what a batch may take unless [set](crate::ProjectionOptions::with_time_max) otherwise.
pub struct Operator<'s, S> {
    pub(super) source: &'s S,
}

impl<'s, S: EventSource> Operator<'s, S> {
    /// An operator of the projections in this database.
    pub fn new(source: &'s S) -> Self {
        Operator { source }
    }

    /// The database: to begin a transaction in.
    pub fn source(self) -> &'s S {
        self.source
    }

    /// Checks that the projection is registered, where that does not show otherwise.
    pub(super) async fn check_known(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
    ) -> Result<(), OperatorError> {
        let states = answered(self.source.store().projections(conn)).await?;
        let is_known = states.iter().any(|state| state.name == *projection);
        if is_known { Ok(()) } else { Err(OperatorError::unknown(projection)) }
    }
}

impl<S> Clone for Operator<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Operator<'_, S> {}

impl<S> fmt::Debug for Operator<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}
