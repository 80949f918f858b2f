//! Why an operator could not do something.

use std::time::Duration;

use es::{CheckpointError, Position, ProjectionName, StoreError};
use thiserror::Error;

use crate::handler_error::HandlerError;

/// Why an [`Operator`](crate::Operator) could not do something. Unless a variant says otherwise,
/// nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no such projection, and if the operator waited for it, none was registered
    /// meanwhile.
    #[error(
        "there is no projection {projection}: it is registered when a worker starts that runs it, \
         so look at its name, or start one"
    )]
    UnknownProjection {
        /// The projection.
        projection: ProjectionName,
    },

    /// The projection has no such partition.
    #[error("projection {projection} has no partition {partition}: its status lists those it has")]
    UnknownPartition {
        /// The projection.
        projection: ProjectionName,
        /// The index of the partition.
        partition: u16,
    },

    /// No event of the partition is known to fail: it has gone on, or waits for something else.
    #[error(
        "partition {partition} of projection {projection} does not stand still at an event: its \
         status says what it waits for"
    )]
    NothingFails {
        /// The projection.
        projection: ProjectionName,
        /// The index of the partition.
        partition: u16,
    },

    /// No event at this position is a dead letter of the projection: it has been handled or skipped
    /// meanwhile, or never was one.
    #[error(
        "event {position} is no dead letter of projection {projection}: list the dead letters that \
         there are"
    )]
    NoDeadLetter {
        /// The projection.
        projection: ProjectionName,
        /// Where the event stands.
        position: Position,
    },

    /// The event is not in the log: somebody has removed it.
    #[error(
        "event {position}, which projection {projection} could not handle, is not in the log: put \
         it back; if it is a dead letter, it can be skipped"
    )]
    MissingEvent {
        /// The projection.
        projection: ProjectionName,
        /// Where the event stood.
        position: Position,
    },

    /// Events that appear before this position would be skipped.
    #[error(
        "position {position} lies past the horizon, {horizon}: events that appear before it would \
         be skipped, so reset to a position up to the horizon"
    )]
    BeyondHorizon {
        /// Where the projection was to go on.
        position: Position,
        /// How far the log can be read now.
        horizon: Position,
    },

    /// The projection has not come so far in time.
    #[error(
        "projection {projection} has not come to position {position} within {waited:?}: wait \
         longer, or see its status"
    )]
    TimedOut {
        /// The projection.
        projection: ProjectionName,
        /// The position waited for.
        position: Position,
        /// How long the caller waited.
        waited: Duration,
    },

    /// The database undid the transaction in which dead letters were handled, or cannot serve now.
    /// The event is not to blame: try again. What was committed before stays so.
    #[error(
        "the database undid the transaction that handled event {position}, a dead letter of \
         projection {projection}: try again"
    )]
    Undone {
        /// The projection.
        projection: ProjectionName,
        /// The event that was being handled.
        position: Position,
        /// What the handler said.
        source: HandlerError,
    },

    /// The partition's checkpoint cannot be used.
    #[error("the checkpoint cannot be used")]
    Checkpoint(#[source] CheckpointError),

    /// The database did not do what it was asked. If the error is
    /// [`StoreError::ConnectionLost`], it may have done it: ask for the status. Dead letters that
    /// were handled and committed before stay so.
    #[error("the database did not do what the operator asked")]
    Store(#[from] StoreError),
}

impl OperatorError {
    /// Whether the same call may succeed if it is made again.
    pub fn is_retryable(&self) -> bool {
        match self {
            OperatorError::Store(error) => error.is_retryable(),
            OperatorError::Undone { .. } | OperatorError::TimedOut { .. } => true,
            _ => false,
        }
    }

    pub(super) fn unknown(projection: &ProjectionName) -> Self {
        OperatorError::UnknownProjection { projection: projection.clone() }
    }
}

/// What the database says is an error of the database, wherever it was said.
impl From<CheckpointError> for OperatorError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Store(error) => OperatorError::Store(error),
            error => OperatorError::Checkpoint(error),
        }
    }
}
