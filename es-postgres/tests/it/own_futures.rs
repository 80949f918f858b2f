//! Futures of sqlx that users drop themselves: which of them leave a connection that can be used.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::{Fixture, seed};
use es::{Event, EventFilter, EventSource, EventStore, Position, ReadLimit, StoreError};
use es_postgres::PgSource;
use es_postgres::sqlx::postgres::PgPoolOptions;
use es_postgres::sqlx::{Connection, PgConnection};
use fastrand::Rng;
use tokio::time::timeout;

use crate::dropped::{ANY, assert_whole, for_polls, once, small_source, stream};
use crate::harness::PgHarness;

/// How many futures the test drops, or lets end.
const FUTURES: usize = 2000;

fn event() -> Event {
    Event::json("Happened", &1).expect("a valid event")
}

/// A pool of one connection, which has been used.
async fn source_of_one(store: &Fixture<Arc<PgHarness>>) -> PgSource {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_with(store.harness.options())
        .await
        .expect("a pool");
    PgSource::new(pool, store.harness.store())
}

/// Waits until the connection is in the pool again, so that a `begin` need not wait for it.
async fn until_idle(source: &PgSource) {
    while source.pool().num_idle() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Drops the future of a savepoint before its answer is there.
async fn drop_a_savepoint(conn: &mut PgConnection) {
    while let Some(begun) = once(conn.begin()).await {
        begun.expect("a savepoint").rollback().await.expect("rolled back");
    }
}

/// Appends an event outside any transaction, and says whether others see it.
async fn is_kept(source: &PgSource, other: &mut PgConnection) -> bool {
    let kept = stream("kept");
    let mut conn = source.pool().acquire().await.expect("the connection");
    source.store().append(&mut conn, &kept, ANY, &[event()]).await.expect("an append");
    let read = source.store().read_stream(other, &kept, ..).await.expect("a read");
    read.len() == 1
}

/// The future of the one must not be dropped, that of the other may.
#[tokio::test]
async fn a_pools_begin_that_is_dropped_leaves_a_transaction_in_the_pool_and_the_sources_does_not() {
    for by_source in [false, true] {
        let store = Fixture::new(Arc::new(PgHarness::new())).await;
        let source = source_of_one(&store).await;
        let mut other = PgConnection::connect_with(&store.harness.options()).await.expect("one");
        // Polled once, `begin` has been sent. If its answer is there already, once again.
        if by_source {
            while let Some(begun) = once(source.begin()).await {
                source.rollback(begun.expect("begun")).await.expect("rolled back");
                until_idle(&source).await;
            }
        } else {
            while let Some(begun) = once(source.pool().begin()).await {
                begun.expect("begun").rollback().await.expect("rolled back");
                until_idle(&source).await;
            }
        }
        assert_eq!(is_kept(&source, &mut other).await, by_source);
    }
}

/// The rollback that sqlx sends is that of the whole transaction.
#[tokio::test]
async fn a_savepoint_whose_future_is_dropped_ends_the_transaction() {
    let store = Fixture::new(Arc::new(PgHarness::new())).await;
    let source = source_of_one(&store).await;
    let mut other = PgConnection::connect_with(&store.harness.options()).await.expect("one");
    let (before, after) = (stream("before"), stream("after"));
    let mut tx = source.pool().begin().await.expect("begun");
    source.store().append(&mut tx, &before, ANY, &[event()]).await.expect("an append");
    drop_a_savepoint(&mut tx).await;
    source.store().append(&mut tx, &after, ANY, &[event()]).await.expect("an append");
    let mut read = Vec::new();
    for stream in [before, after] {
        let events = source.store().read_stream(&mut other, &stream, ..).await;
        read.push(events.expect("a read").len());
    }
    assert_eq!(read, [0, 1], "the one is rolled back, the other is committed by itself");
    tx.commit().await.expect("there is nothing to commit");
}

/// A handler that goes on after it has dropped one saves no checkpoint.
#[tokio::test]
async fn a_sources_transaction_that_a_dropped_savepoint_has_ended_is_noticed() {
    let store = Fixture::new(Arc::new(PgHarness::new())).await;
    let source = source_of_one(&store).await;
    let mut tx = source.begin().await.expect("begun");
    tx.begin().await.expect("a savepoint").rollback().await.expect("rolled back");
    source.check_open(&mut tx).await.expect("it is open");
    source.probe(&mut tx).await.expect("it is open");
    drop_a_savepoint(&mut tx).await;
    let error = source.check_open(&mut tx).await.expect_err("it has ended");
    assert!(matches!(error, StoreError::NoTransaction { .. }), "{error:?}");
    source.probe(&mut tx).await.expect_err("it has ended");
}

/// One thing that a service does on connections of the pool's own, by number; `begin` alone is
/// never dropped.
async fn something(random: &mut Rng, source: &PgSource) -> Option<()> {
    let store = source.store();
    let name = stream(&format!("own-{}", random.u8(..7)));
    let (number, polls) = (random.u8(..4), random.u32(1..15));
    if number == 0 {
        let read = async {
            let mut conn = source.pool().acquire().await.map_err(StoreError::database)?;
            let (filter, limit) = (EventFilter::default(), ReadLimit::default());
            store.read_events(&mut conn, Position::START, &filter, limit).await?;
            store.read_stream(&mut conn, &stream("filled-1"), ..).await
        };
        return for_polls(random, polls, read).await.map(|read| drop(read.expect("a read")));
    }
    if number == 1 {
        let append = async {
            let mut conn = source.pool().acquire().await.map_err(StoreError::database)?;
            store.append(&mut conn, &name, ANY, &[event()]).await
        };
        return for_polls(random, polls, append).await.map(|done| drop(done.expect("appended")));
    }
    let mut tx = source.pool().begin().await.expect("begun");
    let events = [event()];
    let append = store.append(&mut tx, &name, ANY, &events);
    for_polls(random, polls, append).await?.expect("appended");
    let ended = async { if number == 2 { tx.commit().await } else { tx.rollback().await } };
    for_polls(random, polls, ended).await?.expect("ended");
    Some(())
}

#[tokio::test]
async fn reads_appends_and_commits_of_the_pools_own_connections_can_be_dropped() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let store = Fixture::new(Arc::new(PgHarness::new())).await;
    let name = format!("own {} {seed}", std::process::id());
    let source = small_source(&store, &name).await;
    let mut other = PgConnection::connect_with(&store.harness.options()).await.expect("one");
    let mut dropped = 0;
    for round in 0..FUTURES {
        dropped += usize::from(something(&mut random, &source).await.is_none());
        if random.u8(..8) == 0 {
            let whole = assert_whole(&source, &mut other, &name, round);
            timeout(Duration::from_mins(1), whole).await.expect("a pool that can be used");
        }
    }
    assert!(dropped > FUTURES / 10 && dropped < FUTURES, "{dropped} of {FUTURES} were dropped");
    assert_whole(&source, &mut other, &name, FUTURES).await;
}
