//! What an append means that wrote nothing.

use uuid::Uuid;

use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::error::{StoreError, TransactionState};
use crate::event::Event;
use crate::position::Position;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version};

/// What the store holds under an event id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingEvent {
    /// The event id.
    pub event_id: Uuid,
    /// The stream the event belongs to.
    pub stream: StreamId,
    /// Its version there.
    pub version: Version,
    /// Its position.
    pub position: Position,
}

/// An append that wrote nothing, before it is known why.
///
/// The guarded insert of an adapter either writes all events or none. When it wrote none,
/// [`append_guarded`](crate::adapter::append_guarded) looks up the stream's version and the event
/// ids, and [`RejectedAppend::resolve`] says what it means, the same on every database.
#[derive(Debug)]
pub struct RejectedAppend<'a> {
    /// The stream appended to.
    pub stream: &'a StreamId,
    /// What the writer expected.
    pub expected: ExpectedVersion,
    /// What the writer tried to append.
    pub events: &'a [Event],
    /// The version the stream is at.
    pub actual: Version,
}

impl RejectedAppend<'_> {
    /// Says why nothing was written, given what the store holds under the ids of `events`.
    ///
    /// - Exactly these events, in this order, consecutively in this stream: the append is a
    ///   repetition of one that succeeded, and its result is given again.
    /// - Some of the ids, or in another stream: [`AppendError::DuplicateEventId`].
    /// - None of them, and the stream is not at the expected version: [`AppendError::Conflict`].
    /// - None of them, and the stream is where it should be: another writer came first and has
    ///   gone, or this connection's snapshot does not show it. [`StoreError::Retryable`].
    pub fn resolve(&self, existing: &[ExistingEvent]) -> Result<AppendResult, AppendError> {
        let Some(found) = existing.first() else {
            return Err(self.overtaken());
        };
        match self.replayed(existing) {
            Some(replayed) => Ok(replayed),
            None => Err(AppendError::DuplicateEventId {
                event_id: found.event_id,
                stream: found.stream.clone(),
                version: found.version,
            }),
        }
    }

    fn overtaken(&self) -> AppendError {
        if self.expected.accepts(self.actual) {
            let source = "another writer came first, and is gone or cannot be seen".into();
            return StoreError::Retryable { transaction: TransactionState::Usable, source }.into();
        }
        AppendError::Conflict {
            stream: self.stream.clone(),
            expected: self.expected,
            actual: self.actual,
        }
    }

    fn replayed(&self, existing: &[ExistingEvent]) -> Option<AppendResult> {
        let mut existing: Vec<&ExistingEvent> = existing.iter().collect();
        existing.sort_by_key(|found| found.version);
        let first_version = existing.first()?.version;
        let same = existing.len() == self.events.len()
            && existing.iter().zip(self.events).enumerate().all(|(index, (found, event))| {
                found.stream == *self.stream
                    && found.event_id == event.id
                    && found.version == first_version.saturating_add(index)
            });
        same.then(|| {
            let positions = existing.iter().map(|found| found.position);
            AppendResult::repeated(self.stream, self.events, first_version, positions)
        })
    }
}
