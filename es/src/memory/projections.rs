//! Checkpoints, leases and dead letters in memory.

use std::time::Duration;

use super::MemoryStore;
use super::connection::MemoryConnection;
use super::state::{Lock, State, Transaction};
use super::tables::{PartitionKey, PartitionRow};
use crate::checkpoint::{
    Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, Epoch, PartitionCheckpoint,
    ProjectionName,
};
use crate::error::StoreError;
use crate::partition::Partition;
use crate::position::Position;
use crate::projection_state::{
    Attempt, DeadLetter, PartitionSeed, PartitionState, ProjectionState, WorkerId, error_text,
};
use crate::projection_store::ProjectionStore;
use crate::stream_id::StreamId;

fn key(projection: &ProjectionName, partition: Partition) -> PartitionKey {
    (projection.clone(), partition.index())
}

/// The checkpoint, locked; an error if it is not there or of another number of partitions.
fn locked(
    state: &mut State,
    transaction: &Transaction,
    projection: &ProjectionName,
    partition: Partition,
) -> Result<Checkpoint, CheckpointError> {
    let key = key(projection, partition);
    state.acquire(transaction, [Lock::Partition(key.clone())])?;
    let view = state.view(transaction);
    let missing = || CheckpointError::Missing { projection: projection.clone(), partition };
    let stored = view.projection(projection).ok_or_else(missing)?.partition_total;
    CheckpointError::check_partition_total(projection, stored, partition)?;
    let checkpoint = view.checkpoint(&key).ok_or_else(missing)?;
    Ok(checkpoint)
}

impl CheckpointStore for MemoryStore {
    async fn register_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        conn.in_transaction(|state, transaction| {
            state.acquire(transaction, [Lock::Projection(projection.clone())])?;
            if let Some(stored) = state.view(transaction).projection(projection) {
                let stored = stored.partition_total;
                CheckpointError::check_partition_total(projection, stored, partition)?;
                return locked(state, transaction, projection, partition);
            }
            let new = ProjectionState {
                name: projection.clone(),
                partition_total: partition.total(),
                is_paused: false,
                rescale_to: None,
            };
            let start = PartitionSeed {
                position: Position::START,
                epoch: Epoch::FIRST,
                replay_until: Position::START,
                stop_at: None,
            };
            let rows = (0..partition.total().get())
                .map(|index| ((projection.clone(), index), Some(PartitionRow::from(start))));
            transaction.tables.partitions.extend(rows);
            transaction.tables.projections.insert(projection.clone(), Some(new));
            locked(state, transaction, projection, partition)
        })
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        conn.in_transaction(|state, transaction| locked(state, transaction, projection, partition))
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        conn.in_transaction(|state, transaction| {
            let key = key(projection, partition);
            state.acquire(transaction, [Lock::Partition(key.clone())])?;
            let (row, now) = (state.view(transaction).row(&key), state.now());
            let may_move = |row: &PartitionRow| {
                row.position == to.from
                    && row.epoch == to.epoch
                    && row.stop_at.is_none_or(|stop_at| to.to <= stop_at)
            };
            let row = row.filter(may_move);
            CheckpointError::check_moved(row.is_some().into(), projection, partition, to.from)?;
            transaction.tables.partitions.insert(
                key,
                row.map(|row| PartitionRow {
                    position: to.to,
                    lease_until: to.lease.map(|lease| now + lease).or(row.lease_until),
                    attempts: 0,
                    failing_position: None,
                    is_attempt_open: false,
                    last_error: None,
                    ..row
                }),
            );
            Ok(())
        })
    }

    async fn checkpoints(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let all = self.partitions(conn, projection).await?;
        let checkpoint = |PartitionState { partition, position, .. }: PartitionState| {
            PartitionCheckpoint { partition, position }
        };
        Ok(all.into_iter().map(checkpoint).collect())
    }
}

/// Changes a partition that is still of `epoch`; says whether it was.
fn change_in_epoch(
    conn: &mut MemoryConnection,
    key: PartitionKey,
    epoch: Epoch,
    change: impl FnOnce(PartitionRow, Duration) -> PartitionRow,
) -> Result<bool, StoreError> {
    conn.in_transaction(|state, transaction| {
        state.acquire(transaction, [Lock::Partition(key.clone())])?;
        let row = state.view(transaction).row(&key).filter(|row| row.epoch == epoch);
        let Some(row) = row else { return Ok(false) };
        transaction.tables.partitions.insert(key, Some(change(row, state.now())));
        Ok(true)
    })
}

impl ProjectionStore for MemoryStore {
    async fn projections(
        &self,
        conn: &mut MemoryConnection,
    ) -> Result<Vec<ProjectionState>, StoreError> {
        conn.read(|state, transaction| Ok(state.view(transaction).projections()))
    }

    async fn lock_projection(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Option<ProjectionState>, StoreError> {
        conn.in_transaction(|state, transaction| {
            state.acquire(transaction, [Lock::Projection(projection.clone())])?;
            Ok(state.view(transaction).projection(projection))
        })
    }

    async fn save_projection(
        &self,
        conn: &mut MemoryConnection,
        new: &ProjectionState,
    ) -> Result<(), StoreError> {
        conn.in_transaction(|state, transaction| {
            state.acquire(transaction, [Lock::Projection(new.name.clone())])?;
            transaction.tables.projections.insert(new.name.clone(), Some(new.clone()));
            Ok(())
        })
    }

    async fn partitions(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        conn.read(|state, transaction| Ok(state.view(transaction).partitions(projection)))
    }

    async fn lock_partitions(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        conn.in_transaction(|state, transaction| {
            let rows = state.view(transaction).rows(projection);
            let locks = rows.iter().map(|(index, _)| Lock::Partition((projection.clone(), *index)));
            state.acquire(transaction, locks)?;
            Ok(state.view(transaction).partitions(projection))
        })
    }

    async fn rewrite_partitions(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> Result<(), StoreError> {
        conn.in_transaction(|state, transaction| {
            let old = state.view(transaction).rows(projection);
            let old = old.into_iter().map(|(index, _)| ((projection.clone(), index), None));
            let new = (0..).zip(seeds).map(|(index, seed)| {
                ((projection.clone(), index), Some(PartitionRow::from(*seed)))
            });
            let rows: Vec<_> = old.chain(new).collect();
            state.acquire(transaction, rows.iter().map(|(key, _)| Lock::Partition(key.clone())))?;
            transaction.tables.partitions.extend(rows);
            Ok(())
        })
    }

    async fn delete_projection(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.rewrite_partitions(conn, projection, &[]).await?;
        self.remove_dead_letters_after(conn, projection, Position::START).await?;
        conn.in_transaction(|state, transaction| {
            state.acquire(transaction, [Lock::Projection(projection.clone())])?;
            let workers = state.view(transaction).workers(projection);
            let gone = workers.into_iter().map(|(worker, _)| ((projection.clone(), worker), None));
            transaction.tables.workers.extend(gone);
            transaction.tables.projections.insert(projection.clone(), None);
            Ok(())
        })
    }

    async fn claim(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Epoch>, StoreError> {
        conn.in_transaction(|state, transaction| {
            let key = key(projection, partition);
            let lock = Lock::Partition(key.clone());
            if !state.is_free(transaction, &lock) {
                return Ok(None);
            }
            let (view, now) = (state.view(transaction), state.now());
            if view.projection(projection).is_none_or(|state| state.is_paused) {
                return Ok(None);
            }
            let is_free = |row: &PartitionRow| {
                row.owner.as_ref().is_none_or(|owner| owner == worker)
                    || row.lease_until.is_none_or(|until| until <= now)
            };
            let Some(row) = view.row(&key).filter(is_free) else {
                return Ok(None);
            };
            state.acquire(transaction, [lock])?;
            let epoch = row.epoch.next();
            let (owner, lease_until) = (Some(worker.clone()), Some(now + lease));
            let row = PartitionRow { epoch, owner, lease_until, ..row };
            transaction.tables.partitions.insert(key, Some(row));
            Ok(Some(epoch))
        })
    }

    async fn renew(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        change_in_epoch(conn, key(projection, partition), epoch, |row, now| PartitionRow {
            lease_until: Some(now + lease),
            ..row
        })
    }

    async fn release(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        change_in_epoch(conn, key(projection, partition), epoch, |row, _| PartitionRow {
            owner: None,
            lease_until: None,
            ..row
        })?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> Result<(), StoreError> {
        conn.in_transaction(|state, transaction| {
            let key = (projection.clone(), worker.clone());
            transaction.tables.workers.insert(key, Some(state.now() + alive_for));
            Ok(())
        })
    }

    async fn leave(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> Result<(), StoreError> {
        conn.in_transaction(|state, transaction| {
            let now = state.now();
            for (other, until) in state.view(transaction).workers(projection) {
                if other == *worker || until <= now {
                    transaction.tables.workers.insert((projection.clone(), other), None);
                }
            }
            Ok(())
        })
    }

    async fn workers(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<WorkerId>, StoreError> {
        conn.read(|state, transaction| {
            let workers = state.view(transaction).workers(projection);
            let alive = workers.into_iter().filter(|(_, until)| *until > state.now());
            Ok(alive.map(|(worker, _)| worker).collect())
        })
    }

    async fn record_attempt(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        attempt: Attempt<'_>,
    ) -> Result<(), StoreError> {
        change_in_epoch(conn, key(projection, partition), epoch, |row, _| PartitionRow {
            attempts: attempt.attempts,
            failing_position: attempt.position,
            is_attempt_open: attempt.error.is_none(),
            last_error: attempt
                .error
                .map(|error| error_text(error).into_owned())
                .or(row.last_error),
            ..row
        })?;
        Ok(())
    }

    async fn dead_letters(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        conn.read(|state, transaction| {
            let all = state.view(transaction).dead_letters(projection).into_iter();
            let later = all.filter(|letter| letter.position > after);
            Ok(later.take(usize::try_from(count_max).unwrap_or(usize::MAX)).collect())
        })
    }

    async fn dead_letter_queue(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        stream: &StreamId,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        conn.read(|state, transaction| {
            let all = state.view(transaction).dead_letters(projection).into_iter();
            let queue = all.filter(|letter| letter.stream == *stream);
            Ok(queue.take(usize::try_from(count_max).unwrap_or(usize::MAX)).collect())
        })
    }

    async fn dead_letter_counts(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<(u16, u64)>, StoreError> {
        conn.read(|state, transaction| Ok(state.view(transaction).dead_letter_counts(projection)))
    }

    async fn parked_streams(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StreamId>, StoreError> {
        conn.read(|state, transaction| {
            let all = state.view(transaction).dead_letters(projection).into_iter();
            let mut streams: Vec<StreamId> = all
                .map(|letter| letter.stream)
                .filter(|stream| aggregate_ids.contains(&stream.aggregate_id()))
                .collect();
            streams.sort_unstable();
            streams.dedup();
            Ok(streams)
        })
    }

    async fn put_dead_letters(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        conn.in_transaction(|_, transaction| {
            let rows = letters
                .iter()
                .map(|letter| ((projection.clone(), letter.position), Some(letter.clone())));
            transaction.tables.dead_letters.extend(rows);
            Ok(())
        })
    }

    async fn remove_dead_letters(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        conn.in_transaction(|_, transaction| {
            let rows = positions.iter().map(|position| ((projection.clone(), *position), None));
            transaction.tables.dead_letters.extend(rows);
            Ok(())
        })
    }

    async fn remove_dead_letters_after(
        &self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
        after: Position,
    ) -> Result<(), StoreError> {
        let all = self.dead_letters(conn, projection, after, u32::MAX).await?;
        let positions: Vec<Position> = all.into_iter().map(|letter| letter.position).collect();
        self.remove_dead_letters(conn, projection, &positions).await
    }
}
