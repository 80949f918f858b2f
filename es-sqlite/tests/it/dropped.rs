//! Futures that are dropped at any moment leave every connection usable and no transaction open.

use std::pin::pin;
use std::time::Duration;

use es::{
    Event, EventFilter, EventSource, EventStore, ExpectedVersion, Position, ReadLimit, StreamId,
    TableNames, conformance,
};
use es_sqlite::{SqliteEventStore, SqliteSource, sqlx};
use fastrand::Rng;
use futures_util::future::{Either, select};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection, SqlitePool};

use crate::harness::{SqliteHarness, migrate};

const ROUNDS: usize = 3_000;
const CONNECTIONS: u32 = 2;

/// Lets `future` go on for a while and drops it, unless it ends before.
async fn for_a_while<F: Future>(rng: &mut Rng, future: F) -> Option<F::Output> {
    let polls = match rng.u8(0..4) {
        0 => rng.u32(0..4),
        1 => rng.u32(0..60),
        _ => return Some(future.await),
    };
    let enough = async {
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
    };
    match select(pin!(future), pin!(enough)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

fn stream(rng: &mut Rng) -> StreamId {
    StreamId::new("Test", "Thing", rng.u8(0..5).to_string()).expect("a valid name")
}

fn events(rng: &mut Rng) -> Vec<Event> {
    let event = |number| Event::json("Happened", &number).expect("a valid event");
    (0..rng.usize(1..20)).map(event).collect()
}

/// Everything a projection does with a source.
async fn use_source(source: &SqliteSource, rng: &mut Rng) -> Option<()> {
    let store = source.store();
    let (stream, events, action) = (stream(rng), events(rng), rng.u8(0..6));
    let read = async || {
        let mut conn = source.acquire().await.expect("a connection");
        let (filter, limit) = (EventFilter::default(), ReadLimit::default());
        let filter = if action == 0 { filter } else { filter.with_event_types(["Happened"]) };
        let read = store.read_events(&mut conn, Position::START, &filter, limit).await;
        read.expect("a read");
        source.release(conn);
    };
    if action < 2 {
        return for_a_while(rng, read()).await;
    }
    let mut tx = for_a_while(rng, source.begin()).await?.expect("begun");
    let append = store.append(&mut tx, &stream, ExpectedVersion::Any, &events);
    for_a_while(rng, append).await?.expect("appended");
    for_a_while(rng, source.probe(&mut tx)).await?.expect("it is open");
    match action {
        2 => for_a_while(rng, source.rollback(tx)).await?.expect("rolled back"),
        3 => drop(tx),
        _ => {
            for_a_while(rng, source.check_open(&mut tx)).await?.expect("it is open");
            for_a_while(rng, source.commit(tx)).await?.expect("committed");
        }
    }
    Some(())
}

/// A service's own read, append or transaction.
async fn use_pool(pool: &SqlitePool, rng: &mut Rng) -> Option<()> {
    let store = SqliteEventStore::default();
    let (stream, events, action) = (stream(rng), events(rng), rng.u8(0..6));
    if action < 2 {
        let mut conn = for_a_while(rng, pool.acquire()).await?.expect("a connection");
        if action == 0 {
            let read = store.read_stream(&mut conn, &stream, ..);
            for_a_while(rng, read).await?.expect("a read");
        } else {
            let append = store.append(&mut conn, &stream, ExpectedVersion::Any, &events);
            for_a_while(rng, append).await?.expect("appended");
        }
        return Some(());
    }
    let mut tx = for_a_while(rng, pool.begin_with("BEGIN IMMEDIATE")).await?.expect("begun");
    let append = store.append(&mut tx, &stream, ExpectedVersion::Any, &events);
    for_a_while(rng, append).await?.expect("appended");
    if action == 2 {
        for_a_while(rng, tx.rollback()).await?.expect("rolled back");
    } else {
        for_a_while(rng, tx.commit()).await?.expect("committed");
    }
    Some(())
}

/// On each connection at once: none is in a transaction, and one that is dropped is rolled back.
async fn assert_all_usable(pool: &SqlitePool, round: usize) {
    let mut conns = Vec::new();
    for _ in 0..CONNECTIONS {
        let conn = pool.acquire().await;
        conns.push(conn.unwrap_or_else(|error| panic!("round {round}: {error}")));
    }
    for conn in &mut conns {
        let begun = sqlx::raw_sql("begin; rollback").execute(&mut **conn).await;
        begun.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let begun = conn.begin_with("BEGIN IMMEDIATE").await;
        let mut tx = begun.unwrap_or_else(|error| panic!("round {round}: {error}"));
        sqlx::raw_sql("insert into kept values (1)").execute(&mut *tx).await.expect("inserted");
        drop(tx);
        let kept = sqlx::query_scalar("select count(*) from kept").fetch_one(&mut **conn).await;
        assert_eq!(kept.ok(), Some(0_i64), "round {round}: what is dropped is rolled back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_future_leaves_every_connection_usable() {
    let mut rng = Rng::with_seed(conformance::seed());
    let harness = SqliteHarness::new();
    let options = SqlitePoolOptions::new().max_connections(CONNECTIONS);
    let options = options.acquire_timeout(Duration::from_secs(20));
    let file = harness.options();
    let pool = options.connect_with(file).await.expect("a file");
    migrate(&pool, &TableNames::default()).await;
    sqlx::raw_sql("create table kept (number integer)").execute(&pool).await.expect("a table");
    let source = SqliteSource::new(pool.clone(), SqliteEventStore::default());
    let mut dropped = 0;
    for round in 0..ROUNDS {
        let used = if rng.bool() {
            use_pool(&pool, &mut rng).await
        } else {
            use_source(&source, &mut rng).await
        };
        dropped += usize::from(used.is_none());
        if rng.u8(0..3) == 0 {
            assert_all_usable(&pool, round).await;
        }
    }
    assert!(dropped > ROUNDS / 10 && dropped < ROUNDS, "{dropped} of {ROUNDS} were dropped");
    assert_all_usable(&pool, ROUNDS).await;
}
