//! What an append may fail with.

use thiserror::Error;
use uuid::Uuid;

use crate::error::StoreError;
use crate::invalid_append::InvalidAppend;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version};

/// Why an append wrote nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Another writer appended first, or the expectation was wrong: reload the stream and decide
    /// again. The caller's transaction is as it was before the append.
    #[error("stream {stream} is at version {actual}, expected {expected}")]
    Conflict {
        /// The stream appended to.
        stream: StreamId,
        /// What the writer expected.
        expected: ExpectedVersion,
        /// What the stream is at.
        actual: Version,
    },

    /// The events were refused before anything was sent to the database.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),

    /// An event id is already in the store, and this is not a repetition of a whole append.
    #[error("event id {event_id} is already version {version} of stream {stream}")]
    DuplicateEventId {
        /// The id that is taken.
        event_id: Uuid,
        /// The stream that holds it.
        stream: StreamId,
        /// Its version there.
        version: Version,
    },

    /// The database did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// Whether this is [`AppendError::Conflict`].
    pub fn is_conflict(&self) -> bool {
        matches!(self, AppendError::Conflict { .. })
    }

    /// Whether the same append may succeed if the caller runs its transaction again unchanged.
    ///
    /// A conflict is not retryable in this sense: the caller must look at the stream first.
    pub fn is_retryable(&self) -> bool {
        matches!(self, AppendError::Store(error) if error.is_retryable())
    }
}
