//! The server ends a transaction that hangs, and the session's settings are as before.

use std::time::Duration;

use es::conformance::{Fixture, Harness};
use es::{EventSource, StoreError};
use es_mysql::sqlx::mysql::MySqlPoolOptions;
use es_mysql::sqlx::{self, ConnectOptions, MySqlConnection};
use es_mysql::{MySqlEventStore, MySqlSource};
use tokio::time::timeout;

use crate::harness::{MySqlHarness, execute};
use crate::proxy::Proxy;
use crate::schedule::PATIENCE;

const SECOND: Duration = Duration::from_secs(1);

async fn with_a_row() -> Fixture<MySqlHarness> {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut conn = store.conn().await;
    store.harness.insert_row(&mut conn, "locked", 1).await.expect("a row");
    store.source.release(conn);
    store
}

/// Its client does nothing any more, as if it stood still or could not be reached.
#[tokio::test]
async fn a_transaction_that_pauses_too_long_gives_its_locks_back() {
    let store = with_a_row().await;
    let mut hangs = store.source.begin_within(SECOND).await.expect("a transaction");
    execute(&mut hangs, "update caller_rows set value = 2").await.expect("locked");
    let mut other = store.begin().await;
    let waits = execute(&mut other, "update caller_rows set value = value + 10");
    timeout(PATIENCE, waits).await.expect("the lock becomes free").expect("updated");
    store.commit(other).await;
    let mut conn = store.conn().await;
    assert_eq!(store.harness.rows(&mut conn, "locked").await.expect("rows"), [11]);
    let error = store.source.check_open(&mut hangs).await.expect_err("it was ended");
    assert!(matches!(error, StoreError::ConnectionLost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let store = with_a_row().await;
    let mut holder = store.begin().await;
    execute(&mut holder, "update caller_rows set value = 2").await.expect("locked");
    for statement in ["select sleep(600)", "update caller_rows set value = 3"] {
        let mut tx = store.source.begin_within(SECOND).await.expect("a transaction");
        let ended = sqlx::raw_sql(statement).execute(&mut *tx);
        let ended = timeout(PATIENCE, ended).await.expect("the server ends it");
        let error = ended.expect_err("it has not come to its end");
        assert_eq!(store.source.cause(&error), Some(es::Cause::Transaction), "{error}");
        store.source.rollback(tx).await.expect("rolled back");
    }
}

/// A handler's time and the database's are the same: that of a lock must be over first, or the
/// event is to blame for what another session does.
#[tokio::test]
async fn a_wait_for_a_lock_of_another_session_ends_before_the_time_of_its_handler() {
    let limit = 4 * SECOND;
    for (hold, free) in [
        ("start transaction; update caller_rows set value = 2", "rollback"),
        ("lock tables caller_rows write", "unlock tables"),
    ] {
        let store = with_a_row().await;
        let mut holder = store.harness.connect().await;
        execute(&mut holder, hold).await.expect("locked");
        let mut tx = store.source.begin_within(limit).await.expect("a transaction");
        let waits = execute(&mut tx, "update caller_rows set value = 3");
        let ended = timeout(limit * 3 / 4, waits).await.expect("the server ends it first");
        let error = ended.expect_err("it is locked");
        assert_eq!(store.source.cause(&error), Some(es::Cause::Transaction), "{hold}: {error}");
        store.source.rollback(tx).await.expect("rolled back");
        execute(&mut holder, free).await.expect("free");
    }
}

/// The settings an application may have made on a connection, here MariaDB's.
const SETTINGS: [(&str, i64); 6] = [
    ("idle_transaction_timeout", 777),
    ("idle_write_transaction_timeout", 0),
    ("idle_readonly_transaction_timeout", 3),
    ("max_statement_time", 0),
    ("innodb_lock_wait_timeout", 33),
    ("lock_wait_timeout", 555),
];

async fn settings(conn: &mut MySqlConnection) -> Vec<i64> {
    let mut values = Vec::new();
    for (name, _) in SETTINGS {
        let select = format!("select cast(@@session.{name} as signed)");
        let value = sqlx::query_scalar(sqlx::AssertSqlSafe(select)).fetch_one(&mut *conn).await;
        values.push(value.expect("a number"));
    }
    values
}

#[tokio::test]
async fn the_settings_of_a_session_are_as_before_once_its_transaction_has_ended() {
    let store = with_a_row().await;
    let pool = MySqlPoolOptions::new().max_connections(1).connect_with(store.harness.options());
    let source = MySqlSource::new(pool.await.expect("a pool"), MySqlEventStore::default());
    let mut conn = source.acquire().await.expect("the only connection");
    let set = SETTINGS.map(|(name, value)| format!("{name} = {value}")).join(", ");
    execute(&mut conn, sqlx::AssertSqlSafe(format!("set session {set}"))).await.expect("set");
    let before = settings(&mut conn).await;
    assert_eq!(before, SETTINGS.map(|(_, value)| value));
    source.release(conn);
    for end in ["commit", "rollback", "hidden", "refused"] {
        let limit = Duration::from_millis(4_500);
        let mut tx = source.begin_within(limit).await.expect("a transaction");
        assert_eq!(settings(&mut tx).await, [5, 5, 3, 5, 3, 3], "whole seconds, or less");
        match end {
            "commit" => {
                source.check_open(&mut tx).await.expect("it is open");
                source.commit(tx).await.expect("committed");
            }
            "hidden" => {
                execute(&mut tx, "rollback").await.expect("as a deadlock does");
                source.check_open(&mut tx).await.expect_err("it has ended");
                source.rollback(tx).await.expect("nothing to roll back");
            }
            "refused" => {
                execute(&mut tx, "insert into no_such_table values (1)").await.expect_err("none");
                source.rollback(tx).await.expect("rolled back");
            }
            _ => source.rollback(tx).await.expect("rolled back"),
        }
        let mut conn = source.acquire().await.expect("the same connection");
        assert_eq!(settings(&mut conn).await, before, "after {end}");
        source.release(conn);
    }
}

/// What a handler begins on its connection is a savepoint, with the limits and without.
#[tokio::test]
async fn a_transaction_inside_the_transaction_is_a_savepoint() {
    let store = with_a_row().await;
    let mut tx = store.source.begin_within(SECOND).await.expect("a transaction");
    let mut inner = sqlx::Connection::begin(&mut *tx).await.expect("a savepoint");
    store.harness.insert_row(&mut inner, "inner", 1).await.expect("a row");
    inner.commit().await.expect("released");
    store.source.rollback(tx).await.expect("rolled back");
    let mut conn = store.conn().await;
    assert!(store.harness.rows(&mut conn, "inner").await.expect("rows").is_empty());
}

#[tokio::test]
async fn the_limits_cost_no_round_trip() {
    let store = with_a_row().await;
    let proxy = Proxy::start(&store.harness.options()).await;
    let options = proxy.options(store.harness.options()).disable_statement_logging();
    let pool = MySqlPoolOptions::new().test_before_acquire(false).connect_with(options).await;
    let source = MySqlSource::new(pool.expect("a pool"), MySqlEventStore::default());
    proxy.take();
    let tx = source.begin().await.expect("a transaction");
    assert_eq!(proxy.take().len(), 1);
    source.commit(tx).await.expect("committed");
    let commands = proxy.take();
    let commit = commands.iter().position(|command| command.contains("commit"));
    assert_eq!(commit, Some(0), "{commands:?}");
}
