//! What happened how often.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters shared by all tasks.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) commits: Counter,
    pub(crate) rollbacks: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) retryables: Counter,
    pub(crate) prepared: Counter,
    pub(crate) savepoint_rollbacks: Counter,
    /// Commits that failed in a way that left their outcome to be looked up.
    pub(crate) looked_up: Counter,
    pub(crate) kills: Counter,
    /// Second projectors, started for partitions that have one.
    pub(crate) rivals: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
