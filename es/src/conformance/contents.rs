//! Clauses about what an event may hold, and how much.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Harness;
use super::fixture::{Fixture, assert_well_formed, event, numbers, thing};
use crate::append_error::AppendError;
use crate::event::Event;
use crate::invalid_append::{
    APPEND_EVENTS_MAX, InvalidAppend, METADATA_BYTES_MAX, PAYLOAD_BYTES_MAX,
};
use crate::stream_id::StreamId;
use crate::version::ExpectedVersion;

fn with_new_id(event: Event) -> Event {
    event.with_id(Uuid::now_v7())
}

/// Every field of an event is read back as it was appended, alone and among many.
pub async fn every_field_survives<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let created_at = |micros| DateTime::<Utc>::from_timestamp_micros(micros).expect("in range");
    let full = Event::new("Tüp €", vec![0, 1, 2, 0, 255, 39, 92])
        .and_then(|event| event.with_metadata(&serde_json::json!({ "a": [1, "x'\\\u{1F600}"] })))
        .expect("a valid event")
        .with_event_version(7)
        .with_correlation_id("req_42")
        .expect("a valid id")
        .with_causation_id(Uuid::from_u128(u128::MAX).to_string())
        .expect("a valid id")
        .with_trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .expect("a valid id")
        .with_created_at(created_at(1_700_000_000_123_457));
    let bare = Event::new("Bare", Vec::new()).expect("a valid event");
    let old = bare.clone().with_id(Uuid::nil()).with_created_at(created_at(-1));
    let late = bare
        .clone()
        .with_id(Uuid::max())
        .with_event_version(u16::MAX)
        .with_created_at("9999-12-31T23:59:59.999999Z".parse().expect("a time"));
    let early = bare
        .clone()
        .with_id(Uuid::from_u128(2))
        .with_event_version(0)
        .with_created_at("1000-01-01T00:00:00Z".parse().expect("a time"));
    let few = vec![full, bare, old, late, early];
    let many: Vec<Event> = few.iter().cycle().take(40).cloned().map(with_new_id).collect();
    store.append(&thing("few"), &few).await;
    store.append(&thing("many"), &many).await;

    let appends = [("few", few), ("many", many)];
    let in_streams = appends.iter().flat_map(|(name, events)| events.iter().map(|e| (*name, e)));
    let appended: Vec<_> = in_streams.collect();
    let mut read_back = store.stream(&thing("few")).await.into_events();
    read_back.extend(store.stream(&thing("many")).await.into_events());
    for read in [read_back, store.log().await] {
        assert_eq!(read.len(), appended.len());
        for (read, (name, appended)) in read.iter().zip(&appended) {
            assert_eq!(*read.stream(), thing(name));
            assert_eq!(read.slot(), thing(name).slot());
            assert_eq!(read.id(), appended.id());
            assert_eq!(read.event_type(), appended.event_type());
            assert_eq!(read.event_version(), appended.event_version());
            assert_eq!(read.payload(), appended.payload());
            assert_eq!(read.correlation_id(), appended.correlation_id());
            assert_eq!(read.causation_id(), appended.causation_id());
            assert_eq!(read.trace_id(), appended.trace_id());
            assert_eq!(read.created_at(), appended.created_at());
            let json = |text: Option<&str>| {
                text.map(|text| {
                    serde_json::from_str::<serde_json::Value>(text).expect("JSON comes back")
                })
            };
            assert_eq!(json(read.metadata()), json(appended.metadata()));
        }
    }
}

/// Each name may have 255 bytes, all at once.
pub async fn the_longest_names_fit<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let (long, wide) = ("x".repeat(255), "ż".repeat(127));
    for name in [long, wide] {
        let stream = StreamId::new(&name, &name, &name).expect("255 bytes are allowed");
        let event = Event::new(&name, "payload").expect("255 bytes are allowed");
        store.append(&stream, &[event]).await;
        assert_eq!(store.stream(&stream).await.events()[0].event_type(), name);
    }
}

/// Invariant 2: what is refused beforehand writes nothing and harms nothing.
pub async fn invalid_appends_are_refused_and_write_nothing<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let twin = event(1);
    let large = vec![b' '; PAYLOAD_BYTES_MAX + 1];
    let most = Event::new("Most", vec![b' '; PAYLOAD_BYTES_MAX]).expect("a valid event");
    let mut metadata = vec![b' '; METADATA_BYTES_MAX];
    metadata.push(b'1');
    let cases = [
        (vec![], InvalidAppend::NoEvents),
        (
            (0..=APPEND_EVENTS_MAX).map(|_| event(1)).collect(),
            InvalidAppend::TooManyEvents { count: APPEND_EVENTS_MAX + 1 },
        ),
        (
            vec![event(1), Event::new("Large", large).expect("the append checks the size")],
            InvalidAppend::PayloadTooLarge { index: 1, bytes: PAYLOAD_BYTES_MAX + 1 },
        ),
        (
            vec![event(1).with_metadata_json(metadata).expect("valid JSON")],
            InvalidAppend::MetadataTooLarge { index: 0, bytes: METADATA_BYTES_MAX + 1 },
        ),
        (
            (0..17).map(|_| most.clone().with_id(Uuid::now_v7())).collect(),
            InvalidAppend::AppendTooLarge { bytes: 17 * PAYLOAD_BYTES_MAX },
        ),
        (
            vec![twin.clone(), event(2), twin.clone()],
            InvalidAppend::RepeatedEventId { index: 2, event_id: twin.id() },
        ),
        (
            vec![event(1).with_created_at(DateTime::UNIX_EPOCH - chrono::TimeDelta::days(365_250))],
            InvalidAppend::CreatedAtOutOfRange {
                index: 0,
                created_at: DateTime::UNIX_EPOCH - chrono::TimeDelta::days(365_250),
            },
        ),
    ];
    let mut tx = store.begin().await;
    for (events, reason) in cases {
        let result = store.append_in(&mut tx, &thing("a"), ExpectedVersion::Any, &events).await;
        match result {
            Err(AppendError::Invalid(invalid)) => assert_eq!(invalid, reason),
            other => panic!("{reason} was answered with {other:?}"),
        }
    }
    store
        .append_in(&mut tx, &thing("a"), ExpectedVersion::NoStream, &[event(9)])
        .await
        .expect("the transaction is usable");
    store.commit(tx).await;
    assert_eq!(numbers(&store.log().await), [9]);
}

/// The documented maximum of events fits one append.
pub async fn the_largest_append_is_stored<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let most: Vec<Event> = (1..).map(event).take(APPEND_EVENTS_MAX).collect();
    let result = store.append(&thing("a"), &most).await;
    assert_eq!(result.events().len(), APPEND_EVENTS_MAX);
    let stream = store.stream(&thing("a")).await;
    assert_eq!(stream.events(), result.events());
    assert_eq!(stream.len(), APPEND_EVENTS_MAX);
    assert_well_formed(&store.log().await);
}

/// The documented maximum of a payload fits.
pub async fn the_largest_payload_is_stored<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(PAYLOAD_BYTES_MAX).collect();
    let large = Event::new("Large", payload.clone()).expect("a valid event");
    store.append(&thing("a"), &[large]).await;
    assert!(store.stream(&thing("a")).await.events()[0].payload() == payload, "it is the same");
}
