//! The horizon, by schedules placed by hand on several connections.

use es::conformance::{Fixture, Harness};
use es::{
    Event, EventFilter, EventSource, EventStore, ExpectedVersion, Horizon, Position, ReadLimit,
    StoreError, StreamId, Version,
};
use es_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};

use crate::harness::{PgHarness, execute, migrate};

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn event() -> [Event; 1] {
    [Event::json("Happened", &1).expect("a valid event")]
}

async fn horizon(store: &Fixture<PgHarness>) -> Horizon {
    let mut conn = store.conn().await;
    store.store().horizon(&mut conn, Position::START).await.expect("a horizon")
}

#[tokio::test]
async fn a_prepared_transaction_holds_the_log_until_it_ends() {
    for end in ["commit prepared", "rollback prepared"] {
        let store = Fixture::new(PgHarness::new()).await;
        let gid = format!("{}_{}", store.harness.tables().schema().expect("a schema"), end.len());
        let mut conn = PgConnection::connect_with(&store.harness.options()).await.expect("conn");
        execute(&mut conn, "begin").await.expect("a transaction");
        store.append_in(&mut conn, &stream("a"), ANY, &event()).await.expect("appended");
        let prepare = format!("prepare transaction '{gid}'");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut conn).await.expect("prepared");
        conn.close().await.expect("the session ends and the transaction stays");

        store.append(&stream("b"), &event()).await;
        let held = horizon(&store).await;
        assert_eq!((held.position, held.end), (Position::START, Position::from(2)));
        assert_eq!(held.held_by[0].session, format!("prepared transaction {gid}"));
        assert!(held.held_by[0].open_for.is_some());
        assert!(store.log().await.is_empty());

        let mut conn = store.conn().await;
        let end = format!("{end} '{gid}'");
        sqlx::raw_sql(AssertSqlSafe(end.clone())).execute(&mut *conn).await.expect("it ends");
        drop(conn);
        let expected = if end.starts_with("commit") { 2 } else { 1 };
        assert_eq!(store.log().await.len(), expected, "{end}");
    }
}

/// The order of transaction ids is not the order of positions: the caller's transaction got its
/// id before another one appended version 1, and appends version 2.
#[tokio::test]
async fn a_transaction_that_is_older_than_the_event_before_keeps_the_streams_order() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut older = store.begin().await;
    store.harness.insert_row(&mut older, "orders", 1).await.expect("it has an id now");
    store.append(&stream("a"), &event()).await;
    let result = store.append_in(&mut older, &stream("a"), ANY, &event()).await;
    assert_eq!(result.expect("appended").to_version(), Version::from(2));
    store.append(&stream("b"), &event()).await;
    let seen = store.log().await;
    assert_eq!(seen.len(), 1, "version 2 is not committed, and nothing passes it");
    store.commit(older).await;
    let log = store.log().await;
    let versions: Vec<i64> = log.iter().map(|event| event.version().get()).collect();
    assert_eq!(versions, [1, 2, 1]);
}

#[tokio::test]
async fn an_unrelated_long_write_transaction_does_not_hold_the_log() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut unrelated = store.begin().await;
    store.harness.insert_row(&mut unrelated, "orders", 1).await.expect("it has written");
    for number in 1..=3 {
        store.append(&stream("a"), &event()).await;
        let horizon = horizon(&store).await;
        assert_eq!(horizon.position, Position::from(number));
        assert!(horizon.held_by.is_empty());
        let filtered = EventFilter::default().with_aggregate_types(["Thing"]);
        let batch = store.read(Position::START, &filtered, ReadLimit::default()).await;
        assert_eq!(batch.complete_through, Position::from(number));
    }
    store.rollback(unrelated).await;
}

/// An append that is rejected leaves its transaction open and must not hold the log.
#[tokio::test]
async fn a_conflict_does_not_hold_the_log() {
    let store = Fixture::new(PgHarness::new()).await;
    store.append(&stream("a"), &event()).await;
    let mut rejected = store.begin().await;
    let no_stream = ExpectedVersion::NoStream;
    let result = store.append_in(&mut rejected, &stream("a"), no_stream, &event()).await;
    assert!(result.expect_err("the stream is there").is_conflict());
    store.append(&stream("b"), &event()).await;
    let horizon = horizon(&store).await;
    assert_eq!(horizon.position, horizon.end);
    store.commit(rejected).await;
}

#[tokio::test]
async fn stores_in_one_database_do_not_hold_each_other() {
    let first = Fixture::new(PgHarness::new()).await;
    let second = Fixture::new(PgHarness::new()).await;
    let name = |name: &str| name.parse().expect("a table name");
    let renamed = first
        .harness
        .tables()
        .with_events(name("Order"))
        .with_projections(name("groups"))
        .with_checkpoints(name("select"));
    migrate(first.source.pool(), &renamed).await;
    let third = es_postgres::PgEventStore::new(&renamed);

    let mut open = first.begin().await;
    first.append_in(&mut open, &stream("a"), ANY, &event()).await.expect("appended");
    second.append(&stream("a"), &event()).await;
    let mut conn = first.conn().await;
    third.append(&mut conn, &stream("a"), ANY, &event()).await.expect("appended");
    third.append(&mut open, &stream("b"), ANY, &event()).await.expect("appended");
    third.append(&mut open, &stream("b"), ANY, &event()).await.expect("appended");

    assert_eq!(horizon(&second).await.position, Position::from(1));
    let of_third = third.horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!((of_third.position, of_third.end), (Position::from(1), Position::from(3)));
    let of_first = horizon(&first).await;
    assert_eq!((of_first.position, of_first.end), (Position::START, Position::from(1)));
    first.commit(open).await;
    let of_third = third.horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!(of_third.position, Position::from(3));
}

#[tokio::test]
async fn the_horizon_says_who_holds_it() {
    let store = Fixture::new(PgHarness::new()).await;
    let options = store.harness.options().application_name("night import");
    let mut importer = PgConnection::connect_with(&options).await.expect("a connection");
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut importer).await.expect("pid");
    let mut tx = importer.begin().await.expect("a transaction");
    store.append_in(&mut tx, &stream("a"), ANY, &event()).await.expect("appended");
    let mut other = store.begin().await;
    store.append_in(&mut other, &stream("b"), ANY, &event()).await.expect("appended");

    let held = horizon(&store).await;
    assert_eq!((held.position, held.end), (Position::START, Position::from(2)));
    let [holder] = &held.held_by[..] else { panic!("{held:?}") };
    assert_eq!(holder.session, format!("process {pid}"));
    assert_eq!(holder.application.as_deref(), Some("night import"));
    assert!(holder.open_for.is_some());
    tx.rollback().await.expect("rolled back");
    let held = horizon(&store).await;
    assert_eq!(held.position, Position::from(1));
    store.commit(other).await;
}

/// Only reading is refused: the snapshot of such a transaction may be older than the horizon.
#[tokio::test]
async fn a_reader_in_repeatable_read_or_serializable_is_refused() {
    let store = Fixture::new(PgHarness::new()).await;
    store.append(&stream("a"), &event()).await;
    for isolation in ["repeatable read", "serializable"] {
        let mut conn = store.conn().await;
        let begin = format!("begin isolation level {isolation}");
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *conn).await.expect("a transaction");
        let filtered = EventFilter::default().with_aggregate_types(["Thing"]);
        let after = Position::START;
        let refused = [
            store.store().horizon(&mut conn, after).await.expect_err("refused"),
            store
                .store()
                .read_events(&mut conn, after, &filtered, ReadLimit::default())
                .await
                .expect_err("refused"),
        ];
        for error in refused {
            let StoreError::UnsafeRead { reason } = &error else { panic!("{error:?}") };
            assert!(reason.contains(isolation) && reason.contains("READ COMMITTED"), "{reason}");
        }
        let stream = store.store().read_stream(&mut conn, &stream("a"), ..).await;
        assert_eq!(stream.expect("a stream may be read in any isolation").len(), 1);
        execute(&mut conn, "rollback").await.expect("the transaction is usable");
    }
}

/// The statement must read the sequence before the locks; the planner must not turn that round.
#[tokio::test]
async fn the_horizon_reads_the_sequence_before_the_locks() {
    let store = Fixture::new(PgHarness::new()).await;
    store.append(&stream("a"), &event()).await;
    let mut conn = store.conn().await;
    let schema = store.harness.tables().schema().expect("a schema").to_string();
    let sql = include_str!("../../sql/events/horizon.sql")
        .replace("{sequence}", &format!("{schema}.events_global_position_seq"))
        .replace("{events_oid}", &format!("'{schema}.events'::regclass::oid"));
    for (known, runs) in [("0", true), ("1", false)] {
        let explain = format!("explain (analyze, timing off) {}", sql.replace("$1", known));
        let plan: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *conn).await.expect("a plan");
        let line = |what: &str| {
            let found = plan.iter().position(|line| line.contains(what));
            found.unwrap_or_else(|| panic!("{what}: {plan:#?}"))
        };
        let (log, locks) = (line("CTE Scan on log log_1"), line("Function Scan on pg_lock_status"));
        let join = line("CTE appender") + 1;
        assert!(plan[join].contains("Nested Loop"), "{plan:#?}");
        assert!(join < log && log < locks, "the sequence is the outer side: {plan:#?}");
        assert_eq!(!plan[locks].contains("never executed"), runs, "knowing {known}: {plan:#?}");
    }
}

/// The cheapest way to run out of locks: one for each append of a transaction.
#[tokio::test]
async fn a_transaction_may_append_a_hundred_thousand_times() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut tx = store.begin().await;
    for number in 0..100_000 {
        let stream = stream(&format!("s{}", number % 1000));
        store.append_in(&mut tx, &stream, ANY, &event()).await.expect("appended");
    }
    let locks: i64 = sqlx::query_scalar(
        "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'",
    )
    .fetch_one(&mut *tx)
    .await
    .expect("a count");
    assert!((1..=2).contains(&locks), "{locks} locks");
    assert_eq!(horizon(&store).await.position, Position::START);
    store.commit(tx).await;
    assert_eq!(horizon(&store).await.position, Position::from(100_000));
}

/// Savepoints come and go: the lock goes with the one it was taken in, and comes again.
#[tokio::test]
async fn savepoints_in_any_order_hold_the_log() {
    let store = Fixture::new(PgHarness::new()).await;
    for writes_first in [false, true] {
        let mut tx = store.begin().await;
        if writes_first {
            store.harness.insert_row(&mut tx, "orders", 1).await.expect("it has an id now");
        }
        for round in 0..3 {
            execute(&mut tx, "savepoint middle").await.expect("a savepoint");
            let inner = stream(&format!("inner{round}{writes_first}"));
            store.append_in(&mut tx, &inner, ANY, &event()).await.expect("appended");
            store.append_in(&mut tx, &inner, ANY, &event()).await.expect("appended");
            let other = store.append(&stream("other"), &event()).await.last_position();
            assert!(horizon(&store).await.position < other, "the savepoint's events are open");
            if round == 1 {
                execute(&mut tx, "release savepoint middle").await.expect("released");
            } else {
                execute(&mut tx, "rollback to savepoint middle").await.expect("rolled back");
            }
            let kept = round >= 1;
            let now = horizon(&store).await;
            assert_eq!(now.position < now.end, kept, "round {round}: {now:?}");
        }
        store.commit(tx).await;
        let now = horizon(&store).await;
        assert_eq!(now.position, now.end);
    }
    es_log_is_well_formed(&store).await;
}

async fn es_log_is_well_formed(store: &Fixture<PgHarness>) {
    let log = store.log().await;
    assert!(log.windows(2).all(|pair| pair[0].position() < pair[1].position()));
    let inner = log.iter().filter(|event| event.aggregate_id().starts_with("inner"));
    assert_eq!(inner.count(), 4, "two rounds released one savepoint of two events each");
}

/// Positions beyond 32 bits: the lock holds their lower half only.
#[tokio::test]
async fn the_horizon_is_right_around_multiples_of_two_to_the_32() {
    let store = Fixture::new(PgHarness::new()).await;
    for start in [(1_i64 << 31) - 2, (1 << 32) - 2, (1 << 33) - 1, (1 << 40) + (1 << 31) - 1] {
        let mut conn = store.conn().await;
        let restart = format!("alter sequence events_global_position_seq restart with {start}");
        sqlx::raw_sql(AssertSqlSafe(restart)).execute(&mut *conn).await.expect("restarted");
        drop(conn);
        let mut open = store.begin().await;
        store.append_in(&mut open, &stream("a"), ANY, &event()).await.expect("appended");
        for _ in 0..4 {
            store.append(&stream("b"), &event()).await;
            let held = horizon(&store).await;
            assert_eq!(held.position.get(), start - 1);
        }
        let mut late = store.begin().await;
        store.append_in(&mut late, &stream("c"), ANY, &event()).await.expect("appended");
        store.commit(open).await;
        assert_eq!(horizon(&store).await.position.get(), start + 4);
        store.commit(late).await;
        assert_eq!(horizon(&store).await.position.get(), start + 5);
    }
    let _ = store.source.acquire().await.expect("a connection");
}
