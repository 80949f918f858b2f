//! Compares what readers saw with what was committed.

use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;

use uuid::Uuid;

use crate::aggregate::{AGGREGATES, Aggregate};
use crate::ledger::Committed;
use crate::sighting::{Sighting, Trail};

/// What was committed, by event id.
pub(crate) type Truth = HashMap<Uuid, Committed>;

/// What is wrong with what one reader saw, in numbers of events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Committed and for this reader.
    pub(crate) wanted: u64,
    /// Of those, seen at least once.
    pub(crate) seen: u64,
    pub(crate) skipped: u64,
    /// Seen again.
    pub(crate) duplicated: u64,
    /// Seen after an event with a higher position.
    pub(crate) log_disorder: u64,
    /// Seen without the version before it having been the last of its stream.
    pub(crate) stream_disorder: u64,
    /// Never committed, not for this reader, or not as the append had returned it.
    pub(crate) wrong: u64,
}

/// Which events a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// Some types of events only, so that it cannot see every version of a stream.
    Types,
}

impl Wanted {
    fn includes(self, committed: &Committed) -> bool {
        self == Wanted::All || committed.is_wanted_type
    }

    fn may_follow(self, last: i64, version: i64) -> bool {
        match self {
            Wanted::All => version == last + 1,
            Wanted::Types => version > last,
        }
    }
}

/// Checks what one reader saw; the trails of its partitions are each in order of their own, and
/// together hold everything once.
pub(crate) fn check(truth: &Truth, trails: &[Trail], wanted: Wanted) -> Findings {
    let mut findings = Findings::default();
    let mut seen = HashSet::new();
    let mut versions = [0; AGGREGATES as usize];
    for trail in trails {
        let mut last_position = 0;
        for sighting in trail {
            match truth.get(&sighting.event_id) {
                Some(committed)
                    if committed.sighting == *sighting && wanted.includes(committed) => {}
                _ => {
                    findings.wrong += 1;
                    continue;
                }
            }
            if !seen.insert(sighting.event_id) {
                findings.duplicated += 1;
                continue;
            }
            findings.log_disorder += u64::from(sighting.position <= last_position);
            last_position = sighting.position;
            let version = &mut versions[sighting.aggregate.index()];
            findings.stream_disorder += u64::from(!wanted.may_follow(*version, sighting.version));
            *version = sighting.version;
        }
    }
    findings.wanted = count(truth.values().filter(|committed| wanted.includes(committed)));
    findings.seen = count(seen.iter());
    findings.skipped = findings.wanted - findings.seen;
    findings
}

/// Checks what was committed in itself: versions and positions of each stream rise together,
/// without a hole in the versions, and no position is given twice.
pub(crate) fn check_truth(truth: &Truth) -> Findings {
    let mut trail: Vec<Sighting> = truth.values().map(|committed| committed.sighting).collect();
    trail.sort_by_key(|sighting| (sighting.position, sighting.event_id));
    check(truth, &[trail], Wanted::All)
}

/// Checks what the projection counted for each aggregate: events and the last version.
pub(crate) fn check_totals(truth: &Truth, totals: &[(Aggregate, u64, i64)]) -> Findings {
    let mut expected: HashMap<Aggregate, (u64, i64)> = HashMap::new();
    for Committed { sighting, .. } in truth.values() {
        let (events, last_version) = expected.entry(sighting.aggregate).or_default();
        *events += 1;
        *last_version = sighting.version.max(*last_version);
    }
    let mut findings = Findings { wanted: count(truth.keys()), ..Findings::default() };
    for (aggregate, events, last_version) in totals {
        let (wanted, last_wanted) = expected.remove(aggregate).unwrap_or_default();
        findings.seen += wanted.min(*events);
        findings.skipped += wanted.saturating_sub(*events);
        findings.duplicated += events.saturating_sub(wanted);
        findings.stream_disorder += u64::from(*last_version != last_wanted);
    }
    findings.skipped += expected.values().map(|(events, _)| events).sum::<u64>();
    findings
}

impl AddAssign for Findings {
    fn add_assign(&mut self, other: Findings) {
        self.wanted += other.wanted;
        self.seen += other.seen;
        self.skipped += other.skipped;
        self.duplicated += other.duplicated;
        self.log_disorder += other.log_disorder;
        self.stream_disorder += other.stream_disorder;
        self.wrong += other.wrong;
    }
}

fn count(items: impl Iterator) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
