//! How far a projection is behind the log.

use es::adapter::{CheckpointStore, PartitionCheckpoint};
use es::{EventSource, EventStore, Partition, Position, ProjectionName};

use super::base::Operator;
use super::error::OperatorError;
use crate::limits::answered;

/// How far one partition of a projection is behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PartitionLag {
    /// The partition.
    pub partition: Partition,
    /// The position through which it has handled everything that is for it.
    pub checkpoint: Position,
    /// How far the log can be read now.
    pub horizon: Position,
    /// The last position that was drawn.
    pub end: Position,
}

impl PartitionLag {
    /// How many positions lie between checkpoint and end: an upper bound of the events left, since
    /// positions have holes and other partitions have their share.
    pub fn positions(self) -> u64 {
        self.end.distance_from(self.checkpoint)
    }

    /// How many of them lie after the horizon: a transaction that has appended and is still open
    /// keeps them from being handled.
    pub fn held_positions(self) -> u64 {
        self.end.distance_from(self.horizon.max(self.checkpoint))
    }
}

impl<S: EventSource> Operator<'_, S> {
    /// How far each partition of a projection is behind, by index.
    ///
    /// A partition moves its checkpoint past events that are not for it once a second at most, so
    /// an idle partition may show a lag of what was appended in the last second.
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], also if it has never run, and whatever the database
    /// says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn lag(
        self,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionLag>, OperatorError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let checkpoints = answered(store.checkpoints(&mut conn, projection)).await?;
        if checkpoints.is_empty() {
            let known = self.check_known(&mut conn, projection).await;
            self.source.release(conn);
            return known.map(|()| Vec::new());
        }
        let horizon = answered(store.horizon(&mut conn, Position::START)).await?;
        self.source.release(conn);
        let lag = |PartitionCheckpoint { partition, position }| PartitionLag {
            partition,
            checkpoint: position,
            horizon: horizon.position,
            end: horizon.end,
        };
        Ok(checkpoints.into_iter().map(lag).collect())
    }
}
