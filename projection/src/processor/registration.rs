//! Registering a projection that is not there yet.

use std::ops::Range;
use std::time::Duration;

use es::adapter::{Checkpoint, Epoch, PartitionSeed, ProjectionStore};
use es::{
    CheckpointError, EventSource, EventStore, Partition, PartitionCount, ProjectionName, StoreError,
};

/// Where the first epoch is drawn from: numbers that every client of the database shows exactly.
const EPOCHS: Range<i64> = 1..1 << 52;

/// As [`register_checkpoint`](es::adapter::CheckpointStore::register_checkpoint), but a new
/// projection begins in an epoch that no projection of its name has had. If one was deleted before,
/// a worker may still hold a partition of that one, in one of its epochs: it must not take the new
/// one for it.
pub(super) async fn register<T: ProjectionStore>(
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

/// Registers a projection with this many partitions, unless it is there already.
pub(super) async fn register_projection<S: EventSource>(
    source: &S,
    name: &ProjectionName,
    partitions: PartitionCount,
    time_max: Duration,
) -> Result<(), CheckpointError> {
    let store = source.store();
    let mut tx = source.begin_within(time_max).await?;
    store.check_schema(&mut tx).await?;
    if store.lock_projection(&mut tx, name).await?.is_none() {
        let first = Partition::new(0, partitions).map_err(StoreError::misuse)?;
        match register(store, &mut tx, name, first).await {
            // Another worker was quicker, with another number: theirs it is.
            Ok(_) | Err(CheckpointError::PartitionCount { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(source.commit(tx).await?)
}
