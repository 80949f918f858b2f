//! Who is there, who is stopped, who is dead: what the watcher must know to judge what it sees.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use es::WorkerId;
use tokio::time::Instant;

use crate::tally::Counter;

/// The workers of a run, and what was done to them.
#[derive(Debug, Default)]
pub(super) struct Population {
    census: Mutex<Census>,
    /// Held while a worker is stopped, and from a kill until the dead one's partitions are taken
    /// over, so that what is measured has one cause.
    pub(super) violence: tokio::sync::Mutex<()>,
    pub(super) joins: Counter,
    pub(super) leaves: Counter,
    pub(super) kills: Counter,
    pub(super) pauses: Counter,
}

/// Who is what at one moment.
#[derive(Debug, Default, Clone)]
pub(super) struct Census {
    /// Those that could take a partition over.
    pub(super) working: HashSet<WorkerId>,
    pub(super) paused: HashSet<WorkerId>,
    /// And since when.
    pub(super) dead: HashMap<WorkerId, Instant>,
    /// Whether partitions are being rewritten, which can keep workers waiting.
    pub(super) is_rescaling: bool,
}

impl Population {
    /// Everybody now.
    pub(super) fn census(&self) -> Census {
        self.lock().clone()
    }

    pub(super) fn joined(&self, id: &WorkerId) {
        self.lock().working.insert(id.clone());
        self.joins.add_one();
    }

    /// It is about to leave, and takes nothing more over.
    pub(super) fn leaving(&self, id: &WorkerId) {
        self.lock().working.remove(id);
        self.leaves.add_one();
    }

    /// It is about to be killed; gives the time.
    pub(super) fn dying(&self, id: &WorkerId) -> Instant {
        let now = Instant::now();
        let mut census = self.lock();
        census.working.remove(id);
        census.dead.insert(id.clone(), now);
        self.kills.add_one();
        now
    }

    /// It was stopped.
    pub(super) fn paused(&self, id: &WorkerId) {
        let mut census = self.lock();
        census.working.remove(id);
        census.paused.insert(id.clone());
        self.pauses.add_one();
    }

    /// It is about to go on.
    pub(super) fn continuing(&self, id: &WorkerId) {
        let mut census = self.lock();
        census.paused.remove(id);
        census.working.insert(id.clone());
    }

    pub(super) fn rescaling(&self, is_rescaling: bool) {
        self.lock().is_rescaling = is_rescaling;
    }

    fn lock(&self) -> MutexGuard<'_, Census> {
        self.census.lock().expect("nobody panics who holds it")
    }
}
