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
            .execute(&mut *conn, &self.projections.register_projection, |query| {
                query.bind(projection.as_str()).bind(i32::from(partition.total()))
            })
            .await?;
        let row = self
            .fetch_one(&mut *conn, &self.projections.partition_total, |query| {
                query.bind(projection.as_str())
            })
            .await?;
        let stored: i32 = row.try_get(0).map_err(store_error)?;
        CheckpointError::check_partition_total(projection, stored.into(), partition)?;
        if registered > 0 {
            self.execute(&mut *conn, &self.projections.register_checkpoints, |query| {
                query.bind(projection.as_str()).bind(i32::from(partition.total()))
            })
            .await?;
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
            .fetch_optional(&mut *conn, &self.projections.lock_checkpoint, |query| {
                query.bind(projection.as_str()).bind(i32::from(partition.index()))
            })
            .await?;
        let missing = || CheckpointError::Missing { projection: projection.clone(), partition };
        let settings = self
            .fetch_optional(conn, &self.projections.checkpoint_settings, |query| {
                query.bind(projection.as_str())
            })
            .await?;
        let settings = settings.ok_or_else(missing)?;
        // If the projection has another number of partitions by now, no row is missing.
        let stored: i32 = settings.try_get(0).map_err(store_error)?;
        CheckpointError::check_partition_total(projection, stored.into(), partition)?;
        record::checkpoint(&row.ok_or_else(missing)?, &settings, projection, partition)
    }

    async fn save_checkpoint(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        let saved = self
            .execute(conn, &self.projections.save_checkpoint, |query| {
                query
                    .bind(projection.as_str())
                    .bind(i32::from(partition.index()))
                    .bind(to.from.get())
                    .bind(to.to.get())
                    .bind(to.epoch.get())
                    .bind(to.lease.map(micros))
            })
            .await?;
        CheckpointError::check_moved(saved, projection, partition, to.from)
    }

    async fn checkpoints(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let rows = self
            .fetch_all(conn, &self.projections.checkpoints, |query| query.bind(projection.as_str()))
            .await?;
        rows.iter().map(record::partition_checkpoint).collect()
    }
}

impl ProjectionStore for PgEventStore {
    async fn projections(
        &self,
        conn: &mut PgConnection,
    ) -> Result<Vec<ProjectionState>, StoreError> {
        let rows = self.fetch_all(conn, &self.projections.projections, |query| query).await?;
        rows.iter().map(record::projection).collect()
    }

    async fn lock_projection(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Option<ProjectionState>, StoreError> {
        let row = self
            .fetch_optional(conn, &self.projections.lock_projection, |query| {
                query.bind(projection.as_str())
            })
            .await?;
        row.as_ref().map(record::projection).transpose()
    }

    async fn save_projection(
        &self,
        conn: &mut PgConnection,
        state: &ProjectionState,
    ) -> Result<(), StoreError> {
        self.execute(conn, &self.projections.save_projection, |query| {
            query
                .bind(state.name.as_str())
                .bind(i32::from(state.partition_total))
                .bind(state.is_paused)
                .bind(state.rescale_to.map(i32::from))
        })
        .await?;
        Ok(())
    }

    async fn partitions(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self
            .fetch_all(conn, &self.projections.partitions, |query| query.bind(projection.as_str()))
            .await?;
        rows.iter().map(record::partition).collect()
    }

    async fn lock_partitions(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self
            .fetch_all(conn, &self.projections.lock_partitions, |query| {
                query.bind(projection.as_str())
            })
            .await?;
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
        self.execute(&mut *conn, &self.projections.rewrite_partitions, |query| {
            query
                .bind(projection.as_str())
                .bind(column(|seed| seed.position.get()))
                .bind(column(|seed| seed.epoch.get()))
                .bind(column(|seed| seed.replay_until.get()))
                .bind(&stops[..])
        })
        .await?;
        self.execute(conn, &self.projections.delete_partitions, |query| {
            query.bind(projection.as_str()).bind(i32::try_from(seeds.len()).unwrap_or(i32::MAX))
        })
        .await?;
        Ok(())
    }

    async fn delete_projection(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.remove_dead_letters_after(conn, projection, Position::START).await?;
        self.rewrite_partitions(conn, projection, &[]).await?;
        self.execute(&mut *conn, &self.projections.delete_workers, |query| {
            query.bind(projection.as_str())
        })
        .await?;
        self.execute(conn, &self.projections.delete_projection, |query| {
            query.bind(projection.as_str())
        })
        .await?;
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
            .fetch_optional(conn, &self.projections.claim, |query| {
                query
                    .bind(projection.as_str())
                    .bind(i32::from(partition.index()))
                    .bind(worker.as_str())
                    .bind(micros(lease))
            })
            .await?;
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
            .execute(conn, &self.projections.renew, |query| {
                query
                    .bind(projection.as_str())
                    .bind(i32::from(partition.index()))
                    .bind(epoch.get())
                    .bind(micros(lease))
            })
            .await?;
        Ok(renewed > 0)
    }

    async fn release(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        self.execute(conn, &self.projections.release, |query| {
            query.bind(projection.as_str()).bind(i32::from(partition.index())).bind(epoch.get())
        })
        .await?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> Result<(), StoreError> {
        self.execute(conn, &self.projections.heartbeat, |query| {
            query.bind(projection.as_str()).bind(worker.as_str()).bind(micros(alive_for))
        })
        .await?;
        Ok(())
    }

    async fn leave(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> Result<(), StoreError> {
        self.execute(conn, &self.projections.leave, |query| {
            query.bind(projection.as_str()).bind(worker.as_str())
        })
        .await?;
        Ok(())
    }

    async fn workers(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<WorkerId>, StoreError> {
        let rows = self
            .fetch_all(conn, &self.projections.workers, |query| query.bind(projection.as_str()))
            .await?;
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
        self.execute(conn, &self.projections.record_attempt, |query| {
            query
                .bind(projection.as_str())
                .bind(i32::from(partition.index()))
                .bind(epoch.get())
                .bind(i32::try_from(attempt.attempts).unwrap_or(i32::MAX))
                .bind(attempt.position.map(Position::get))
                .bind(attempt.error.map(error_text))
        })
        .await?;
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
            .fetch_all(conn, &self.projections.dead_letters, |query| {
                query.bind(projection.as_str()).bind(after.get()).bind(i64::from(count_max))
            })
            .await?;
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
            .fetch_all(conn, &self.projections.dead_letter_queue, |query| {
                query
                    .bind(projection.as_str())
                    .bind(stream.bounded_context())
                    .bind(stream.aggregate_type())
                    .bind(stream.aggregate_id())
                    .bind(i64::from(count_max))
            })
            .await?;
        rows.iter().map(record::dead_letter).collect()
    }

    async fn dead_letter_counts(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
    ) -> Result<Vec<(u16, u64)>, StoreError> {
        let rows = self
            .fetch_all(conn, &self.projections.dead_letter_counts, |query| {
                query.bind(projection.as_str())
            })
            .await?;
        rows.iter().map(record::dead_letter_count).collect()
    }

    async fn parked_streams(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StreamId>, StoreError> {
        let rows = self
            .fetch_all(conn, &self.projections.parked_streams, |query| {
                query.bind(projection.as_str()).bind(aggregate_ids)
            })
            .await?;
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
        self.execute(conn, &self.projections.put_dead_letters, |query| {
            query
                .bind(projection.as_str())
                .bind(&positions[..])
                .bind(texts(StreamId::bounded_context))
                .bind(texts(StreamId::aggregate_type))
                .bind(texts(StreamId::aggregate_id))
                .bind(&slots[..])
                .bind(&attempts[..])
                .bind(&errors[..])
                .bind(&times[..])
        })
        .await?;
        Ok(())
    }

    async fn remove_dead_letters(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        let positions: Vec<i64> = positions.iter().map(|position| position.get()).collect();
        self.execute(conn, &self.projections.remove_dead_letters, |query| {
            query.bind(projection.as_str()).bind(&positions[..])
        })
        .await?;
        Ok(())
    }

    async fn remove_dead_letters_after(
        &self,
        conn: &mut PgConnection,
        projection: &ProjectionName,
        after: Position,
    ) -> Result<(), StoreError> {
        self.execute(conn, &self.projections.remove_dead_letters_after, |query| {
            query.bind(projection.as_str()).bind(after.get())
        })
        .await?;
        Ok(())
    }

    async fn first_position_since(
        &self,
        conn: &mut PgConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let row = self
            .fetch_optional(conn, &self.projections.first_position_since, |query| query.bind(time))
            .await?;
        row.map(|row| record::number(&row, 0)).transpose()
    }
}

/// A duration in microseconds, the unit of the statements.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
