//! Reading the log: how far one read may go, and through which position its answer is complete.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::StoreError;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;

/// How much one read of the log may return, and how much of the log it may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    events_max: NonZeroU32,
    positions_max: NonZeroU32,
    bytes_max: usize,
}

/// The bytes of payloads and metadata that one read returns unless set otherwise.
const BYTES_MAX: usize = 8 << 20;

impl ReadLimit {
    /// At most `events_max` events of together 8 MiB, from at most 100,000 positions or
    /// `events_max` if that is more.
    pub fn new(events_max: NonZeroU32) -> Self {
        let positions_max = NonZeroU32::new(100_000).expect("it is not zero");
        let positions_max = positions_max.max(events_max);
        ReadLimit { events_max, positions_max, bytes_max: BYTES_MAX }
    }

    /// Returns no more events once their payloads and metadata have `bytes_max` bytes together:
    /// one event more, at most, than fit. A read always returns one event if there is one.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        ReadLimit { bytes_max, ..self }
    }

    /// As before, but with another number of events at most.
    #[must_use]
    pub fn with_events_max(self, events_max: NonZeroU32) -> Self {
        ReadLimit { events_max, ..self }
    }

    /// Looks at no more than `positions_max` positions, so that a filter which wants next to
    /// nothing does not turn into one scan of the whole log.
    #[must_use]
    pub fn with_positions_max(self, positions_max: NonZeroU32) -> Self {
        ReadLimit { positions_max, ..self }
    }

    /// The largest number of events returned.
    pub fn events_max(self) -> u32 {
        self.events_max.get()
    }

    /// How many bytes of payloads and metadata end the answer.
    pub fn bytes_max(self) -> usize {
        self.bytes_max
    }

    /// The largest number of positions looked at.
    pub fn positions_max(self) -> u32 {
        self.positions_max.get()
    }
}

/// At most 500 events of together 8 MiB, from at most 100,000 positions.
impl Default for ReadLimit {
    fn default() -> Self {
        ReadLimit::new(NonZeroU32::new(500).expect("it is not zero"))
    }
}

/// How far the log can be read now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Horizon {
    /// The highest position below which nothing can still appear: an event at or below it is
    /// either committed and visible to a read that starts now, or will never be there.
    pub position: Position,
    /// The highest position given out so far, committed or not, as far as the database knows. It
    /// never falls below a `position` of before, whatever is rolled back, unless the database
    /// itself goes back in time.
    pub end: Position,
    /// Who keeps `position` below `end`, the longest first; empty where the database does not
    /// say or nobody does.
    pub held_by: Vec<HorizonHolder>,
}

impl Horizon {
    /// The log can be read up to `position`, and nobody is known to keep it below `end`.
    pub fn new(position: Position, end: Position) -> Self {
        Horizon { position, end, held_by: Vec::new() }
    }

    /// Says who keeps `position` below `end`.
    #[must_use]
    pub fn with_held_by(self, held_by: Vec<HorizonHolder>) -> Self {
        Horizon { held_by, ..self }
    }
}

/// A transaction that has appended and is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HorizonHolder {
    /// The server's name for the connection, such as a process id or `prepared transaction x`.
    pub session: String,
    /// The application name the connection gave, where it gave one.
    pub application: Option<String>,
    /// How long the transaction has been open, by the database's clock; on MySQL and MariaDB, how
    /// long ago it last appended.
    pub open_for: Option<Duration>,
}

impl HorizonHolder {
    /// A transaction of this session, of which nothing else is known.
    pub fn new(session: impl Into<String>) -> Self {
        HorizonHolder { session: session.into(), application: None, open_for: None }
    }
}

/// Events of the log in position order, and how far this answer goes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EventBatch {
    /// The events that were wanted.
    pub events: Vec<PersistedEvent>,
    /// Every wanted event up to here is in `events` or was before the read began: where the next
    /// read goes on, though the last event may lie before it.
    pub complete_through: Position,
}

impl EventBatch {
    /// A read that found nothing and got no further than `after`.
    pub fn nothing(after: Position) -> Self {
        EventBatch { events: Vec::new(), complete_through: after }
    }

    /// Whether the read got no further than `after`.
    pub fn is_nothing(&self, after: Position) -> bool {
        self.events.is_empty() && self.complete_through <= after
    }
}

/// The positions one read covers, and what its answer means.
///
/// An adapter selects the wanted events with `after() < position <= through()`, in position
/// order, `events_max()` at most; which those are and what they prove is decided here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadWindow {
    after: Position,
    through: Position,
    events_max: u32,
    bytes_max: usize,
    is_dense: bool,
}

/// The events of a window, as an adapter collects them.
#[derive(Debug)]
pub struct WindowEvents {
    events: Vec<PersistedEvent>,
    events_max: usize,
    bytes_left: usize,
    is_cut: bool,
}

impl WindowEvents {
    /// None yet.
    pub fn new(window: ReadWindow) -> Self {
        WindowEvents {
            events: Vec::new(),
            events_max: usize::try_from(window.events_max).unwrap_or(usize::MAX),
            bytes_left: window.bytes_max,
            is_cut: false,
        }
    }

    /// Adds the next event, and says whether another one may follow. If not, the adapter adds no
    /// more: those that its statement still gives are left out.
    pub fn push(&mut self, event: PersistedEvent) -> bool {
        let bytes = event.payload().len() + event.metadata().map_or(0, str::len);
        self.events.push(event);
        self.is_cut = self.events.len() >= self.events_max || bytes >= self.bytes_left;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        !self.is_cut
    }

    /// The events so far.
    pub fn events(&self) -> &[PersistedEvent] {
        &self.events
    }
}

impl ReadWindow {
    /// The window of a read after `after` and up to `horizon`; `None` if nothing lies between.
    pub fn below_horizon(after: Position, horizon: Position, limit: ReadLimit) -> Option<Self> {
        let through = horizon.min(after.saturating_add(limit.positions_max().into()));
        let (events_max, bytes_max) = (limit.events_max(), limit.bytes_max);
        let window = ReadWindow { after, through, events_max, bytes_max, is_dense: false };
        (through > after).then_some(window)
    }

    /// The window of an unfiltered read that hopes to find no hole and so needs no horizon.
    pub fn dense(after: Position, limit: ReadLimit) -> Self {
        let events_max = limit.events_max();
        ReadWindow {
            after,
            through: after.saturating_add(events_max.into()),
            events_max,
            bytes_max: limit.bytes_max,
            is_dense: true,
        }
    }

    /// The position after which the read begins.
    pub fn after(self) -> Position {
        self.after
    }

    /// The last position the read covers.
    pub fn through(self) -> Position {
        self.through
    }

    /// The largest number of events the read returns.
    pub fn events_max(self) -> u32 {
        self.events_max
    }

    /// How many bytes of payloads and metadata end the answer.
    pub fn bytes_max(self) -> usize {
        self.bytes_max
    }

    /// Whether the read relies on no horizon, so that the window may reach beyond the log.
    pub fn is_dense(self) -> bool {
        self.is_dense
    }

    /// Refuses a read in a snapshot that ends, at `visible`, before the window does: what was
    /// committed in between would be taken for a hole. For adapters whose callers can have one.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnsafeRead`].
    pub fn check_snapshot(self, visible: Position) -> Result<(), StoreError> {
        if self.is_dense || visible >= self.through {
            return Ok(());
        }
        let reason = format!(
            "its snapshot ends at position {visible}, the horizon is {}: read the log outside a \
             transaction",
            self.through
        );
        Err(StoreError::UnsafeRead { reason })
    }

    /// What `events`, read from this window below the horizon, prove: everything up to the end
    /// of the window, unless the number of events or of their bytes cut the answer short.
    pub fn complete(self, events: WindowEvents) -> EventBatch {
        let WindowEvents { events, is_cut, .. } = events;
        let complete_through = match events.last() {
            Some(last) if is_cut => last.position(),
            _ => self.through,
        };
        EventBatch { events, complete_through }
    }

    /// What `events`, read without a filter and without asking for the horizon, prove: the run
    /// `after + 1, after + 2, …` without a hole. Nothing can still appear inside it.
    pub fn complete_dense(self, events: WindowEvents) -> EventBatch {
        let mut events = events.events;
        let positions = events.iter().map(PersistedEvent::position);
        events.truncate(dense_prefix_length(self.after, positions));
        let complete_through = events.last().map_or(self.after, PersistedEvent::position);
        EventBatch { events, complete_through }
    }
}

/// How many of `positions` follow `after` one by one, without a hole.
pub fn dense_prefix_length(
    after: Position,
    positions: impl IntoIterator<Item = Position>,
) -> usize {
    let mut next = after;
    positions
        .into_iter()
        .take_while(|position| {
            next = next.saturating_add(1);
            *position == next
        })
        .count()
}
