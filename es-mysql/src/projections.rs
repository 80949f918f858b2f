//! Checkpoints, leases and dead letters on a MySQL or MariaDB connection.

use std::time::Duration;

use chrono::{DateTime, Utc};
use es::{
    Attempt, Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, DeadLetter, Epoch,
    Partition, PartitionCheckpoint, PartitionSeed, PartitionState, Position, ProjectionName,
    ProjectionState, ProjectionStore, StoreError, StreamId, WorkerId, error_text,
};
use sqlx::{MySqlConnection, Row};

use crate::MySqlEventStore;
use crate::error::{is_duplicate, store_error};
use crate::record;

impl CheckpointStore for MySqlEventStore {
    async fn register_checkpoint(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let registered = sqlx::query(self.projections.register_projection.clone())
            .bind(projection.as_str())
            .bind(partition.total())
            .execute(&mut *conn)
            .await;
        match registered {
            Ok(_) => {
                let rows = self.projections.register_checkpoints(projection, partition.total());
                sqlx::raw_sql(rows).execute(&mut *conn).await.map_err(store_error)?;
            }
            Err(error) if is_duplicate(&error) => {
                let row = sqlx::query(self.projections.partition_total.clone())
                    .bind(projection.as_str())
                    .fetch_one(&mut *conn)
                    .await
                    .map_err(store_error)?;
                let stored: i32 = row.try_get(0).map_err(store_error)?;
                CheckpointError::check_partition_total(projection, stored.into(), partition)?;
            }
            Err(error) => return Err(store_error(error).into()),
        }
        self.lock_checkpoint(conn, projection, partition).await
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let row = sqlx::query(self.projections.lock_checkpoint.clone())
            .bind(projection.as_str())
            .bind(partition.index())
            .fetch_optional(&mut *conn)
            .await
            .map_err(store_error)?;
        let missing = || CheckpointError::Missing { projection: projection.clone(), partition };
        let settings = sqlx::query(self.projections.checkpoint_settings.clone())
            .bind(projection.as_str())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        let settings = settings.ok_or_else(missing)?;
        // If the projection has another number of partitions by now, no row is missing.
        let stored: i32 = settings.try_get(0).map_err(store_error)?;
        CheckpointError::check_partition_total(projection, stored.into(), partition)?;
        record::checkpoint(&row.ok_or_else(missing)?, &settings, projection, partition)
    }

    async fn save_checkpoint(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        let saved = sqlx::query(self.projections.save_checkpoint.clone())
            .bind(to.to.get())
            .bind(to.lease.map(micros))
            .bind(projection.as_str())
            .bind(partition.index())
            .bind(to.from.get())
            .bind(to.epoch.get())
            .bind(to.to.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        CheckpointError::check_moved(saved.rows_affected(), projection, partition, to.from)
    }

    async fn checkpoints(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let rows = sqlx::query(self.projections.checkpoints.clone())
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition_checkpoint).collect()
    }
}

impl ProjectionStore for MySqlEventStore {
    async fn projections(
        &self,
        conn: &mut MySqlConnection,
    ) -> Result<Vec<ProjectionState>, StoreError> {
        let rows = sqlx::query(self.projections.projections.clone())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::projection).collect()
    }

    async fn lock_projection(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<Option<ProjectionState>, StoreError> {
        let row = sqlx::query(self.projections.lock_projection.clone())
            .bind(projection.as_str())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.as_ref().map(record::projection).transpose()
    }

    async fn save_projection(
        &self,
        conn: &mut MySqlConnection,
        state: &ProjectionState,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.save_projection.clone())
            .bind(state.partition_total)
            .bind(state.is_paused)
            .bind(state.rescale_to)
            .bind(state.name.as_str())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn partitions(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = sqlx::query(self.projections.partitions.clone())
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition).collect()
    }

    async fn lock_partitions(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = sqlx::query(self.projections.lock_partitions.clone())
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition).collect()
    }

    async fn rewrite_partitions(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> Result<(), StoreError> {
        if !seeds.is_empty() {
            let rewrite = self.projections.rewrite_partitions(projection, seeds);
            sqlx::raw_sql(rewrite).execute(&mut *conn).await.map_err(store_error)?;
        }
        sqlx::query(self.projections.delete_partitions.clone())
            .bind(projection.as_str())
            .bind(i64::try_from(seeds.len()).unwrap_or(i64::MAX))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn delete_projection(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.remove_dead_letters_after(conn, projection, Position::START).await?;
        self.rewrite_partitions(conn, projection, &[]).await?;
        sqlx::query(self.projections.delete_workers.clone())
            .bind(projection.as_str())
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        sqlx::query(self.projections.delete_projection.clone())
            .bind(projection.as_str())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn claim(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Epoch>, StoreError> {
        let row = sqlx::query(self.projections.claimable.clone())
            .bind(projection.as_str())
            .bind(partition.index())
            .bind(worker.as_str())
            .fetch_optional(&mut *conn)
            .await
            .map_err(store_error)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let epoch: Epoch = record::number(&row, 0)?;
        sqlx::query(self.projections.claim.clone())
            .bind(worker.as_str())
            .bind(micros(lease))
            .bind(projection.as_str())
            .bind(partition.index())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(Some(epoch.next()))
    }

    async fn renew(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = sqlx::query(self.projections.renew.clone())
            .bind(micros(lease))
            .bind(projection.as_str())
            .bind(partition.index())
            .bind(epoch.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(renewed.rows_affected() > 0)
    }

    async fn release(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.release.clone())
            .bind(projection.as_str())
            .bind(partition.index())
            .bind(epoch.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.heartbeat.clone())
            .bind(projection.as_str())
            .bind(worker.as_str())
            .bind(micros(alive_for))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn leave(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.leave.clone())
            .bind(projection.as_str())
            .bind(worker.as_str())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn workers(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<WorkerId>, StoreError> {
        let rows = sqlx::query(self.projections.workers.clone())
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::worker).collect()
    }

    async fn record_attempt(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        attempt: Attempt<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.record_attempt.clone())
            .bind(i32::try_from(attempt.attempts).unwrap_or(i32::MAX))
            .bind(attempt.position.map(Position::get))
            .bind(attempt.error.map(error_text))
            .bind(attempt.error.map(error_text))
            .bind(projection.as_str())
            .bind(partition.index())
            .bind(epoch.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn dead_letters(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(self.projections.dead_letters.clone())
            .bind(projection.as_str())
            .bind(after.get())
            .bind(i64::from(count_max))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter).collect()
    }

    async fn dead_letter_queue(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        stream: &StreamId,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(self.projections.dead_letter_queue.clone())
            .bind(projection.as_str())
            .bind(stream.aggregate_id())
            .bind(stream.aggregate_type())
            .bind(stream.bounded_context())
            .bind(i64::from(count_max))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter).collect()
    }

    async fn dead_letter_counts(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<(u16, u64)>, StoreError> {
        let rows = sqlx::query(self.projections.dead_letter_counts.clone())
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter_count).collect()
    }

    async fn parked_streams(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StreamId>, StoreError> {
        if aggregate_ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = self.projections.parked_streams(projection, aggregate_ids);
        let rows = sqlx::raw_sql(sql).fetch_all(conn).await.map_err(store_error)?;
        rows.iter().map(record::stream).collect()
    }

    async fn put_dead_letters(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        if !letters.is_empty() {
            let put = self.projections.put_dead_letters(projection, letters);
            sqlx::raw_sql(put).execute(conn).await.map_err(store_error)?;
        }
        Ok(())
    }

    async fn remove_dead_letters(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        if !positions.is_empty() {
            let remove = self.projections.remove_dead_letters(projection, positions);
            sqlx::raw_sql(remove).execute(conn).await.map_err(store_error)?;
        }
        Ok(())
    }

    async fn remove_dead_letters_after(
        &self,
        conn: &mut MySqlConnection,
        projection: &ProjectionName,
        after: Position,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.remove_dead_letters_after.clone())
            .bind(projection.as_str())
            .bind(after.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn first_position_since(
        &self,
        conn: &mut MySqlConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let row = sqlx::query(self.projections.first_position_since.clone())
            .bind(time.naive_utc())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map(|row| record::number(&row, 0)).transpose()
    }
}

/// A duration in microseconds, the unit of the statements.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
