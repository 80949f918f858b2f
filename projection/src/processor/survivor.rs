//! An attempt that was cut off: its partition is another's, and its process lives.
//!
//! Who takes a partition over finds an attempt that has begun and not ended, and cannot tell a
//! process that died from one that the database was lost to. So the process that lives says so: it
//! takes its attempt back, in the other's epoch, as soon as it learns that the partition is lost,
//! which is within a third of a lease of the database's return. The other waits for that before it
//! counts.

use std::error::Error;
use std::future::pending;

use es::adapter::{Attempt, ProjectionStore};
use es::{EventSource, PartitionState, StoreError};
use tracing::debug;

use super::assignment::Assignment;
use super::attempts::{Attempts, record};
use super::failing::Failing;
use super::interruption::Interruption;
use super::lease::Lease;
use crate::limits::{NOTE_TIME_MAX, answered_within};
use crate::projection::Projection;

/// The partition is another's: the attempt that the database saw begin and not end is taken back.
pub(super) async fn take_back_attempt<S, P>(assignment: &Assignment<'_, S, P>, attempts: &Attempts)
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let taken_back = answered_within(NOTE_TIME_MAX, take_back(assignment, attempts)).await;
    if let Err(error) = taken_back {
        debug!(error = &error as &dyn Error, "an attempt that was cut off counts");
    }
}

async fn take_back<S, P>(
    assignment: &Assignment<'_, S, P>,
    attempts: &Attempts,
) -> Result<(), StoreError>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let (Some(position), Some(state)) = (attempts.open, my_state(assignment).await?) else {
        return Ok(());
    };
    if state.failing_position != Some(position) || state.attempts == 0 {
        return Ok(());
    }
    // It stays open: the attempt of another process may be under way by now.
    let attempts = state.attempts - 1;
    let attempt = Attempt { position: Some(position), attempts, error: None };
    record(assignment, state.epoch, attempt).await
}

/// What is known of an event whose last attempt has not ended, once the process that made it has
/// had a lease to say that it lives.
pub(super) async fn after_survivors<S, P>(
    assignment: &Assignment<'_, S, P>,
    lease: &mut Lease,
    attempts: &mut Attempts,
    failing: Failing,
) -> Result<Failing, Interruption>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let Some(lease_time) = assignment.ownership.lease() else {
        return Ok(failing);
    };
    if !failing.is_open || failing.failed == 0 || attempts.has_waited_for_survivor {
        return Ok(failing);
    }
    lease.sleep(assignment, lease_time, pending()).await?;
    if assignment.shutdown.is_cancelled() {
        return Ok(failing);
    }
    attempts.has_waited_for_survivor = true;
    let state = assignment.answered(my_state(assignment)).await;
    let state = state.map_err(|error| assignment.store_failed(error))?;
    let noted = state
        .filter(|state| state.failing_position == Some(failing.position))
        .map_or(failing.failed, |state| state.attempts);
    let failing = Failing { failed: noted.min(failing.failed), ..failing };
    attempts.failing = Some(failing);
    Ok(failing)
}

async fn my_state<S, P>(
    assignment: &Assignment<'_, S, P>,
) -> Result<Option<PartitionState>, StoreError>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let source = assignment.source();
    let mut conn = source.acquire().await?;
    let states = source.store().partitions(&mut conn, &assignment.name).await?;
    source.release(conn);
    Ok(states.into_iter().find(|state| state.partition == assignment.partition))
}
