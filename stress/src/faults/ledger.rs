//! What writers know of what they have committed.

use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

/// One transaction of a writer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The events it appended, all there were when it ended.
    pub(super) events: Vec<Uuid>,
    pub(super) outcome: Outcome,
}

/// What a writer knows of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Nobody asked to commit it.
    RolledBack,
    /// It was to be committed, and there was no answer, or nobody waited for it.
    Unknown,
}

impl Entry {
    pub(super) fn new() -> Self {
        Entry { events: Vec::new(), outcome: Outcome::RolledBack }
    }
}

/// The transactions of all writers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Mutex<Vec<Entry>>,
}

impl Ledger {
    pub(super) fn record(&self, entry: Entry) {
        self.lock().push(entry);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.lock().iter().filter(|entry| entry.outcome == outcome).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().expect("nobody panics who holds it")
    }
}
