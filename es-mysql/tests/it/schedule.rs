//! What schedules placed by hand need: streams and events, and to see that a statement waits.

use std::time::Duration;

use es::conformance::{Fixture, Harness};
use es::{Event, EventSource, EventStore, ExpectedVersion, Horizon, Position, StreamId};
use es_mysql::sqlx::{self, MySqlConnection, Row};

use crate::harness::{MySqlHarness, execute};

pub(crate) const ANY: ExpectedVersion = ExpectedVersion::Any;

pub(crate) const READ_COMMITTED: &str = "set session transaction isolation level read committed";
pub(crate) const REPEATABLE_READ: &str = "set session transaction isolation level repeatable read";

/// Longer than any wait of a test that does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

pub(crate) fn event() -> [Event; 1] {
    [Event::json("Happened", &1).expect("a valid event")]
}

pub(crate) fn events(count: i64) -> Vec<Event> {
    (0..count).map(|number| Event::json("Happened", &number).expect("a valid event")).collect()
}

pub(crate) async fn horizon<H>(store: &Fixture<H>) -> Horizon
where
    H: Harness,
{
    let mut conn = store.conn().await;
    store.store().horizon(&mut conn, Position::START).await.expect("a horizon")
}

/// The positions that can be read now.
pub(crate) async fn visible(store: &Fixture<MySqlHarness>) -> Vec<i64> {
    store.log().await.iter().map(|event| event.position().get()).collect()
}

/// A connection of its own with an open transaction in which a snapshot has been taken.
pub(crate) async fn begin(
    store: &Fixture<MySqlHarness>,
    isolation: &'static str,
) -> MySqlConnection {
    let mut conn = store.harness.connect().await;
    execute(&mut conn, isolation).await.expect("set");
    execute(&mut conn, "start transaction").await.expect("a transaction");
    execute(&mut conn, "select count(*) from caller_rows").await.expect("a snapshot");
    conn
}

pub(crate) async fn id(conn: &mut MySqlConnection) -> i64 {
    let id = sqlx::query_scalar("select cast(connection_id() as signed)").fetch_one(conn).await;
    id.expect("a connection id")
}

/// Waits until the server says that the connection's statement is waiting for a lock.
pub(crate) async fn until_waiting(store: &Fixture<MySqlHarness>, connection: i64) {
    let mut conn = store.conn().await;
    let waits = async {
        // The table `innodb_trx` shows no change to those who look often.
        while !waiting(&mut conn).await.contains(&connection) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("the statement comes to wait");
}

/// The connections whose statements wait for a lock of InnoDB.
async fn waiting(conn: &mut MySqlConnection) -> Vec<i64> {
    let row = sqlx::raw_sql("show engine innodb status").fetch_one(conn).await.expect("a status");
    let status: String = row.try_get(2).expect("a text");
    let transactions = status.split("---TRANSACTION ").filter(|text| text.contains("LOCK WAIT"));
    let thread = |text: &str| {
        let (_, rest) = text.split_once("thread id ")?;
        rest.split(',').next()?.parse().ok()
    };
    transactions.filter_map(thread).collect()
}

/// Whether the server has a transaction open for the connection.
pub(crate) async fn in_transaction(conn: &mut MySqlConnection) -> bool {
    execute(conn, "savepoint es_test; release savepoint es_test").await.is_ok()
}

/// A source's connections all at once, so that each has appended before.
pub(crate) async fn warm_up(store: &Fixture<MySqlHarness>, count: usize) {
    let mut open = Vec::new();
    for number in 0..count {
        let mut tx = store.source.begin().await.expect("a transaction");
        let stream = stream(&format!("warm-{number}"));
        store.append_in(&mut tx, &stream, ANY, &event()).await.expect("appended");
        open.push(tx);
    }
    for tx in open {
        store.commit(tx).await;
    }
}
