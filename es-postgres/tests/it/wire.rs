//! What goes over the wire: an append is one statement and one round trip.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::Harness;
use es::{Event, EventStore, ExpectedVersion, Partition, PartitionCount, StreamId};
use es_postgres::PgSource;
use es_postgres::sqlx::postgres::PgPoolOptions;
use es_postgres::sqlx::{Connection, PgConnection};
use projection::conformance::Recorder;
use projection::{Operator, OperatorError, Processor, Projection};
use tokio_util::sync::CancellationToken;

use crate::harness::PgHarness;
use crate::proxy::{Counts, Proxy};

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn events(count: i64) -> Vec<Event> {
    (0..count).map(|number| Event::json("Happened", &number).expect("a valid event")).collect()
}

fn assert_one_statement(what: &str, counts: &Counts) {
    assert_eq!(counts.round_trips, 1, "{what}: {counts:?}");
    let executed: Vec<_> = counts.executed.iter().collect();
    assert!(matches!(executed[..], [(_, 1)]), "{what}: {executed:?}");
    assert!(executed[0].0.starts_with("-- Appends "), "{what}");
}

#[tokio::test]
async fn an_append_of_any_size_is_one_statement_and_one_round_trip() {
    let harness = PgHarness::new();
    let source = harness.source().await;
    let proxy = Proxy::start(&harness.options()).await;
    let mut conn =
        PgConnection::connect_with(&proxy.options(harness.options())).await.expect("a connection");
    let store = harness.store();
    let any = ExpectedVersion::Any;
    for count in [1, 2] {
        let appended = store.append(&mut conn, &stream("a"), any, &events(count)).await;
        appended.expect("one and several events each prepare once");
    }

    for count in [1, 2, 100, 3000] {
        proxy.take();
        store.append(&mut conn, &stream("a"), any, &events(count)).await.expect("appended");
        assert_one_statement(&format!("{count} events outside a transaction"), &proxy.take());

        let mut tx = conn.begin().await.expect("a transaction");
        harness.insert_row(&mut tx, "orders", count).await.expect("a row of the caller's own");
        proxy.take();
        store.append(&mut tx, &stream("b"), any, &events(count)).await.expect("appended");
        assert_one_statement(&format!("{count} events inside a transaction"), &proxy.take());
        tx.commit().await.expect("the transaction commits");
    }
    drop(source);
}

/// Eight partitions that are idle ask for the horizon together, and an idle poll reads no events.
#[tokio::test]
async fn the_partitions_of_a_processor_share_the_horizon() {
    let harness = Arc::new(PgHarness::new());
    let source = harness.source().await;
    projection::conformance::append_numbers(
        &es::conformance::Fixture { harness: Arc::clone(&harness), source: source.clone() },
        20,
    )
    .await;
    let proxy = Proxy::start(&harness.options()).await;
    let pool = PgPoolOptions::new()
        .test_before_acquire(false)
        .connect_with(proxy.options(harness.options()))
        .await
        .expect("a pool");
    let direct = source;
    let source = Arc::new(PgSource::new(pool, harness.store()));
    let recorder = Arc::new(Recorder::new(Arc::clone(&harness), "p"));
    let partitions = Partition::split(PartitionCount::of(8));
    let processor =
        Processor::new(source).with_projection(Arc::clone(&recorder)).with_assigned(partitions);
    let shutdown = CancellationToken::new();
    let observe = async {
        while !has_caught_up(&direct, recorder.name()).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.take();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let counts = proxy.take();
        shutdown.cancel();
        counts
    };
    let (ran, counts) = futures_util::future::join(processor.run(shutdown.clone()), observe).await;
    ran.expect("it runs until the shutdown");
    let horizons: usize = counts
        .executed
        .iter()
        .filter(|(sql, _)| sql.starts_with("-- How far the log can be read"))
        .map(|(_, times)| times)
        .sum();
    // Each of the eight waits 100 ms between polls, which alone would ask 160 times.
    assert!((5..=60).contains(&horizons), "{counts:?}");
    assert_eq!(horizons, counts.executed.values().sum::<usize>(), "{counts:?}");
}

/// Whether all eight are at the end, so that none has a checkpoint left to save.
async fn has_caught_up(source: &PgSource, name: &es::ProjectionName) -> bool {
    let lag = match Operator::new(source).lag(name).await {
        // No worker has registered it yet.
        Err(OperatorError::UnknownProjection { .. }) => return false,
        lag => lag.expect("the lag"),
    };
    lag.len() == 8 && lag.iter().all(|lag| lag.positions() == 0)
}
