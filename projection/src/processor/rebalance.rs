//! Which partitions a worker claims and which it gives up: decisions, and no I/O.

use std::collections::BTreeSet;

use es::{PartitionState, ProjectionName, WorkerId};

/// What a worker does about one projection now.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rebalance {
    /// Partitions to claim, by index, in this order.
    pub(crate) claim: Vec<u16>,
    /// Partitions to give up, by index: those that run after their current batch.
    pub(crate) release: Vec<u16>,
}

/// What `me` does, given who is there, what the partitions look like, and which of them it is
/// `running`.
///
/// A worker that has too many gives the highest up; one that has too few claims what is free. The
/// shares of all workers add up to the number of partitions, so nothing stays free for long, and
/// nobody claims what another is entitled to.
///
/// A partition that is leased to `me` and does not run was claimed without an answer. No other
/// worker can have it, so `me` claims it again before anything else, or gives it up at once if its
/// share is full.
pub(crate) fn rebalance(
    projection: &ProjectionName,
    me: &WorkerId,
    workers: &[WorkerId],
    partitions: &[PartitionState],
    running: &BTreeSet<u16>,
) -> Rebalance {
    let share = fair_share(projection, me, workers, partitions.len());
    let (excess, room) = (running.len().saturating_sub(share), share.saturating_sub(running.len()));
    let idle = || partitions.iter().filter(|state| !running.contains(&state.partition.index()));
    let index = |state: &PartitionState| state.partition.index();

    let unanswered = idle().filter(|state| !state.is_free() && state.owner.as_ref() == Some(me));
    let mut claim: Vec<u16> = unanswered.map(index).collect();
    let mut release = claim.split_off(room.min(claim.len()));
    release.extend(running.iter().rev().take(excess));

    let mut free: Vec<u16> = idle().filter(|state| state.is_free()).map(index).collect();
    // Workers that come at the same time do not all begin with the same one.
    if !free.is_empty() {
        let first = usize::try_from(hash(projection, me)).unwrap_or(0) % free.len();
        free.rotate_left(first);
    }
    claim.extend(free);
    claim.truncate(room);
    Rebalance { claim, release }
}

/// How many of `total` partitions are `me`'s: the quotient, and one of the remainder for the
/// first workers in an order that differs from projection to projection.
fn fair_share(
    projection: &ProjectionName,
    me: &WorkerId,
    workers: &[WorkerId],
    total: usize,
) -> usize {
    let key = |worker: &WorkerId| (hash(projection, worker), worker.clone());
    let others: BTreeSet<_> = workers.iter().filter(|worker| *worker != me).map(key).collect();
    let rank = others.range(..key(me)).count();
    let count = others.len() + 1;
    total / count + usize::from(rank < total % count)
}

/// FNV-1a over both names, the same in every process.
fn hash(projection: &ProjectionName, worker: &WorkerId) -> u64 {
    let bytes = projection.as_str().bytes().chain([0]).chain(worker.as_str().bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use es::adapter::Epoch;
    use es::{Partition, PartitionCount, Position};
    use proptest::prelude::*;

    use super::*;

    fn state(index: u16, total: u16, owner: Option<&WorkerId>) -> PartitionState {
        let partition = Partition::new(index, PartitionCount::of(total)).unwrap();
        let mut state = PartitionState::new(partition, Position::START, Epoch::FIRST);
        state.owner = owner.cloned();
        state.lease_left = owner.map(|_| Duration::from_secs(1));
        state
    }

    /// Who owns a partition, and whether its owner knows.
    type Owner = Option<(usize, bool)>;

    fn workers(count: usize) -> Vec<WorkerId> {
        (0..count).map(|id| WorkerId::new(format!("w{id}")).unwrap()).collect()
    }

    /// What the worker of this number plans, and which partitions it runs.
    fn plan(number: usize, workers: &[WorkerId], owners: &[Owner]) -> (Rebalance, BTreeSet<u16>) {
        let p = ProjectionName::new("p").unwrap();
        let total = u16::try_from(owners.len()).unwrap();
        let owner = |of: &Owner| of.map(|(of, _)| &workers[of]);
        let states = (0..total).zip(owners).map(|(index, of)| state(index, total, owner(of)));
        let states: Vec<PartitionState> = states.collect();
        let is_run = |(_, of): &(u16, &Owner)| **of == Some((number, true));
        let running = (0..total).zip(owners).filter(is_run).map(|(index, _)| index).collect();
        (rebalance(&p, &workers[number], workers, &states, &running), running)
    }

    proptest! {
        /// Whatever the owners were before, and whichever claims had no answer: after two rounds in
        /// any order every partition has one owner, which runs it, and no worker has two more than
        /// another.
        #[test]
        fn workers_come_to_even_shares(
            total in 1_usize..40,
            count in 1_usize..10,
            before in prop::collection::vec(prop::option::of((0_usize..10, any::<bool>())), 40),
        ) {
            let workers = workers(count);
            let mut owners: Vec<Owner> =
                before[..total].iter().map(|of| of.filter(|(of, _)| *of < count)).collect();
            for _ in 0..2 {
                for number in 0..count {
                    let (plan, _) = plan(number, &workers, &owners);
                    for index in plan.release {
                        let owner = std::mem::take(&mut owners[usize::from(index)]);
                        prop_assert_eq!(owner.map(|(of, _)| of), Some(number));
                    }
                    for index in plan.claim {
                        let owner = owners[usize::from(index)].replace((number, true));
                        prop_assert!(owner.is_none_or(|owner| owner == (number, false)));
                    }
                }
            }
            prop_assert!(owners.iter().all(|of| of.is_some_and(|(_, runs)| runs)), "{:?}", owners);
            let counts: Vec<usize> = (0..count)
                .map(|number| owners.iter().filter(|of| **of == Some((number, true))).count())
                .collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }

        /// What a worker owns without knowing it is claimed or given up in the first round, and no
        /// plan leads beyond the share.
        #[test]
        fn a_claim_without_an_answer_is_not_forgotten(
            total in 1_usize..40,
            count in 1_usize..10,
            owners in prop::collection::vec(prop::option::of((0_usize..10, any::<bool>())), 40),
        ) {
            let workers = workers(count);
            let owners: Vec<Owner> =
                owners[..total].iter().map(|of| of.filter(|(of, _)| *of < count)).collect();
            for number in 0..count {
                let (Rebalance { claim, release }, running) = plan(number, &workers, &owners);
                for (index, _) in (0..).zip(&owners).filter(|(_, of)| **of == Some((number, false))) {
                    prop_assert!(claim.contains(&index) != release.contains(&index), "{}", index);
                }
                let kept = running.iter().filter(|index| !release.contains(index)).count();
                prop_assert!(kept + claim.len() <= total.div_ceil(count));
            }
        }
    }
}
