//! Checkpoints: how far each partition of a projection has come.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use thiserror::Error;

use crate::error::StoreError;
use crate::event_log::EventLog;
use crate::identifier::{InvalidIdentifier, Name};
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::NegativeNumber;
use crate::position::Position;

/// The name of a projection, under which its checkpoints are kept.
///
/// Obeys the same rule as the parts of a [`StreamId`](crate::stream_id::StreamId).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionName(Name);

impl ProjectionName {
    /// Checks the name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidIdentifier> {
        Name::new("projection name", name.as_ref()).map(ProjectionName)
    }

    /// A name that is known when the program is compiled.
    ///
    /// ```
    /// use es::ProjectionName;
    ///
    /// const NAME: ProjectionName = ProjectionName::from_static("order_totals");
    /// assert_eq!(NAME.as_str(), "order_totals");
    /// ```
    ///
    /// ```compile_fail
    /// const NAME: es::ProjectionName = es::ProjectionName::from_static("order_totals ");
    /// ```
    ///
    /// # Panics
    ///
    /// If it is not 1 to 255 printable ASCII characters without a space at its ends. In a constant
    /// that is an error of the compiler.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        ProjectionName(Name::from_static(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts who may move a checkpoint. It goes up whenever a worker claims the partition and whenever
/// an operator changes the projection, so a worker that holds an older one can no longer commit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(i64);

impl Epoch {
    /// The epoch of a new projection.
    pub const FIRST: Epoch = Epoch(0);

    /// The number, as stored; never negative.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

/// Fails for a negative number.
impl TryFrom<i64> for Epoch {
    type Error = NegativeNumber;

    fn try_from(epoch: i64) -> Result<Self, NegativeNumber> {
        if epoch < 0 { Err(NegativeNumber(epoch)) } else { Ok(Epoch(epoch)) }
    }
}

/// What a worker finds when it locks a checkpoint.
///
/// Within one epoch only the position changes, and whether there are dead letters: whatever else
/// an operator changes, the epoch goes up with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position through which everything for the partition is handled.
    pub position: Position,
    /// Who may move it.
    pub epoch: Epoch,
    /// Events at or before this position were handled before: the projection was reset.
    pub replay_until: Position,
    /// The checkpoint does not move beyond this position: the projection is about to be given
    /// another number of partitions.
    pub stop_at: Option<Position>,
    /// How often the event at `failing_position` was tried, an attempt that a process did not live
    /// to see the end of included.
    pub attempts: u32,
    /// Which event after the checkpoint was tried and not handled, if one was.
    pub failing_position: Option<Position>,
    /// Whether the last of these attempts has begun and not ended: its process is at it, or died.
    pub is_attempt_open: bool,
    /// Whether an operator has paused the projection.
    pub is_paused: bool,
    /// Whether the projection, in whichever partition, has dead letters.
    pub has_dead_letters: bool,
}

/// How a checkpoint is to be moved, and what must hold for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointMove {
    /// The epoch the worker took the partition up in.
    pub epoch: Epoch,
    /// Where the worker believes the checkpoint to be.
    pub from: Position,
    /// Where it is to be.
    pub to: Position,
    /// Extends the worker's lease by so much from now, by the database's clock.
    pub lease: Option<Duration>,
}

/// How far one partition of a projection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionCheckpoint {
    /// Which partition.
    pub partition: Partition,
    /// The position through which it has handled everything that is for it.
    pub position: Position,
}

/// Why a checkpoint could not be read or moved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The projection is stored with another number of partitions. Handling part of the streams
    /// under another count would skip or repeat events.
    #[error(
        "projection {projection} has {stored} partitions, not {asked}: start it with {stored}, \
         rescale it, or give it another name to build it again"
    )]
    PartitionCount {
        /// The projection.
        projection: ProjectionName,
        /// The number of partitions it was first started with.
        stored: PartitionCount,
        /// The number it was now started with.
        asked: PartitionCount,
    },

    /// The row is not there: it was deleted by hand, or the projection was never registered.
    /// Starting over would repeat what is already applied.
    #[error(
        "projection {projection} has no checkpoint for partition {partition}: put the row back, \
         or, to build the projection again, delete its effects and all its rows in both tables"
    )]
    Missing {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
    },

    /// The checkpoint is not where the caller left it: another worker moved it. Roll the
    /// transaction back: its effects belong to events that are already handled.
    #[error(
        "the checkpoint of projection {projection}, partition {partition}, \
         was moved from {expected} by another worker"
    )]
    Stale {
        /// The projection.
        projection: ProjectionName,
        /// The partition.
        partition: Partition,
        /// Where the caller believed it to be.
        expected: Position,
    },

    /// The database did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CheckpointError {
    /// Refuses a partition of another number than the projection was first started with.
    pub fn check_partition_total(
        projection: &ProjectionName,
        stored: PartitionCount,
        partition: Partition,
    ) -> Result<(), CheckpointError> {
        if stored == partition.total() {
            return Ok(());
        }
        let (projection, asked) = (projection.clone(), partition.total());
        Err(CheckpointError::PartitionCount { projection, stored, asked })
    }

    /// What the number of rows means that the conditional update of a checkpoint changed.
    pub fn check_moved(
        rows: u64,
        projection: &ProjectionName,
        partition: Partition,
        expected: Position,
    ) -> Result<(), CheckpointError> {
        if rows == 1 {
            return Ok(());
        }
        Err(CheckpointError::Stale { projection: projection.clone(), partition, expected })
    }

    /// Whether the same work may succeed in a new transaction.
    pub fn is_retryable(&self) -> bool {
        matches!(self, CheckpointError::Store(error) if error.is_retryable())
    }
}

/// Keeps checkpoints next to the events, in the transaction of the effects they stand for.
///
/// As in [`EventStore`](crate::EventStore), no method begins, commits or rolls back. Dropping a
/// future leaves the statement it was sending either done or not; roll the transaction back.
pub trait CheckpointStore: EventLog {
    /// Gives the checkpoint of `partition`, locked as by
    /// [`lock_checkpoint`](CheckpointStore::lock_checkpoint). If the projection is new, it gets a
    /// checkpoint at [`Position::START`] for every partition first. Call it in a transaction.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::PartitionCount`] if the projection was registered with another number
    /// of partitions, by this worker or any other; [`CheckpointError::Missing`] if the row was
    /// deleted since.
    fn register_checkpoint(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> impl Future<Output = Result<Checkpoint, CheckpointError>> + Send;

    /// Reads the checkpoint and keeps every other transaction from moving it until this one ends.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Missing`] if there is none, [`CheckpointError::PartitionCount`] if the
    /// projection has another number of partitions.
    fn lock_checkpoint(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
    ) -> impl Future<Output = Result<Checkpoint, CheckpointError>> + Send;

    /// Moves the checkpoint, if epoch and position are what the move says and it does not go
    /// beyond [`stop_at`](Checkpoint::stop_at). Forgets the failures that were recorded.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Stale`] if it is elsewhere, of another epoch, held back, or gone. This
    /// is the fence that makes effects exactly once, so it must hold even where
    /// `lock_checkpoint` was not called.
    fn save_checkpoint(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
        partition: Partition,
        to: CheckpointMove,
    ) -> impl Future<Output = Result<(), CheckpointError>> + Send;

    /// The checkpoints of a projection by partition; empty if it was never registered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if a row cannot have been written by this library.
    fn checkpoints(
        &self,
        conn: &mut Self::Connection,
        projection: &ProjectionName,
    ) -> impl Future<Output = Result<Vec<PartitionCheckpoint>, StoreError>> + Send;
}
