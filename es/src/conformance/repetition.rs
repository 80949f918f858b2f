//! Clauses about event ids that the store holds already.

use uuid::Uuid;

use super::Harness;
use super::fixture::{Fixture, event, events, numbers, thing};
use crate::append_error::AppendError;
use crate::event::Event;
use crate::version::ExpectedVersion;

/// Repeating an append that succeeded, with the same ids, gives the first result again.
pub async fn a_repeated_append_returns_what_it_wrote_first<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &[event(0)]).await;
    let again = events(1..=3);
    let expected = [ExpectedVersion::exact(1), ExpectedVersion::Any, ExpectedVersion::exact(4)];
    let first = store.try_append(&thing("a"), expected[0], &again).await.expect("the first time");
    for expected in expected {
        let replay = store.try_append(&thing("a"), expected, &again).await.expect("a repetition");
        assert!(replay.is_replay());
        assert_eq!(replay.events(), first.events(), "expecting {expected}");
    }
    store.append(&thing("a"), &[event(4)]).await;
    let mut tx = store.begin().await;
    let late = store.append_in(&mut tx, &thing("a"), expected[0], &again).await;
    assert!(late.expect("the stream has moved on").is_replay());
    let next = store.append_in(&mut tx, &thing("a"), ExpectedVersion::exact(5), &[event(5)]).await;
    assert!(!next.expect("the transaction is usable").is_replay());
    store.commit(tx).await;
    assert_eq!(numbers(&store.log().await), [0, 1, 2, 3, 4, 5]);
}

/// An id that is taken is named, unless it is the whole append that is repeated.
pub async fn a_taken_event_id_is_rejected_and_the_transaction_stays_usable<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let known = events(1..=3);
    store.append(&thing("a"), &known).await;
    let reversed: Vec<Event> = known.iter().rev().cloned().collect();
    let cases = [
        ("a part of an earlier append", thing("a"), known[..2].to_vec(), true),
        ("a known event first", thing("a"), vec![known[2].clone(), event(4)], false),
        ("a known event last", thing("a"), vec![event(4), known[0].clone()], false),
        ("the same events in another order", thing("a"), reversed, false),
        ("an event of another stream", thing("b"), vec![known[1].clone()], false),
        (
            "a new event and one of another stream",
            thing("b"),
            vec![event(4), known[1].clone()],
            false,
        ),
    ];
    for expected in [ExpectedVersion::Any, ExpectedVersion::exact(3), ExpectedVersion::exact(1)] {
        for (what, stream, events, is_replay) in &cases {
            let mut tx = store.begin().await;
            store.harness.insert_row(&mut tx, what, 1).await.expect("a row");
            match store.append_in(&mut tx, stream, expected, events).await {
                Ok(replay) => assert!(*is_replay && replay.is_replay(), "{what}: {replay:?}"),
                Err(AppendError::DuplicateEventId { event_id, stream, .. }) => {
                    assert!(!is_replay, "{what} repeats consecutive events");
                    assert!(known.iter().any(|known| known.id() == event_id), "{what}");
                    assert_eq!(stream, thing("a"), "{what}");
                }
                Err(other) => panic!("{what}, expecting {expected}: {other:?}"),
            }
            store.harness.insert_row(&mut tx, what, 2).await.expect("the transaction is usable");
            store.commit(tx).await;
        }
    }
    assert_eq!(numbers(&store.log().await), [1, 2, 3]);
}

/// Whether an id is taken is a question of this id, not of those below and above it.
pub async fn new_event_ids_may_lie_around_taken_ones<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    // Of version 7, drawn in one millisecond.
    let base = 0x0189_0000_0000_7000_8000_0000_0000_0000;
    let with_id =
        |id: &i64| event(*id).with_id(Uuid::from_u128(base + u128::from(id.unsigned_abs())));
    let with_ids = |ids: &[i64]| -> Vec<Event> { ids.iter().map(with_id).collect() };
    store.append(&thing("a"), &with_ids(&[10, 30, 20])).await;
    store.append(&thing("b"), &with_ids(&[40, 25, 5, 15])).await;
    for ids in [[1, 2, 20], [50, 15, 60], [6, 45, 5]] {
        let any = ExpectedVersion::Any;
        let rejected = store.try_append(&thing("c"), any, &with_ids(&ids)).await;
        assert!(matches!(rejected, Err(AppendError::DuplicateEventId { .. })), "{rejected:?}");
    }
    store.append(&thing("c"), &with_ids(&[1, 50, 2])).await;
    assert_eq!(numbers(&store.log().await), [10, 30, 20, 40, 25, 5, 15, 1, 50, 2]);
}
