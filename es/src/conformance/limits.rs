//! Clauses about how much one answer may hold, and what may be asked for.

use super::Harness;
use super::checkpoints::name;
use super::fixture::{Fixture, event, limit, thing};
use crate::adapter::read_below;
use crate::error::StoreError;
use crate::event::Event;
use crate::filter::EventFilter;
use crate::identifier::InvalidIdentifier;
use crate::partition::Partition;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::projection_state::{DeadLetter, ERROR_BYTES_MAX};
use crate::projection_store::ProjectionStore;
use crate::read::ReadLimit;
use crate::store::EventStore;
use crate::version::ExpectedVersion;

const MIB: usize = 1 << 20;

fn bytes(events: &[PersistedEvent]) -> usize {
    let bytes =
        |event: &PersistedEvent| event.payload().len() + event.metadata().map_or(0, str::len);
    events.iter().map(bytes).sum()
}

/// However large the events are, an answer ends with the event that exceeds the limit in bytes, and
/// a reader who follows the answers misses nothing.
pub async fn a_read_is_bounded_in_bytes<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for number in 0..12_u8 {
        let large = |_| Event::new("Large", vec![number; MIB]).expect("a valid event");
        let mut events: Vec<Event> = (0..5).map(large).collect();
        events[4] = Event::new("Small", vec![number]).expect("a valid event");
        if number == 3 {
            let metadata = format!("\"{}\"", "m".repeat(MIB - 2));
            events[4] = events[4].clone().with_metadata_json(metadata).expect("valid JSON");
        }
        store.append(&thing("a"), &events).await;
    }
    let names = EventFilter::default().with_event_types(["Large", "Small"]);
    let small = EventFilter::default().with_event_types(["Small"]);
    let default = ReadLimit::default();
    let cases = [
        (EventFilter::default(), default, 60),
        (names.clone(), default, 60),
        (EventFilter::default(), default.with_bytes_max(2 * MIB), 60),
        (names.clone(), default.with_bytes_max(1), 60),
        (names, default.with_bytes_max(0), 60),
        (small, default.with_bytes_max(2 * MIB), 12),
    ];
    for (filter, limit, expected) in cases {
        let (mut after, mut seen) = (Position::START, Vec::new());
        loop {
            let batch = store.read(after, &filter, limit).await;
            if batch.is_nothing(after) {
                break;
            }
            assert!(batch.complete_through > after, "it gets further");
            after = batch.complete_through;
            if let Some((_, all_but_the_last)) = batch.events.split_last() {
                let bytes = bytes(all_but_the_last);
                assert!(bytes < limit.bytes_max().max(1), "{bytes} bytes before the last event");
            }
            seen.extend(batch.events.iter().map(PersistedEvent::position));
        }
        assert!(seen.is_sorted_by(|earlier, later| earlier < later), "{seen:?}");
        assert_eq!(seen.len(), expected, "with {filter:?}, {limit:?}");
    }
}

/// A dead letter's error is cut to what an operator reads, and a listing has the length asked for.
pub async fn dead_letters_are_bounded<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    store.append(&thing("a"), &(0..20).map(event).collect::<Vec<_>>()).await;
    let error = || "ż".repeat(MIB);
    let log = store.log().await;
    let letters: Vec<_> = log.iter().map(|event| DeadLetter::failed(event, 1, error())).collect();
    let mut tx = store.begin().await;
    store.store().put_dead_letters(&mut tx, &name("p"), &letters).await.expect("parked");
    let listed = store.store().dead_letters(&mut tx, &name("p"), Position::START, 7).await;
    let listed = listed.expect("listed");
    store.rollback(tx).await;
    assert_eq!(listed, letters[..7]);
    for letter in listed {
        let error = letter.error.expect("it has failed");
        assert!(error.len() <= ERROR_BYTES_MAX, "{} bytes", error.len());
        assert!(error.len() > ERROR_BYTES_MAX - 10 && error.ends_with("ż…"), "{error}");
    }
}

/// A filter that asks for a name no event can have is refused before anything is sent. Databases
/// differ in what they would find: some take a name with a space after it for the same.
pub async fn a_filter_with_an_impossible_name_is_refused<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &[event(1)]).await;
    let mut tx = store.begin().await;
    let all = EventFilter::default;
    let (long, wide) = ("x".repeat(256), "ż".repeat(128));
    for bad in ["", " Happened", "Happened ", "Happened\u{a0}", "Hap\0pened", &long, &wide] {
        let filters = [
            ("bounded context", all().with_bounded_contexts(["Test", bad])),
            ("aggregate type", all().with_aggregate_types(["Thing", bad])),
            ("event type", all().with_event_types(["Happened", bad])),
        ];
        for (field, filter) in filters {
            let conn = &mut *tx;
            let read = store.store().read_events(conn, Position::START, &filter, limit(10)).await;
            let through = Position::from(1);
            let below = store.store();
            let below = read_below(below, conn, Position::START, through, &filter, limit(10)).await;
            for read in [read, below] {
                let Err(StoreError::InvalidFilter { source }) = read else {
                    panic!("{field} {bad:?} was answered with {read:?}")
                };
                let (InvalidIdentifier::Empty { field: named }
                | InvalidIdentifier::TooLong { field: named, .. }
                | InvalidIdentifier::ControlCharacter { field: named, .. }
                | InvalidIdentifier::OuterWhiteSpace { field: named, .. }) = source;
                assert_eq!(named, field);
            }
        }
    }
    let any = ExpectedVersion::Any;
    store.append_in(&mut tx, &thing("a"), any, &[event(2)]).await.expect("nothing was sent");
    store.commit(tx).await;
    let filter = all().with_event_types(["Happened"]).with_aggregate_types(["Thing"]);
    assert_eq!(store.read(Position::START, &filter, limit(10)).await.events.len(), 2);
}
