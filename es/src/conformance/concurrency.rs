//! Clauses about transactions that append side by side: capability `concurrent_appenders`.
//!
//! The schedules are placed by hand on several connections; nothing here waits for the clock.

use std::future::Future;

use super::Harness;
use super::fixture::{Fixture, Tx, assert_well_formed, event, events, limit, numbers, thing};
use crate::filter::EventFilter;
use crate::position::Position;
use crate::store::EventStore;
use crate::version::{ExpectedVersion, Version};

const ANY: ExpectedVersion = ExpectedVersion::Any;

/// Position 1 is drawn and open while position 2 commits: the edge where the log has no past.
pub async fn the_first_event_ever_is_not_skipped_while_its_transaction_is_open<H: Harness>(
    harness: H,
) {
    let store = Fixture::new(harness).await;
    let mut early = store.begin().await;
    store.append_in(&mut early, &thing("a"), ANY, &[event(1)]).await.expect("the first append");
    assert_held_at(&store, Position::START).await;

    store.append(&thing("b"), &[event(2)]).await;
    assert_held_at(&store, Position::START).await;
    store.commit(early).await;
    assert_eq!(numbers(&store.log().await), [1, 2]);
}

/// Positions commit in the reverse of the order they were drawn in.
pub async fn a_position_that_commits_late_is_not_skipped<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let past = store.append(&thing("z"), &[event(0)]).await.last_position();
    let mut open: Vec<Tx<H>> = Vec::new();
    for number in 1..=2 {
        let mut tx = store.begin().await;
        let stream = thing(&format!("s{number}"));
        store.append_in(&mut tx, &stream, ANY, &[event(number)]).await.expect("an append");
        open.push(tx);
    }
    store.append(&thing("s3"), &[event(3)]).await;
    assert_held_at(&store, past).await;
    let (first, second) = (open.remove(0), open.remove(0));
    store.commit(second).await;
    assert_held_at(&store, past).await;
    store.commit(first).await;
    let log = store.log().await;
    assert_eq!(numbers(&log), [0, 1, 2, 3]);
    assert_well_formed(&log);
}

/// The transaction's first append must still hold the log after its second.
pub async fn a_second_append_of_a_transaction_is_not_skipped<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let past = store.append(&thing("z"), &[event(0)]).await.last_position();
    let mut early = store.begin().await;
    store.append_in(&mut early, &thing("a"), ANY, &[event(1)]).await.expect("the first append");
    let between = store.append(&thing("b"), &[event(2)]).await.last_position();
    store.append_in(&mut early, &thing("c"), ANY, &[event(3)]).await.expect("the second append");
    let after = store.append(&thing("d"), &[event(4)]).await.last_position();
    assert!(past < between && between < after);
    assert_held_at(&store, past).await;
    store.commit(early).await;
    assert_eq!(numbers(&store.log().await), [0, 1, 2, 3, 4]);
}

/// An import draws its positions long before it commits, and holds the log as an append does.
pub async fn an_import_that_commits_late_is_not_skipped<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let past = store.append(&thing("z"), &[event(0)]).await.last_position();
    let mut early = store.begin().await;
    let given = [(thing("a"), event(1)), (thing("b"), event(2))];
    store.store().import(&mut early, given).await.expect("an import");
    store.append(&thing("c"), &[event(3)]).await;
    assert_held_at(&store, past).await;
    store.commit(early).await;
    assert_eq!(numbers(&store.log().await), [0, 1, 2, 3]);
}

/// A savepoint rollback takes back the first append; the next one must hold the log by itself.
pub async fn an_append_after_a_savepoint_rollback_is_not_skipped<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("z"), &[event(0)]).await;
    let mut early = store.begin().await;
    store.harness.savepoint(&mut early).await.expect("a savepoint");
    store.append_in(&mut early, &thing("a"), ANY, &[event(1)]).await.expect("an append");
    store.harness.rollback_to_savepoint(&mut early).await.expect("back to the savepoint");
    let between = store.append(&thing("b"), &[event(2)]).await.last_position();
    store.append_in(&mut early, &thing("a"), ANY, &[event(3)]).await.expect("another append");
    store.append(&thing("c"), &[event(4)]).await;

    let read = store.read_on(Position::START, &EventFilter::default(), 10).await;
    assert!(read.iter().all(|event| event.position() <= between), "4 came before 3: {read:?}");
    store.commit(early).await;
    assert_eq!(numbers(&store.log().await), [0, 2, 3, 4]);
}

/// Once an appender has rolled back, nothing waits for what it drew.
pub async fn a_rolled_back_transaction_does_not_hold_the_log<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut early = store.begin().await;
    store.append_in(&mut early, &thing("a"), ANY, &events(1..=3)).await.expect("an append");
    let last = store.append(&thing("b"), &[event(4)]).await.last_position();
    assert_held_at(&store, Position::START).await;
    store.rollback(early).await;
    assert_eq!(numbers(&store.log().await), [4]);
    let batch = store.read(last, &EventFilter::default(), limit(10)).await;
    assert!(batch.is_nothing(last), "{batch:?}");
}

/// Two transactions append the same version: one is written, and the other does not overwrite
/// it, does not fail its transaction silently and does not hang.
pub async fn a_race_for_a_version_has_one_winner<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.append(&thing("a"), &[event(0)]).await;
    let (mut first, mut second) = (store.begin().await, store.begin().await);
    let expected = ExpectedVersion::exact(1);
    store.append_in(&mut first, &thing("a"), expected, &events(1..=2)).await.expect("the winner");
    let lose = async {
        let stream = thing("a");
        let result = store.append_in(&mut second, &stream, expected, &events(3..=4)).await;
        (second, result)
    };
    let mut lose = std::pin::pin!(lose);
    // The loser begins while the winner is open: it waits, or it is refused at once.
    let refused = poll_for_a_while(lose.as_mut()).await;
    store.commit(first).await;
    let (mut second, result) = match refused {
        Some(refused) => refused,
        None => lose.await,
    };
    let error = result.expect_err("the version is taken");
    assert!(error.is_conflict() || error.is_retryable(), "{error:?}");
    if error.is_conflict() {
        store.harness.insert_row(&mut second, "orders", 1).await.expect("the transaction goes on");
        store.commit(second).await;
    } else {
        store.rollback(second).await;
    }
    assert_eq!(store.version(&thing("a")).await, Version::from(3));
    assert_eq!(numbers(&store.log().await), [0, 1, 2]);
}

/// Lets `future` get as far as it can without the winner's commit.
async fn poll_for_a_while<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    tokio::time::timeout(std::time::Duration::from_millis(50), future).await.ok()
}

/// No reader, filtered or not, gets past `position` while an appender is open, and the store
/// says that somebody holds the log.
async fn assert_held_at<H: Harness>(store: &Fixture<H>, position: Position) {
    for filter in [EventFilter::default(), EventFilter::default().with_event_types(["Happened"])] {
        let batch = store.read(position, &filter, limit(10)).await;
        assert!(batch.is_nothing(position), "{batch:?}");
    }
    let mut conn = store.conn().await;
    let horizon = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!(horizon.position, position);
    assert!(!horizon.held_by.is_empty(), "the store says who holds the log");
}
