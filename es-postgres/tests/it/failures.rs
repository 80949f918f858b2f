//! Connections that are killed, commits whose outcome nobody knows, schemas that are unfit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::conformance::{Conn, Fixture, Harness};
use es::{
    AppendError, Event, EventFilter, EventSource, EventStore, ExpectedVersion, Partition,
    PersistedEvent, ProjectionName, ReadLimit, StoreError, StreamId, Version,
};
use es_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use futures_util::future::join;
use projection::conformance::{Recorder, append_numbers};
use projection::{EventContext, FailurePolicy, HandlerError, Processor, Projection, Retries};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::harness::{PgHarness, execute};

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn event() -> [Event; 1] {
    [Event::json("Happened", &1).expect("a valid event")]
}

async fn terminate(store: &Fixture<PgHarness>, pid: i32) {
    let mut conn = store.conn().await;
    let terminated: bool = sqlx::query_scalar("select pg_terminate_backend($1)")
        .bind(pid)
        .fetch_one(&mut *conn)
        .await
        .expect("an answer");
    assert!(terminated);
}

async fn pid(conn: &mut PgConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(conn).await.expect("a process id")
}

/// The server ends the connection while the append waits for another writer.
#[tokio::test]
async fn a_connection_killed_in_an_append_leaves_nothing() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut holder = store.begin().await;
    let any = ExpectedVersion::Any;
    store.append_in(&mut holder, &stream("a"), any, &event()).await.expect("appended");
    let mut victim = PgConnection::connect_with(&store.harness.options()).await.expect("conn");
    let victim_pid = pid(&mut victim).await;
    execute(&mut victim, "begin").await.expect("a transaction");
    store.append_in(&mut victim, &stream("b"), any, &event()).await.expect("appended");
    let append = async {
        let stream = stream("a");
        store.append_in(&mut victim, &stream, any, &event()).await
    };
    let kill = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        terminate(&store, victim_pid).await;
    };
    let (result, ()) = join(append, kill).await;
    let error = result.expect_err("the connection is gone");
    let AppendError::Store(StoreError::ConnectionLost { .. }) = error else { panic!("{error:?}") };
    assert!(error.is_retryable());
    store.commit(holder).await;
    let log = store.log().await;
    assert_eq!(log.len(), 1, "the victim's events are gone and hold nothing");
    assert!(store.stream(&stream("b")).await.is_empty());
}

/// Kills its own connection once, in the middle of a batch.
struct Suicidal {
    recorder: Recorder<PgHarness>,
    killer: Mutex<Option<PgConnection>>,
}

impl Projection for Suicidal {
    type Connection = Conn<PgHarness>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        if event.position().get() == 5
            && let Some(mut killer) = self.killer.lock().await.take()
        {
            sqlx::query("select pg_terminate_backend($1)")
                .bind(pid(conn).await)
                .execute(&mut killer)
                .await?;
        }
        self.recorder.record(conn, event).await
    }
}

#[tokio::test]
async fn a_connection_killed_in_a_batch_repeats_nothing_and_skips_nothing() {
    let harness = Arc::new(PgHarness::new());
    let store = Fixture::new(Arc::clone(&harness)).await;
    append_numbers(&store, 12).await;
    let killer = PgConnection::connect_with(&harness.options()).await.expect("a connection");
    let recorder = Recorder::new(Arc::clone(&harness), "p");
    let projection = Arc::new(Suicidal { recorder, killer: Mutex::new(Some(killer)) });
    let processor =
        Processor::new(Arc::new(store.source.clone())).with_projection(Arc::clone(&projection));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it goes on");
    assert!(projection.killer.lock().await.is_none(), "it was killed");
    let mut conn = store.conn().await;
    let rows = harness.rows(&mut conn, "p").await.expect("rows");
    assert_eq!(rows, (1..=12).collect::<Vec<i64>>());
}

/// The caller lost the connection at its commit and does not know what became of it: it repeats
/// the transaction with the same event ids.
#[tokio::test]
async fn a_transaction_of_unknown_outcome_is_repeated_safely() {
    let store = Fixture::new(PgHarness::new()).await;
    let events: Vec<Event> =
        (0..3).map(|number| Event::json("Happened", &number).expect("a valid event")).collect();
    let expected = ExpectedVersion::NoStream;
    let mut first_result = None;
    for committed in [false, true] {
        let mut victim = PgConnection::connect_with(&store.harness.options()).await.expect("conn");
        let victim_pid = pid(&mut victim).await;
        execute(&mut victim, "begin").await.expect("a transaction");
        let result = store.append_in(&mut victim, &stream("a"), expected, &events).await;
        first_result = Some(result.expect("appended"));
        if committed {
            execute(&mut victim, "commit").await.expect("but the answer is lost");
        }
        terminate(&store, victim_pid).await;
    }
    let again = store.try_append(&stream("a"), expected, &events).await.expect("a repetition");
    assert!(again.is_replay());
    assert_eq!(again.events(), first_result.expect("two rounds").events());
    assert_eq!(store.version(&stream("a")).await, Version::from(3));
}

#[tokio::test]
async fn a_sequence_that_readers_cannot_trust_is_refused() {
    let store = Fixture::new(PgHarness::new()).await;
    for (change, undo, says) in [
        ("cache 20", "cache 1", "hands out 20 at a time"),
        ("cycle", "no cycle", "never start again"),
        ("increment by -1 maxvalue 9223372036854775807", "increment by 1", "count upwards"),
    ] {
        let mut conn = store.conn().await;
        let alter = |what| format!("alter sequence events_global_position_seq {what}");
        sqlx::raw_sql(AssertSqlSafe(alter(change))).execute(&mut *conn).await.expect("altered");
        let error = store.store().check_schema(&mut conn).await.expect_err(change);
        assert!(matches!(error, StoreError::SchemaUnsafe { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let recorder = Recorder::new(Arc::new(PgHarness::new()), "p");
        let processor = Processor::new(Arc::new(store.source.clone())).with_projection(recorder);
        let stopped = processor.run(CancellationToken::new()).await;
        assert!(stopped.is_err(), "a projection does not start on it");
        sqlx::raw_sql(AssertSqlSafe(alter(undo))).execute(&mut *conn).await.expect("altered");
        store.store().check_schema(&mut conn).await.expect("it is fit again");
    }
}

#[tokio::test]
async fn a_missing_schema_or_a_wrong_search_path_names_the_command() {
    let store = Fixture::new(PgHarness::new()).await;
    let unqualified = es_postgres::PgEventStore::default();
    let mut conn = store.conn().await;
    unqualified.check_schema(&mut conn).await.expect("the search path leads to the tables");
    execute(&mut conn, "set search_path = pg_catalog").await.expect("set");
    let elsewhere = es_postgres::PgEventStore::new(
        &es::TableNames::default().with_schema("no_such_schema".parse().expect("a name")),
    );
    for wrong in [unqualified, elsewhere] {
        let append = wrong.append(&mut conn, &stream("a"), ExpectedVersion::Any, &event()).await;
        let AppendError::Store(append) = append.expect_err("no table") else { panic!("an error") };
        let error = wrong.check_schema(&mut conn).await.expect_err("no table");
        assert!(error.to_string().contains("migrate-gen --database postgres"), "{error}");
        let errors = [
            append,
            wrong.read_stream(&mut conn, &stream("a"), ..).await.expect_err("no table"),
            wrong.horizon(&mut conn, es::Position::START).await.expect_err("no table"),
        ];
        for error in errors {
            assert!(matches!(error, StoreError::SchemaMissing { .. }), "{error:?}");
            assert!(error.to_string().contains("migrate-gen --database postgres"), "{error}");
        }
    }
}

#[tokio::test]
async fn another_schema_version_is_refused() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    for (sql, found) in
        [("update events_schema set version = 2", 2), ("delete from events_schema", 0)]
    {
        execute(&mut conn, sql).await.expect("edited by hand");
        let error = store.store().check_schema(&mut conn).await.expect_err("another version");
        let StoreError::SchemaVersion { found: is, needed: 1, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(is, found);
    }
}

/// The log keeps being read right after a failed append of a filtered reader's neighbour.
#[tokio::test]
async fn a_pool_without_a_free_connection_is_retryable() {
    let store = Fixture::new(PgHarness::new()).await;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(store.harness.options())
        .await
        .expect("a pool");
    let source = es_postgres::PgSource::new(pool, store.harness.store());
    let _held = source.acquire().await.expect("the only one");
    let error = source.begin().await.expect_err("none is free");
    assert!(error.is_retryable(), "{error:?}");
    let batch =
        store.read(es::Position::START, &EventFilter::default(), ReadLimit::default()).await;
    assert!(batch.events.is_empty());
}

/// A table restored or replicated without its sequence: the next events would fill holes that
/// readers have passed.
#[tokio::test]
async fn a_sequence_behind_the_table_is_refused() {
    let store = Fixture::new(PgHarness::new()).await;
    for _ in 0..3 {
        store.append(&stream("a"), &event()).await;
    }
    let mut conn = store.conn().await;
    execute(&mut conn, "select setval('events_global_position_seq', 2)").await.expect("set");
    let error = store.store().check_schema(&mut conn).await.expect_err("it is behind");
    assert!(matches!(error, StoreError::SchemaUnsafe { .. }), "{error:?}");
    assert!(error.to_string().contains("_global_position_seq\"', 3)"), "{error}");
    execute(&mut conn, "select setval('events_global_position_seq', 3)").await.expect("set");
    store.store().check_schema(&mut conn).await.expect("it is fit again");
}

/// A database that has gone back under a running processor, as a failover that loses commits
/// does, stops it: positions it has passed are about to be given out again.
#[tokio::test]
async fn a_log_that_went_back_stops_a_running_processor() {
    let harness = Arc::new(PgHarness::new());
    let store = Fixture::new(Arc::clone(&harness)).await;
    append_numbers(&store, 10).await;
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let recorder = Recorder::new(Arc::clone(&harness), "p").with_filter(filter);
    let processor = Processor::new(Arc::new(store.source.clone()))
        .with_projection(recorder)
        .with_assigned([Partition::ALL]);
    let go_back = async {
        let mut conn = store.conn().await;
        while harness.rows(&mut conn, "p").await.expect("rows").len() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sql = "delete from events where global_position > 5;
                   select setval('events_global_position_seq', 5)";
        execute(&mut conn, sql).await.expect("it goes back");
    };
    let run = processor.run(CancellationToken::new());
    let both = tokio::time::timeout(Duration::from_secs(30), join(run, go_back)).await;
    let (ended, ()) = both.expect("the processor notices");
    let error = ended.expect_err("the log went back");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(source.contains("the database has gone back"), "{error:?}");
}

/// Fails on one event with an error of the server, after which the transaction takes no statement.
struct Poisoned(Recorder<PgHarness>);

impl Projection for Poisoned {
    type Connection = Conn<PgHarness>;

    fn name(&self) -> &ProjectionName {
        self.0.name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::MIN))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.0.record(conn, event).await?;
        if event.position().get() == 5 {
            sqlx::query("select 1 / 0").execute(conn).await?;
        }
        Ok(())
    }
}

/// The dead letter is written in a transaction of its own, for the event's has been aborted.
#[tokio::test]
async fn an_event_whose_sql_aborts_the_transaction_is_parked() {
    let harness = Arc::new(PgHarness::new());
    let store = Fixture::new(Arc::clone(&harness)).await;
    append_numbers(&store, 12).await;
    let projection = Arc::new(Poisoned(Recorder::new(Arc::clone(&harness), "p")));
    let source = Arc::new(store.source.clone());
    let processor = Processor::new(Arc::clone(&source)).with_projection(Arc::clone(&projection));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it goes on");
    let (name, start) = (projection.name(), es::Position::START);
    let letters = projection::Operator::new(&*source).dead_letters(name, start, 100).await;
    let letters = letters.expect("the dead letters");
    assert_eq!(letters[0].position.get(), 5);
    let error = letters[0].error.as_deref().expect("what it failed with");
    assert!(error.contains("division by zero"), "{error}");
    let queued = letters.len();
    let mut conn = store.conn().await;
    let rows = harness.rows(&mut conn, "p").await.expect("rows");
    assert_eq!(rows.len() + queued, 12, "the others are handled or wait behind it: {rows:?}");
    assert!(!rows.contains(&5));
}
