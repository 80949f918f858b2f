//! How a projection comes to another number of partitions: a decision, and no I/O.

use es::adapter::PartitionSeed;
use es::{PartitionCount, PartitionState, Position, ProjectionState};

use crate::epoch::next_epoch;

/// What to write to bring a projection nearer to another number of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RescalePlan {
    /// Nothing: it has that many, and no barrier.
    Nothing,
    /// Nothing yet: its partitions are on their way to the barrier.
    Wait(Position),
    /// These settings and rows. The projection has the wanted number then, unless the state says
    /// that it has yet to come to a barrier.
    Write(ProjectionState, Vec<PartitionSeed>),
}

/// What brings a projection nearer to `total` partitions.
///
/// A multiple of the present number splits every partition in place: partition *i* of N is exactly
/// *i*, *i* + N, *i* + 2N… of the multiple, so each takes the checkpoint of the one it was part of.
/// For any other number the partitions must be at one position, a barrier no lower than where any
/// of them has ever come: everything up to there is handled, by one or another. If they are not,
/// the barrier is set, and the same question is asked again when they are there.
///
/// `partitions` are those of the projection, by index, and none of them moves meanwhile.
pub(crate) fn plan_rescale(
    state: &ProjectionState,
    partitions: &[PartitionState],
    total: PartitionCount,
) -> RescalePlan {
    let (old, new) = (partitions.len(), usize::from(total.get()));
    // After a reset the barrier lies where the replay ends: an event below it may be a replay for
    // one partition and not for another, and they are about to be one.
    let reach = |partition: &PartitionState| partition.position.max(partition.replay_until);
    let Some(highest) = partitions.iter().map(reach).max() else {
        return RescalePlan::Nothing;
    };
    let has_barrier = partitions.iter().any(|partition| partition.stop_at.is_some());
    if new == old && state.rescale_to.is_none() && !has_barrier {
        return RescalePlan::Nothing;
    }
    let epoch = next_epoch(partitions);
    let mut done = state.clone();
    (done.partition_total, done.rescale_to) = (total, None);
    if new % old == 0 {
        let seeds = (0..new).map(|index| {
            let PartitionState { position, replay_until, .. } = partitions[index % old];
            PartitionSeed { position, epoch, replay_until, stop_at: None }
        });
        return RescalePlan::Write(done, seeds.collect());
    }
    let replay_until = partitions.iter().map(|partition| partition.replay_until).max();
    let replay_until = replay_until.unwrap_or_default();
    if partitions.iter().all(|partition| partition.position == highest) {
        let seed = PartitionSeed { position: highest, epoch, replay_until, stop_at: None };
        return RescalePlan::Write(done, vec![seed; new]);
    }
    let barrier = Some(highest);
    if state.rescale_to == Some(total) && partitions.iter().all(|one| one.stop_at >= barrier) {
        return RescalePlan::Wait(highest.max(partitions[0].stop_at.unwrap_or_default()));
    }
    let seeds = partitions.iter().map(|partition| PartitionSeed {
        position: partition.position,
        epoch,
        replay_until: partition.replay_until,
        stop_at: barrier,
    });
    let mut draining = state.clone();
    draining.rescale_to = Some(total);
    RescalePlan::Write(draining, seeds.collect())
}

/// Whether all partitions have come to the barrier, so that asking again gets the projection on.
pub(crate) fn is_drained(partitions: &[PartitionState]) -> bool {
    partitions.iter().all(|partition| Some(partition.position) == partition.stop_at)
}

#[cfg(test)]
mod tests {
    use es::adapter::{Epoch, Slot};
    use es::limits::SLOT_COUNT;
    use es::{Partition, ProjectionName};
    use proptest::prelude::*;

    use super::*;

    /// A position for each slot: how far its events are handled.
    fn handled(partitions: &[PartitionState], slot: Slot) -> Position {
        partitions.iter().find(|one| one.partition.contains(slot)).unwrap().position
    }

    fn written(state: &ProjectionState, seeds: &[PartitionSeed]) -> Vec<PartitionState> {
        let row = |(index, seed): (u16, &PartitionSeed)| {
            let partition = Partition::new(index, state.partition_total).unwrap();
            let mut row = PartitionState::new(partition, seed.position, seed.epoch);
            (row.replay_until, row.stop_at) = (seed.replay_until, seed.stop_at);
            row
        };
        (0..).zip(seeds).map(row).collect()
    }

    /// A few slots are as good as all of them.
    fn slots() -> Vec<Slot> {
        (0..200).map(|id| Slot::of(&format!("{id}"))).collect()
    }

    proptest! {
        /// Rescaling never forgets and never repeats: what is handled of each slot stays so, and
        /// only partitions that move up to the barrier change it.
        #[test]
        fn what_is_handled_stays_handled(
            from in 1_u16..12,
            steps in prop::collection::vec(1_u16..12, 1..5),
            positions in prop::collection::vec(0_u32..5, 12),
        ) {
            prop_assert!(from < SLOT_COUNT);
            let name = ProjectionName::new("p").unwrap();
            let mut state = ProjectionState::new(name, PartitionCount::of(from));
            let seeds: Vec<PartitionSeed> = positions[..usize::from(from)].iter().map(|at| {
                PartitionSeed {
                    position: Position::from(*at),
                    epoch: Epoch::FIRST,
                    replay_until: Position::START,
                    stop_at: None,
                }
            }).collect();
            let mut partitions = written(&state, &seeds);
            for total in steps.into_iter().map(PartitionCount::of) {
                let mut rounds = 0;
                loop {
                    rounds += 1;
                    prop_assert!(rounds <= 4, "it comes to an end");
                    let before: Vec<Position> =
                        slots().into_iter().map(|slot| handled(&partitions, slot)).collect();
                    match plan_rescale(&state, &partitions, total) {
                        RescalePlan::Nothing => break,
                        RescalePlan::Wait(barrier) => {
                            // The workers get there.
                            for partition in &mut partitions {
                                prop_assert_eq!(partition.stop_at, Some(barrier));
                                partition.position = barrier;
                            }
                            prop_assert!(is_drained(&partitions));
                            continue;
                        }
                        RescalePlan::Write(new, seeds) => {
                            let newest = partitions.iter().map(|old| old.epoch).max();
                            let oldest = seeds.iter().map(|seed| seed.epoch).min();
                            prop_assert!(oldest > newest);
                            partitions = written(&new, &seeds);
                            state = new;
                        }
                    }
                    let after: Vec<Position> =
                        slots().into_iter().map(|slot| handled(&partitions, slot)).collect();
                    prop_assert_eq!(before, after);
                }
                prop_assert_eq!(state.partition_total, total);
                prop_assert_eq!(partitions.len(), usize::from(total.get()));
                // They drift apart again.
                for (partition, drift) in partitions.iter_mut().zip(&positions) {
                    partition.position = partition.position.saturating_add(u64::from(*drift));
                }
            }
        }
    }
}
