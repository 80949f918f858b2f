//! The generated schema in a real `SQLite`.

use expect_test::expect;
use migrate_gen::{Database, ExistingFile, OptionalIndex, SCHEMA_VERSION, Schema, TableNames};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// A row every column of which is as the event store would write it.
const GOOD_EVENT: [(&str, &str); 13] = [
    ("bounded_context", "'shop'"),
    ("aggregate_type", "'order'"),
    ("aggregate_id", "'order-1'"),
    ("aggregate_version", "1"),
    ("slot", "3437"),
    ("event_id", "x'0198c0de000070008000000000000001'"),
    ("event_type", "'OrderPlaced'"),
    ("event_version", "1"),
    ("payload", "x'7b7d'"),
    ("metadata", "'{}'"),
    ("correlation_id", "'req_42'"),
    ("causation_id", "null"),
    ("created_at", "1767225600000000"),
];

const OTHER_EVENT_ID: &str = "x'0198c0de000070008000000000000009'";

/// The insert of [`GOOD_EVENT`] with some of its columns set to something else.
fn insert_event(table: &str, changes: &[(&str, &str)]) -> String {
    let change = |column: &str| changes.iter().find(|(name, _)| *name == column);
    let columns = GOOD_EVENT.map(|(column, _)| column).join(", ");
    let values = GOOD_EVENT.map(|(column, value)| change(column).map_or(value, |(_, v)| *v));
    format!("insert into \"{table}\" ({columns}) values ({})", values.join(", "))
}

fn tables(events: &str, projections: &str, checkpoints: &str) -> TableNames {
    TableNames::default()
        .with_events(events.parse().unwrap())
        .with_projections(projections.parse().unwrap())
        .with_checkpoints(checkpoints.parse().unwrap())
}

async fn run(conn: &mut SqliteConnection, sql: impl Into<String>) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(conn).await?;
    Ok(done.rows_affected())
}

async fn refusal(conn: &mut SqliteConnection, sql: impl Into<String>) -> String {
    match run(conn, sql).await.unwrap_err() {
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => panic!("not an answer of the database: {error}"),
    }
}

async fn empty_database() -> SqliteConnection {
    SqliteConnection::connect("sqlite::memory:").await.unwrap()
}

async fn database(schema: &Schema) -> SqliteConnection {
    let mut conn = empty_database().await;
    run(&mut conn, schema.to_sql().unwrap()).await.unwrap();
    conn
}

async fn default_database() -> SqliteConnection {
    database(&Schema::new(Database::Sqlite)).await
}

async fn number(conn: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// Everything the schema created, a line each; what `SQLite` makes for itself is left out.
async fn listing(conn: &mut SqliteConnection) -> String {
    let lines: Vec<String> = sqlx::query_scalar(
        "select type || ' ' || name
         from sqlite_schema
         where name not like 'sqlite!_%' escape '!'
         order by type desc, name",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn the_defaults_create_what_the_store_needs_and_no_more() {
    let mut conn = default_database().await;
    expect![[r"
        table events
        table events_schema
        table projection_checkpoints
        table projection_dead_letters
        table projection_workers
        table projections
        index events_event_id_key
        index events_stream_key
        index projection_dead_letters_queue_idx"]]
    .assert_eq(&listing(&mut conn).await);
}

#[tokio::test]
async fn names_can_be_key_words_and_indexes_be_added() {
    let schema = Schema::new(Database::Sqlite)
        .with_tables(tables("order", "group", "Select"))
        .with_index(OptionalIndex::EventType)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::CreatedAt);
    let mut conn = database(&schema).await;
    expect![[r"
        table Select
        table group
        table group_dead_letters
        table group_workers
        table order
        table order_schema
        index group_dead_letters_queue_idx
        index order_correlation_id_idx
        index order_created_at_idx
        index order_event_id_key
        index order_event_type_idx
        index order_stream_key"]]
    .assert_eq(&listing(&mut conn).await);

    run(&mut conn, insert_event("order", &[])).await.unwrap();
    run(&mut conn, r#"insert into "group" (name, partition_total) values ('totals', 1)"#)
        .await
        .unwrap();
    run(&mut conn, r#"insert into "Select" (projection, partition_index, position, updated_at) values ('totals', 0, 1, 0)"#).await.unwrap();
    let orphan = refusal(&mut conn, r#"insert into "Select" (projection, partition_index, position, updated_at) values ('other', 0, 1, 0)"#).await;
    assert_eq!(orphan, "FOREIGN KEY constraint failed");
}

#[tokio::test]
async fn the_version_of_the_schema_is_recorded_once() {
    let mut conn = default_database().await;
    assert_eq!(number(&mut conn, "select count(*) from events_schema").await, 1);
    assert_eq!(number(&mut conn, "select version from events_schema").await, SCHEMA_VERSION);
    let age = "select unixepoch() - unixepoch(applied_at) from events_schema";
    assert!((0..60).contains(&number(&mut conn, age).await));
}

#[tokio::test]
async fn a_stream_has_one_event_for_each_version() {
    let mut conn = default_database().await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let again = insert_event("events", &[("event_id", OTHER_EVENT_ID)]);
    assert_eq!(
        refusal(&mut conn, again).await,
        "UNIQUE constraint failed: events.bounded_context, events.aggregate_type, \
         events.aggregate_id, events.aggregate_version"
    );
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
        let event_id = format!("x'0198c0de0000700080000000000000a{i}'");
        let other = insert_event("events", &[part, ("event_id", &event_id)]);
        assert_eq!(run(&mut conn, other).await.unwrap(), 1, "{part:?}");
    }
}

#[tokio::test]
async fn an_event_id_is_stored_once() {
    let mut conn = default_database().await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let again = insert_event("events", &[("aggregate_version", "2")]);
    assert_eq!(refusal(&mut conn, again).await, "UNIQUE constraint failed: events.event_id");
}

#[tokio::test]
async fn a_bad_event_is_refused() {
    let mut conn = default_database().await;
    for (column, value, reason) in [
        ("aggregate_version", "0", "CHECK"),
        ("slot", "-1", "CHECK"),
        ("slot", "16384", "CHECK"),
        ("event_id", "x'0198c0de'", "CHECK"),
        ("payload", "'{}'", "cannot store TEXT value in BLOB column"),
        ("created_at", "'2026-01-01'", "cannot store TEXT value in INTEGER column"),
    ] {
        let message = refusal(&mut conn, insert_event("events", &[(column, value)])).await;
        assert!(message.contains(reason), "{column} {value}: {message}");
    }
    for column in GOOD_EVENT.map(|(column, _)| column) {
        if ["metadata", "correlation_id", "causation_id"].contains(&column) {
            continue;
        }
        let insert = insert_event("events", &[(column, "null")]);
        let message = refusal(&mut conn, insert).await;
        assert_eq!(message, format!("NOT NULL constraint failed: events.{column}"));
    }
    assert_eq!(number(&mut conn, "select count(*) from events").await, 0);
}

#[tokio::test]
async fn the_first_and_last_slot_and_missing_optional_values_are_accepted() {
    let mut conn = default_database().await;
    let optional = [("metadata", "null"), ("correlation_id", "null")];
    let first = insert_event("events", &[&[("slot", "0")], &optional[..]].concat());
    let last = [("slot", "16383"), ("aggregate_version", "2"), ("event_id", OTHER_EVENT_ID)];
    run(&mut conn, first).await.unwrap();
    run(&mut conn, insert_event("events", &last)).await.unwrap();
    let empty = "select count(*) from events where trace_id is null and causation_id is null";
    assert_eq!(number(&mut conn, empty).await, 2);
}

#[tokio::test]
async fn the_position_of_a_deleted_event_is_not_given_again() {
    let mut conn = default_database().await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    run(&mut conn, "delete from events").await.unwrap();
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut conn, "select global_position from events").await, 2);
}

#[tokio::test]
async fn bad_projections_and_checkpoints_are_refused() {
    let mut conn = default_database().await;
    run(
        &mut conn,
        "insert into projections (name, partition_total) values ('one', 1), ('most', 16384)",
    )
    .await
    .unwrap();
    run(&mut conn, "insert into projection_checkpoints (projection, partition_index, position, updated_at) values ('one', 0, 0, 0)").await.unwrap();
    for (insert, reason) in [
        ("projections (name, partition_total) values ('one', 2)", "UNIQUE"),
        ("projections (name, partition_total) values ('none', 0)", "CHECK"),
        ("projections (name, partition_total) values ('many', 16385)", "CHECK"),
        ("projections (name, partition_total) values (null, 1)", "NOT NULL"),
        (
            "projection_checkpoints (projection, partition_index, position, updated_at) values ('one', 0, 5, 0)",
            "UNIQUE",
        ),
        (
            "projection_checkpoints (projection, partition_index, position, updated_at) values ('one', 1, -1, 0)",
            "CHECK",
        ),
        (
            "projection_checkpoints (projection, partition_index, position, updated_at) values ('unknown', 0, 0, 0)",
            "FOREIGN KEY",
        ),
    ] {
        let message = refusal(&mut conn, format!("insert into {insert}")).await;
        assert!(message.contains(reason), "{insert}: {message}");
    }
    let delete = refusal(&mut conn, "delete from projections where name = 'one'").await;
    assert_eq!(delete, "FOREIGN KEY constraint failed");
}

#[tokio::test]
async fn two_stores_fit_in_one_database() {
    let first = Schema::new(Database::Sqlite);
    let second = Schema::new(Database::Sqlite).with_tables(tables("log", "views", "progress"));
    let mut conn = database(&first).await;
    run(&mut conn, second.to_sql().unwrap()).await.unwrap();

    run(&mut conn, insert_event("events", &[])).await.unwrap();
    run(&mut conn, insert_event("log", &[])).await.unwrap();
    run(&mut conn, "insert into views (name, partition_total) values ('totals', 1)").await.unwrap();
    let other_store = "insert into projection_checkpoints (projection, partition_index, position, updated_at) values ('totals', 0, 0, 0)";
    assert_eq!(refusal(&mut conn, other_store).await, "FOREIGN KEY constraint failed");
    run(&mut conn, "insert into progress (projection, partition_index, position, updated_at) values ('totals', 0, 0, 0)").await.unwrap();
    assert_eq!(number(&mut conn, "select version from log_schema").await, SCHEMA_VERSION);
}

#[tokio::test]
async fn a_second_run_fails_and_changes_nothing() {
    let sql = Schema::new(Database::Sqlite).to_sql().unwrap();
    let mut conn = default_database().await;
    let before = listing(&mut conn).await;
    assert_eq!(refusal(&mut conn, &sql).await, "table \"events\" already exists");

    // A shell that goes on after an error runs every statement.
    let statements: Vec<&str> = sql.split_inclusive(";\n").collect();
    assert_eq!(statements.len(), 10);
    for statement in statements {
        refusal(&mut conn, statement).await;
    }
    assert_eq!(listing(&mut conn).await, before);
    assert_eq!(number(&mut conn, "select count(*) from events_schema").await, 1);
}

#[tokio::test]
async fn the_migrator_of_sqlx_runs_the_default_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0001_event_store.sql");
    Schema::new(Database::Sqlite).write_to(&path, ExistingFile::Keep).unwrap();
    let migrator = Migrator::new(directory.path()).await.unwrap();
    let mut conn = empty_database().await;
    for _ in 0..2 {
        migrator.run(&mut conn).await.unwrap();
    }
    assert_eq!(number(&mut conn, "select version from events_schema").await, SCHEMA_VERSION);
}

#[tokio::test]
async fn the_file_runs_inside_the_transaction_of_the_caller() {
    let mut conn = empty_database().await;
    let mut tx = conn.begin().await.unwrap();
    run(&mut tx, Schema::new(Database::Sqlite).to_sql().unwrap()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(listing(&mut conn).await, "");
}
