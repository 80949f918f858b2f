//! What workers, dead letters and operations need of a store: rows and their locks.

use std::future::Future;
use std::time::Duration;

use crate::checkpoint::{CheckpointStore, Epoch, ProjectionName};
use crate::error::StoreError;
use crate::partition::Partition;
use crate::position::Position;
use crate::projection_state::{
    Attempt, DeadLetter, PartitionSeed, PartitionState, ProjectionState, WorkerId,
};
use crate::stream_id::StreamId;

/// What workers and operators need of a store beside the checkpoints themselves.
///
/// These are single steps. How they combine, for instance to give a projection another number of
/// partitions, is decided in the crate `projection`, once for all databases.
///
/// As in [`CheckpointStore`], no method begins, commits or rolls back, and dropping a future
/// leaves its statement done or not. Every time is one of the database's clock. All fail with
/// [`StoreError::Corrupt`] on a row that this library cannot have written.
///
/// The order of locks is the projection, then its partitions by index. This rules out deadlocks.
pub trait ProjectionStore: CheckpointStore {
    /// Every projection that was registered, by name.
    fn projections(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<Vec<ProjectionState>, StoreError>> + Send;

    /// Reads a projection and keeps every other transaction from changing it until this one ends;
    /// `None` if it was never registered.
    fn lock_projection(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<Option<ProjectionState>, StoreError>> + Send;

    /// Writes the settings of a projection that the transaction has locked.
    fn save_projection(
        &self,
        conn: &mut Self::Connection,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The partitions of a projection, by index; empty if it was never registered.
    fn partitions(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<Vec<PartitionState>, StoreError>> + Send;

    /// Keeps every other transaction from moving a checkpoint of the projection until this one
    /// ends; waits for those that are moving one. Gives the partitions as they are then.
    fn lock_partitions(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<Vec<PartitionState>, StoreError>> + Send;

    /// Makes the partitions of a projection what `seeds` says, by index: changes rows, adds those
    /// that are missing, removes those that are too many. None has an owner afterwards.
    fn rewrite_partitions(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets a projection: its partitions, workers and dead letters.
    fn delete_projection(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes `worker` the owner of a partition for as long as `lease`, in a new epoch; `None` if
    /// another worker's lease lasts, somebody has the checkpoint locked, the projection is paused,
    /// or the partition is not there. It never waits. Call it in a transaction.
    fn claim(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        worker: &WorkerId,
        lease: Duration,
    ) -> impl Future<Output = Result<Option<Epoch>, StoreError>> + Send;

    /// Lets the lease last for `lease` from now; `false` if the partition is of another epoch.
    fn renew(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        lease: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes the partition free at once, if it is still of this epoch.
    fn release(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes that `worker` will be there for `alive_for` from now.
    fn heartbeat(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes that `worker` is gone, and forgets the others that are.
    fn leave(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The workers that are there, by name.
    fn workers(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<Vec<WorkerId>, StoreError>> + Send;

    /// Notes an attempt at the event after the checkpoint, if the partition is still of this
    /// epoch.
    fn record_attempt(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        attempt: Attempt<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The dead letters of a projection after a position, in position order, `count_max` at most.
    fn dead_letters(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send;

    /// The dead letters of one stream, in position order, `count_max` at most.
    fn dead_letter_queue(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        stream: &StreamId,
        count_max: u32,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send;

    /// How many dead letters each partition has, those that queue after others included: partition
    /// indexes in order, with counts; partitions without any are left out. It reads every dead
    /// letter of the projection.
    fn dead_letter_counts(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<Vec<(u16, u64)>, StoreError>> + Send;

    /// The streams that have dead letters, among those with one of these aggregate ids.
    fn parked_streams(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> impl Future<Output = Result<Vec<StreamId>, StoreError>> + Send;

    /// Adds dead letters, or changes those that are there. The caller has the checkpoint of their
    /// partition locked, as it has for all changes to dead letters.
    fn put_dead_letters(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the dead letters at these positions.
    fn remove_dead_letters(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes every dead letter after a position.
    fn remove_dead_letters_after(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        after: Position,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
