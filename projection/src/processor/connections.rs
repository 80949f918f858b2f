//! The connections that a process may use for batches and reads at the same time.

use std::sync::Arc;
use std::time::Duration;

use es::EventSource;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::assignment::Assignment;
use super::interruption::Interruption;
use super::lease::Lease;
use super::process::Process;
use crate::projection::Projection;

/// How long a run that is told to stop waits for a connection to save its checkpoint with. What it
/// does not save is found not to be for it by the next run.
const LAST_SLOT_TIME_MAX: Duration = Duration::from_secs(2);

/// The processor's connections are all in use.
#[derive(Debug, Error)]
#[error("the processor's connections are all in use")]
struct NoneFree;

/// The right to use a connection for a batch or a read.
pub(super) struct Slot(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Slot {
    /// The right to use a connection, if there is one now.
    pub(super) fn free<S>(process: &Process<S>) -> Option<Slot> {
        Arc::clone(&process.slots).try_acquire_owned().ok().map(Slot)
    }

    /// Waits for the right to use a connection, and keeps the lease meanwhile.
    pub(super) async fn wait<S, P>(
        assignment: &Assignment<'_, S, P>,
        lease: &mut Lease,
    ) -> Result<Slot, Interruption>
    where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        if let Some(slot) = Slot::free(assignment.process) {
            return Ok(slot);
        }
        let slots = Arc::clone(&assignment.process.slots);
        let mut slot = None;
        let wait = async { slot = Arc::clone(&slots).acquire_owned().await.ok() };
        lease.sleep(assignment, Duration::from_hours(24), wait).await?;
        if slot.is_none() {
            // Told to stop: those that have one give it back soon.
            let last = timeout(LAST_SLOT_TIME_MAX, slots.acquire_owned()).await;
            slot = last.ok().and_then(Result::ok);
        }
        slot.map(Slot).ok_or_else(|| Interruption::retry(NoneFree))
    }
}
