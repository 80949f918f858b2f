//! How far a run has come, and what it knows of its checkpoint.

use es::Position;
use es::adapter::{Checkpoint, Epoch};
use tokio::time::Instant;

use super::ownership::Ownership;

/// How far a run has come, and what it knows of its checkpoint.
pub(super) struct Progress {
    /// Whether the checkpoint is known; it is not after an interruption.
    pub(super) is_loaded: bool,
    pub(super) is_paused: bool,
    pub(super) epoch: Epoch,
    pub(super) replay_until: Position,
    pub(super) stop_at: Option<Position>,
    /// The checkpoint in the database, as this run last saw it.
    pub(super) saved: Position,
    /// Everything for this run up to here is handled; at or after `saved`.
    pub(super) reached: Position,
    pub(super) last_save: Instant,
}

impl Progress {
    pub(super) fn new(ownership: Ownership) -> Self {
        Progress {
            is_loaded: false,
            is_paused: false,
            epoch: ownership.epoch().unwrap_or(Epoch::FIRST),
            replay_until: Position::START,
            stop_at: None,
            saved: Position::START,
            reached: Position::START,
            last_save: Instant::now(),
        }
    }

    /// The checkpoint is known: the run goes on from it.
    pub(super) fn load(&mut self, checkpoint: &Checkpoint) {
        *self = Progress {
            is_loaded: true,
            is_paused: checkpoint.is_paused,
            epoch: checkpoint.epoch,
            replay_until: checkpoint.replay_until,
            stop_at: checkpoint.stop_at,
            saved: checkpoint.position,
            reached: checkpoint.position,
            last_save: self.last_save,
        };
    }

    /// The checkpoint is committed there.
    pub(super) fn save(&mut self, through: Position) {
        (self.saved, self.reached, self.last_save) = (through, through, Instant::now());
    }

    /// Whether nothing may be handled: the projection is paused, or the partition has come to its
    /// barrier.
    pub(super) fn is_held(&self) -> bool {
        self.is_paused || self.stop_at.is_some_and(|stop_at| self.reached >= stop_at)
    }
}
