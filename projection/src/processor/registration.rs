//! Registering a projection that is not there yet.

use std::ops::Range;

use es::adapter::{Checkpoint, Epoch, PartitionSeed, ProjectionStore};
use es::{CheckpointError, Partition, ProjectionName};

/// Where the first epoch is drawn from: numbers that every client of the database shows exactly.
const EPOCHS: Range<i64> = 1..1 << 52;

/// As [`register_checkpoint`](es::adapter::CheckpointStore::register_checkpoint), but a new projection begins
/// in an epoch that no projection of its name has had. If one was deleted before, a worker may still
/// hold a partition of that one, in one of its epochs: it must not take the new one for it.
pub(crate) async fn register<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    partition: Partition,
) -> Result<Checkpoint, CheckpointError> {
    // The projection before its partitions, if it is there.
    store.lock_projection(conn, projection).await?;
    let checkpoint = store.register_checkpoint(conn, projection, partition).await?;
    if checkpoint.epoch != Epoch::FIRST {
        return Ok(checkpoint);
    }
    let epoch = Epoch::try_from(fastrand::i64(EPOCHS)).unwrap_or(Epoch::FIRST.next());
    let partitions = store.lock_partitions(conn, projection).await?;
    let seed = |one: &es::PartitionState| PartitionSeed {
        position: one.position,
        epoch,
        replay_until: one.replay_until,
        stop_at: one.stop_at,
    };
    let seeds: Vec<PartitionSeed> = partitions.iter().map(seed).collect();
    store.rewrite_partitions(conn, projection, &seeds).await?;
    Ok(Checkpoint { epoch, ..checkpoint })
}
