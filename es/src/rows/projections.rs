//! What workers and operators need beside the checkpoints, as rows.

use std::time::Duration;

use serde_json::json;

use super::{RowStore, Statement, Value, decode};
use crate::checkpoint::{Epoch, ProjectionName};
use crate::error::StoreError;
use crate::partition::Partition;
use crate::position::Position;
use crate::projection_state::{
    Attempt, DeadLetter, PartitionSeed, PartitionState, ProjectionState, WorkerId, error_text,
};
use crate::projection_store::ProjectionStore;
use crate::stream_id::StreamId;

impl<S: RowStore> ProjectionStore for S {
    async fn projections(
        &self,
        conn: &mut Self::Connection,
    ) -> Result<Vec<ProjectionState>, StoreError> {
        let rows = self.fetch(conn, Statement::Projections, &[]).await?;
        rows.iter().map(decode::projection).collect()
    }

    async fn lock_projection(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<Option<ProjectionState>, StoreError> {
        let rows = self.fetch(conn, Statement::LockProjection, &[projection.into()]).await?;
        rows.first().map(decode::projection).transpose()
    }

    async fn save_projection(
        &self,
        conn: &mut Self::Connection,
        state: &ProjectionState,
    ) -> Result<(), StoreError> {
        let ProjectionState { name, partition_total, is_paused, rescale_to } = state;
        let values =
            [name.into(), (*partition_total).into(), (*is_paused).into(), (*rescale_to).into()];
        self.execute(conn, Statement::SaveProjection, &values).await?;
        Ok(())
    }

    async fn partitions(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self.fetch(conn, Statement::Partitions, &[projection.into()]).await?;
        rows.iter().map(decode::partition_state).collect()
    }

    async fn lock_partitions(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self.fetch(conn, Statement::LockPartitions, &[projection.into()]).await?;
        rows.iter().map(decode::partition_state).collect()
    }

    async fn rewrite_partitions(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> Result<(), StoreError> {
        let row = |(index, seed): (usize, &PartitionSeed)| {
            let PartitionSeed { position, epoch, replay_until, stop_at } = seed;
            let stop_at = stop_at.map(Position::get);
            json!([index, position.get(), epoch.get(), replay_until.get(), stop_at])
        };
        if !seeds.is_empty() {
            let values = [projection.into(), rows(seeds.iter().enumerate().map(row))];
            self.execute(conn, Statement::RewritePartitions, &values).await?;
        }
        let count = u32::try_from(seeds.len()).unwrap_or(u32::MAX);
        let values = [projection.into(), count.into()];
        self.execute(conn, Statement::DeletePartitions, &values).await?;
        Ok(())
    }

    async fn delete_projection(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.remove_dead_letters_after(conn, projection, Position::START).await?;
        self.rewrite_partitions(conn, projection, &[]).await?;
        self.execute(conn, Statement::DeleteWorkers, &[projection.into()]).await?;
        self.execute(conn, Statement::DeleteProjection, &[projection.into()]).await?;
        Ok(())
    }

    async fn claim(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Epoch>, StoreError> {
        let values = [projection.into(), partition.into(), worker.into()];
        let rows = self.fetch(conn, Statement::Claimable, &values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch: Epoch = row.get("epoch")?;
        let values =
            [projection.into(), partition.into(), epoch.into(), worker.into(), lease.into()];
        let claimed = self.execute(conn, Statement::Claim, &values).await?;
        Ok((claimed > 0).then(|| epoch.next()))
    }

    async fn renew(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let values = [projection.into(), partition.into(), epoch.into(), lease.into()];
        Ok(self.execute(conn, Statement::Renew, &values).await? > 0)
    }

    async fn release(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let values = [projection.into(), partition.into(), epoch.into()];
        self.execute(conn, Statement::Release, &values).await?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        worker: &WorkerId,
        alive_for: Duration,
    ) -> Result<(), StoreError> {
        let values = [projection.into(), worker.into(), alive_for.into()];
        self.execute(conn, Statement::Heartbeat, &values).await?;
        Ok(())
    }

    async fn leave(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        worker: &WorkerId,
    ) -> Result<(), StoreError> {
        self.execute(conn, Statement::Leave, &[projection.into(), worker.into()]).await?;
        Ok(())
    }

    async fn workers(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<Vec<WorkerId>, StoreError> {
        let rows = self.fetch(conn, Statement::Workers, &[projection.into()]).await?;
        rows.iter().map(|row| row.get("worker_id")).collect()
    }

    async fn record_attempt(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        epoch: Epoch,
        attempt: Attempt<'_>,
    ) -> Result<(), StoreError> {
        let Attempt { position, attempts, error } = attempt;
        // The column is of 32 bits with a sign.
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        let values = [
            projection.into(),
            partition.into(),
            epoch.into(),
            attempts.into(),
            position.into(),
            error.map(error_text).into(),
        ];
        self.execute(conn, Statement::RecordAttempt, &values).await?;
        Ok(())
    }

    async fn dead_letters(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        after: Position,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let values = [projection.into(), after.into(), count_max.into()];
        let rows = self.fetch(conn, Statement::DeadLetters, &values).await?;
        rows.iter().map(decode::dead_letter).collect()
    }

    async fn dead_letter_queue(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        stream: &StreamId,
        count_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let values = [
            projection.into(),
            stream.bounded_context().into(),
            stream.aggregate_type().into(),
            stream.aggregate_id().into(),
            count_max.into(),
        ];
        let rows = self.fetch(conn, Statement::DeadLetterQueue, &values).await?;
        rows.iter().map(decode::dead_letter).collect()
    }

    async fn dead_letter_counts(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<Vec<(u16, u64)>, StoreError> {
        let rows = self.fetch(conn, Statement::DeadLetterCounts, &[projection.into()]).await?;
        rows.iter().map(decode::dead_letter_count).collect()
    }

    async fn parked_streams(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StreamId>, StoreError> {
        if aggregate_ids.is_empty() {
            return Ok(Vec::new());
        }
        let values = [projection.into(), rows(aggregate_ids.iter().map(|id| json!([id])))];
        let rows = self.fetch(conn, Statement::ParkedStreams, &values).await?;
        rows.iter().map(decode::stream).collect()
    }

    async fn put_dead_letters(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        let row = |letter: &DeadLetter| {
            let DeadLetter { position, stream, attempts, error, parked_at } = letter;
            json!([
                position.get(),
                stream.bounded_context(),
                stream.aggregate_type(),
                stream.aggregate_id(),
                stream.slot().get(),
                i32::try_from(*attempts).unwrap_or(i32::MAX),
                error,
                parked_at.timestamp_micros(),
            ])
        };
        let values = [projection.into(), rows(letters.iter().map(row))];
        self.execute(conn, Statement::PutDeadLetters, &values).await?;
        Ok(())
    }

    async fn remove_dead_letters(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        if positions.is_empty() {
            return Ok(());
        }
        let positions = positions.iter().map(|position| json!([position.get()]));
        let values = [projection.into(), rows(positions)];
        self.execute(conn, Statement::RemoveDeadLetters, &values).await?;
        Ok(())
    }

    async fn remove_dead_letters_after(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        after: Position,
    ) -> Result<(), StoreError> {
        let values = [projection.into(), after.into()];
        self.execute(conn, Statement::RemoveDeadLettersAfter, &values).await?;
        Ok(())
    }
}

/// Rows of values as one JSON text.
fn rows(rows: impl Iterator<Item = serde_json::Value>) -> Value<'static> {
    serde_json::Value::Array(rows.collect()).to_string().into()
}
