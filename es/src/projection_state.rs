//! What a store keeps about a projection: its settings, its partitions, who works on them, and the
//! events it has parked.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

use crate::checkpoint::{Epoch, ProjectionName};
use crate::identifier::{InvalidIdentifier, Name};
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::stream_id::StreamId;

/// The name of a worker: what a lease is held under. Each process needs one of its own.
///
/// Obeys the same rule as the parts of a [`StreamId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Name);

impl WorkerId {
    /// Checks the name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidIdentifier> {
        Name::new("worker id", name.as_ref()).map(WorkerId)
    }

    /// A name that is known when the program is compiled.
    ///
    /// ```
    /// use es::WorkerId;
    ///
    /// const NAME: WorkerId = WorkerId::from_static("shop-0");
    /// assert_eq!(NAME.as_str(), "shop-0");
    /// ```
    ///
    /// ```compile_fail
    /// const NAME: es::WorkerId = es::WorkerId::from_static("shop-0 ");
    /// ```
    ///
    /// # Panics
    ///
    /// If it is not 1 to 255 printable ASCII characters without a space at its ends. In a constant
    /// that is an error of the compiler.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        WorkerId(Name::from_static(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is set for a whole projection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ProjectionState {
    /// Its name.
    pub name: ProjectionName,
    /// How many partitions it has.
    pub partition_total: PartitionCount,
    /// Whether nothing is handled until somebody resumes it.
    pub is_paused: bool,
    /// How many partitions it will have once all are at the barrier.
    pub rescale_to: Option<PartitionCount>,
}

impl ProjectionState {
    /// A projection with this many partitions, which is not paused and is to keep them.
    pub fn new(name: ProjectionName, partition_total: PartitionCount) -> Self {
        ProjectionState { name, partition_total, is_paused: false, rescale_to: None }
    }
}

/// What is known about one partition of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PartitionState {
    /// Which partition.
    pub partition: Partition,
    /// The position through which it has handled everything that is for it.
    pub position: Position,
    /// Who may move the checkpoint.
    pub epoch: Epoch,
    /// Events at or before this position were handled before.
    pub replay_until: Position,
    /// The checkpoint does not move beyond this position.
    pub stop_at: Option<Position>,
    /// Who claimed it last and has not released it.
    pub owner: Option<WorkerId>,
    /// How long its owner's lease still lasts, by the database's clock; `None` if it has none or
    /// the lease has expired.
    pub lease_left: Option<Duration>,
    /// How often the event at `failing_position` was tried, an attempt that a process did not live
    /// to see the end of included.
    pub attempts: u32,
    /// Which event after the checkpoint was tried and not handled, if one was.
    pub failing_position: Option<Position>,
    /// What it failed with last.
    pub last_error: Option<String>,
}

impl PartitionState {
    /// A partition that nobody owns and where nothing has failed.
    pub fn new(partition: Partition, position: Position, epoch: Epoch) -> Self {
        PartitionState {
            partition,
            position,
            epoch,
            replay_until: Position::START,
            stop_at: None,
            owner: None,
            lease_left: None,
            attempts: 0,
            failing_position: None,
            last_error: None,
        }
    }

    /// Whether anybody may claim it: it has no owner, or the owner's lease has expired.
    pub fn is_free(&self) -> bool {
        self.owner.is_none() || self.lease_left.is_none()
    }
}

/// What a worker notes about the event after a checkpoint: that it begins to handle it, so that the
/// attempt counts even if its process does not live to see the end; and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Where the event stands; `None` if it is not an event that fails.
    pub position: Option<Position>,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// What it failed with, empty to forget what was noted before. `None` if the attempt begins
    /// now: the error of the one before is kept.
    pub error: Option<&'a str>,
}

/// A partition as an operator sets it: without an owner, in a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSeed {
    /// Its checkpoint.
    pub position: Position,
    /// Above every epoch that any partition of the projection has had.
    pub epoch: Epoch,
    /// Events at or before this position were handled before.
    pub replay_until: Position,
    /// The checkpoint is not to move beyond this position.
    pub stop_at: Option<Position>,
}

/// An event that a projection has parked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DeadLetter {
    /// Where the event stands in the log.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// How often it was tried; 0 if it only queues after another event of its stream.
    pub attempts: u32,
    /// What it failed with; `None` if it only queues.
    pub error: Option<String>,
    /// When it was parked, by the clock of the process that parked it.
    pub parked_at: DateTime<Utc>,
}

/// How many bytes of an error's text are kept: 4 KiB.
pub const ERROR_BYTES_MAX: usize = 4096;

/// An error's text as every database takes it: without null characters, and cut to
/// [`ERROR_BYTES_MAX`] bytes. An error that cannot be noted would hide what it says.
pub fn error_text(text: &str) -> Cow<'_, str> {
    const CUT: &str = "…";
    if text.len() <= ERROR_BYTES_MAX && !text.contains('\0') {
        return Cow::Borrowed(text);
    }
    // A null character is replaced by one of three bytes.
    let text: String = text.chars().take(ERROR_BYTES_MAX + 1).collect();
    let mut text = text.replace('\0', "\u{fffd}");
    if text.len() > ERROR_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX - CUT.len()));
        text.push_str(CUT);
    }
    Cow::Owned(text)
}

impl DeadLetter {
    /// An event that has failed `attempts` times, the last time with `error`, of which
    /// [`ERROR_BYTES_MAX`] bytes are kept.
    pub fn failed(event: &PersistedEvent, attempts: u32, error: impl AsRef<str>) -> Self {
        let error = error_text(error.as_ref()).into_owned();
        DeadLetter { attempts, error: Some(error), ..DeadLetter::queued(event) }
    }

    /// An event that queues after another one of its stream.
    pub fn queued(event: &PersistedEvent) -> Self {
        DeadLetter {
            position: event.position(),
            stream: event.stream().clone(),
            attempts: 0,
            error: None,
            parked_at: Utc::now().trunc_subsecs(6),
        }
    }
}
