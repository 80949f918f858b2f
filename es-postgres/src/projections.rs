//! Checkpoints, leases and dead letters on a PostgreSQL connection.

use std::time::Duration;

use chrono::{DateTime, Utc};
use es::{
    Attempt, Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, DeadLetter, Epoch,
    Partition, PartitionCheckpoint, PartitionSeed, PartitionState, Position, ProjectionName,
    ProjectionState, ProjectionStore, StoreError, StreamId, WorkerId, error_text,
};
use sqlx::{PgConnection, Row};

use crate::PgEventStore;
use crate::error::store_error;
use crate::record;

impl CheckpointStore for PgEventStore {
    async fn register_checkpoint(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let registered = self
            .query(&self.projections.register_projection)
            .bind(projection.as_str())
            .bind(i32::from(partition.total()))
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        let row = self
            .query(&self.projections.partition_total)
            .bind(projection.as_str())
            .fetch_one(&mut *conn)
            .await
            .map_err(store_error)?;
        let stored: i32 = row.try_get(0).map_err(store_error)?;
        CheckpointError::check_partition_total(projection, stored.into(), partition)?;
        if registered.rows_affected() > 0 {
            self.query(&self.projections.register_checkpoints)
                .bind(projection.as_str())
                .bind(i32::from(partition.total()))
                .execute(&mut *conn)
                .await
                .map_err(store_error)?;
        }
        self.lock_checkpoint(conn, projection, partition).await
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let row = self
            .query(&self.projections.lock_checkpoint)
            .bind(projection.as_str())
            .bind(i32::from(partition.index()))
            .fetch_optional(&mut *conn)
            .await
            .map_err(store_error)?;
        let missing = || CheckpointError::Missing { projection: projection.clone(), partition };
        let row = row.ok_or_else(missing)?;
        let settings = self
            .query(&self.projections.checkpoint_settings)
            .bind(projection.as_str())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        let settings = settings.ok_or_else(missing)?;
        record::checkpoint(&row, &settings, projection, partition)
    }

    async fn save_checkpoint(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        let saved = self
            .query(&self.projections.save_checkpoint)
            .bind(projection.as_str())
            .bind(i32::from(partition.index()))
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
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let rows = self
            .query(&self.projections.checkpoints)
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition_checkpoint).collect()
    }
}

impl ProjectionStore for PgEventStore {
    async fn projections(
        &self,
        conn: &mut PgConnection,
    ) -> Result<Vec<ProjectionState>, StoreError> {
        let rows =
            self.query(&self.projections.projections).fetch_all(conn).await.map_err(store_error)?;
        rows.iter().map(record::projection).collect()
    }

    async fn lock_projection(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Option<ProjectionState>, StoreError> {
        let row = self
            .query(&self.projections.lock_projection)
            .bind(projection.as_str())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.as_ref().map(record::projection).transpose()
    }

    async fn save_projection(
        &self,
        conn: &mut PgConnection,
        state: &ProjectionState,
    ) -> Result<(), StoreError> {
        self.query(&self.projections.save_projection)
            .bind(state.name.as_str())
            .bind(i32::from(state.partition_total))
            .bind(state.is_paused)
            .bind(state.rescale_to.map(i32::from))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn partitions(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self
            .query(&self.projections.partitions)
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition).collect()
    }

    async fn lock_partitions(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self
            .query(&self.projections.lock_partitions)
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::partition).collect()
    }

    async fn rewrite_partitions(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> Result<(), StoreError> {
        let column = |value: fn(&PartitionSeed) -> i64| seeds.iter().map(value).collect::<Vec<_>>();
        let stops: Vec<_> = seeds.iter().map(|seed| seed.stop_at.map(Position::get)).collect();
        self.query(&self.projections.rewrite_partitions)
            .bind(projection.as_str())
            .bind(column(|seed| seed.position.get()))
            .bind(column(|seed| seed.epoch.get()))
            .bind(column(|seed| seed.replay_until.get()))
            .bind(stops)
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        self.query(&self.projections.delete_partitions)
            .bind(projection.as_str())
            .bind(i32::try_from(seeds.len()).unwrap_or(i32::MAX))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn delete_projection(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.remove_dead_letters_after(conn, projection, Position::START).await?;
        self.rewrite_partitions(conn, projection, &[]).await?;
        self.query(&self.projections.delete_workers)
            .bind(projection.as_str())
            .execute(&mut *conn)
            .await
            .map_err(store_error)?;
        self.query(&self.projections.delete_projection)
            .bind(projection.as_str())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn claim(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Epoch>, StoreError> {
        let row = self
            .query(&self.projections.claim)
            .bind(projection.as_str())
            .bind(i32::from(partition.index()))
            .bind(worker.as_str())
            .bind(micros(lease))
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map(|row| record::number(&row, 0)).transpose()
    }

    async fn renew(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = self
            .query(&self.projections.renew)
            .bind(projection.as_str())
            .bind(i32::from(partition.index()))
            .bind(epoch.get())
            .bind(micros(lease))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(renewed.rows_affected() > 0)
    }

    async fn release(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        self.query(&self.projections.release)
            .bind(projection.as_str())
            .bind(i32::from(partition.index()))
            .bind(epoch.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> Result<(), StoreError> {
        self.query(&self.projections.heartbeat)
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
        conn: &mut PgConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> Result<(), StoreError> {
        self.query(&self.projections.leave)
            .bind(projection.as_str())
            .bind(worker.as_str())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn workers(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<WorkerId>, StoreError> {
        let rows = self
            .query(&self.projections.workers)
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::worker).collect()
    }

    async fn record_attempt(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        attempt: Attempt<'_>,
    ) -> Result<(), StoreError> {
        self.query(&self.projections.record_attempt)
            .bind(projection.as_str())
            .bind(i32::from(partition.index()))
            .bind(epoch.get())
            .bind(i32::try_from(attempt.attempts).unwrap_or(i32::MAX))
            .bind(attempt.position.map(Position::get))
            .bind(attempt.error.map(error_text))
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn dead_letters(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = self
            .query(&self.projections.dead_letters)
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
        conn: &mut PgConnection,
        projection: &ProjectionName,
        stream: &StreamId,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = self
            .query(&self.projections.dead_letter_queue)
            .bind(projection.as_str())
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .bind(i64::from(count_max))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter).collect()
    }

    async fn dead_letter_counts(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<(u16, u64)>, StoreError> {
        let rows = self
            .query(&self.projections.dead_letter_counts)
            .bind(projection.as_str())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::dead_letter_count).collect()
    }

    async fn parked_streams(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StreamId>, StoreError> {
        let rows = self
            .query(&self.projections.parked_streams)
            .bind(projection.as_str())
            .bind(aggregate_ids)
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::stream).collect()
    }

    async fn put_dead_letters(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        let texts = |value: fn(&StreamId) -> &str| {
            letters.iter().map(|letter| value(&letter.stream)).collect::<Vec<_>>()
        };
        let positions: Vec<_> = letters.iter().map(|letter| letter.position.get()).collect();
        let slots: Vec<_> =
            letters.iter().map(|letter| letter.stream.slot().get().cast_signed()).collect();
        let attempts: Vec<_> =
            letters.iter().map(|one| i32::try_from(one.attempts).unwrap_or(i32::MAX)).collect();
        let errors: Vec<_> = letters.iter().map(|letter| letter.error.as_deref()).collect();
        let times: Vec<_> = letters.iter().map(|letter| letter.parked_at).collect();
        self.query(&self.projections.put_dead_letters)
            .bind(projection.as_str())
            .bind(positions)
            .bind(texts(StreamId::bounded_context))
            .bind(texts(StreamId::aggregate_type))
            .bind(texts(StreamId::aggregate_id))
            .bind(slots)
            .bind(attempts)
            .bind(errors)
            .bind(times)
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn remove_dead_letters(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        let positions: Vec<i64> = positions.iter().map(|position| position.get()).collect();
        self.query(&self.projections.remove_dead_letters)
            .bind(projection.as_str())
            .bind(positions)
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn remove_dead_letters_after(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        after: Position,
    ) -> Result<(), StoreError> {
        self.query(&self.projections.remove_dead_letters_after)
            .bind(projection.as_str())
            .bind(after.get())
            .execute(conn)
            .await
            .map_err(store_error)?;
        Ok(())
    }

    async fn first_position_since(
        &self,
        conn: &mut PgConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let row = self
            .query(&self.projections.first_position_since)
            .bind(time)
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
