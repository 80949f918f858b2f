//! How a worker is doing, seen from inside its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use es::{Partition, ProjectionName};
use tokio::time::Instant;

/// How a worker is doing: what keeps its partitions from going on, if anything does. Made by
/// [`Processor::health`](crate::Processor::health); cheap to clone, and no database is asked.
#[derive(Debug, Clone, Default)]
pub struct Health {
    troubles: Arc<Mutex<BTreeMap<Subject, Entry>>>,
}

/// What keeps a partition, or the worker itself, from going on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// The projection and partition; `None` if the worker cannot look at its partitions.
    pub partition: Option<(ProjectionName, Partition)>,
    /// For how long by now.
    pub since: Duration,
    /// How often it was tried in that time.
    pub attempts: u32,
    /// Whether it waits for somebody to do something; otherwise it is tried again by itself.
    pub stands_still: bool,
    /// The error, with its causes.
    pub reason: String,
}

type Subject = Option<(ProjectionName, u16)>;

#[derive(Debug, Clone)]
struct Entry {
    partition: Option<Partition>,
    since: Instant,
    attempts: u32,
    stands_still: bool,
    reason: String,
}

impl Health {
    /// Everything that is not going on now, the worker itself first, then by projection and
    /// partition. Empty if all is well.
    pub fn troubles(&self) -> Vec<Trouble> {
        let trouble = |(subject, entry): (&Subject, &Entry)| Trouble {
            partition: subject
                .as_ref()
                .and_then(|(name, _)| Some((name.clone(), entry.partition?))),
            since: entry.since.elapsed(),
            attempts: entry.attempts,
            stands_still: entry.stands_still,
            reason: entry.reason.clone(),
        };
        self.lock().iter().map(trouble).collect()
    }

    /// Whether there are no [`troubles`](Health::troubles).
    pub fn is_well(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn partition_fails(
        &self,
        name: &ProjectionName,
        partition: Partition,
        stands_still: bool,
        reason: String,
    ) {
        let subject = Some((name.clone(), partition.index()));
        self.fails(subject, Some(partition), stands_still, reason);
    }

    pub(crate) fn partition_is_well(&self, name: &ProjectionName, partition: Partition) {
        self.lock().remove(&Some((name.clone(), partition.index())));
    }

    pub(crate) fn worker_fails(&self, reason: String) {
        self.fails(None, None, false, reason);
    }

    pub(crate) fn worker_is_well(&self) {
        self.lock().remove(&None);
    }

    /// Whether a partition stands still, by projection.
    pub(crate) fn standing_still(&self, name: &ProjectionName) -> usize {
        let is_its = |(subject, entry): &(&Subject, &Entry)| {
            entry.stands_still && subject.as_ref().is_some_and(|(of, _)| of == name)
        };
        self.lock().iter().filter(is_its).count()
    }

    fn fails(
        &self,
        subject: Subject,
        partition: Option<Partition>,
        stands_still: bool,
        reason: String,
    ) {
        let mut troubles = self.lock();
        let entry = troubles.entry(subject).or_insert_with(|| Entry {
            partition,
            since: Instant::now(),
            attempts: 0,
            stands_still,
            reason: String::new(),
        });
        entry.attempts = entry.attempts.saturating_add(1);
        (entry.partition, entry.stands_still, entry.reason) = (partition, stands_still, reason);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, Entry>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
