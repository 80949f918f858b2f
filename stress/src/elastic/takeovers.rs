//! Who took which partition from whom, and how long that took: from the rows, and no I/O.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use es::adapter::Epoch;
use es::{Partition, PartitionState, WorkerId};
use tokio::time::Instant;

use super::population::Census;

/// What was seen so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Takeovers {
    /// Partitions of the dead.
    open: BTreeMap<Partition, Orphan>,
    /// Partitions of those that are stopped.
    unattended: BTreeMap<Partition, (WorkerId, Epoch)>,
    /// How long each takeover from a dead worker took, nothing else going on.
    pub(super) measured: Vec<Duration>,
    /// How many there were beside, while nobody was there or the partitions were being rewritten.
    pub(super) disturbed: u64,
    /// How many partitions were taken from workers that were stopped, and then went on.
    pub(super) stolen: u64,
}

/// A partition of a dead worker.
#[derive(Debug, Clone)]
struct Orphan {
    owner: WorkerId,
    epoch: Epoch,
    since: Instant,
    is_disturbed: bool,
}

impl Takeovers {
    /// Looks at the partitions as they were at `now` or shortly before; `census` is older.
    pub(super) fn observe(&mut self, now: Instant, census: &Census, partitions: &[PartitionState]) {
        self.close(now, partitions);
        for state in partitions {
            let Some(owner) = &state.owner else {
                continue;
            };
            if census.paused.contains(owner) {
                self.unattended.insert(state.partition, (owner.clone(), state.epoch));
            }
            if let Some(since) = census.dead.get(owner) {
                self.open.entry(state.partition).or_insert_with(|| Orphan {
                    owner: owner.clone(),
                    epoch: state.epoch,
                    since: *since,
                    is_disturbed: false,
                });
            }
        }
        if census.working.is_empty() || census.is_rescaling {
            for orphan in self.open.values_mut() {
                orphan.is_disturbed = true;
            }
        }
    }

    /// The dead whose partitions nobody has taken yet.
    pub(super) fn missed(&self) -> HashSet<WorkerId> {
        self.open.values().map(|orphan| orphan.owner.clone()).collect()
    }

    pub(super) fn longest(&self) -> Option<Duration> {
        self.measured.iter().max().copied()
    }

    fn close(&mut self, now: Instant, partitions: &[PartitionState]) {
        // In another epoch without an owner it was rewritten, which is no takeover.
        let find =
            |partition: &Partition| partitions.iter().find(|state| state.partition == *partition);
        let (measured, disturbed) = (&mut self.measured, &mut self.disturbed);
        self.open.retain(|partition, orphan| match find(partition) {
            Some(state) if state.epoch == orphan.epoch => true,
            Some(state) if state.owner.is_some() && orphan.is_disturbed => {
                *disturbed += 1;
                false
            }
            Some(state) if state.owner.is_some() => {
                measured.push(now.saturating_duration_since(orphan.since));
                false
            }
            _ => false,
        });
        let stolen = &mut self.stolen;
        self.unattended.retain(|partition, (owner, epoch)| {
            let taken = find(partition).filter(|state| state.epoch != *epoch);
            let by_another = taken.and_then(|state| state.owner.as_ref()).filter(|by| *by != owner);
            *stolen += u64::from(by_another.is_some());
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use es::Position;

    use super::*;

    fn id(name: &str) -> WorkerId {
        WorkerId::new(name).expect("a valid name")
    }

    fn only_partition(owner: Option<&str>, epoch: i64) -> [PartitionState; 1] {
        let epoch = Epoch::try_from(epoch).expect("not negative");
        let mut only = PartitionState::new(Partition::ALL, Position::START, epoch);
        only.owner = owner.map(id);
        [only]
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn one_dead(since: Instant) -> Census {
        let (working, dead) = ([id("b")].into(), [(id("a"), since)].into());
        Census { working, dead, ..Census::default() }
    }

    #[test]
    fn a_takeover_takes_from_the_kill_until_another_has_the_partition() {
        let (start, mut seen) = (Instant::now(), Takeovers::default());
        let census = one_dead(start);
        seen.observe(at(start, 1), &census, &only_partition(Some("a"), 1));
        assert_eq!(seen.missed(), [id("a")].into());
        seen.observe(at(start, 2), &census, &only_partition(Some("a"), 1));
        seen.observe(at(start, 3), &census, &only_partition(Some("b"), 2));
        assert_eq!((seen.longest(), seen.disturbed), (Some(Duration::from_secs(3)), 0));
        assert_eq!(seen.missed(), HashSet::new());
    }

    #[test]
    fn nobody_takes_over_where_nobody_works() {
        let (start, mut seen) = (Instant::now(), Takeovers::default());
        let alone = Census { working: HashSet::new(), ..one_dead(start) };
        seen.observe(at(start, 1), &alone, &only_partition(Some("a"), 1));
        seen.observe(at(start, 9), &one_dead(start), &only_partition(Some("b"), 2));
        assert_eq!((seen.longest(), seen.disturbed), (None, 1));
    }

    #[test]
    fn a_rewritten_partition_is_not_taken_over() {
        let (start, mut seen) = (Instant::now(), Takeovers::default());
        let census = one_dead(start);
        seen.observe(at(start, 1), &census, &only_partition(Some("a"), 1));
        seen.observe(at(start, 2), &census, &only_partition(None, 2));
        seen.observe(at(start, 3), &census, &only_partition(Some("b"), 3));
        assert_eq!((seen.longest(), seen.disturbed), (None, 0));
    }

    #[test]
    fn a_partition_is_stolen_from_who_is_stopped() {
        let (start, mut seen) = (Instant::now(), Takeovers::default());
        let (working, paused) = ([id("b")].into(), [id("a")].into());
        let census = Census { working, paused, ..Census::default() };
        seen.observe(at(start, 1), &census, &only_partition(Some("a"), 1));
        seen.observe(at(start, 2), &census, &only_partition(Some("a"), 1));
        assert_eq!(seen.stolen, 0);
        seen.observe(at(start, 3), &census, &only_partition(Some("b"), 2));
        seen.observe(at(start, 4), &census, &only_partition(Some("b"), 2));
        assert_eq!(seen.stolen, 1);
    }
}
