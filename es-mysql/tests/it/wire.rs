//! What goes over the wire: how many round trips an append and a poll take.

use es::conformance::Harness;
use es::{EventFilter, EventStore, ExpectedVersion, Position, ReadLimit};
use es_mysql::sqlx::{ConnectOptions, Connection};

use crate::harness::MySqlHarness;
use crate::proxy::Proxy;
use crate::schedule::{ANY, events, stream};
use es_mysql::MySqlEventStore;

#[tokio::test]
async fn an_append_of_any_size_takes_three_round_trips_at_most() {
    let harness = MySqlHarness::new();
    let _source = harness.source().await;
    let proxy = Proxy::start(&harness.options()).await;
    let mut conn = proxy.options(harness.options()).connect().await.expect("a connection");
    let store = MySqlEventStore::default();
    for (count, first, later) in [(1, 3, 2), (2, 3, 2), (16, 3, 2), (17, 2, 2), (3000, 3, 3)] {
        for expected in [first, later] {
            let mut tx = conn.begin().await.expect("a transaction");
            harness.insert_row(&mut tx, "orders", count).await.expect("a row of the caller's own");
            proxy.take();
            store.append(&mut tx, &stream("a"), ANY, &events(count)).await.expect("appended");
            let commands = proxy.take();
            assert_eq!(commands.len(), expected, "{count} events: {commands:#?}");
            tx.commit().await.expect("the transaction commits");
        }
    }
}

#[tokio::test]
async fn a_conflict_is_known_after_the_first_round_trip() {
    let harness = MySqlHarness::new();
    let _source = harness.source().await;
    let proxy = Proxy::start(&harness.options()).await;
    let mut conn = proxy.options(harness.options()).connect().await.expect("a connection");
    let store = MySqlEventStore::default();
    let mut tx = conn.begin().await.expect("a transaction");
    proxy.take();
    let result = store.append(&mut tx, &stream("a"), ExpectedVersion::exact(5), &events(2)).await;
    assert!(result.expect_err("stale").is_conflict());
    let commands = proxy.take();
    assert!(!commands.iter().any(|command| command.contains("insert into `events` ")));
    // It asks whether the events are stored already, and prepares to ask for the version.
    assert_eq!(commands.len(), 4, "{commands:#?}");
    tx.rollback().await.expect("rolled back");
}

/// A poll that finds nothing is one round trip, and so is a read.
#[tokio::test]
async fn a_poll_and_a_read_are_one_round_trip_each() {
    let harness = MySqlHarness::new();
    let source = harness.source().await;
    let store = MySqlEventStore::default();
    let mut tx = source.pool().begin().await.expect("a transaction");
    store.append(&mut tx, &stream("a"), ANY, &events(10)).await.expect("appended");
    tx.commit().await.expect("committed");
    let proxy = Proxy::start(&harness.options()).await;
    let mut conn = proxy.options(harness.options()).connect().await.expect("a connection");
    proxy.take();
    let horizon = store.horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!((horizon.position, proxy.take().len()), (10.into(), 1));
    store.horizon(&mut conn, 10.into()).await.expect("a horizon");
    assert_eq!(proxy.take().len(), 1);
    let unfiltered = EventFilter::default();
    let batch = store.read_events(&mut conn, Position::START, &unfiltered, ReadLimit::default());
    assert_eq!(batch.await.expect("a batch").events.len(), 10);
    assert_eq!(proxy.take().len(), 1, "a log without holes needs no horizon");
}
