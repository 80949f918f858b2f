//! Checkpoints, leases and dead letters on a SQLite connection.

use std::time::Duration;

use chrono::{DateTime, Utc};
use es::{
    Attempt, Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, DeadLetter, Epoch,
    Partition, PartitionCheckpoint, PartitionSeed, PartitionState, Position, ProjectionName,
    ProjectionState, ProjectionStore, StoreError, StreamId, WorkerId, error_text,
};
use serde_json::{Value, json};
use sqlx::{Row, SqliteConnection};

use crate::SqliteEventStore;
use crate::error::store_error;
use crate::record;
use crate::store::json_array;

impl CheckpointStore for SqliteEventStore {
    async fn register_checkpoint(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let registered = sqlx::query(self.projections.register_projection.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.total())
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        let row = sqlx::query(self.projections.partition_total.clone())
            .bind(projection.as_str().to_owned())
            .fetch_one(&mut *conn)
            .await
            .map_err(store_error)?;
        let stored: i64 = row.try_get(0).map_err(store_error)?;
        CheckpointError::check_partition_total(projection, stored, partition)?;
        if registered.rows_affected() > 0 {
            sqlx::query(self.projections.register_checkpoints.clone())
                .bind(projection.as_str().to_owned())
                .bind(partition.total())
                .execute(&mut *conn)
                .await
                .map_err(store_error)?;
        }
        self.lock_checkpoint(conn, projection, partition).await
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let row = sqlx::query(self.projections.lock_checkpoint.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.index())
            .fetch_optional(&mut *conn)
            .await
            .map_err(store_error)?;
        if let Some(row) = row {
            return record::checkpoint(&row, projection, partition);
        }
        // If the projection has another number of partitions by now, no row is missing.
        let total = sqlx::query(self.projections.partition_total.clone())
            .bind(projection.as_str().to_owned())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        if let Some(row) = total {
            let stored: i64 = row.try_get(0).map_err(store_error)?;
            CheckpointError::check_partition_total(projection, stored, partition)?;
        }
        Err(CheckpointError::Missing { projection: projection.clone(), partition })
    }

    async fn save_checkpoint(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        let saved = sqlx::query(self.projections.save_checkpoint.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.index())
            .bind(to.from.get())
            .bind(to.to.get())
            .bind(to.epoch.get())
            .bind(to.lease.map(micros))
            .execute(conn)
            .await
            .map_err(store_error)?;
        CheckpointError::check_moved(saved.rows_affected(), projection, partition, to.from)
    }

    async fn checkpoints(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let rows = sqlx::query(self.projections.checkpoints.clone())
            .bind(projection.as_str().to_owned())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition_checkpoint).collect()
    }
}

impl ProjectionStore for SqliteEventStore {
    async fn projections(
        &self,
        conn: &mut SqliteConnection,
    ) -> Result<Vec<ProjectionState>, StoreError> {
        let rows = sqlx::query(self.projections.projections.clone())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::projection).collect()
    }

    async fn lock_projection(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<Option<ProjectionState>, StoreError> {
        let row = sqlx::query(self.projections.lock_projection.clone())
            .bind(projection.as_str().to_owned())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.as_ref().map(record::projection).transpose()
    }

    async fn save_projection(
        &self,
        conn: &mut SqliteConnection,
        state: &ProjectionState,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.save_projection.clone())
            .bind(state.name.as_str().to_owned())
            .bind(state.partition_total)
            .bind(state.is_paused)
            .bind(state.rescale_to)
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn partitions(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = sqlx::query(self.projections.partitions.clone())
            .bind(projection.as_str().to_owned())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition).collect()
    }

    async fn lock_partitions(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        // There is one writer at a time, and this transaction is it.
        self.partitions(conn, projection).await
    }

    async fn rewrite_partitions(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> Result<(), StoreError> {
        let row = |seed: &PartitionSeed| {
            let stop_at = seed.stop_at.map(Position::get);
            json!([seed.position.get(), seed.epoch.get(), seed.replay_until.get(), stop_at])
        };
        let rows = Value::Array(seeds.iter().map(row).collect()).to_string();
        sqlx::query(self.projections.rewrite_partitions.clone())
            .bind(projection.as_str().to_owned())
            .bind(rows)
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        sqlx::query(self.projections.delete_partitions.clone())
            .bind(projection.as_str().to_owned())
            .bind(i64::try_from(seeds.len()).unwrap_or(i64::MAX))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn delete_projection(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.remove_dead_letters_after(conn, projection, Position::START).await?;
        self.rewrite_partitions(conn, projection, &[]).await?;
        sqlx::query(self.projections.delete_workers.clone())
            .bind(projection.as_str().to_owned())
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        sqlx::query(self.projections.delete_projection.clone())
            .bind(projection.as_str().to_owned())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn claim(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Epoch>, StoreError> {
        let row = sqlx::query(self.projections.claim.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.index())
            .bind(worker.as_str().to_owned())
            .bind(micros(lease))
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map(|row| record::number(&row, 0)).transpose()
    }

    async fn renew(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = sqlx::query(self.projections.renew.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.index())
            .bind(epoch.get())
            .bind(micros(lease))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(renewed.rows_affected() > 0)
    }

    async fn release(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.release.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.index())
            .bind(epoch.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.heartbeat.clone())
            .bind(projection.as_str().to_owned())
            .bind(worker.as_str().to_owned())
            .bind(micros(alive_for))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn leave(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.leave.clone())
            .bind(projection.as_str().to_owned())
            .bind(worker.as_str().to_owned())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn workers(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<WorkerId>, StoreError> {
        let rows = sqlx::query(self.projections.workers.clone())
            .bind(projection.as_str().to_owned())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::worker).collect()
    }

    async fn record_attempt(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        attempt: Attempt<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.record_attempt.clone())
            .bind(projection.as_str().to_owned())
            .bind(partition.index())
            .bind(epoch.get())
            .bind(i64::from(attempt.attempts))
            .bind(attempt.position.map(Position::get))
            .bind(attempt.error.map(|error| error_text(error).into_owned()))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn dead_letters(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(self.projections.dead_letters.clone())
            .bind(projection.as_str().to_owned())
            .bind(after.get())
            .bind(i64::from(count_max))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter).collect()
    }

    async fn dead_letter_queue(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        stream: &StreamId,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(self.projections.dead_letter_queue.clone())
            .bind(projection.as_str().to_owned())
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .bind(i64::from(count_max))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter).collect()
    }

    async fn dead_letter_counts(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<(u16, u64)>, StoreError> {
        let rows = sqlx::query(self.projections.dead_letter_counts.clone())
            .bind(projection.as_str().to_owned())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter_count).collect()
    }

    async fn parked_streams(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StreamId>, StoreError> {
        let rows = sqlx::query(self.projections.parked_streams.clone())
            .bind(projection.as_str().to_owned())
            .bind(json_array(aggregate_ids.iter().copied()))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::stream).collect()
    }

    async fn put_dead_letters(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        let row = |letter: &DeadLetter| {
            let stream = &letter.stream;
            json!([
                letter.position.get(),
                stream.bounded_context(),
                stream.aggregate_type(),
                stream.aggregate_id(),
                stream.slot().get(),
                letter.attempts,
                letter.error,
                letter.parked_at.timestamp_micros(),
            ])
        };
        let rows = Value::Array(letters.iter().map(row).collect()).to_string();
        sqlx::query(self.projections.put_dead_letters.clone())
            .bind(projection.as_str().to_owned())
            .bind(rows)
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn remove_dead_letters(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        let positions: Vec<i64> = positions.iter().map(|position| position.get()).collect();
        sqlx::query(self.projections.remove_dead_letters.clone())
            .bind(projection.as_str().to_owned())
            .bind(json!(positions).to_string())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn remove_dead_letters_after(
        &self,
        conn: &mut SqliteConnection,
        projection: &ProjectionName,
        after: Position,
    ) -> Result<(), StoreError> {
        sqlx::query(self.projections.remove_dead_letters_after.clone())
            .bind(projection.as_str().to_owned())
            .bind(after.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn first_position_since(
        &self,
        conn: &mut SqliteConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let row = sqlx::query(self.projections.first_position_since.clone())
            .bind(time.timestamp_micros())
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
