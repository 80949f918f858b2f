//! What a run, and the database, know of the attempts at its events.

use es::adapter::{Attempt, Checkpoint, Epoch, ProjectionStore};
use es::{EventSource, Position, StoreError};
use tracing::debug;

use super::assignment::Assignment;
use super::failing::Failing;
use super::interruption::Interruption;
use crate::limits::{NOTE_TIME_MAX, answered_within};
use crate::projection::Projection;

/// What a run, and the database, know of the attempts at its events.
#[derive(Default)]
pub(super) struct Attempts {
    /// The event that fails.
    pub(super) failing: Option<Failing>,
    /// The event whose attempt is noted, and whose end the database does not know.
    pub(super) open: Option<Position>,
    /// Whether the process that made the last attempt has had the time to say that it lives.
    pub(super) has_waited_for_survivor: bool,
    /// How many events were parked since one was handled.
    pub(super) parked_in_a_row: u32,
    /// Whether the database knows that this run handles events: if its process dies, the next one
    /// handles them one by one.
    is_marked: bool,
    /// Whether the database holds an error of this run that was none of an event's.
    pub(super) has_told: bool,
}

impl Attempts {
    /// What an earlier process has noted.
    pub(super) fn load(&mut self, checkpoint: &Checkpoint) {
        self.failing = Failing::noted(checkpoint);
    }

    /// The checkpoint is committed there.
    pub(super) fn save(&mut self, through: Position) {
        self.failing = self.failing.filter(|failing| failing.position > through);
        self.open = None;
    }

    /// What is known of the event at a position.
    pub(super) fn at(&self, position: Position) -> Failing {
        let known = self.failing.filter(|failing| failing.position == position);
        known.unwrap_or(Failing::at(position))
    }

    /// Whether one of the events up to a position is known to fail.
    pub(super) fn fails_up_to(&self, position: Position) -> bool {
        self.failing.is_some_and(|failing| failing.position <= position)
    }

    /// Notes once, before its first batch, that this run handles events.
    pub(super) async fn mark<S, P>(
        &mut self,
        assignment: &Assignment<'_, S, P>,
        epoch: Epoch,
        first: Position,
    ) -> Result<(), Interruption>
    where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        if !self.is_marked {
            note(assignment, epoch, first, 0).await?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// Notes an error for operators to see. What this fails with is no reason not to go on.
    pub(super) async fn tell<S, P>(
        &mut self,
        assignment: &Assignment<'_, S, P>,
        epoch: Epoch,
        error: &str,
    ) where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        let (position, attempts) =
            self.failing.map_or((None, 0), |failing| (Some(failing.position), failing.failed));
        let attempt = Attempt { position, attempts, error: Some(error) };
        match answered_within(NOTE_TIME_MAX, record(assignment, epoch, attempt)).await {
            Ok(()) => self.open = None,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                debug!(error, "the failure could not be noted");
            }
        }
    }
}

/// Notes an attempt before it is made.
pub(super) async fn note<S, P>(
    assignment: &Assignment<'_, S, P>,
    epoch: Epoch,
    position: Position,
    attempts: u32,
) -> Result<(), Interruption>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let attempt = Attempt { position: Some(position), attempts, error: None };
    let noted = assignment.answered(record(assignment, epoch, attempt)).await;
    noted.map_err(|error| assignment.store_failed(error))
}

/// Writes an attempt to the partition's row.
pub(super) async fn record<S, P>(
    assignment: &Assignment<'_, S, P>,
    epoch: Epoch,
    attempt: Attempt<'_>,
) -> Result<(), StoreError>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    let source = assignment.source();
    let mut conn = source.acquire().await?;
    let (name, partition) = (&assignment.name, assignment.partition);
    source.store().record_attempt(&mut conn, name, partition, epoch, attempt).await?;
    source.release(conn);
    Ok(())
}
