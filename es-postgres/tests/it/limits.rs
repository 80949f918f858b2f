//! The server itself ends a transaction whose client hangs, vanishes or does not read on.

use std::time::Duration;

use es::adapter::CheckpointStore;
use es::conformance::Fixture;
use es::{Cause, EventSource, Partition, ProjectionName, StoreError};
use es_postgres::PgSource;
use es_postgres::sqlx;
use es_postgres::sqlx::error::DatabaseError;
use futures_util::TryStreamExt;

use crate::harness::{PgHarness, execute};
use crate::proxy::Proxy;

const LIMIT: Duration = Duration::from_millis(300);

/// Longer than the limit, and a limit for a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

/// A transaction with a time limit that has a row locked.
async fn holder(source: &PgSource) -> <PgSource as EventSource>::Transaction {
    let mut tx = source.begin_within(LIMIT).await.expect("a transaction");
    let registered = source.store().register_checkpoint(&mut tx, &name(), Partition::ALL).await;
    registered.expect("registered");
    source.commit(tx).await.expect("committed");
    let mut tx = source.begin_within(LIMIT).await.expect("a transaction");
    let locked = source.store().lock_checkpoint(&mut tx, &name(), Partition::ALL).await;
    locked.expect("locked");
    tx
}

async fn assert_row_becomes_free(store: &Fixture<PgHarness>) {
    let mut tx = store.begin().await;
    let name = name();
    let locked = store.store().lock_checkpoint(&mut tx, &name, Partition::ALL);
    let locked = tokio::time::timeout(PATIENCE, locked).await.expect("the server frees the row");
    locked.expect("locked");
    store.commit(tx).await;
}

#[tokio::test]
async fn a_transaction_whose_client_does_nothing_is_ended_by_the_server() {
    let store = Fixture::new(PgHarness::new()).await;
    let hanging = holder(&store.source).await;
    assert_row_becomes_free(&store).await;
    let error = store.source.commit(hanging).await.expect_err("it was ended");
    assert!(matches!(error, StoreError::ConnectionLost { .. }), "{error:?}");
    // The pool has thrown the connection away, and gives others.
    for _ in 0..8 {
        let mut conn = store.source.acquire().await.expect("a connection");
        execute(&mut conn, "select 1").await.expect("it can be used");
        store.source.release(conn);
    }
}

/// Before the time of a handler is over: what others lock is not the event's fault.
#[tokio::test]
async fn a_wait_for_a_lock_ends_before_the_time_is_over() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut locker = store.begin().await;
    execute(&mut locker, "lock table events in access exclusive mode").await.expect("locked");
    let mut tx = store.source.begin_within(PATIENCE).await.expect("a transaction");
    let shown: String = sqlx::query_scalar("show lock_timeout").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(shown, "10s", "half of the time");
    store.source.rollback(tx).await.expect("rolled back");
    let mut tx = store.source.begin_within(LIMIT).await.expect("a transaction");
    let waits = sqlx::query("select from events").execute(&mut *tx);
    let error = waits.await.expect_err("it is locked");
    let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
    assert_eq!(code, "55P03", "lock_not_available: {error}");
    assert_eq!(store.source.cause(&error), Some(Cause::Transaction));
    store.commit(locker).await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut hanging = holder(&store.source).await;
    let slept = execute(&mut hanging, "select pg_sleep(60)");
    let slept = tokio::time::timeout(PATIENCE, slept).await.expect("the server ends it");
    let error = slept.expect_err("it was ended");
    assert_eq!(store.source.cause(&error), Some(es::Cause::Transaction), "{error:?}");
    drop(hanging);
    assert_row_becomes_free(&store).await;
}

/// The client's machine is gone, or a proxy swallows what is sent: nobody answers any more, and
/// nothing tells the server so.
#[tokio::test]
async fn a_transaction_whose_client_vanished_is_ended_by_the_server() {
    let store = Fixture::new(PgHarness::new()).await;
    let proxy = Proxy::start(&store.harness.options()).await;
    let options = proxy.options(store.harness.options());
    let pool = sqlx::PgPool::connect_with(options).await.expect("a pool");
    let mut cut_off = holder(&PgSource::new(pool, store.harness.store())).await;
    proxy.swallow();
    let asked = tokio::time::timeout(LIMIT / 3, execute(&mut cut_off, "select 1")).await;
    asked.expect_err("there is no answer");
    assert_row_becomes_free(&store).await;
}

#[tokio::test]
async fn a_transaction_whose_client_does_not_read_on_is_ended_by_the_server() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut hanging = holder(&store.source).await;
    let much = "select repeat('x', 1000000) from generate_series(1, 1000)";
    let mut rows = sqlx::query(much).fetch(&mut *hanging);
    rows.try_next().await.expect("an answer").expect("a row");
    assert_row_becomes_free(&store).await;
    assert!(rows.try_collect::<Vec<_>>().await.is_err(), "it was ended");
}
