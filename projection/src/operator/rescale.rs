//! Giving a projection another number of partitions.

use es::{EventSource, PartitionCount, ProjectionName};

use super::base::Operator;
use super::error::OperatorError;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};
use crate::rescale::{Rescaled, rescale_in};
use crate::transaction::ended;

impl<S: EventSource> Operator<'_, S> {
    /// Gives a projection `total` partitions, or begins to: see [`Rescaled`]. Call it again to see
    /// how far it is, or with another number to change your mind. Every event is handled once,
    /// whatever happens meanwhile.
    ///
    /// A multiple of the present number is there at once. Processors that were
    /// [told their partitions](crate::Processor::with_assigned) stop with an error once there is
    /// another number: start them with the new one.
    ///
    /// # Errors
    ///
    /// As [`pause`](Operator::pause).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was begun is rolled back, or stays resumable.
    pub async fn rescale(
        self,
        projection: &ProjectionName,
        total: PartitionCount,
    ) -> Result<Rescaled, OperatorError> {
        let mut tx = answered(self.source.begin()).await?;
        let rescaled = answered(self.bring_to(&mut tx, projection, total)).await;
        ended(self.source, tx, rescaled).await
    }

    /// As [`rescale`](Operator::rescale), in the caller's transaction.
    ///
    /// # Errors
    ///
    /// As [`rescale`](Operator::rescale).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn rescale_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        total: PartitionCount,
    ) -> Result<Rescaled, OperatorError> {
        answered_within(OPERATION_TIME_MAX, self.bring_to(conn, projection, total)).await
    }

    async fn bring_to(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        total: PartitionCount,
    ) -> Result<Rescaled, OperatorError> {
        let rescaled = rescale_in(self.source.store(), conn, projection, total).await?;
        rescaled.ok_or_else(|| OperatorError::unknown(projection))
    }
}
