//! The epochs of a projection's partitions: whatever changes them from outside raises it.

use es::PartitionState;
use es::adapter::{Epoch, PartitionSeed};

/// An epoch that no partition of the projection has ever had: a worker that holds one from before,
/// of a partition that may be gone, cannot commit.
pub(crate) fn next_epoch(partitions: &[PartitionState]) -> Epoch {
    partitions.iter().map(|partition| partition.epoch).max().unwrap_or_default().next()
}

/// The partitions as they are, changed by `change`, in an epoch above all of theirs.
pub(crate) fn in_next_epoch(
    partitions: &[PartitionState],
    change: impl Fn(PartitionSeed) -> PartitionSeed,
) -> Vec<PartitionSeed> {
    let epoch = next_epoch(partitions);
    let seed = |partition: &PartitionState| {
        change(PartitionSeed {
            position: partition.position,
            epoch,
            replay_until: partition.replay_until,
            stop_at: partition.stop_at,
        })
    };
    partitions.iter().map(seed).collect()
}
