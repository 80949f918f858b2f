//! What happened how often, and what must not have happened at all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Numbers by name, and complaints. The first are printed; one of the second fails the run.
#[derive(Debug, Default)]
pub(super) struct Counts {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    complaints: Mutex<Vec<String>>,
}

impl Counts {
    pub(super) fn add(&self, what: &'static str, count: u64) {
        *lock(&self.counts).entry(what).or_default() += count;
    }

    pub(super) fn get(&self, what: &'static str) -> u64 {
        lock(&self.counts).get(what).copied().unwrap_or(0)
    }

    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        lock(&self.counts).iter().map(|(what, count)| (*what, *count)).collect()
    }

    /// Says what must not have happened.
    pub(super) fn complain(&self, what: String) {
        tracing::warn!("{what}");
        lock(&self.complaints).push(what);
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        lock(&self.complaints).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics who holds it")
}
