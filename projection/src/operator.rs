//! What an operator does: look, pause, reset, rescale, skip an event, see to dead letters. Safe
//! while workers run.
//!
//! It is all done by an [`Operator`]; here is what it takes and gives.

mod base;
mod dead_letters;
mod error;
mod lag;
mod letter_queue;
mod pause;
mod rescale;
mod reset;
mod retry;
mod skip_failing;
mod status;
mod wait;

pub use self::base::Operator;
pub use self::error::OperatorError;
pub use self::lag::PartitionLag;
pub use self::reset::ResetTo;
pub use self::retry::RetriedLetters;
pub use self::status::{PartitionStatus, ProjectionStatus, Rebuild};
pub use crate::rescale::Rescaled;
