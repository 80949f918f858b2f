//! What an operator does: look, pause, reset, rescale, skip an event, see to dead letters. Safe
//! while workers run.
//!
//! Whatever is changed here, every partition of the projection gets a new epoch in the same
//! transaction. So a batch that was read before cannot be committed after, no worker needs to be
//! stopped first, and workers take their partitions up again at their next poll.
//!
//! The functions that take a `store` and a connection work in the caller's transaction, so that the
//! read model can be cleared in the same one. Where the database has one writer at a time, begin it
//! as one that writes.
//!
//! Nothing here waits for ever for a database that does not answer: after 65 seconds for an answer,
//! or ten minutes in a transaction of the caller's and for the time in a [`reset`], it fails with
//! [`StoreError::ConnectionLost`](es::StoreError). A transaction of the caller's, or a connection, is
//! then to be dropped and not to be used again, nor to be rolled back: it may be in the middle of a
//! statement.

mod dead_letters;
mod lag;
mod letter_queue;
mod rescale;
mod reset;
mod retry;
mod settings;
mod skip_failing;
mod status;
mod wait;

pub use self::dead_letters::{DeadLetterError, dead_letters, skip};
pub use self::lag::{PartitionLag, lag};
pub use self::rescale::rescale;
pub use self::reset::{ResetTo, reset};
pub use self::retry::{RetriedLetters, retry, retry_within};
pub use self::settings::{delete, pause, resume};
pub use self::skip_failing::{SkipFailingError, skip_failing};
pub use self::status::{PartitionStatus, ProjectionStatus, Rebuild, status, status_of};
pub use self::wait::{WaitError, wait_for, wait_for_stream};
pub use crate::rescale::Rescaled;
