//! How many events a batch may have: fewer while they are large or slow.

use std::num::NonZeroU32;

use es::{EventBatch, ReadLimit};

/// Shrinks and grows the batches between one event and the number that is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    limit: ReadLimit,
    events_max: u32,
}

impl Pace {
    pub(crate) fn new(limit: ReadLimit) -> Self {
        Pace { limit, events_max: limit.events_max() }
    }

    /// The limit of the next read.
    pub(crate) fn limit(self) -> ReadLimit {
        self.limit.with_events_max(NonZeroU32::new(self.events_max).unwrap_or(NonZeroU32::MIN))
    }

    /// Whether the limit cut this batch short, so that another one is likely to follow.
    pub(crate) fn is_full(self, batch: &EventBatch) -> bool {
        count(batch) >= self.events_max || self.is_heavy(batch)
    }

    /// A batch was read. If its bytes cut it short the next read asks for little more events than
    /// fitted, because a server sends all that it is asked for; if not, for more again.
    pub(crate) fn has_read(&mut self, batch: &EventBatch) {
        if self.is_heavy(batch) {
            self.events_max = count(batch).saturating_mul(2).clamp(1, self.events_max.max(1));
        } else if count(batch) >= self.events_max {
            self.grow();
        }
    }

    /// To read or handle a batch took longer than it may.
    pub(crate) fn took_too_long(&mut self, events: u32) {
        self.events_max = (events / 4).clamp(1, self.events_max.max(1));
    }

    fn grow(&mut self) {
        self.events_max = self.events_max.saturating_mul(2).min(self.limit.events_max());
    }

    fn is_heavy(self, batch: &EventBatch) -> bool {
        let bytes = |event: &es::PersistedEvent| {
            event.payload().len() + event.metadata().map_or(0, str::len)
        };
        batch.events.iter().map(bytes).sum::<usize>() >= self.limit.bytes_max()
    }
}

fn count(batch: &EventBatch) -> u32 {
    u32::try_from(batch.events.len()).unwrap_or(u32::MAX)
}
