//! Loading the checkpoint, and what is wrong if it cannot be gone on from.

use es::adapter::{Checkpoint, CheckpointStore};
use es::{CheckpointError, EventSource, EventStore, Position};
use tracing::debug;

use super::assignment::Assignment;
use super::interruption::Interruption;
use super::ownership::Ownership;
use super::progress::Progress;
use super::registration::register;
use crate::error::ProcessorError;
use crate::limits::answered_within;
use crate::projection::Projection;

/// Loads the checkpoint, and knows what need not be done again when it does.
pub(super) struct CheckpointLoader {
    /// Whether the projection was ever found: then it is not made again.
    is_registered: bool,
    is_schema_checked: bool,
}

/// The checkpoint, and how far the log could be read when it was loaded.
pub(super) struct Loaded {
    pub(super) checkpoint: Checkpoint,
    pub(super) horizon: Position,
    /// Whether it is the first that this run has loaded.
    pub(super) is_first: bool,
}

impl CheckpointLoader {
    pub(super) fn new(ownership: Ownership) -> Self {
        CheckpointLoader { is_registered: !ownership.is_assigned(), is_schema_checked: false }
    }

    /// Loads the checkpoint from the database: at the start, and after every interruption, when it
    /// is not known what was committed.
    pub(super) async fn load<S, P>(
        &mut self,
        assignment: &Assignment<'_, S, P>,
        progress: &Progress,
    ) -> Result<Loaded, Interruption>
    where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        let checkpoint = answered_within(assignment.time_max(), self.locked(assignment)).await;
        let checkpoint = checkpoint.map_err(|error| assignment.checkpoint_failed(error))?;
        let is_first = !self.is_schema_checked;
        (self.is_registered, self.is_schema_checked) = (true, true);

        if assignment.ownership.epoch().is_some_and(|epoch| epoch != checkpoint.epoch) {
            return Err(Interruption::Lost);
        }
        // In another epoch it is where an operator wants it to be.
        if checkpoint.position < progress.saved && checkpoint.epoch == progress.epoch {
            return Err(Interruption::Stop(ProcessorError::CheckpointWentBack {
                projection: assignment.name.clone(),
                partition: assignment.partition,
                from: progress.saved,
                to: checkpoint.position,
            }));
        }
        let asked = assignment.process.horizon.refresh(assignment.source());
        let horizon = assignment.answered(asked).await;
        let horizon = horizon.map_err(|error| assignment.store_failed(error))?;
        if checkpoint.position > horizon.end {
            return Err(Interruption::Stop(ProcessorError::CheckpointBeyondLog {
                projection: assignment.name.clone(),
                partition: assignment.partition,
                checkpoint: checkpoint.position,
                end: horizon.end,
            }));
        }
        debug!(
            checkpoint = checkpoint.position.get(),
            epoch = checkpoint.epoch.get(),
            horizon = horizon.position.get(),
            "loaded the checkpoint"
        );
        Ok(Loaded { checkpoint, horizon: horizon.position, is_first })
    }

    async fn locked<S, P>(
        &self,
        assignment: &Assignment<'_, S, P>,
    ) -> Result<Checkpoint, CheckpointError>
    where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        let (source, store) = (assignment.source(), assignment.store());
        let mut tx = source.begin_within(assignment.time_max()).await?;
        if !self.is_schema_checked {
            store.check_schema(&mut tx).await?;
        }
        let (name, partition) = (&assignment.name, assignment.partition);
        let found = if self.is_registered {
            store.lock_checkpoint(&mut tx, name, partition).await
        } else {
            register(store, &mut tx, name, partition).await
        };
        match found {
            Ok(checkpoint) => {
                source.commit(tx).await?;
                Ok(checkpoint)
            }
            Err(error) => {
                assignment.roll_back(tx).await;
                Err(error)
            }
        }
    }
}
