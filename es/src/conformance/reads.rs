//! Clauses about reading streams and the log.

use std::num::NonZeroU32;

use super::Harness;
use super::fixture::{Fixture, assert_well_formed, event, events, limit, numbers, thing};
use crate::event::Event;
use crate::filter::EventFilter;
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::store::EventStore;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version, VersionRange};

/// A stream comes back whole and in order, whatever lies between its events.
pub async fn a_stream_reads_back_in_version_order<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for number in 1..=6 {
        store.append(&thing("a"), &[event(number)]).await;
        store.append(&thing("b"), &[event(-number)]).await;
    }
    let stream = store.stream(&thing("a")).await;
    assert_eq!(*stream.id(), thing("a"));
    assert_eq!(numbers(stream.events()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(stream.version(), Version::from(6));
    assert_eq!(store.version(&thing("a")).await, Version::from(6));
    let versions: Vec<i64> = stream.iter().map(|event| event.version().get()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
}

/// Both ends of a range count, and a range beyond the stream is empty.
pub async fn a_range_of_versions_reads_just_those<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &events(1..=5)).await;
    let version = Version::from;
    let cases: [(VersionRange, &[i64]); 7] = [
        ((..).into(), &[1, 2, 3, 4, 5]),
        ((version(4)..).into(), &[4, 5]),
        ((..=version(2)).into(), &[1, 2]),
        ((version(2)..=version(4)).into(), &[2, 3, 4]),
        ((version(3)..=version(3)).into(), &[3]),
        ((version(6)..).into(), &[]),
        ((version(4)..=version(2)).into(), &[]),
    ];
    let mut conn = store.conn().await;
    for (versions, expected) in cases {
        let read = store.store().read_stream(&mut conn, &thing("a"), versions).await;
        assert_eq!(numbers(read.expect("a read").events()), expected, "{versions:?}");
    }
}

/// A stream nobody appended to has no events and no version.
pub async fn an_unknown_stream_is_empty<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &[event(1)]).await;
    let stream = store.stream(&thing("unknown")).await;
    assert!(stream.is_empty());
    assert_eq!(stream.version(), Version::NONE);
    assert_eq!(store.version(&thing("unknown")).await, Version::NONE);
}

/// Reading in batches of any size gives the same log.
pub async fn the_log_reads_in_position_order<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for number in 1..=20 {
        store.append(&thing(&format!("s{}", number % 3)), &[event(number), event(number)]).await;
    }
    let log = store.log().await;
    assert_eq!(log.len(), 40);
    assert_well_formed(&log);
    for events_max in [1, 7, 39, 40, 41] {
        let read = store.read_on(Position::START, &EventFilter::default(), events_max).await;
        assert_eq!(read, log, "{events_max} at a time");
        let middle = log[11].position();
        let rest = store.read_on(middle, &EventFilter::default(), events_max).await;
        assert_eq!(rest, log[12..], "after {middle}");
    }
    let end = log[39].position();
    assert!(store.read(end, &EventFilter::default(), limit(10)).await.is_nothing(end));
}

/// The database applies a filter as [`EventFilter::matches`] does.
pub async fn filters_choose_what_their_oracle_chooses<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for context in ["Sales", "sales", "Stock"] {
        for kind in ["Order", "Basket", "Ordér"] {
            for event_type in ["Placed", "Paid", "pa'id"] {
                let stream = StreamId::new(context, kind, event_type).expect("a valid name");
                let event = Event::json(event_type, &1).expect("a valid event");
                store.append(&stream, &[event]).await;
            }
        }
    }
    let log = store.log().await;
    assert_eq!(log.len(), 27);
    let all = EventFilter::default();
    let filters = [
        all.clone(),
        all.clone().with_bounded_contexts(["Sales"]),
        all.clone().with_bounded_contexts(["Sales", "Stock"]),
        all.clone().with_aggregate_types(["Order"]),
        all.clone().with_aggregate_types(["Ordér", "Basket"]),
        all.clone().with_event_types(["pa'id"]),
        all.clone().with_event_types(["Paid", "Placed", "Unknown"]),
        all.clone().with_bounded_contexts(["sales"]).with_event_types(["Paid"]),
        all.clone()
            .with_bounded_contexts(["Stock", "sales"])
            .with_aggregate_types(["Order"])
            .with_event_types(["Placed", "pa'id"])
            .with_partition(Partition::new(1, PartitionCount::of(2)).expect("a partition")),
        all.clone().with_bounded_contexts(["\"Sales\"", "Sales,Stock"]),
        all.with_partition(Partition::new(0, PartitionCount::of(3)).expect("a partition")),
    ];
    for filter in filters {
        let expected: Vec<PersistedEvent> =
            log.iter().filter(|event| filter.matches(event)).cloned().collect();
        for events_max in [1, 4, 100] {
            let read = store.read_on(Position::START, &filter, events_max).await;
            assert_eq!(read, expected, "{filter:?}, {events_max} at a time");
        }
    }
}

/// The partitions of any number share the streams out, and a stream stays in one.
pub async fn partitions_are_disjoint_and_complete<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for number in 1..=60 {
        store.append(&thing(&format!("stream-{}", number % 23)), &[event(number)]).await;
    }
    for total in [1, 2, 3, 8] {
        let mut seen = Vec::new();
        for partition in Partition::split(PartitionCount::of(total)) {
            let filter = EventFilter::default().with_partition(partition);
            let share = store.read_on(Position::START, &filter, 7).await;
            assert!(share.iter().all(|event| partition.contains(event.slot())));
            seen.extend(numbers(&share));
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=60).collect::<Vec<i64>>(), "{total} partitions");
    }
}

/// A filtered reader gets past what is not for it.
pub async fn a_filtered_read_is_complete_beyond_its_last_event<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let wanted = StreamId::new("Wanted", "Thing", "1").expect("a valid name");
    store.append(&wanted, &[event(1)]).await;
    let last = store.append(&thing("a"), &events(2..=9)).await.last_position();

    let filter = EventFilter::default().with_bounded_contexts(["Wanted"]);
    let batch = store.read(Position::START, &filter, limit(10)).await;
    assert_eq!(numbers(&batch.events), [1]);
    assert_eq!(batch.complete_through, last);
    assert!(store.read(last, &filter, limit(10)).await.is_nothing(last));
}

/// A batch that the limit cut short does not claim what it did not look at.
pub async fn a_full_batch_is_complete_only_through_its_last_event<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for number in 1..=6 {
        store.append(&thing("a"), &[event(number)]).await;
        store.append(&thing("b"), &[event(number)]).await;
    }
    let only_a = EventFilter::default().with_partition(
        Partition::new(thing("a").slot().get(), PartitionCount::MAX).expect("valid"),
    );
    let batch = store.read(Position::START, &only_a, limit(2)).await;
    assert_eq!(numbers(&batch.events), [1, 2]);
    assert_eq!(batch.complete_through, batch.events[1].position());
}

/// A filter that wants next to nothing does not scan the whole log at once.
pub async fn one_read_covers_a_bounded_stretch_of_positions<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &events(1..=50)).await;
    let wanted = StreamId::new("Wanted", "Thing", "1").expect("a valid name");
    store.append(&wanted, &[event(51)]).await;

    let filter = EventFilter::default().with_bounded_contexts(["Wanted"]);
    let limit = limit(5).with_positions_max(NonZeroU32::new(20).expect("not zero"));
    let mut after = Position::START;
    let mut reads = 0;
    loop {
        let batch = store.read(after, &filter, limit).await;
        reads += 1;
        assert!(batch.complete_through.distance_from(after) <= 20, "{batch:?}");
        assert!(batch.complete_through > after, "every read gets further");
        after = batch.complete_through;
        if !batch.events.is_empty() {
            assert_eq!(numbers(&batch.events), [51]);
            break;
        }
    }
    assert!(reads >= 3, "51 positions in {reads} reads of 20");
}

/// Nothing is there, and nothing can still appear below the start.
pub async fn an_empty_log_is_complete_through_its_start<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let batch = store.read(Position::START, &EventFilter::default(), limit(10)).await;
    assert!(batch.is_nothing(Position::START), "{batch:?}");
    let mut conn = store.conn().await;
    let horizon = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!((horizon.position, horizon.end), (Position::START, Position::START));
    assert!(horizon.held_by.is_empty());
}

/// With no transaction open, the horizon is the end of the log, and it only grows.
pub async fn the_horizon_reaches_the_last_committed_event<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut known = Position::START;
    for number in 1..=3 {
        let last = store.append(&thing("a"), &events(1..=number)).await.last_position();
        let mut conn = store.conn().await;
        for known in [Position::START, known] {
            let horizon = store.store().horizon(&mut conn, known).await.expect("a horizon");
            assert_eq!(horizon.position, last, "knowing {known}");
            assert!(horizon.end >= horizon.position);
            assert!(horizon.held_by.is_empty());
        }
        known = last;
    }
}

/// A rollback may burn positions; a reader does not wait for them.
pub async fn a_rolled_back_hole_is_passed<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &[event(1)]).await;
    let mut tx = store.begin().await;
    let any = ExpectedVersion::Any;
    store.append_in(&mut tx, &thing("a"), any, &events(2..=4)).await.expect("the append succeeds");
    store.rollback(tx).await;
    let last = store.append(&thing("b"), &[event(5)]).await.last_position();
    assert_eq!(numbers(&store.log().await), [1, 5]);
    let batch = store.read(last, &EventFilter::default(), limit(10)).await;
    assert!(batch.is_nothing(last), "{batch:?}");
}

/// What is not committed is nobody else's to see, and does not count as handled.
pub async fn uncommitted_events_are_invisible_to_others<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let first = store.append(&thing("a"), &[event(1)]).await.last_position();
    let mut tx = store.begin().await;
    let any = ExpectedVersion::Any;
    store.append_in(&mut tx, &thing("b"), any, &events(2..=3)).await.expect("the append succeeds");

    let batch = store.read(Position::START, &EventFilter::default(), limit(10)).await;
    assert_eq!(numbers(&batch.events), [1]);
    assert_eq!(batch.complete_through, first);
    let filtered = EventFilter::default().with_event_types(["Happened"]);
    let batch = store.read(Position::START, &filtered, limit(10)).await;
    assert_eq!(numbers(&batch.events), [1]);
    assert_eq!(batch.complete_through, first);
    assert_eq!(store.version(&thing("b")).await, Version::NONE);

    store.commit(tx).await;
    let batch = store.read(first, &EventFilter::default(), limit(10)).await;
    assert_eq!(numbers(&batch.events), [2, 3]);
}

/// The schema the harness made is the one the store needs.
pub async fn the_schema_check_accepts_the_current_schema<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut conn = store.conn().await;
    store.store().check_schema(&mut conn).await.expect("the schema is current");
}
