//! What a handler is told beside the event.

use es::{Partition, PersistedEvent, Position};

/// What a handler is told beside the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventContext {
    /// Whether the event was handled before, because the projection was reset: rows are to be
    /// written again, but no e-mail is to be sent twice.
    pub replaying: bool,
    /// Where the event stands: the key that makes effects elsewhere idempotent.
    pub position: Position,
    /// Which attempt at this event it is, from 1. Attempts that the database undid do not count.
    pub attempt: u32,
    /// The partition the event is in.
    pub partition: Partition,
}

/// What a batch handler is told beside the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchContext {
    partition: Partition,
    attempt: u32,
    replay_until: Position,
}

impl BatchContext {
    pub(crate) fn new(partition: Partition, attempt: u32, replay_until: Position) -> Self {
        BatchContext { partition, attempt, replay_until }
    }

    /// The context of one of the batch's events.
    pub fn event(&self, event: &PersistedEvent) -> EventContext {
        EventContext {
            replaying: event.position() <= self.replay_until,
            position: event.position(),
            attempt: self.attempt,
            partition: self.partition,
        }
    }

    /// The partition the events are in.
    pub fn partition(&self) -> Partition {
        self.partition
    }
}
