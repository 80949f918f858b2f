//! How far a projection is behind the log.

use es::{
    CheckpointStore, EventSource, EventStore, Partition, PartitionCheckpoint, Position,
    ProjectionName, StoreError,
};

use crate::limits::answered;

/// How far one partition of a projection is behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// How far each registered partition of `projection` is behind; empty if it never ran.
///
/// A processor moves its checkpoint past events that are not for it once a second at most, so an
/// idle partition may show a lag of what was appended in the last second.
///
/// # Errors
///
/// Whatever the store says.
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn lag<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
) -> Result<Vec<PartitionLag>, StoreError> {
    let mut conn = answered(source.acquire()).await?;
    let checkpoints = answered(source.store().checkpoints(&mut conn, projection)).await?;
    let horizon = answered(source.store().horizon(&mut conn, Position::START)).await?;
    source.release(conn);
    let lag = |PartitionCheckpoint { partition, position }| PartitionLag {
        partition,
        checkpoint: position,
        horizon: horizon.position,
        end: horizon.end,
    };
    Ok(checkpoints.into_iter().map(lag).collect())
}
