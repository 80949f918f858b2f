//! Clauses about imports: many events of many streams at once.

use super::Harness;
use super::fixture::{Fixture, assert_well_formed, event, events, numbers, thing};
use crate::event::Event;
use crate::import::{ImportError, ImportResult};
use crate::invalid_append::InvalidAppend;
use crate::position::Position;
use crate::store::EventStore;
use crate::stream_id::StreamId;

/// Invariant 3 holds for an import: the order given is the order of the positions, and each stream
/// counts on from where it was, in one import and in the next.
pub async fn an_import_keeps_its_order_and_counts_streams_on<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("b"), &events(1..=2)).await;
    let first = import(&store, &[("a", 3), ("b", 4), ("a", 5), ("c", 6), ("c", 7)]).await;
    let second = import(&store, &[("c", 8), ("b", 9), ("d", 10)]).await;
    assert_eq!((first.events, second.events), (5, 3));

    let log = store.log().await;
    assert_eq!(numbers(&log), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_well_formed(&log);
    assert_eq!(log[6].position(), first.last_position);
    assert_eq!(log[9].position(), second.last_position);
    assert_eq!(numbers(store.stream(&thing("b")).await.events()), [1, 2, 4, 9]);

    let appended = store.append(&thing("c"), &[event(11)]).await;
    assert_eq!(appended.to_version(), 4.into());
    assert_eq!(import(&store, &[]).await, ImportResult::default());
}

/// What is imported reads back as it was given, whatever is in it.
pub async fn an_imported_event_reads_back_as_it_was<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let full = Event::new("Everything", vec![0, 255, b'\\', b'\n', b'\t'])
        .and_then(|event| event.with_metadata_json(r#"{"who":"żółw"}"#))
        .expect("a valid event")
        .with_event_version(u16::MAX)
        .with_correlation_id("01JD8QK1")
        .expect("a valid id")
        .with_causation_id("é")
        .expect("a valid id")
        .with_trace_id("t-3")
        .expect("a valid id")
        .with_created_at(chrono::DateTime::UNIX_EPOCH);
    let empty = Event::new("żółw", vec![]).expect("a valid event");
    let mut tx = store.begin().await;
    let given = [(thing("żółw"), full.clone()), (thing("a\\N"), empty.clone())];
    store.store().import(&mut tx, given).await.expect("the import succeeds");
    store.commit(tx).await;
    for (stream, event) in [("żółw", full), ("a\\N", empty)] {
        let read = store.stream(&thing(stream)).await;
        let read = &read.events()[0];
        assert_eq!(read.payload(), event.payload());
        assert_eq!(read.metadata().is_some(), event.metadata().is_some());
        assert_eq!((read.id(), read.event_type()), (event.id(), event.event_type()));
        assert_eq!(read.event_version(), event.event_version());
        assert_eq!(read.correlation_id(), event.correlation_id());
        assert_eq!(read.causation_id(), event.causation_id());
        assert_eq!(read.trace_id(), event.trace_id());
        assert_eq!(read.created_at(), event.created_at());
    }
}

/// Invariant 1 holds for an import: it comes and goes with the caller's transaction.
pub async fn an_import_commits_with_the_callers_rows<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for (label, is_committed) in [("gone", false), ("kept", true)] {
        let mut tx = store.begin().await;
        store.harness.insert_row(&mut tx, label, 1).await.expect("a row");
        store.store().import(&mut tx, given(&[("a", 1), ("b", 2)])).await.expect("an import");
        if is_committed {
            store.commit(tx).await;
        } else {
            store.rollback(tx).await;
        }
        let rows = store.harness.rows(&mut *store.conn().await, label).await.expect("the rows");
        assert_eq!(rows.len(), usize::from(is_committed));
        assert_eq!(store.log().await.len(), if is_committed { 2 } else { 0 });
    }
}

/// An event id that is taken ends the import; after a rollback nothing of it is there.
pub async fn an_import_of_a_taken_event_id_is_refused<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let taken = event(1);
    store.append(&thing("a"), std::slice::from_ref(&taken)).await;
    let new = event(2);
    let repeats = [
        vec![(thing("b"), new.clone()), (thing("a"), taken.clone())],
        vec![(thing("a"), taken.clone())],
        vec![(thing("b"), new.clone()), (thing("c"), event(3)), (thing("b"), new.clone())],
        vec![(thing("b"), new.clone()), (thing("b"), new.clone())],
    ];
    for repeat in repeats {
        let repeated = repeat.last().map(|(_, event)| event.id());
        let mut tx = store.begin().await;
        let error = store.store().import(&mut tx, repeat).await.expect_err("an id is taken");
        store.rollback(tx).await;
        match error {
            ImportError::DuplicateEventId { event_id } => assert_eq!(Some(event_id), repeated),
            error => panic!("not a duplicate id: {error:?}"),
        }
        assert_eq!(numbers(&store.log().await), [1]);
    }
}

/// What no append would take, no import takes either, and says which event it is.
pub async fn an_import_of_an_invalid_event_is_refused<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let year_zero = chrono::DateTime::from_timestamp_secs(-62_167_219_200).expect("the year 0");
    let invalid = event(2).with_created_at(year_zero);
    let mut tx = store.begin().await;
    let given = [(thing("a"), event(1)), (thing("a"), invalid)];
    let error = store.store().import(&mut tx, given).await.expect_err("it is invalid");
    store.rollback(tx).await;
    let ImportError::Invalid(InvalidAppend::CreatedAtOutOfRange { index, .. }) = error else {
        panic!("not refused for its time: {error:?}");
    };
    assert_eq!(index, 1);
    assert!(store.log().await.is_empty());
}

/// More events than an import holds in memory, of more streams than one, are all there in order.
pub async fn a_long_import_is_complete<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let count = 10_500_i64;
    let streams: Vec<StreamId> = (0..7).map(|index| thing(&format!("s{index}"))).collect();
    // Long runs of one stream, and a change of streams in the middle of them.
    let stream = |index: usize| streams[index / 500 % streams.len()].clone();
    let mut tx = store.begin().await;
    let given = (0..).zip(0..count).map(|(index, number)| (stream(index), event(number)));
    let result = store.store().import(&mut tx, given).await.expect("the import succeeds");
    store.commit(tx).await;
    assert_eq!(result.events, count.unsigned_abs());
    let log = store.read_on(Position::START, &crate::filter::EventFilter::default(), 1000).await;
    assert!(numbers(&log).into_iter().eq(0..count), "they are all there, in order");
    assert_well_formed(&log);
}

fn given(events: &[(&str, i64)]) -> Vec<(StreamId, Event)> {
    events.iter().map(|(stream, number)| (thing(stream), event(*number))).collect()
}

async fn import<H: Harness>(store: &Fixture<H>, events: &[(&str, i64)]) -> ImportResult {
    let mut tx = store.begin().await;
    let result = store.store().import(&mut tx, given(events)).await.expect("the import succeeds");
    store.commit(tx).await;
    result
}
