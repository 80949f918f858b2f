//! What was committed: the truth every reader is held against.

use std::collections::HashMap;
use std::sync::Mutex;

use anyhow::{Context, bail};
use es::{PersistedEvent, Version};
use uuid::Uuid;

use crate::aggregate::{AGGREGATES, Aggregate};
use crate::plan::WANTED_TYPES;
use crate::sighting::Sighting;

/// How many events one store may come to hold; the writers stop there. Each is kept in memory
/// about ten times.
const EVENTS_MAX: usize = 1_000_000;

/// The events that were committed, written down after their commit succeeded.
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    events: HashMap<Uuid, Committed>,
    versions: [Version; AGGREGATES as usize],
}

/// A committed event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) sighting: Sighting,
    /// Whether the filtered reader wants it.
    pub(crate) is_wanted_type: bool,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let versions = [Version::NONE; AGGREGATES as usize];
        Ledger { pages: Mutex::new(Pages { events: HashMap::new(), versions }) }
    }

    /// Writes down the events of a transaction that was committed.
    pub(crate) fn record(&self, events: &[PersistedEvent]) -> anyhow::Result<()> {
        self.with(|pages| {
            for event in events {
                let sighting = Sighting::of(event)?;
                let is_wanted_type = WANTED_TYPES.contains(&event.event_type());
                let committed = Committed { sighting, is_wanted_type };
                if pages.events.insert(event.id(), committed).is_some() {
                    bail!("event {} was committed twice", event.id());
                }
                let version = &mut pages.versions[sighting.aggregate.index()];
                *version = event.version().max(*version);
            }
            Ok(())
        })
    }

    /// The last version of an aggregate that a commit has returned.
    pub(crate) fn known_version(&self, aggregate: Aggregate) -> anyhow::Result<Version> {
        self.with(|pages| Ok(pages.versions[aggregate.index()]))
    }

    /// Whether no more may be written.
    pub(crate) fn is_full(&self) -> anyhow::Result<bool> {
        self.with(|pages| Ok(pages.events.len() >= EVENTS_MAX))
    }

    /// All that was committed.
    pub(crate) fn events(&self) -> anyhow::Result<HashMap<Uuid, Committed>> {
        self.with(|pages| Ok(pages.events.clone()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Pages) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let pages = self.pages.lock();
        work(&mut *pages.ok().context("a writer panicked while it wrote down what it committed")?)
    }
}
