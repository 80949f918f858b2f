//! Why a processor stopped.

use es::{CheckpointError, Partition, Position, ProjectionName, StoreError, WorkerId};
use thiserror::Error;

use crate::handler_error::HandlerError;

/// Why a processor stopped before it was told to. Everything handled so far is committed; what
/// was being handled is rolled back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// The handler failed. The events before this one are handled; start the processor again
    /// once the handler can take this one.
    #[error(
        "projection {projection}, partition {partition}, \
         cannot handle event {position} ({event_type})"
    )]
    Handler {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// Where the event stands.
        position: Position,
        /// The event's type.
        event_type: String,
        /// What the handler said.
        source: HandlerError,
    },

    /// One transaction after the other was undone while the event was handled on its own; or, in
    /// [`Processor::run_until_caught_up`](crate::Processor::run_until_caught_up), the database
    /// could not be reached.
    #[error(
        "projection {projection}, partition {partition}, gave up after {attempts} attempts{}",
        at_event(*.position)
    )]
    RetriesExhausted {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// The event that was being handled on its own, if one was.
        position: Option<Position>,
        /// How many attempts failed in a row.
        attempts: usize,
        /// What the last one ended with.
        source: HandlerError,
    },

    /// The checkpoint lies before where this processor left it: the row was edited by hand, or the
    /// database was restored, while it ran. Going on would apply events twice.
    #[error(
        "the checkpoint of projection {projection}, partition {partition}, went back from {from} \
         to {to}: if the database was restored, restore the projection's rows to the same moment, \
         then start again; to set a projection back, reset it"
    )]
    CheckpointWentBack {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// Where this processor left it.
        from: Position,
        /// Where it is now.
        to: Position,
    },

    /// The checkpoint lies past the end of the log: it was edited by hand, or the log was restored
    /// from an older backup than the projection. Going on would skip events.
    #[error(
        "the checkpoint of projection {projection}, partition {partition}, is {checkpoint}, but \
         the log ends at {end}: set it to a position the projection has really handled"
    )]
    CheckpointBeyondLog {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// Where the checkpoint is.
        checkpoint: Position,
        /// The highest position given out.
        end: Position,
    },

    /// The checkpoint cannot be used: it is missing, or belongs to another number of partitions.
    #[error(transparent)]
    Checkpoint(CheckpointError),

    /// The store did not do what it was asked, and trying again would not help.
    #[error("projection {projection}, partition {partition}, cannot use the store")]
    Store {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// What the store said.
        source: StoreError,
    },

    /// A worker cannot register its projections, and no wait can cure it: it has given up all its
    /// partitions.
    #[error("worker {worker} cannot use the store")]
    Registration {
        /// The worker.
        worker: WorkerId,
        /// What the store said.
        source: StoreError,
    },

    /// A partition panicked outside its handler; its batch was rolled back. A panic of the handler
    /// is an error of the handler, see [`HandlerPanicked`](crate::HandlerPanicked).
    #[error("projection {projection}, partition {partition}, panicked: {message}")]
    Panicked {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// What the panic said, if it was text.
        message: String,
    },
}

impl ProcessorError {
    /// Whether a worker that cannot register its projections yet may be able to later.
    pub(crate) fn is_cured_by_waiting(&self) -> bool {
        matches!(self, ProcessorError::Registration { source, .. } if source.is_retryable())
    }
}

/// So many different events were parked one after the other, without one that could be handled in
/// between, that it is not the events' fault: a read model that is out of step, a bad release. The
/// next one is tried again, with pauses that grow to between 10 and 20 seconds, until one can be
/// handled.
#[derive(Debug, Error)]
#[error(
    "{parked} events in a row could not be handled, so something else than the events is at fault: \
     mend the handler or what it needs, and it goes on by itself"
)]
#[non_exhaustive]
pub struct TooManyInARow {
    /// How many were parked.
    pub parked: u32,
    /// What the next one failed with.
    pub source: HandlerError,
}

fn at_event(position: Option<Position>) -> String {
    position.map(|position| format!(" at event {position}")).unwrap_or_default()
}
