//! Pausing, resuming and deleting a projection.

use es::adapter::ProjectionStore;
use es::{EventSource, ProjectionName};

use super::base::Operator;
use super::error::OperatorError;
use crate::epoch::in_next_epoch;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};
use crate::transaction::ended;

impl<S: EventSource> Operator<'_, S> {
    /// Keeps a projection from handling anything until it is resumed. Waits for the batches that
    /// are being handled; after it, none is.
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], and whatever the database says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, it has paused the projection or changed nothing.
    pub async fn pause(self, projection: &ProjectionName) -> Result<(), OperatorError> {
        let mut tx = answered(self.source.begin()).await?;
        let paused = answered(self.set_paused(&mut tx, projection, true)).await;
        ended(self.source, tx, paused).await
    }

    /// As [`pause`](Operator::pause), in the caller's transaction.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn pause_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
    ) -> Result<(), OperatorError> {
        answered_within(OPERATION_TIME_MAX, self.set_paused(conn, projection, true)).await
    }

    /// Lets a paused projection go on, and one that stands still at an event try it again.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, it has resumed the projection or changed nothing.
    pub async fn resume(self, projection: &ProjectionName) -> Result<(), OperatorError> {
        let mut tx = answered(self.source.begin()).await?;
        let resumed = answered(self.set_paused(&mut tx, projection, false)).await;
        ended(self.source, tx, resumed).await
    }

    /// As [`resume`](Operator::resume), in the caller's transaction.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn resume_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
    ) -> Result<(), OperatorError> {
        answered_within(OPERATION_TIME_MAX, self.set_paused(conn, projection, false)).await
    }

    async fn set_paused(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        is_paused: bool,
    ) -> Result<(), OperatorError> {
        let store = self.source.store();
        let Some(mut state) = store.lock_projection(conn, projection).await? else {
            return Err(OperatorError::unknown(projection));
        };
        let partitions = store.lock_partitions(conn, projection).await?;
        let seeds = in_next_epoch(&partitions, |seed| seed);
        store.rewrite_partitions(conn, projection, &seeds).await?;
        state.is_paused = is_paused;
        Ok(store.save_projection(conn, &state).await?)
    }

    /// Forgets a projection: checkpoints, workers, dead letters. Not what it has written, which is
    /// the caller's: [`delete_in`](Operator::delete_in) removes both in one transaction. A worker
    /// that still runs it does not make it again; one that is started later does, and begins at the
    /// start of the log.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, it has forgotten the projection or changed nothing.
    pub async fn delete(self, projection: &ProjectionName) -> Result<(), OperatorError> {
        let mut tx = answered(self.source.begin()).await?;
        let deleted = answered(self.forget(&mut tx, projection)).await;
        ended(self.source, tx, deleted).await
    }

    /// As [`delete`](Operator::delete), in the caller's transaction.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn delete_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
    ) -> Result<(), OperatorError> {
        answered_within(OPERATION_TIME_MAX, self.forget(conn, projection)).await
    }

    async fn forget(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
    ) -> Result<(), OperatorError> {
        let store = self.source.store();
        if store.lock_projection(conn, projection).await?.is_none() {
            return Err(OperatorError::unknown(projection));
        }
        store.lock_partitions(conn, projection).await?;
        Ok(store.delete_projection(conn, projection).await?)
    }
}
