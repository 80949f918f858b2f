//! Checkpoints, as rows.

use super::{RowStore, Statement, decode};
use crate::checkpoint::{
    Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, PartitionCheckpoint,
    ProjectionName,
};
use crate::error::StoreError;
use crate::partition::Partition;

impl<S: RowStore> CheckpointStore for S {
    async fn register_checkpoint(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let new = [projection.into(), partition.total().into()];
        let registered = self.execute(conn, Statement::RegisterProjection, &new).await?;
        let stored = self.fetch(conn, Statement::PartitionTotal, &[projection.into()]).await?;
        if let Some(stored) = stored.first() {
            decode::check_total(stored, projection, partition)?;
        }
        if registered > 0 {
            let indexes: Vec<u16> = (0..partition.total().get()).collect();
            let new = [projection.into(), serde_json::Value::from(indexes).to_string().into()];
            self.execute(conn, Statement::RegisterCheckpoints, &new).await?;
        }
        self.lock_checkpoint(conn, projection, partition).await
    }

    async fn lock_checkpoint(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> Result<Checkpoint, CheckpointError> {
        let of = [projection.into(), partition.into()];
        let rows = self.fetch(conn, Statement::LockCheckpoint, &of).await?;
        // What the row belongs to is read once it is locked.
        let settings = self.fetch(conn, Statement::CheckpointSettings, &of[..1]).await?;
        let missing = || CheckpointError::Missing { projection: projection.clone(), partition };
        let settings = settings.first().ok_or_else(missing)?;
        // If the projection has another number of partitions by now, no row is missing.
        decode::check_total(settings, projection, partition)?;
        Ok(decode::checkpoint(rows.first().ok_or_else(missing)?, settings)?)
    }

    async fn save_checkpoint(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> Result<(), CheckpointError> {
        let CheckpointMove { epoch, from, to, lease } = to;
        let values = [
            projection.into(),
            partition.into(),
            from.into(),
            to.into(),
            epoch.into(),
            lease.into(),
        ];
        let saved = self.execute(conn, Statement::SaveCheckpoint, &values).await?;
        CheckpointError::check_moved(saved, projection, partition, from)
    }

    async fn checkpoints(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let rows = self.fetch(conn, Statement::Checkpoints, &[projection.into()]).await?;
        rows.iter().map(decode::partition_checkpoint).collect()
    }
}
