//! Which partitions a worker claims and which it gives up: decisions, and no I/O.

use std::collections::BTreeSet;

use es::{PartitionState, ProjectionName, WorkerId};

/// What a worker does about one projection now.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rebalance {
    /// Partitions to claim, by index, in this order.
    pub(crate) claim: Vec<u16>,
    /// Partitions to give up after the current batch, by index.
    pub(crate) release: Vec<u16>,
}

/// What `me` does, given who is there, what the partitions look like, and which of them it is
/// `running`.
///
/// A worker that has too many gives the highest up; one that has too few claims what is free. The
/// shares of all workers add up to the number of partitions, so nothing stays free for long, and
/// nobody claims what another is entitled to.
pub(crate) fn rebalance(
    projection: &ProjectionName,
    me: &WorkerId,
    workers: &[WorkerId],
    partitions: &[PartitionState],
    running: &BTreeSet<u16>,
) -> Rebalance {
    let share = fair_share(projection, me, workers, partitions.len());
    let excess = running.len().saturating_sub(share);
    let release = running.iter().rev().take(excess).copied().collect();
    // What has this worker's name but is not running was claimed without an answer.
    let claimable = |state: &&PartitionState| {
        let is_mine = state.owner.as_ref() == Some(me);
        (state.is_free() || is_mine) && !running.contains(&state.partition.index())
    };
    let mut claim: Vec<u16> =
        partitions.iter().filter(claimable).map(|state| state.partition.index()).collect();
    // Workers that come at the same time do not all begin with the same one.
    if !claim.is_empty() {
        let first = usize::try_from(hash(projection, me)).unwrap_or(0) % claim.len();
        claim.rotate_left(first);
    }
    claim.truncate(share.saturating_sub(running.len()));
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

    use es::{Epoch, Partition, Position};
    use proptest::prelude::*;

    use super::*;

    fn state(index: u16, total: u16, owner: Option<&WorkerId>) -> PartitionState {
        PartitionState {
            partition: Partition::new(index, total).unwrap(),
            position: Position::START,
            epoch: Epoch::FIRST,
            replay_until: Position::START,
            stop_at: None,
            owner: owner.cloned(),
            lease_left: owner.map(|_| Duration::from_secs(1)),
            attempts: 0,
            failing_position: None,
            last_error: None,
        }
    }

    proptest! {
        /// Whoever had what before: after two rounds in any order every partition has one owner,
        /// and no worker has two more than another.
        #[test]
        fn workers_come_to_even_shares(
            total in 1_u16..40,
            count in 1_usize..10,
            before in prop::collection::vec(prop::option::of(0_usize..10), 40),
        ) {
            let p = ProjectionName::new("p").unwrap();
            let workers: Vec<WorkerId> =
                (0..count).map(|id| WorkerId::new(format!("w{id}")).unwrap()).collect();
            let mut owners: Vec<Option<usize>> = before[..usize::from(total)]
                .iter()
                .map(|owner| owner.filter(|owner| *owner < count))
                .collect();
            for _ in 0..2 {
                for (number, me) in workers.iter().enumerate() {
                    let states: Vec<PartitionState> = (0..total)
                        .zip(&owners)
                        .map(|(index, owner)| state(index, total, owner.map(|of| &workers[of])))
                        .collect();
                    let running: BTreeSet<u16> =
                        (0..total).filter(|index| owners[usize::from(*index)] == Some(number)).collect();
                    let plan = rebalance(&p, me, &workers, &states, &running);
                    prop_assert!(plan.claim.is_empty() || plan.release.is_empty());
                    for index in plan.release {
                        prop_assert!(running.contains(&index));
                        owners[usize::from(index)] = None;
                    }
                    for index in plan.claim {
                        prop_assert_eq!(owners[usize::from(index)], None);
                        owners[usize::from(index)] = Some(number);
                    }
                }
            }
            prop_assert!(owners.iter().all(Option::is_some), "{:?}", owners);
            let counts: Vec<usize> = (0..count)
                .map(|number| owners.iter().filter(|owner| **owner == Some(number)).count())
                .collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }
}
