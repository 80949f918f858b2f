//! The pure decisions, held against their properties.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use es::adapter::{
    ExistingEvent, ReadWindow, RejectedAppend, Slot, WindowEvents, dense_prefix_length,
};
use es::{
    AppendError, Event, ExpectedVersion, Partition, PartitionCount, PersistedEvent, Position,
    ReadLimit, StreamId, Version,
};
use proptest::prelude::*;

fn stored(positions: impl IntoIterator<Item = u32>) -> Vec<PersistedEvent> {
    let stream = StreamId::new("Test", "Thing", "a").expect("valid");
    let event = Event::new("Happened", "x").expect("valid");
    let persisted = |(version, position): (u32, u32)| {
        let version = Version::from(version);
        PersistedEvent::new(position.into(), version, stream.clone(), event.clone())
    };
    (1..).zip(positions).map(persisted).collect()
}

fn limit(events_max: u32, positions_max: u32) -> ReadLimit {
    let non_zero = |number| NonZeroU32::new(number).expect("not zero");
    ReadLimit::new(non_zero(events_max)).with_positions_max(non_zero(positions_max))
}

proptest! {
    /// A reader that follows `complete_through` sees every event at or below the horizon once,
    /// and nothing beyond it.
    #[test]
    fn a_reader_that_follows_the_windows_misses_nothing(
        positions in proptest::collection::btree_set(1_u32..200, 0..60),
        horizon in 0_u32..200,
        events_max in 1_u32..10,
        positions_max in 1_u32..50,
        bytes_max in 0_usize..40,
    ) {
        let limit = limit(events_max, positions_max).with_bytes_max(bytes_max);
        let mut after = Position::START;
        let mut seen = Vec::new();
        while let Some(window) = ReadWindow::below_horizon(after, horizon.into(), limit) {
            prop_assert!(window.through() <= Position::from(horizon));
            prop_assert!(window.through().distance_from(after) <= u64::from(positions_max));
            let inside = positions.iter().copied().filter(|position| {
                (window.after() < Position::from(*position))
                    && Position::from(*position) <= window.through()
            });
            let events = stored(inside);
            let mut answer = WindowEvents::new(window);
            let fitting = events.into_iter().take_while(|event| answer.push(event.clone()));
            let bytes: usize = fitting.map(|event| event.payload().len()).sum();
            prop_assert!(bytes <= bytes_max);
            let batch = window.complete(answer);
            prop_assert!(batch.events.len() <= window.events_max() as usize);
            prop_assert!(batch.complete_through > after);
            seen.extend(batch.events.iter().map(PersistedEvent::position));
            after = batch.complete_through;
        }
        let expected: Vec<Position> =
            positions.iter().copied().filter(|p| *p <= horizon).map(Position::from).collect();
        prop_assert_eq!(seen, expected);
    }

    /// The dense prefix ends before the first hole, wherever that is.
    #[test]
    fn the_dense_prefix_has_no_hole(
        after in 0_u32..5,
        positions in proptest::collection::btree_set(1_u32..30, 0..25),
    ) {
        let later: Vec<u32> = positions.into_iter().filter(|p| *p > after).collect();
        let length = dense_prefix_length(after.into(), later.iter().copied().map(Position::from));
        let dense: Vec<u32> = (after + 1..).take(length).collect();
        prop_assert_eq!(&later[..length], &dense[..]);
        let next = after + 1 + u32::try_from(length).expect("short");
        prop_assert!(later.get(length) != Some(&next));
    }

    /// Doubling the partitions splits each into two and moves nothing else.
    #[test]
    fn a_doubled_partition_count_splits_in_place(id in "\\PC{1,40}", total in 1_u16..8192) {
        let slot = Slot::of(&id);
        let twice = PartitionCount::of(total * 2);
        for partition in Partition::split(PartitionCount::of(total)) {
            let halves = [partition.index(), partition.index() + total]
                .map(|index| Partition::new(index, twice).expect("valid").contains(slot));
            prop_assert_eq!(partition.contains(slot), halves[0] ^ halves[1]);
            prop_assert!(!(halves[0] && halves[1]));
        }
    }

    /// Every stream is in exactly one of N partitions.
    #[test]
    fn partitions_share_the_streams_out(id in "\\PC{0,40}", total in 1_u16..=16384) {
        let slot = Slot::of(&id);
        let all = Partition::split(PartitionCount::of(total));
        let owners = all.filter(|partition| partition.contains(slot)).count();
        prop_assert_eq!(owners, 1);
    }

    /// A rejected append is a replay if and only if the store holds just these events,
    /// consecutively and in this order, in this stream.
    #[test]
    fn only_a_whole_repetition_is_a_replay(
        count in 1_usize..5,
        first in 1_u32..50,
        tampering in 0_usize..6,
        seed in any::<u64>(),
    ) {
        let stream = StreamId::new("Test", "Thing", "a").expect("valid");
        let other = StreamId::new("Test", "Thing", "b").expect("valid");
        let events: Vec<Event> =
            (0..count).map(|_| Event::new("Happened", "x").expect("valid")).collect();
        let mut existing: Vec<ExistingEvent> = (first..).zip(&events).map(|(version, event)| {
            ExistingEvent {
                event_id: event.id(),
                stream: stream.clone(),
                version: version.into(),
                position: (version * 3).into(),
            }
        }).collect();
        let victim = usize::try_from(seed % count as u64).expect("small");
        let tampered = match tampering {
            1 => { existing.remove(victim); true }
            2 => { existing[victim].stream = other; true }
            3 if count > 1 => {
                let next = (victim + 1) % count;
                let (a, b) = (existing[victim].version, existing[next].version);
                (existing[victim].version, existing[next].version) = (b, a);
                true
            }
            4 if victim > 0 => {
                for late in &mut existing[victim..] { late.version = late.version.next(); }
                true
            }
            5 => { existing.reverse(); false }
            _ => false,
        };
        let expected = ExpectedVersion::Any;
        let rejected =
            RejectedAppend { stream: &stream, expected, events: &events, actual: 99.into() };
        match rejected.resolve(&existing) {
            Ok(result) => {
                prop_assert!(!tampered && result.is_replay());
                let ids: Vec<_> = result.events().iter().map(PersistedEvent::id).collect();
                prop_assert_eq!(ids, events.iter().map(Event::id).collect::<Vec<_>>());
                prop_assert_eq!(result.from_version().next(), Version::from(first));
            }
            Err(AppendError::DuplicateEventId { .. }) => prop_assert!(tampered),
            Err(error) if existing.is_empty() => prop_assert!(error.is_retryable(), "{error:?}"),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn the_slots_of_many_ids_spread_over_the_partitions() {
    let mut counts = [0_u32; 8];
    let ids: BTreeSet<String> = (0..8000).map(|number| format!("order-{number}")).collect();
    for id in &ids {
        counts[usize::from(Slot::of(id).get() % 8)] += 1;
    }
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
}
