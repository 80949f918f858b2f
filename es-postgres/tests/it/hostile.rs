//! What others do to the sequence, the locks and the rows.

use es::adapter::ProjectionStore;
use es::conformance::Fixture;
use es::{
    AppendError, DeadLetter, Event, EventStore, ExpectedVersion, ImportError, Position,
    ProjectionName, StoreError, StreamId,
};
use es_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};

use crate::harness::{PgHarness, execute};

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn event() -> Event {
    Event::json("Happened", &1).expect("a valid event")
}

/// The sequence was restored without the table's rows, with and without holes below them.
#[tokio::test]
async fn an_append_where_readers_have_been_is_refused_with_the_cause() {
    for (holes, events_len) in [(false, 1), (false, 3), (true, 1), (true, 3)] {
        let store = Fixture::new(PgHarness::new()).await;
        for _ in 0..30 {
            store.append(&stream("a"), &[event()]).await;
        }
        let mut tx = store.begin().await;
        if holes {
            let delete = "delete from events where global_position <= 20";
            execute(&mut tx, delete).await.expect("archived");
        }
        let set = "select setval('events_global_position_seq', 1, false)";
        execute(&mut tx, set).await.expect("set");
        let batch: Vec<Event> = (0..events_len).map(|_| event()).collect();
        for expected in [ANY, ExpectedVersion::NoStream] {
            let error = store.append_in(&mut tx, &stream("b"), expected, &batch).await;
            let Err(AppendError::Store(error @ StoreError::SchemaUnsafe { .. })) = error else {
                panic!("{holes}, {events_len}: {error:?}")
            };
            assert!(!error.is_retryable());
            let says = error.to_string();
            assert!(says.contains("setval(") && says.contains("30)"), "{says}");
        }
        let imported = store.store().import(&mut tx, [(stream("c"), event())]).await;
        let Err(ImportError::Store(StoreError::SchemaUnsafe { .. })) = imported else {
            panic!("{imported:?}")
        };
        let set = "select setval('events_global_position_seq', 30)";
        execute(&mut tx, set).await.expect("the transaction is usable, and the advice works");
        let appended = store.append_in(&mut tx, &stream("b"), ANY, &batch).await.expect("appended");
        assert_eq!(appended.last_position().get(), 30 + events_len);
        store.commit(tx).await;
    }
}

#[tokio::test]
async fn an_advisory_lock_that_no_append_has_taken_holds_nothing() {
    let store = Fixture::new(PgHarness::new()).await;
    for key in ["-1", "1", "2147483647", "-2147483648"] {
        let mut hostile =
            PgConnection::connect_with(&store.harness.options()).await.expect("a connection");
        let lock = format!("select pg_advisory_lock_shared('events'::regclass::oid::int, {key})");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut hostile).await.expect("locked");
        for _ in 0..3 {
            store.append(&stream("a"), &[event()]).await;
        }
        let mut conn = store.conn().await;
        let horizon = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
        assert_eq!(horizon.position, horizon.end, "{key}: {horizon:?}");
        let mut open = store.begin().await;
        store.append_in(&mut open, &stream("b"), ANY, &[event()]).await.expect("appended");
        let held = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
        assert_eq!(held.position, horizon.end, "an append's own lock holds the log");
        store.commit(open).await;
    }
}

/// An impossible key is ignored inside a transaction, too.
#[tokio::test]
async fn a_lock_below_every_position_holds_nothing_inside_a_transaction() {
    let store = Fixture::new(PgHarness::new()).await;
    store.append(&stream("a"), &[event()]).await;
    let mut hostile = store.begin().await;
    let lock = "select pg_advisory_xact_lock_shared('events'::regclass::oid::int, -1)";
    execute(&mut hostile, lock).await.expect("locked");
    let mut conn = store.conn().await;
    let horizon = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!(horizon.position, horizon.end, "{horizon:?}");
    store.commit(hostile).await;
}

#[tokio::test]
async fn a_time_that_rust_does_not_know_is_an_error_and_no_panic() {
    let store = Fixture::new(PgHarness::new()).await;
    let p = ProjectionName::new("p").expect("a valid name");
    let appended = store.append(&stream("a"), &[event()]).await;
    let mut tx = store.begin().await;
    let all = es::Partition::ALL;
    es::adapter::CheckpointStore::register_checkpoint(store.store(), &mut tx, &p, all)
        .await
        .expect("new");
    let letter = DeadLetter::queued(&appended.events()[0]);
    store.store().put_dead_letters(&mut tx, &p, &[letter]).await.expect("parked");
    store.commit(tx).await;
    let mut conn = store.conn().await;
    for time in ["infinity", "-infinity", "294276-12-31 23:59:59", "4713-01-01 00:00 BC"] {
        for (table, column) in [("projection_dead_letters", "parked_at"), ("events", "created_at")]
        {
            let edit = format!("update {table} set {column} = '{time}'");
            sqlx::raw_sql(AssertSqlSafe(edit)).execute(&mut *conn).await.expect("edited");
        }
        let read = store.store().read_stream(&mut conn, &stream("a"), ..).await.map(drop);
        let letters = store.store().dead_letters(&mut conn, &p, Position::START, 9).await.map(drop);
        for (read, column) in [(read, "created_at"), (letters, "parked_at")] {
            // The year 4713 before Christ is one that Rust knows.
            let Err(error) = read else {
                assert!(time.contains("BC"), "{time}");
                continue;
            };
            let StoreError::Corrupt { what } = &error else { panic!("{error:?}") };
            assert!(what.contains(column) && what.contains('1'), "{what}");
        }
    }
}
