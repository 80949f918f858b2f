//! Why a run cannot go on for now, or at all.

use es::Position;

use crate::error::ProcessorError;
use crate::handler_error::{HandlerError, HandlerPanicked, HandlerTimedOut, chain};
use crate::limits::NoAnswer;
use crate::user_code::Failed;

/// Why a step failed.
pub(super) enum Interruption {
    /// A new transaction may succeed.
    Retry(Retry),
    /// The partition is of another epoch.
    Lost,
    /// Trying again would not help.
    Stop(ProcessorError),
}

/// The database asks to try again, cannot be reached, or another worker moved the checkpoint.
pub(super) struct Retry {
    pub(super) source: HandlerError,
    /// The event that was being handled on its own, if any.
    pub(super) position: Option<Position>,
}

impl Interruption {
    /// To be tried again, and no event's doing.
    pub(super) fn retry(source: impl Into<HandlerError>) -> Self {
        Interruption::Retry(Retry { source: source.into(), position: None })
    }

    /// To be tried again, with the event at `position`.
    pub(super) fn retry_at(position: Position, source: HandlerError) -> Self {
        Interruption::Retry(Retry { source, position: Some(position) })
    }
}

/// Why a transaction with a batch did not commit.
pub(super) enum BatchError {
    /// The handler failed, on one of the events, or what it did made a later statement fail.
    Handler(Failed),
    /// Anything else.
    Interruption(Interruption),
}

impl BatchError {
    /// What it means where no event was handled.
    pub(super) fn without_event(self) -> Interruption {
        match self {
            BatchError::Interruption(interruption) => interruption,
            BatchError::Handler(failed) => Interruption::retry(failed.error),
        }
    }

    /// Whether a future of the driver may have been dropped in the middle of a statement, so that
    /// the connection can only be closed.
    pub(super) fn is_in_mid_statement(&self) -> bool {
        let error = match self {
            BatchError::Handler(failed) => &*failed.error,
            BatchError::Interruption(Interruption::Retry(retry)) => &*retry.source,
            BatchError::Interruption(_) => return false,
        };
        chain(error).any(|error| {
            error.is::<NoAnswer>() || error.is::<HandlerTimedOut>() || error.is::<HandlerPanicked>()
        })
    }
}

impl From<Interruption> for BatchError {
    fn from(interruption: Interruption) -> Self {
        BatchError::Interruption(interruption)
    }
}
