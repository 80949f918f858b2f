//! Dead letters: looking at them, and dropping one.

use es::adapter::ProjectionStore;
use es::{DeadLetter, EventSource, Position, ProjectionName};

use super::base::Operator;
use super::error::OperatorError;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};
use crate::transaction::ended;

impl<S: EventSource> Operator<'_, S> {
    /// The dead letters of a projection after a position, in position order, `count_max` at most.
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], and whatever the database says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn dead_letters(
        self,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, OperatorError> {
        let mut conn = answered(self.source.acquire()).await?;
        let letters = self.source.store().dead_letters(&mut conn, projection, after, count_max);
        let letters = answered(letters).await?;
        let known =
            if letters.is_empty() { self.check_known(&mut conn, projection).await } else { Ok(()) };
        self.source.release(conn);
        known.map(|()| letters)
    }

    /// Removes one dead letter without handling its event. The next of its stream can be tried
    /// then. Waits for the batches that are being handled.
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], [`OperatorError::NoDeadLetter`], and whatever the
    /// database says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, it has removed the dead letter or changed nothing.
    pub async fn skip(
        self,
        projection: &ProjectionName,
        position: Position,
    ) -> Result<(), OperatorError> {
        let mut tx = answered(self.source.begin()).await?;
        let skipped = answered(self.drop_letter(&mut tx, projection, position)).await;
        ended(self.source, tx, skipped).await
    }

    /// As [`skip`](Operator::skip), in the caller's transaction.
    ///
    /// # Errors
    ///
    /// As [`skip`](Operator::skip).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn skip_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        position: Position,
    ) -> Result<(), OperatorError> {
        answered_within(OPERATION_TIME_MAX, self.drop_letter(conn, projection, position)).await
    }

    async fn drop_letter(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        position: Position,
    ) -> Result<(), OperatorError> {
        let store = self.source.store();
        // The locks first: what is read after them is as they found it.
        if store.lock_projection(conn, projection).await?.is_none() {
            return Err(OperatorError::unknown(projection));
        }
        store.lock_partitions(conn, projection).await?;
        let letters = store.dead_letters(conn, projection, position.previous(), 1).await?;
        if letters.iter().all(|letter| letter.position != position) {
            let projection = projection.clone();
            return Err(OperatorError::NoDeadLetter { projection, position });
        }
        Ok(store.remove_dead_letters(conn, projection, &[position]).await?)
    }
}
