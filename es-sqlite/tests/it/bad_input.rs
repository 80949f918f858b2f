//! A schema that is missing, old or edited by hand: clear errors, and nothing is written.

use es::adapter::read_below;
use std::error::Error;

use es::adapter::CheckpointStore;
use es::{
    AppendError, CheckpointError, Event, EventStore, ExpectedVersion, Partition, Position,
    ProjectionName, StoreError, StreamId, TableNames,
};
use es_sqlite::{SqliteEventStore, sqlx};
use sqlx::{Connection, SqliteConnection};

use crate::harness::SqliteHarness;

fn stream() -> StreamId {
    StreamId::new("Test", "Thing", "a").expect("a valid name")
}

async fn run(conn: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.expect("the statement runs");
}

#[tokio::test]
async fn a_missing_schema_names_the_command_that_writes_it() {
    let harness = SqliteHarness::new();
    let mut conn = SqliteConnection::connect_with(&harness.options()).await.expect("a new file");
    let store = SqliteEventStore::default();
    let event = [Event::json("Happened", &1).expect("a valid event")];
    let append = store.append(&mut conn, &stream(), ExpectedVersion::Any, &event).await;
    let AppendError::Store(append) = append.expect_err("no table") else { panic!("a store error") };
    let errors = [
        append,
        store.check_schema(&mut conn).await.expect_err("no table"),
        store.read_stream(&mut conn, &stream(), ..).await.expect_err("no table"),
        store.horizon(&mut conn, Position::START).await.expect_err("no table"),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::SchemaMissing { .. }), "{error:?}");
        assert!(error.to_string().contains("migrate-gen --database sqlite"), "{error}");
        assert!(error.source().is_some(), "the driver's error is kept");
    }
}

#[tokio::test]
async fn another_schema_version_is_refused() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let mut conn = pool.acquire().await.expect("a connection");
    let store = SqliteEventStore::default();
    for (sql, expected) in [
        ("update events_schema set version = 2", "has version 2, this library needs 1: use"),
        ("delete from events_schema", "has version 0, this library needs 1: its row is gone"),
    ] {
        run(&mut conn, sql).await;
        let error = store.check_schema(&mut conn).await.expect_err("another version");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_checkpoint_edited_by_hand_is_noticed() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let mut conn = pool.acquire().await.expect("a connection");
    let store = SqliteEventStore::default();
    let name = ProjectionName::new("p").expect("a valid name");
    let register = store.register_checkpoint(&mut conn, &name, Partition::ALL);
    register.await.expect("a new projection");

    run(&mut conn, "pragma ignore_check_constraints = on").await;
    run(&mut conn, "update projection_checkpoints set position = -7").await;
    let locked = store.lock_checkpoint(&mut conn, &name, Partition::ALL).await;
    let Err(CheckpointError::Store(StoreError::Corrupt { what })) = locked else {
        panic!("{locked:?}")
    };
    assert!(what.contains("-7"), "{what}");
    let listed = store.checkpoints(&mut conn, &name).await;
    assert!(matches!(listed, Err(StoreError::Corrupt { .. })), "{listed:?}");

    run(&mut conn, "update projection_checkpoints set position = 0, partition_index = 5").await;
    let listed = store.checkpoints(&mut conn, &name).await;
    assert!(matches!(listed, Err(StoreError::Corrupt { .. })), "{listed:?}");
    run(&mut conn, "update projections set partition_total = 99999").await;
    let again = store.register_checkpoint(&mut conn, &name, Partition::ALL).await;
    assert!(matches!(again, Err(CheckpointError::Store(StoreError::Corrupt { .. }))), "{again:?}");
}

#[tokio::test]
async fn an_event_edited_by_hand_is_an_error_and_no_panic() {
    let edits = [
        "update events set event_id = x'00'",
        "update events set event_version = -1",
        "update events set created_at = 9223372036854775807",
        "update events set aggregate_version = -1",
        "update events set global_position = -1",
        "update events set trace_id = cast(x'ff' as text)",
    ];
    for edit in edits {
        let harness = SqliteHarness::new();
        let pool = harness.pool(&TableNames::default()).await;
        let mut conn = pool.acquire().await.expect("a connection");
        let store = SqliteEventStore::default();
        let event = [Event::json("Happened", &1).expect("a valid event")];
        let stream = stream();
        let append = store.append(&mut conn, &stream, ExpectedVersion::Any, &event).await;
        append.expect("the append succeeds");
        run(&mut conn, "pragma ignore_check_constraints = on").await;
        run(&mut conn, edit).await;
        let all = es::Version::NONE..=es::Version::MAX;
        let read = store.read_stream(&mut conn, &stream, all).await;
        // A negative version lies outside every range, so that row is not found at all.
        let gone = read.as_ref().is_ok_and(es::Stream::is_empty);
        assert!(gone || matches!(read, Err(StoreError::Corrupt { .. })), "{edit}: {read:?}");
        assert_eq!(gone, edit.contains("aggregate_version"), "{edit}");
    }
}

/// SQLite's own limit on a value, lowered to below an event: the statement fails and nothing else.
#[tokio::test]
async fn an_event_over_the_size_the_database_takes_is_named() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let mut conn = pool.acquire().await.expect("a connection");
    run(
        &mut conn,
        "create trigger grow before insert on events begin select zeroblob(2000000000); end",
    )
    .await;
    let store = SqliteEventStore::default();
    let event = [Event::json("Happened", &1).expect("a valid event")];
    let result = store.append(&mut conn, &stream(), ExpectedVersion::Any, &event).await;
    assert!(matches!(result, Err(AppendError::Store(StoreError::TooLarge { .. }))), "{result:?}");
    run(&mut conn, "drop trigger grow").await;
    store.append(&mut conn, &stream(), ExpectedVersion::NoStream, &event).await.expect("usable");
}

/// Starting over would repeat what is already applied, so a row that is gone is not made again.
#[tokio::test]
async fn a_deleted_checkpoint_is_not_taken_for_a_new_projection() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let mut conn = pool.acquire().await.expect("a connection");
    let store = SqliteEventStore::default();
    let name = ProjectionName::new("p").expect("a valid name");
    let register = store.register_checkpoint(&mut conn, &name, Partition::ALL).await;
    assert_eq!(register.expect("a new projection").position, Position::START);
    run(&mut conn, "delete from projection_checkpoints").await;
    let again = store.register_checkpoint(&mut conn, &name, Partition::ALL).await;
    let error = again.expect_err("the row is gone");
    assert!(matches!(error, CheckpointError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("put the row back"), "{error}");
    run(&mut conn, "delete from projections").await;
    let again = store.register_checkpoint(&mut conn, &name, Partition::ALL).await;
    assert_eq!(again.expect("deleted as a whole").position, Position::START);
}

/// SQLite folds the case of table names, but keeps its counters under the name as it was given.
#[tokio::test]
async fn a_table_named_in_another_case_is_read_to_its_end() {
    let harness = SqliteHarness::new();
    let name = |name: &str| TableNames::default().with_events(name.parse().expect("a name"));
    let pool = harness.pool(&name("Events")).await;
    let mut conn = pool.acquire().await.expect("a connection");
    let store = SqliteEventStore::new(&name("events"));
    let event = [Event::json("Happened", &1).expect("a valid event")];
    store.append(&mut conn, &stream(), ExpectedVersion::Any, &event).await.expect("appended");
    let horizon = store.horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!(horizon.position, Position::from(1));
}

/// A snapshot that is older than the horizon would take what it cannot see for a hole.
#[tokio::test]
async fn a_read_in_an_older_snapshot_is_refused() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let store = SqliteEventStore::default();
    let mut old = pool.begin().await.expect("a transaction");
    store.stream_version(&mut old, &stream()).await.expect("its snapshot");
    let mut conn = pool.acquire().await.expect("a connection");
    let event = [Event::json("Happened", &1).expect("a valid event")];
    store.append(&mut conn, &stream(), ExpectedVersion::Any, &event).await.expect("appended");
    let horizon = store.horizon(&mut conn, Position::START).await.expect("a horizon").position;
    let (filter, limit) = (es::EventFilter::default(), es::ReadLimit::default());
    let read = read_below(&store, &mut old, Position::START, horizon, &filter, limit).await;
    assert!(matches!(read, Err(StoreError::UnsafeRead { .. })), "{read:?}");
    let read = read_below(&store, &mut conn, Position::START, horizon, &filter, limit).await;
    assert_eq!(read.expect("a new snapshot").events.len(), 1);
}
