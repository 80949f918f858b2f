//! Clauses about versions, expected versions and the streams they belong to.

use super::Harness;
use super::fixture::{Fixture, assert_well_formed, event, events, numbers, thing};
use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version};

/// Invariant 3: versions are 1, 2, 3…, positions increase with them.
pub async fn versions_count_from_one_and_positions_increase<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for round in 0..5 {
        store.append(&thing("a"), &events(1..=3)).await;
        store.append(&thing("b"), &events(1..=round + 1)).await;
    }
    assert_well_formed(&store.log().await);
    assert_eq!(store.version(&thing("a")).await, Version::from(15));
    assert_eq!(store.version(&thing("b")).await, Version::from(15));
}

/// A result tells of this append only, and agrees with what is read back.
pub async fn an_append_returns_only_its_own_events<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let first = store.append(&thing("a"), &events(1..=2)).await;
    assert_eq!(first.from_version(), Version::NONE);
    assert_eq!(first.to_version(), Version::from(2));

    let second = store.append(&thing("a"), &events(3..=5)).await;
    assert_eq!(numbers(second.events()), [3, 4, 5]);
    assert_eq!(second.from_version(), Version::from(2));
    assert_eq!(second.to_version(), Version::from(5));
    assert_eq!(second.positions().len(), 3);
    assert!(!second.is_replay());

    let stream = store.stream(&thing("a")).await;
    let appended = [first.events(), second.events()].concat();
    assert_eq!(stream.events(), appended, "what was returned is what is stored");
    assert_eq!(stream.version(), second.to_version());
    assert_eq!(second.last_position(), stream.events()[4].position());
}

/// `Any` does not look at the version.
pub async fn any_appends_at_every_version<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for version in 1..=3 {
        let result = store.try_append(&thing("a"), ExpectedVersion::Any, &[event(1)]).await;
        assert_eq!(result.expect("no expectation").to_version(), Version::from(version));
    }
}

/// `NoStream` and `Exact(0)` admit a stream without events, and no other.
pub async fn no_stream_appends_only_to_a_new_stream<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for (id, expected) in
        [("a", ExpectedVersion::NoStream), ("b", ExpectedVersion::Exact(Version::NONE))]
    {
        store.try_append(&thing(id), expected, &events(1..=2)).await.expect("the stream is new");
        let again = store.try_append(&thing(id), expected, &[event(3)]).await;
        assert_conflict(again, &thing(id), expected, Version::from(2));
        assert_eq!(store.version(&thing(id)).await, Version::from(2));
    }
}

/// `Exact(n)` admits version n: neither a lower nor a higher one.
pub async fn exact_appends_only_at_that_version<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &events(1..=3)).await;
    for wrong in [1, 2, 4, 9] {
        let expected = ExpectedVersion::exact(wrong);
        let result = store.try_append(&thing("a"), expected, &events(4..=5)).await;
        assert_conflict(result, &thing("a"), expected, Version::from(3));
    }
    let result = store.try_append(&thing("a"), ExpectedVersion::exact(3), &events(4..=5)).await;
    assert_eq!(result.expect("the version is right").to_version(), Version::from(5));

    let expected = ExpectedVersion::exact(1);
    let result = store.try_append(&thing("new"), expected, &[event(1)]).await;
    assert_conflict(result, &thing("new"), expected, Version::NONE);
    assert!(store.stream(&thing("new")).await.is_empty());
}

/// Invariant 8: ids that differ in a single byte are different streams.
pub async fn ids_compare_byte_for_byte<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let ids =
        ["a", "A", "á", "a\u{301}", "ß", "ss", "a.", "a\u{200d}", "ａ", "0", "00", "1e0", "1"];
    for (number, id) in (1..).zip(ids) {
        let result =
            store.try_append(&thing(id), ExpectedVersion::NoStream, &[event(number)]).await;
        result.unwrap_or_else(|error| panic!("{id:?} is a stream of its own: {error}"));
    }
    for (number, id) in (1..).zip(ids) {
        assert_eq!(numbers(store.stream(&thing(id)).await.events()), [number], "{id:?}");
    }
}

/// All three names make up the stream.
pub async fn contexts_and_types_keep_streams_apart<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let names =
        [("X", "T", "1"), ("Y", "T", "1"), ("X", "U", "1"), ("X", "T", "2"), ("x", "T", "1")];
    let stream = |(context, kind, id)| StreamId::new(context, kind, id).expect("a valid name");
    for (number, name) in (1..).zip(names) {
        store
            .try_append(&stream(name), ExpectedVersion::NoStream, &[event(number)])
            .await
            .expect("a stream of its own");
    }
    for (number, name) in (1..).zip(names) {
        assert_eq!(numbers(store.stream(&stream(name)).await.events()), [number], "{name:?}");
    }
}

pub(super) fn assert_conflict(
    result: Result<AppendResult, AppendError>,
    stream: &StreamId,
    expected: ExpectedVersion,
    actual: Version,
) {
    match result {
        Err(AppendError::Conflict { stream: of, expected: wanted, actual: found }) => {
            assert_eq!((&of, wanted, found), (stream, expected, actual));
        }
        other => panic!("expecting {expected} at {actual} of {stream}: {other:?}"),
    }
}
