//! An attempt that was cut off: its partition is another's, and its process lives.
//!
//! Who takes a partition over finds an attempt that has begun and not ended, and cannot tell a process
//! that died from one that the database was lost to. So the process that lives says so: it takes its
//! attempt back, in the other's epoch, as soon as it learns that the partition is lost, which is
//! within a third of a lease of the database's return. The other waits for that before it counts.

use std::error::Error;
use std::future::pending;

use es::adapter::{Attempt, ProjectionStore};
use es::{EventSource, PartitionState, StoreError};
use tracing::debug;

use super::attempts::Failing;
use super::run::{Ended, Interruption, Ownership, Run};
use crate::Projection;
use crate::limits::{NOTE_TIME_MAX, answered_within};

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// The partition is another's: the attempt that the database saw begin and not end is taken back.
    pub(super) async fn lost(&self) -> Ended {
        let taken_back = answered_within(NOTE_TIME_MAX, self.take_back_attempt()).await;
        if let Err(error) = taken_back {
            debug!(error = &error as &dyn Error, "an attempt that was cut off counts");
        }
        Ended::Lost
    }

    async fn take_back_attempt(&self) -> Result<(), StoreError> {
        let (Some(position), Some(state)) = (self.open_attempt, self.my_state().await?) else {
            return Ok(());
        };
        if state.failing_position != Some(position) || state.attempts == 0 {
            return Ok(());
        }
        let source = &*self.processor.source;
        let mut conn = source.acquire().await?;
        // It stays open: the attempt of another process may be under way by now.
        let attempts = state.attempts - 1;
        let attempt = Attempt { position: Some(position), attempts, error: None };
        let (name, store) = (&self.name, source.store());
        store.record_attempt(&mut conn, name, self.partition, state.epoch, attempt).await?;
        source.release(conn);
        Ok(())
    }

    /// What is known of an event whose last attempt has not ended, once the process that made it has
    /// had a lease to say that it lives.
    pub(super) async fn after_survivors(
        &mut self,
        failing: Failing,
    ) -> Result<Failing, Interruption> {
        let Ownership::Leased { lease, .. } = self.ownership else {
            return Ok(failing);
        };
        if !failing.is_open || failing.failed == 0 || self.has_waited_for_survivor {
            return Ok(failing);
        }
        self.sleep(lease, pending()).await?;
        if self.shutdown.is_cancelled() {
            return Ok(failing);
        }
        self.has_waited_for_survivor = true;
        let state = self.answered(self.my_state()).await.map_err(|error| self.store(error))?;
        let attempts = state
            .filter(|state| state.failing_position == Some(failing.position))
            .map_or(failing.failed, |state| state.attempts);
        let failing = Failing { failed: attempts.min(failing.failed), ..failing };
        self.failing = Some(failing);
        Ok(failing)
    }

    async fn my_state(&self) -> Result<Option<PartitionState>, StoreError> {
        let source = &*self.processor.source;
        let mut conn = source.acquire().await?;
        let states = source.store().partitions(&mut conn, &self.name).await?;
        source.release(conn);
        Ok(states.into_iter().find(|state| state.partition == self.partition))
    }
}
