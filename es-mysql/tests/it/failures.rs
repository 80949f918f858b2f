//! Connections that are killed, commits whose outcome nobody knows, handlers that hide errors,
//! appends that are too large, schemas that are unfit.

use std::sync::Arc;
use std::time::Duration;

use es::adapter::CheckpointStore;
use es::conformance::{Conn, Fixture, Harness};
use es::limits::PAYLOAD_BYTES_MAX;
use es::{
    AppendError, CheckpointError, Event, EventSource, EventStore, ExpectedVersion, Partition,
    PersistedEvent, Position, ProjectionName, StoreError, TableNames, Version,
};
use es_mysql::sqlx::{self, AssertSqlSafe, ConnectOptions, MySqlConnection};
use es_mysql::{MySqlEventStore, MySqlSource};
use futures_util::future::join;
use projection::conformance::{Recorder, append_numbers};
use projection::{
    EventContext, HandlerError, Processor, ProcessorError, Projection, ProjectionOptions,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::harness::{MySqlHarness, execute, url};
use crate::schedule::{
    ANY, READ_COMMITTED, begin, event, events, horizon, id, stream, until_waiting,
};

async fn kill(store: &Fixture<MySqlHarness>, connection: i64) {
    let mut conn = store.conn().await;
    let kill = format!("kill {connection}");
    execute(&mut conn, AssertSqlSafe(kill)).await.expect("killed");
}

/// The server ends the connection while the append waits for another writer.
#[tokio::test]
async fn a_connection_killed_in_an_append_leaves_nothing() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut holder = store.begin().await;
    store.append_in(&mut holder, &stream("a"), ANY, &event()).await.expect("appended");
    let mut victim = begin(&store, READ_COMMITTED).await;
    let victim_id = id(&mut victim).await;
    store.append_in(&mut victim, &stream("b"), ANY, &event()).await.expect("appended");
    let (a, one) = (stream("a"), event());
    let append = store.append_in(&mut victim, &a, ANY, &one);
    let end = async {
        until_waiting(&store, victim_id).await;
        kill(&store, victim_id).await;
    };
    let (result, ()) = join(append, end).await;
    let error = result.expect_err("the connection is gone");
    let AppendError::Store(StoreError::ConnectionLost { .. }) = error else { panic!("{error:?}") };
    assert!(error.is_retryable());
    store.commit(holder).await;
    let log = store.log().await;
    assert_eq!(log.len(), 1, "the victim's events are gone and hold nothing");
    assert!(horizon(&store).await.held_by.is_empty());
}

/// The caller lost the connection at its commit and does not know what became of it: it repeats
/// the transaction with the same event ids.
#[tokio::test]
async fn a_transaction_of_unknown_outcome_is_repeated_safely() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let events = events(3);
    let expected = ExpectedVersion::NoStream;
    let mut first_result = None;
    for end in ["do 0", "commit"] {
        let mut victim = begin(&store, READ_COMMITTED).await;
        let victim_id = id(&mut victim).await;
        let result = store.append_in(&mut victim, &stream("a"), expected, &events).await;
        first_result = Some(result.expect("appended"));
        execute(&mut victim, end).await.expect("but the answer is lost");
        kill(&store, victim_id).await;
        // What the victim had locked is free once it is gone.
        while execute(&mut victim, "do 0").await.is_ok() {}
    }
    let again = store.try_append(&stream("a"), expected, &events).await.expect("a repetition");
    assert!(again.is_replay());
    assert_eq!(again.events(), first_result.expect("two rounds").events());
    assert_eq!(store.version(&stream("a")).await, Version::from(3));
}

/// Disturbs its own transaction once, in the middle of a batch.
struct Disturbed {
    recorder: Recorder<MySqlHarness>,
    disturbance: Mutex<Option<Disturbance>>,
}

enum Disturbance {
    /// The connection is killed.
    Kill(MySqlConnection),
    /// A deadlock ends the transaction; the handler may hide the error.
    Deadlock { store: Fixture<Arc<MySqlHarness>>, is_hidden: bool },
}

impl Projection for Disturbed {
    type Connection = Conn<MySqlHarness>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut MySqlConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await?;
        if event.position().get() != 5 {
            return Ok(());
        }
        match self.disturbance.lock().await.take() {
            None => Ok(()),
            Some(Disturbance::Kill(mut killer)) => {
                let kill = format!("kill {}", id(conn).await);
                execute(&mut killer, AssertSqlSafe(kill)).await?;
                Ok(execute(conn, "do 0").await?)
            }
            Some(Disturbance::Deadlock { store, is_hidden }) => {
                let error = deadlock(&store, conn).await.expect_err("the lighter one ends");
                if is_hidden { Ok(()) } else { Err(error.into()) }
            }
        }
    }
}

/// Makes a deadlock of which `conn` is the victim: the other transaction has written more.
async fn deadlock(
    store: &Fixture<Arc<MySqlHarness>>,
    conn: &mut MySqlConnection,
) -> Result<(), StoreError> {
    let mut other = store.harness.connect().await;
    execute(&mut other, "start transaction").await.expect("a transaction");
    for number in 0..200 {
        store.harness.insert_row(&mut other, "elsewhere", number).await.expect("a heavy one");
    }
    execute(&mut other, "insert into locks values (1)").await.expect("locked");
    execute(conn, "insert into locks values (2)").await.expect("locked");
    let cross = async {
        let result = execute(&mut other, "insert into locks values (2)").await;
        execute(&mut other, "rollback").await.expect("rolled back");
        result
    };
    let mine = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        execute(conn, "insert into locks values (1)").await
    };
    let (mine, _) = join(mine, cross).await;
    mine
}

/// Runs a projection that is disturbed at position 5; gives the end of the run and its effects.
async fn run_disturbed(
    disturb: impl AsyncFnOnce(&Fixture<Arc<MySqlHarness>>) -> Disturbance,
) -> (Result<(), ProcessorError>, Vec<i64>) {
    let harness = Arc::new(MySqlHarness::new());
    let store = Fixture::new(Arc::clone(&harness)).await;
    append_numbers(&store, 12).await;
    let mut conn = store.conn().await;
    let locks = "create table locks (id int primary key) engine = InnoDB";
    execute(&mut conn, locks).await.expect("a table to deadlock on");
    let disturbance = Mutex::new(Some(disturb(&store).await));
    let recorder = Recorder::new(Arc::clone(&harness), "p");
    let projection = Arc::new(Disturbed { recorder, disturbance });
    let three = std::num::NonZeroU32::new(3).expect("three");
    let options = ProjectionOptions::default().with_batch_size_max(three);
    let processor = Processor::new(Arc::new(store.source.clone()))
        .with_projection_options(Arc::clone(&projection), options);
    let ended = processor.run_until_caught_up(CancellationToken::new()).await;
    assert!(projection.disturbance.lock().await.is_none(), "it was disturbed");
    (ended, harness.rows(&mut conn, "p").await.expect("rows"))
}

#[tokio::test]
async fn a_connection_killed_in_a_batch_repeats_nothing_and_skips_nothing() {
    let killer =
        async |store: &Fixture<Arc<MySqlHarness>>| Disturbance::Kill(store.harness.connect().await);
    let (ended, rows) = run_disturbed(killer).await;
    ended.expect("it goes on");
    assert_eq!(rows, (1..=12).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_deadlock_in_a_batch_repeats_nothing_and_skips_nothing() {
    let (ended, rows) = run_disturbed(async |store| deadlocking(store, false)).await;
    ended.expect("it goes on");
    assert_eq!(rows, (1..=12).collect::<Vec<i64>>());
}

/// The handler goes on as if its transaction were open, and what it writes for event 6 is
/// committed, as the documentation warns. The checkpoint is not saved, and the processor stops
/// and says what is wrong.
#[tokio::test]
async fn a_handler_that_hides_a_deadlock_stops_the_processor() {
    let (ended, rows) = run_disturbed(async |store| deadlocking(store, true)).await;
    let error = ended.expect_err("it stops");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(source.contains("hid the error"), "{source}");
    assert_eq!(rows, [1, 2, 3, 6]);
}

fn deadlocking(store: &Fixture<Arc<MySqlHarness>>, is_hidden: bool) -> Disturbance {
    let store = Fixture { harness: Arc::clone(&store.harness), source: store.source.clone() };
    Disturbance::Deadlock { store, is_hidden }
}

/// A source says that the transaction is gone before a checkpoint is saved outside one.
#[tokio::test]
async fn a_transaction_that_has_ended_is_noticed() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut tx = store.begin().await;
    execute(&mut tx, "rollback").await.expect("as a deadlock does");
    let error = store.source.check_open(&mut tx).await.expect_err("it has ended");
    assert!(matches!(error, StoreError::NoTransaction { .. }), "{error:?}");
    let mut tx = store.begin().await;
    store.source.check_open(&mut tx).await.expect("it is open");
    store.commit(tx).await;
}

#[tokio::test]
async fn an_append_larger_than_a_packet_is_refused_and_the_transaction_goes_on() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let payload = vec![b'x'; PAYLOAD_BYTES_MAX];
    let large: Vec<Event> = (0..4)
        .map(|_| Event::new("Happened", payload.clone()).expect("each of them is small enough"))
        .collect();
    let mut tx = store.begin().await;
    let result = store.append_in(&mut tx, &stream("a"), ANY, &large).await;
    let AppendError::Store(error) = result.expect_err("64 MiB") else { panic!("an error") };
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(source.contains("max_allowed_packet is 67108864"), "{source}");
    store.append_in(&mut tx, &stream("a"), ANY, &large[..3]).await.expect("three of them fit");
    store.commit(tx).await;
    assert_eq!(store.version(&stream("a")).await, Version::from(3));
}

#[tokio::test]
async fn a_missing_schema_names_the_command() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let tables = TableNames::default().with_schema("no_such_database".parse().expect("a name"));
    let wrong = MySqlEventStore::new(&tables);
    let mut conn = begin(&store, READ_COMMITTED).await;
    let append = wrong.append(&mut conn, &stream("a"), ANY, &event()).await;
    let AppendError::Store(append) = append.expect_err("no table") else { panic!("an error") };
    execute(&mut conn, "rollback").await.expect("rolled back");
    let error = wrong.check_schema(&mut conn).await.expect_err("no table");
    assert!(error.to_string().contains("migrate-gen --database mysql"), "{error}");
    let errors = [
        append,
        wrong.read_stream(&mut conn, &stream("a"), ..).await.expect_err("no table"),
        wrong.horizon(&mut conn, Position::START).await.expect_err("no table"),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::SchemaMissing { .. }), "{error:?}");
        assert!(error.to_string().contains("migrate-gen --database mysql"), "{error}");
    }
}

#[tokio::test]
async fn another_schema_version_is_refused() {
    let store = Fixture::new(MySqlHarness::new()).await;
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

/// Tables without transactions, or by whose collation different names are equal.
#[tokio::test]
async fn tables_that_cannot_keep_the_promises_are_refused() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut conn = store.conn().await;
    for (change, undo, says) in [
        (
            "alter table events_appenders engine = MyISAM",
            "alter table events_appenders engine = InnoDB",
            "engine = InnoDB",
        ),
        (
            "alter table events collate utf8mb4_general_ci",
            "alter table events collate utf8mb4_bin",
            "utf8mb4_bin",
        ),
    ] {
        execute(&mut conn, change).await.expect("altered");
        let error = store.store().check_schema(&mut conn).await.expect_err(change);
        assert!(matches!(error, StoreError::SchemaUnsafe { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        execute(&mut conn, undo).await.expect("altered");
        store.store().check_schema(&mut conn).await.expect("it is fit again");
    }
}

#[tokio::test]
async fn a_pool_without_a_free_connection_says_so() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let pool = sqlx::mysql::MySqlPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(store.harness.options())
        .await
        .expect("a pool");
    let source = MySqlSource::new(pool, MySqlEventStore::default());
    let mut held = source.begin().await.expect("the only one");
    let projection = es::ProjectionName::new("p").expect("a valid name");
    // It looks at the log on another connection than the operator's.
    let to = projection::operator::ResetTo::Position(es::Position::from(1_u32));
    let reset = projection::Operator::new(&source).reset_in(&mut held, &projection, to).await;
    let Err(projection::OperatorError::Store(reset)) = reset else { panic!("{reset:?}") };
    for error in [
        source.begin().await.expect_err("none is free"),
        source.acquire().await.expect_err("none is free"),
        reset,
    ] {
        assert!(matches!(error, StoreError::PoolTimedOut { .. }), "{error:?}");
        assert!(error.is_retryable());
        let says = error.to_string();
        assert!(says.contains("give back") && !says.contains("lost"), "{says}");
    }
    source.commit(held).await.expect("the transaction is as it was");
}

/// An operator grants the right; until then no event is to blame.
#[tokio::test]
async fn a_user_without_a_right_is_told_which_one() {
    let store = Fixture::new(Arc::new(MySqlHarness::new())).await;
    let mut conn = store.conn().await;
    let name = format!("{}_poor", store.harness.database());
    let grant = format!("create user `{name}`; grant select on events to `{name}`");
    execute(&mut conn, AssertSqlSafe(grant)).await.expect("a user");
    let mut poor = store.harness.options().username(&name).connect().await.expect("let in");
    execute(&mut poor, "start transaction").await.expect("a transaction");
    let appended = store.store().append(&mut poor, &stream("a"), ANY, &event()).await;
    let AppendError::Store(error) = appended.expect_err("refused") else { panic!("another") };
    assert_missing(&error, "insert", "events_appenders");
    let projection = ProjectionName::new("p").expect("a valid name");
    let locked = store.store().lock_checkpoint(&mut poor, &projection, Partition::ALL).await;
    let CheckpointError::Store(error) = locked.expect_err("refused") else { panic!("another") };
    assert_missing(&error, "select", "projection_checkpoints");
    execute(&mut conn, AssertSqlSafe(format!("drop user `{name}`"))).await.expect("dropped");
}

fn assert_missing(error: &StoreError, right: &str, table: &str) {
    let StoreError::MissingRight { needed, .. } = error else { panic!("{error:?}") };
    assert!(needed.contains(right) && needed.contains(table), "{needed}");
    assert_eq!(error.cause(), Some(es::Cause::Server));
}

/// What migrate-gen grants to a role is what the store and its projections need.
#[tokio::test]
async fn the_rights_that_migrate_gen_grants_suffice() {
    let harness = Arc::new(MySqlHarness::new());
    let store = Fixture::new(Arc::clone(&harness)).await;
    append_numbers(&store, 3).await;
    let name = format!("es_app_{}", std::process::id());
    let mut conn = store.conn().await;
    execute(&mut conn, AssertSqlSafe(format!("create user `{name}`"))).await.expect("a user");
    let schema = migrate_gen::Schema::new(migrate_gen::Database::Mysql)
        .with_role(name.parse().expect("a name"))
        .to_sql()
        .expect("valid names");
    let without_comments: Vec<_> =
        schema.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let without_comments = without_comments.join("\n");
    let grants = without_comments.split(';').filter(|text| text.trim_start().starts_with("grant"));
    for grant in grants {
        execute(&mut conn, AssertSqlSafe(grant.to_owned())).await.expect("granted");
    }
    let rows = format!("grant select, insert on caller_rows to `{name}`");
    execute(&mut conn, AssertSqlSafe(rows)).await.expect("granted");

    let options = store.harness.options().username(&name);
    let pool = sqlx::mysql::MySqlPoolOptions::new()
        .max_connections(2)
        .connect_with(options.clone())
        .await
        .expect("the user is let in");
    let source = MySqlSource::new(pool, MySqlEventStore::default());
    let mut tx = source.begin().await.expect("a transaction");
    source.store().append(&mut tx, &stream("a"), ANY, &event()).await.expect("it may append");
    source.commit(tx).await.expect("committed");
    let recorder = Arc::new(Recorder::new(Arc::clone(&harness), "p"));
    let processor = Processor::new(Arc::new(source.clone())).with_projection(Arc::clone(&recorder));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it may project");
    let mut least = options.connect().await.expect("a connection");
    execute(&mut least, "delete from events").await.expect_err("it may not delete events");
    let checkpoints = store.store().checkpoints(&mut conn, recorder.name()).await;
    assert_eq!(checkpoints.expect("a checkpoint")[0].position, 4.into());
    let mut root = url().connect().await.expect("the superuser");
    execute(&mut root, AssertSqlSafe(format!("drop user `{name}`"))).await.expect("dropped");
}
