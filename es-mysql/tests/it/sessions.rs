//! Sessions that are set up in other ways than sqlx does, and what a read leaves of them.

use es::adapter::read_below;
use std::time::Duration;

use es::conformance::{Fixture, Harness};
use es::{
    AppendError, EventFilter, EventSource, EventStore, Position, ReadLimit, StoreError, Version,
};
use es_mysql::sqlx::mysql::MySqlPoolOptions;
use es_mysql::sqlx::{self, ConnectOptions, MySqlConnection};
use es_mysql::{MySqlEventStore, MySqlSource};

use crate::harness::{MySqlHarness, execute};
use crate::schedule::{
    ANY, READ_COMMITTED, begin, event, events, in_transaction, stream, visible, warm_up,
};

const READ_UNCOMMITTED: &str = "set session transaction isolation level read uncommitted";

async fn with_four_events() -> Fixture<MySqlHarness> {
    let store = Fixture::new(MySqlHarness::new()).await;
    warm_up(&store, 4).await;
    store
}

/// Readers may only look from outside a transaction, and do not end one that is open.
#[tokio::test]
async fn the_log_is_not_read_inside_a_transaction() {
    let store = with_four_events().await;
    let mut conn = begin(&store, READ_COMMITTED).await;
    store.harness.insert_row(&mut conn, "orders", 1).await.expect("a row");
    let reads = [
        store.store().horizon(&mut conn, Position::START).await.expect_err("refused"),
        store
            .store()
            .read_events(&mut conn, Position::START, &EventFilter::default(), ReadLimit::default())
            .await
            .expect_err("refused"),
    ];
    for error in reads {
        let StoreError::UnsafeRead { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains("outside a transaction"), "{reason}");
    }
    assert!(in_transaction(&mut conn).await);
    execute(&mut conn, "rollback").await.expect("rolled back");
    let mut conn = store.conn().await;
    assert!(store.harness.rows(&mut conn, "orders").await.expect("rows").is_empty());
}

/// What the session's isolation level is decides neither what a reader sees nor what it leaves.
#[tokio::test]
async fn a_reader_in_read_uncommitted_sees_committed_events_only() {
    let store = with_four_events().await;
    let mut open = begin(&store, READ_COMMITTED).await;
    store.append_in(&mut open, &stream("a"), ANY, &events(2)).await.expect("5 and 6");
    let mut reader = store.harness.connect().await;
    execute(&mut reader, READ_UNCOMMITTED).await.expect("set");
    for filter in [EventFilter::default(), EventFilter::default().with_event_types(["Happened"])] {
        let batch = store.store().read_events(&mut reader, 2.into(), &filter, ReadLimit::default());
        let batch = batch.await.expect("a batch");
        assert_eq!((batch.events.len(), batch.complete_through), (2, 4.into()));
    }
    // An append there would count on versions that may be rolled back.
    execute(&mut reader, "start transaction").await.expect("a transaction");
    let result = store.append_in(&mut reader, &stream("a"), ANY, &event()).await;
    let error = result.expect_err("refused").to_string();
    assert!(error.contains("READ UNCOMMITTED"), "{error}");
}

/// With autocommit off a session is in a transaction from its first statement on: reads are made
/// before it, in one of their own, and refused inside it.
#[tokio::test]
async fn without_autocommit_reads_leave_no_transaction_behind() {
    let store = with_four_events().await;
    let mut conn = store.harness.connect().await;
    execute(&mut conn, "set autocommit = 0").await.expect("set");
    let horizon = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!(horizon.position, 4.into());
    assert_reads(&store, &mut conn, 4).await;
    assert_appends_what_is_committed(&store, &mut conn).await;
    let error = store.store().horizon(&mut conn, Position::START).await.expect_err("refused");
    assert!(matches!(error, StoreError::UnsafeRead { .. }), "{error:?}");
    execute(&mut conn, "commit").await.expect("committed");
    assert_eq!(visible(&store).await.len(), 5);
}

/// A poll that fails leaves neither a transaction nor an isolation level for the next one.
#[tokio::test]
async fn a_failed_read_changes_nothing_for_the_next_transaction() {
    let store = with_four_events().await;
    let mut conn = store.harness.connect().await;
    let mut other = store.harness.connect().await;
    for (before, after) in [
        ("rename table events_appenders to away", "rename table away to events_appenders"),
        ("rename table events to away", "rename table away to events"),
    ] {
        execute(&mut other, before).await.expect("renamed");
        let error = store.store().horizon(&mut conn, Position::START).await.expect_err("gone");
        assert!(matches!(error, StoreError::SchemaMissing { .. }), "{error:?}");
        if before.contains("events to") {
            let (filter, limit) = (EventFilter::default(), ReadLimit::default());
            let store = store.store();
            let read = read_below(store, &mut conn, Position::START, 4.into(), &filter, limit);
            read.await.expect_err("gone");
        }
        execute(&mut other, after).await.expect("renamed");
        assert!(!in_transaction(&mut conn).await);
        execute(&mut conn, "start transaction").await.expect("the next transaction");
        assert_appends_what_is_committed(&store, &mut conn).await;
        execute(&mut conn, "rollback").await.expect("rolled back");
    }
}

/// An append must not count on a version that is not committed, as one in READ UNCOMMITTED would.
async fn assert_appends_what_is_committed(
    store: &Fixture<MySqlHarness>,
    conn: &mut MySqlConnection,
) {
    let mut open = begin(store, READ_COMMITTED).await;
    store.append_in(&mut open, &stream("new"), ANY, &event()).await.expect("version 1");
    execute(conn, "set session innodb_lock_wait_timeout = 1").await.expect("set");
    let waited = store.append_in(conn, &stream("new"), ANY, &event()).await;
    assert!(waited.expect_err("it waits for version 1").is_retryable());
    execute(&mut open, "rollback").await.expect("rolled back");
    let result = store.append_in(conn, &stream("new"), ANY, &event()).await;
    assert_eq!(result.expect("appended").to_version(), Version::FIRST);
}

async fn assert_reads(store: &Fixture<MySqlHarness>, conn: &mut MySqlConnection, count: usize) {
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let limit = ReadLimit::default();
    let batch = store.store().read_events(conn, Position::START, &filter, limit).await;
    assert_eq!(batch.expect("a batch").events.len(), count);
}

/// A session's own limit of rows cuts neither the announcements nor a stream short.
#[tokio::test]
async fn a_limit_of_rows_hides_no_appender() {
    let store = with_four_events().await;
    let mut open = begin(&store, READ_COMMITTED).await;
    store.append_in(&mut open, &stream("a"), ANY, &event()).await.expect("5");
    store.append(&stream("warm-0"), &events(3)).await;
    let mut limited = store.harness.connect().await;
    execute(&mut limited, "set session sql_select_limit = 1").await.expect("set");
    let horizon = store.store().horizon(&mut limited, Position::START).await.expect("a horizon");
    assert_eq!(horizon.position, 4.into());
    let whole = store.store().read_stream(&mut limited, &stream("warm-0"), ..).await;
    assert_eq!(whole.expect("a stream").len(), 4);
}

/// Names are sent in the session's encoding, and another one would store other names.
#[tokio::test]
async fn another_character_set_is_refused() {
    let store = with_four_events().await;
    let mut conn = store.harness.options().charset("latin1").connect().await.expect("a connection");
    execute(&mut conn, "start transaction").await.expect("a transaction");
    let result = store.append_in(&mut conn, &stream("é"), ANY, &event()).await;
    let AppendError::Store(error) = result.expect_err("refused") else { panic!("an error") };
    assert!(error.to_string().contains("utf8mb4"), "{error}");
    let error = store.store().check_schema(&mut conn).await.expect_err("refused");
    assert!(error.to_string().contains("latin1"), "{error}");
}

/// sqlx gives a connection back with its transaction open when the future that begins it is
/// dropped; the next one to begin does not suffer from it.
#[tokio::test]
async fn a_begin_that_was_dropped_does_not_spoil_its_connection() {
    let store = with_four_events().await;
    let pool = MySqlPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_with(store.harness.options())
        .await
        .expect("a pool");
    let source = MySqlSource::new(pool, MySqlEventStore::default());
    for micros in (0..200).step_by(10) {
        let begin = tokio::time::timeout(Duration::from_micros(micros), source.begin());
        drop(begin.await);
        let tx = source.begin().await.expect("the connection is fit");
        source.rollback(tx).await.expect("rolled back");
        let mut conn = source.acquire().await.expect("a connection");
        source.store().horizon(&mut conn, Position::START).await.expect("nothing is open");
    }
}

/// What a reader may not remove stays, and the log is read all the same.
#[tokio::test]
async fn a_reader_that_may_not_write_reads() {
    let store = with_four_events().await;
    let mut conn = store.conn().await;
    execute(
        &mut conn,
        "insert into events_appenders
         with recursive numbers (n) as (
           select 1 union all select n + 1 from numbers where n < 300
         )
         select -n, 1, 0, 0, utc_timestamp(6) - interval 61 minute from numbers",
    )
    .await
    .expect("300 connections that are gone");
    let count = "select count(*) from events_appenders where connection_id < 0";
    let user = format!("es_reader_{}", std::process::id());
    let grant = format!("create user `{user}`; grant select on * to `{user}`");
    execute(&mut conn, sqlx::AssertSqlSafe(grant)).await.expect("a user");
    let mut reader = store.harness.options().username(&user).connect().await.expect("a connection");
    assert_reads(&store, &mut reader, 4).await;
    let left: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.expect("a count");
    assert_eq!(left, 300);
    let drop = format!("drop user `{user}`");
    execute(&mut conn, sqlx::AssertSqlSafe(drop)).await.expect("dropped");

    let mut read_only = store.harness.connect().await;
    let set = "set session transaction read only";
    execute(&mut read_only, set).await.expect("set");
    assert_reads(&store, &mut read_only, 4).await;
    let left: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.expect("a count");
    assert_eq!(left, 0);
}

/// A server that does not show as much as the one that was asked for the horizon is a replica
/// that lags: what it lacks would be taken for a hole.
#[tokio::test]
async fn a_server_behind_the_horizon_is_not_read() {
    let store = with_four_events().await;
    let mut conn = store.conn().await;
    let limit = ReadLimit::default();
    let filter = EventFilter::default();
    let read = read_below(store.store(), &mut conn, 2.into(), 5.into(), &filter, limit).await;
    let error = read.expect_err("position 5 is not there");
    assert!(matches!(error, StoreError::UnsafeRead { .. }), "{error:?}");
    let read = read_below(store.store(), &mut conn, 2.into(), 4.into(), &filter, limit).await;
    assert_eq!(read.expect("all there").events.len(), 2);
}
