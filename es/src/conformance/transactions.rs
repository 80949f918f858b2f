//! Clauses about the caller's transaction: what commits together, and what a conflict leaves.

use super::Harness;
use super::append::assert_conflict;
use super::fixture::{Fixture, assert_well_formed, event, events, numbers, thing};
use crate::append_error::AppendError;
use crate::error::StoreError;
use crate::store::EventStore;
use crate::version::{ExpectedVersion, Version};

/// Promise 3: a conflict is a value, and the caller's transaction goes on.
pub async fn a_stale_version_is_rejected_and_the_transaction_stays_usable<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &events(1..=2)).await;

    let mut tx = store.begin().await;
    store.harness.insert_row(&mut tx, "orders", 1).await.expect("a row before the conflict");
    let expected = ExpectedVersion::exact(1);
    let result = store.append_in(&mut tx, &thing("a"), expected, &events(3..=4)).await;
    assert_conflict(result, &thing("a"), expected, Version::from(2));
    store.harness.insert_row(&mut tx, "orders", 2).await.expect("a row after the conflict");
    store
        .append_in(&mut tx, &thing("a"), ExpectedVersion::exact(2), &[event(3)])
        .await
        .expect("an append after the conflict");
    store.commit(tx).await;

    let mut conn = store.conn().await;
    assert_eq!(store.harness.rows(&mut conn, "orders").await.expect("rows"), [1, 2]);
    drop(conn);
    assert_eq!(numbers(&store.log().await), [1, 2, 3]);
}

/// Invariant 1: the caller's rollback takes the events along.
pub async fn a_rollback_leaves_nothing<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut tx = store.begin().await;
    store.harness.insert_row(&mut tx, "orders", 1).await.expect("a row");
    store
        .append_in(&mut tx, &thing("a"), ExpectedVersion::NoStream, &events(1..=3))
        .await
        .expect("the append succeeds");
    store.rollback(tx).await;

    let mut conn = store.conn().await;
    assert!(store.harness.rows(&mut conn, "orders").await.expect("rows").is_empty());
    drop(conn);
    assert!(store.stream(&thing("a")).await.is_empty());
    assert!(store.log().await.is_empty());
    let again = store.try_append(&thing("a"), ExpectedVersion::NoStream, &[event(4)]).await;
    assert_eq!(again.expect("the stream is still new").to_version(), Version::FIRST);
}

/// Promise 1: the caller's rows and their events commit together, and several streams with them.
pub async fn rows_and_events_commit_together<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut tx = store.begin().await;
    for (number, id) in (1..).zip(["a", "b", "a"]) {
        store.harness.insert_row(&mut tx, "orders", number).await.expect("a row");
        let result =
            store.append_in(&mut tx, &thing(id), ExpectedVersion::Any, &[event(number)]).await;
        result.expect("the append succeeds");
    }
    assert!(store.log().await.is_empty(), "nobody sees an event before the commit");
    store.commit(tx).await;

    let mut conn = store.conn().await;
    assert_eq!(store.harness.rows(&mut conn, "orders").await.expect("rows"), [1, 2, 3]);
    drop(conn);
    let log = store.log().await;
    assert_eq!(numbers(&log), [1, 2, 3]);
    assert_well_formed(&log);
}

/// A savepoint of the caller's own works as it does for any other statement.
pub async fn a_savepoint_undoes_only_what_came_after_it<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut tx = store.begin().await;
    let any = ExpectedVersion::Any;
    store.append_in(&mut tx, &thing("a"), any, &[event(1)]).await.expect("before");
    store.harness.savepoint(&mut tx).await.expect("a savepoint");
    store.append_in(&mut tx, &thing("a"), any, &events(2..=3)).await.expect("after");
    store.append_in(&mut tx, &thing("b"), any, &[event(4)]).await.expect("after");
    store.harness.rollback_to_savepoint(&mut tx).await.expect("back to the savepoint");
    store
        .append_in(&mut tx, &thing("a"), ExpectedVersion::exact(1), &[event(5)])
        .await
        .expect("the version is that of the savepoint");
    store.commit(tx).await;

    let log = store.log().await;
    assert_eq!(numbers(&log), [1, 5]);
    assert_well_formed(&log);
}

/// Capability `append_outside_a_transaction`.
pub async fn an_append_outside_a_transaction_commits_by_itself<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut conn = store.conn().await;
    let result = store
        .append_in(&mut conn, &thing("a"), ExpectedVersion::NoStream, &events(1..=3))
        .await
        .expect("the append succeeds");
    drop(conn);
    assert_eq!(store.stream(&thing("a")).await.events(), result.events());
}

/// Capability `append_outside_a_transaction`: all or nothing holds there as well.
pub async fn a_rejected_append_outside_a_transaction_writes_nothing<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let known = store.append(&thing("a"), &events(1..=2)).await;
    let mut conn = store.conn().await;
    let expected = ExpectedVersion::exact(1);
    let stale = store.append_in(&mut conn, &thing("a"), expected, &events(3..=4)).await;
    assert_conflict(stale, &thing("a"), expected, Version::from(2));
    let taken = vec![event(3), event(4).with_id(known.events()[0].id())];
    let result = store.append_in(&mut conn, &thing("b"), ExpectedVersion::Any, &taken).await;
    assert!(matches!(result, Err(AppendError::DuplicateEventId { .. })), "{result:?}");
    let version = store.store().stream_version(&mut conn, &thing("b")).await;
    assert_eq!(version.expect("the connection is usable"), Version::NONE);
    drop(conn);
    assert_eq!(numbers(&store.log().await), [1, 2]);
}

/// Capability `append_inside_transactions_only`.
pub async fn an_append_outside_a_transaction_is_refused<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut conn = store.conn().await;
    for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream] {
        let result = store.append_in(&mut conn, &thing("a"), expected, &events(1..=3)).await;
        let Err(AppendError::Store(StoreError::NoTransaction { .. })) = result else {
            panic!("{result:?}");
        };
    }
    let version = store.store().stream_version(&mut conn, &thing("a")).await;
    assert_eq!(version.expect("the connection is usable"), Version::NONE);
    drop(conn);
    store.append(&thing("b"), &[event(4)]).await;
    assert_eq!(numbers(&store.log().await), [4], "nothing was written, and nothing holds the log");
}
