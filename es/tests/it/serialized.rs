//! Value types, written by serde and read again.

use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, Utc};
use es::adapter::Epoch;
use es::{
    DeadLetter, Event, EventFilter, ExpectedVersion, Horizon, HorizonHolder, Partition,
    PartitionCount, PartitionState, PersistedEvent, Position, ProjectionName, ProjectionState,
    SqlName, StreamId, Version, WorkerId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

/// In a format for people that says what it holds, and in one for machines that does not.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("it is written");
    assert_eq!(*value, serde_json::from_str(&json).expect(&json));
    let bytes = postcard::to_allocvec(value).expect("it is written");
    assert_eq!(*value, postcard::from_bytes(&bytes).expect("it is read"), "{json}");
}

fn time() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time")
}

fn stream() -> StreamId {
    StreamId::new("Sales", "Order", "ż 1").expect("a valid name")
}

fn event(payload: impl Into<Vec<u8>>) -> Event {
    Event::new("OrderPlaced", payload.into()).expect("valid").with_created_at(time())
}

fn full_event() -> Event {
    let event = event(r#"{"total":4200}"#).with_id(Uuid::from_u128(7)).with_event_version(3);
    let event = event.with_metadata(&json!({ "user": "ada" })).expect("valid");
    let event = event.with_correlation_id("req_42").expect("valid");
    event.with_causation_id("cmd-1").expect("valid").with_trace_id("00-ab-cd-01").expect("valid")
}

#[test]
fn an_event_comes_back_as_it_was() {
    for event in [event(""), event("text: ż"), event(b"\xff\0\x01".as_slice()), full_event()] {
        comes_back(&event);
        let stored = PersistedEvent::new(Position::from(3), Version::FIRST, stream(), event);
        comes_back(&stored);
        let recorded = stored.with_recorded_at(time());
        comes_back(&recorded);
        let json = serde_json::to_string(&recorded).expect("it is written");
        let read: PersistedEvent = serde_json::from_str(&json).expect("it is read");
        assert_eq!(read.recorded_at(), Some(time()), "which equality does not compare");
    }
}

#[test]
fn people_can_read_what_an_event_says() {
    let stored = PersistedEvent::new(Position::from(3), Version::FIRST, stream(), full_event());
    let written = serde_json::to_value(stored.with_recorded_at(time())).expect("it is written");
    let expected = json!({
        "position": 3,
        "version": 1,
        "stream": {
            "bounded_context": "Sales",
            "aggregate_type": "Order",
            "aggregate_id": "ż 1",
        },
        "event": {
            "id": "00000000-0000-0000-0000-000000000007",
            "event_type": "OrderPlaced",
            "event_version": 3,
            "payload": "{\"total\":4200}",
            "metadata": "{\"user\":\"ada\"}",
            "correlation_id": "req_42",
            "causation_id": "cmd-1",
            "trace_id": "00-ab-cd-01",
            "created_at": "2023-11-14T22:13:20.123456Z",
        },
        "recorded_at": "2023-11-14T22:13:20.123456Z",
    });
    assert_eq!(written, expected);
}

#[test]
fn names_numbers_and_filters_come_back_as_they_were() {
    comes_back(&stream());
    comes_back(&ProjectionName::from_static("revenue"));
    comes_back(&WorkerId::from_static("shop-0"));
    comes_back(&"orders".parse::<SqlName>().expect("a name"));
    for number in [Position::START, Position::from(7), Position::MAX] {
        comes_back(&number);
    }
    comes_back(&Version::MAX);
    comes_back(&Epoch::FIRST.next());
    for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream, ExpectedVersion::exact(3)] {
        comes_back(&expected);
    }
    comes_back(&PartitionCount::MAX);
    let partition = Partition::new(1, PartitionCount::of(4)).expect("a partition");
    comes_back(&partition);
    let filter = EventFilter::default().with_event_types(["A", "B"]).with_partition(partition);
    comes_back(&filter.with_bounded_contexts(["Sales"]).with_aggregate_types(["Order"]));
    let all: EventFilter = serde_json::from_str("{}").expect("it is read");
    assert!(all.is_unfiltered(), "what is not said wants all");
}

#[test]
fn states_come_back_as_they_were() {
    let revenue = ProjectionName::from_static("revenue");
    let mut projection = ProjectionState::new(revenue, PartitionCount::of(4));
    comes_back(&projection);
    (projection.is_paused, projection.rescale_to) = (true, Some(PartitionCount::of(6)));
    comes_back(&projection);

    let mut partition = PartitionState::new(Partition::ALL, Position::from(4), Epoch::FIRST);
    comes_back(&partition);
    (partition.replay_until, partition.stop_at) = (Position::from(2), Some(Position::from(9)));
    partition.owner = Some(WorkerId::from_static("shop-0"));
    partition.lease_left = Some(Duration::from_millis(1500));
    (partition.attempts, partition.failing_position) = (2, Some(Position::from(5)));
    partition.last_error = Some("poison".to_owned());
    comes_back(&partition);

    let stored = PersistedEvent::new(Position::from(5), Version::FIRST, stream(), event("1"));
    comes_back(&DeadLetter::queued(&stored));
    comes_back(&DeadLetter::failed(&stored, 2, "poison"));

    let mut holder = HorizonHolder::new("4711");
    holder.open_for = Some(Duration::from_secs(3));
    let horizon = Horizon::new(Position::from(5), Position::from(8));
    comes_back(&horizon.with_held_by(vec![HorizonHolder::new("4712"), holder]));
}

fn refused<T: DeserializeOwned + Debug>(json: serde_json::Value, reason: &str) {
    let error = serde_json::from_value::<T>(json).expect_err(reason).to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn what_cannot_be_is_not_read() {
    refused::<ProjectionName>(json!(" revenue"), "white space");
    refused::<WorkerId>(json!(""), "is empty");
    refused::<SqlName>(json!("a; drop table events"), "");
    refused::<Position>(json!(-1), "-1 is negative: it must be 0 to 9223372036854775807");
    refused::<Version>(json!(-7), "-7 is negative");
    refused::<PartitionCount>(json!(0), "0 partitions: choose 1 to 16384");
    refused::<Partition>(json!({ "index": 4, "total": 4 }), "the index runs from 0 to 3");
    let stream = |id: &str| json!({ "bounded_context": "Sales", "aggregate_type": "Order", "aggregate_id": id });
    refused::<StreamId>(stream("a\nb"), "control character");
    refused::<EventFilter>(json!({ "event_types": ["x".repeat(256)] }), "256 bytes, 255 at most");

    let event = serde_json::to_value(full_event()).expect("it is written");
    for (field, value, reason) in [
        ("event_type", json!("Order\u{0}"), "control character"),
        ("event_version", json!(65_536), "65536"),
        ("metadata", json!("{"), "the metadata is not valid JSON: EOF"),
        ("correlation_id", json!(""), "correlation id is empty"),
        ("causation_id", json!(" x"), "causation id"),
        ("trace_id", json!("x\t"), "trace id"),
        ("id", json!("7"), ""),
        ("payload", json!(7), "a payload: a text or bytes"),
    ] {
        let mut event = event.clone();
        event[field] = value;
        refused::<Event>(event, reason);
    }
    for (position, version) in [(0, 1), (1, 0)] {
        let stored = json!({
            "position": position, "version": version, "stream": stream("1"), "event": event,
        });
        refused::<PersistedEvent>(stored, "a position and a version of at least 1");
    }
}
