//! The generated schema in a real PostgreSQL.

mod options;
mod server;

use expect_test::expect;
use migrate_gen::{ExistingFile, OptionalIndex, SCHEMA_VERSION, TableNames};
use sqlx::Connection;
use sqlx::migrate::Migrator;

use server::{
    GOOD_EVENT, OTHER_EVENT_ID, TestSchema, insert_event, listing, number, postgres, refusal, run,
};

const NOT_NULL: &str = "23502";
const FOREIGN_KEY: &str = "23503";
const UNIQUE: &str = "23505";
const CHECK: &str = "23514";

fn renamed(tables: TableNames, events: &str, projections: &str, checkpoints: &str) -> TableNames {
    tables
        .with_events(events.parse().unwrap())
        .with_projections(projections.parse().unwrap())
        .with_checkpoints(checkpoints.parse().unwrap())
}

#[tokio::test]
async fn the_defaults_create_what_the_store_needs_and_no_more() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    expect![[r"
        index events_event_id_key
        index events_pkey
        index events_schema_pkey
        index events_stream_key
        index projection_checkpoints_pkey
        index projection_dead_letters_pkey
        index projection_dead_letters_queue_idx
        index projection_workers_pkey
        index projections_pkey
        sequence events_global_position_seq
        table events
        table events_schema
        table projection_checkpoints
        table projection_dead_letters
        table projection_workers
        table projections"]]
    .assert_eq(&listing(&mut conn).await);
}

#[tokio::test]
async fn names_can_be_key_words_or_of_mixed_case_and_everything_be_added() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let role = schema.create_role(&mut conn).await;
    let store = postgres()
        .with_tables(renamed(schema.tables(), "Order", "group", "select"))
        .with_index(OptionalIndex::EventType)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::CreatedAt)
        .with_append_only()
        .with_notify()
        .with_role(role);
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    expect![[r"
        function Order_append_only
        function Order_notify
        index Order_correlation_id_idx
        index Order_created_at_idx
        index Order_event_id_key
        index Order_event_type_idx
        index Order_pkey
        index Order_schema_pkey
        index Order_stream_key
        index group_dead_letters_pkey
        index group_dead_letters_queue_idx
        index group_pkey
        index group_workers_pkey
        index select_pkey
        sequence Order_global_position_seq
        table Order
        table Order_schema
        table group
        table group_dead_letters
        table group_workers
        table select
        trigger Order_append_only
        trigger Order_notify"]]
    .assert_eq(&listing(&mut conn).await);

    run(&mut conn, insert_event(r#""Order""#, &[])).await.unwrap();
    run(&mut conn, r#"insert into "group" values ('totals', 1)"#).await.unwrap();
    run(&mut conn, r#"insert into "select" values ('totals', 0, 1)"#).await.unwrap();
    let orphan = refusal(&mut conn, r#"insert into "select" values ('other', 0, 1)"#).await;
    assert_eq!(orphan.0, FOREIGN_KEY);
    let guard = refusal(&mut conn, r#"delete from "Order""#).await;
    assert_eq!(
        guard.1,
        format!("delete refused: the table {}.\"Order\" is append-only", schema.name())
    );
}

#[tokio::test]
async fn the_longest_names_fit() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let [events, projections, checkpoints] = ["e", "p", "c"].map(|letter| letter.repeat(40));
    let store = postgres()
        .with_tables(renamed(schema.tables(), &events, &projections, &checkpoints))
        .with_index(OptionalIndex::CorrelationId)
        .with_append_only()
        .with_notify();
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    let sequence = format!("select last_value from {events}_global_position_seq");
    assert_eq!(number(&mut conn, sequence).await, 1);
}

#[tokio::test]
async fn the_version_of_the_schema_is_recorded_once() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    let version = "select sum(version) from events_schema";
    assert_eq!(number(&mut conn, version).await, SCHEMA_VERSION);
    let recent = "select count(*) from events_schema where now() - applied_at < '1 minute'";
    assert_eq!(number(&mut conn, recent).await, 1);
}

#[tokio::test]
async fn positions_are_given_by_the_database_alone() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    let columns = GOOD_EVENT.map(|(column, _)| column).join(", ");
    let values = GOOD_EVENT.map(|(_, value)| value).join(", ");
    let explicit = format!("insert into events (global_position, {columns}) values (7, {values})");
    let (code, message) = refusal(&mut conn, explicit).await;
    assert_eq!(code, "428C9", "{message}");
    let update = "update events set global_position = 7";
    assert_eq!(refusal(&mut conn, update).await.0, "428C9");
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut conn, "select global_position from events").await, 1);
}

#[tokio::test]
async fn the_sequence_is_one_the_horizon_can_rely_on() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    let good = "select count(*)
        from pg_sequence
        where seqrelid = pg_get_serial_sequence('events', 'global_position')::regclass
          and seqrelid = 'events_global_position_seq'::regclass
          and seqtypid = 'bigint'::regtype
          and seqstart = 1
          and seqincrement = 1
          and seqcache = 1
          and not seqcycle";
    assert_eq!(number(&mut conn, good).await, 1);
}

#[tokio::test]
async fn the_position_of_a_deleted_or_refused_event_is_not_given_again() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    refusal(&mut conn, insert_event("events", &[])).await;
    run(&mut conn, "truncate events").await.unwrap();
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut conn, "select global_position from events").await, 3);
}

#[tokio::test]
async fn a_stream_has_one_event_for_each_version() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let again = insert_event("events", &[("event_id", OTHER_EVENT_ID)]);
    let (code, message) = refusal(&mut conn, again).await;
    assert_eq!(code, UNIQUE);
    assert!(message.contains("\"events_stream_key\""), "{message}");
    // Another value in any one part of the key makes it another place.
    for (i, part) in [
        ("bounded_context", "'Shop'"),
        ("aggregate_type", "'order '"),
        ("aggregate_id", "'ORDER-1'"),
        ("aggregate_version", "2"),
    ]
    .into_iter()
    .enumerate()
    {
        let event_id = format!("'0198c0de-0000-7000-8000-0000000000a{i}'");
        let other = insert_event("events", &[part, ("event_id", &event_id)]);
        assert_eq!(run(&mut conn, other).await.unwrap(), 1, "{part:?}");
    }
}

#[tokio::test]
async fn an_event_id_is_stored_once() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let again = insert_event("events", &[("aggregate_version", "2")]);
    let (code, message) = refusal(&mut conn, again).await;
    assert_eq!(code, UNIQUE);
    assert!(message.contains("\"events_event_id_key\""), "{message}");
}

#[tokio::test]
async fn names_are_ordered_byte_for_byte() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    let collated = "select count(*)
        from pg_attribute
        where attrelid in (
            'events'::regclass, 'projections'::regclass, 'projection_checkpoints'::regclass
          )
          and atttypid = 'text'::regtype
          and attcollation = 'pg_catalog.\"C\"'::regcollation";
    assert_eq!(number(&mut conn, collated).await, 10);
}

#[tokio::test]
async fn an_event_without_a_required_value_is_refused() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    let optional = ["metadata", "correlation_id", "causation_id", "trace_id"];
    for column in GOOD_EVENT.map(|(column, _)| column) {
        let result = run(&mut conn, insert_event("events", &[(column, "null")])).await;
        if optional.contains(&column) {
            assert_eq!(result.unwrap(), 1, "{column}");
            run(&mut conn, "delete from events").await.unwrap();
            continue;
        }
        let error = result.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some(NOT_NULL), "{error}");
        assert!(error.message().contains(&format!("\"{column}\"")), "{error}");
    }
    let (code, _) = refusal(&mut conn, insert_event("events", &[("metadata", "'{'")])).await;
    assert_eq!(code, "22P02");
}

#[tokio::test]
async fn bad_projections_and_checkpoints_are_refused() {
    let (_schema, mut conn) = TestSchema::with(&postgres()).await;
    run(&mut conn, "insert into projections values ('one', 1), ('most', 16384)").await.unwrap();
    run(&mut conn, "insert into projection_checkpoints values ('one', 0, 0)").await.unwrap();
    for (insert, reason) in [
        ("projections values ('one', 2)", UNIQUE),
        ("projections values ('none', 0)", CHECK),
        ("projections values ('many', 16385)", CHECK),
        ("projections values (null, 1)", NOT_NULL),
        ("projections values ('unsaid', null)", NOT_NULL),
        ("projection_checkpoints values ('one', 0, 5)", UNIQUE),
        ("projection_checkpoints values ('one', 1, -1)", CHECK),
        ("projection_checkpoints values ('one', 1, null)", NOT_NULL),
        ("projection_checkpoints values ('unknown', 0, 0)", FOREIGN_KEY),
    ] {
        let (code, message) = refusal(&mut conn, format!("insert into {insert}")).await;
        assert_eq!(code, reason, "{insert}: {message}");
    }
    let delete = refusal(&mut conn, "delete from projections where name = 'one'").await;
    assert_eq!(delete.0, FOREIGN_KEY);
}

#[tokio::test]
async fn two_stores_fit_in_one_schema() {
    let (_schema, mut conn) = TestSchema::with(&postgres().with_append_only().with_notify()).await;
    let second = postgres()
        .with_tables(renamed(TableNames::default(), "Events", "views", "progress"))
        .with_append_only()
        .with_notify();
    run(&mut conn, second.to_sql().unwrap()).await.unwrap();

    run(&mut conn, insert_event("events", &[])).await.unwrap();
    run(&mut conn, insert_event(r#""Events""#, &[])).await.unwrap();
    run(&mut conn, "insert into views values ('totals', 1)").await.unwrap();
    let other_store = "insert into projection_checkpoints values ('totals', 0, 0)";
    assert_eq!(refusal(&mut conn, other_store).await.0, FOREIGN_KEY);
    run(&mut conn, "insert into progress values ('totals', 0, 0)").await.unwrap();
    let version = r#"select version::bigint from "Events_schema""#;
    assert_eq!(number(&mut conn, version).await, SCHEMA_VERSION);
}

#[tokio::test]
async fn two_schemas_have_a_store_each() {
    let schemas = [TestSchema::reserve(), TestSchema::reserve()];
    let [mut first, mut second] = [schemas[0].connect().await, schemas[1].connect().await];
    // Both files run on one connection: the names alone say where the tables go.
    for schema in &schemas {
        let sql = postgres().with_tables(schema.tables()).with_append_only().to_sql().unwrap();
        run(&mut first, sql).await.unwrap();
    }
    run(&mut first, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut first, "select count(*) from events").await, 1);
    assert_eq!(number(&mut second, "select count(*) from events").await, 0);
    assert_eq!(listing(&mut first).await, listing(&mut second).await);
}

#[tokio::test]
async fn a_schema_that_is_there_already_is_used() {
    let (schema, mut conn) = TestSchema::create().await;
    run(&mut conn, "create table ours ()").await.unwrap();
    let store = postgres().with_tables(schema.tables());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    assert_eq!(number(&mut conn, "select count(*) from events").await, 0);
    assert_eq!(number(&mut conn, "select count(*) from ours").await, 0);
}

#[tokio::test]
async fn a_second_run_fails_and_changes_nothing() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let role = schema.create_role(&mut conn).await;
    let sql = postgres()
        .with_tables(schema.tables())
        .with_index(OptionalIndex::EventType)
        .with_append_only()
        .with_notify()
        .with_role(role)
        .to_sql()
        .unwrap();
    run(&mut conn, &sql).await.unwrap();
    let before = listing(&mut conn).await;
    let (code, message) = refusal(&mut conn, &sql).await;
    assert_eq!(code, "42P07", "{message}");

    // A shell that goes on after an error runs every statement.
    let statements: Vec<&str> = sql.split_inclusive(";\n\n").collect();
    assert_eq!(statements.len(), 20);
    for statement in statements {
        let result = run(&mut conn, statement).await;
        let repeatable = ["\ngrant ", "\ngrant\n", "\ncreate schema if not exists "];
        let is_repeatable = repeatable.iter().any(|start| statement.contains(start));
        assert_eq!(result.is_ok(), is_repeatable, "{statement}");
    }
    assert_eq!(listing(&mut conn).await, before);
    assert_eq!(number(&mut conn, "select count(*) from events_schema").await, 1);
}

#[tokio::test]
async fn the_migrator_of_sqlx_runs_the_file_with_every_option() {
    let (schema, mut conn) = TestSchema::create().await;
    let role = schema.create_role(&mut conn).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0001_event_store.sql");
    let store =
        postgres().with_tables(schema.tables()).with_append_only().with_notify().with_role(role);
    store.write_to(&path, ExistingFile::Keep).unwrap();
    let migrator = Migrator::new(directory.path()).await.unwrap();
    for _ in 0..2 {
        migrator.run(&mut conn).await.unwrap();
    }
    let version = "select version::bigint from events_schema";
    assert_eq!(number(&mut conn, version).await, SCHEMA_VERSION);
}

#[tokio::test]
async fn the_file_runs_inside_the_transaction_of_the_caller() {
    let (_schema, mut conn) = TestSchema::create().await;
    let mut tx = conn.begin().await.unwrap();
    run(&mut tx, postgres().with_append_only().to_sql().unwrap()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(listing(&mut conn).await, "");
}
