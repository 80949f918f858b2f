//! Rows that somebody has written or edited by hand, tables that somebody has altered: an error that
//! names what is wrong, and no panic.

use es::adapter::EventLog;
use es::adapter::read_below;
use std::sync::Arc;

use es::adapter::{Attempt, CheckpointStore, ProjectionStore};
use es::conformance::Fixture;
use es::{
    DeadLetter, Event, EventFilter, EventStore, Partition, Position, ProjectionName, ReadLimit,
    StoreError, WorkerId,
};
use es_mysql::MySqlEventStore;
use es_mysql::sqlx::{self, AssertSqlSafe, MySqlConnection};

use crate::harness::{MySqlHarness, execute};
use crate::schedule::{ANY, event, stream};

/// Every column of the tables, as far as reads look at it.
const COLUMNS: &[(&str, &[&str])] = &[
    (
        "events",
        &[
            "global_position",
            "aggregate_version",
            "created_at",
            "recorded_at",
            "event_version",
            "slot",
            "event_id",
            "bounded_context",
            "aggregate_type",
            "aggregate_id",
            "event_type",
            "payload",
            "metadata",
            "correlation_id",
            "causation_id",
            "trace_id",
        ],
    ),
    (
        "events_appenders",
        &["connection_id", "seq", "low_position", "first_low_position", "announced_at"],
    ),
    ("events_schema", &["version"]),
    ("projections", &["name", "partition_total", "is_paused", "rescale_to"]),
    (
        "projection_checkpoints",
        &[
            "projection",
            "partition_index",
            "position",
            "updated_at",
            "epoch",
            "replay_until",
            "stop_at",
            "owner",
            "lease_until",
            "attempts",
            "failing_position",
            "attempt_began_at",
            "last_error",
        ],
    ),
    (
        "projection_dead_letters",
        &[
            "projection",
            "position",
            "bounded_context",
            "aggregate_type",
            "aggregate_id",
            "slot",
            "attempts",
            "error",
            "parked_at",
        ],
    ),
    ("projection_workers", &["projection", "worker_id", "alive_until"]),
];

/// What may be found in a column, as far as its type takes it.
const VALUES: &[&str] = &[
    "null",
    "-1",
    "0",
    "1",
    "32767",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "''",
    "' '",
    "'a '",
    "unhex('00')",
    "repeat('x', 255)",
    "'0000-00-00 00:00:00'",
    "'0000-01-00 00:00:00'",
    "'2024-02-31 00:00:00'",
    "'1000-01-01 00:00:00'",
    "'9999-12-31 23:59:59.999999'",
];

/// Other types a column may be given.
const TYPES: &[&str] = &["varchar(255) null", "double null", "int unsigned null", "longblob null"];

/// A row in every table.
async fn filled() -> Fixture<Arc<MySqlHarness>> {
    let store = Fixture::new(Arc::new(MySqlHarness::new())).await;
    let happened = Event::json("Happened", &1).expect("a valid event");
    let happened = happened.with_metadata_json(r#"{"a": 1}"#).expect("valid metadata");
    store.append(&stream("a"), &[happened]).await;
    let (log, name) = (store.log().await, projection_name());
    let mut tx = store.begin().await;
    let registered = store.store().register_checkpoint(&mut tx, &name, Partition::ALL).await;
    let epoch = registered.expect("registered").epoch;
    let attempt = Attempt { position: Some(1.into()), attempts: 2, error: Some("no") };
    let noted = store.store().record_attempt(&mut tx, &name, Partition::ALL, epoch, attempt);
    noted.await.expect("noted");
    let letter = DeadLetter::failed(&log[0], 3, "no");
    store.store().put_dead_letters(&mut tx, &name, &[letter]).await.expect("parked");
    let worker = WorkerId::new("w").expect("a valid name");
    let minute = std::time::Duration::from_mins(1);
    store.store().heartbeat(&mut tx, &name, &worker, minute).await.expect("there");
    store.commit(tx).await;
    store
}

fn projection_name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

/// Everything that is read: what does not succeed must say so as an error that names a cause.
async fn read_everything(store: &MySqlEventStore, conn: &mut MySqlConnection) -> Vec<StoreError> {
    let (filter, limit, name) = (EventFilter::default(), ReadLimit::default(), projection_name());
    let worker = WorkerId::new("w").expect("a valid name");
    let mut errors = Vec::new();
    let mut note = |error: Option<StoreError>| errors.extend(error);
    note(store.read_events(conn, Position::START, &filter, limit).await.err());
    note(read_below(store, conn, Position::START, 1.into(), &filter, limit).await.err());
    note(store.horizon(conn, Position::START).await.err());
    note(store.read_stream(conn, &stream("a"), ..).await.err());
    note(store.stream_version(conn, &stream("a")).await.err());
    note(store.check_schema(conn).await.err());
    note(store.checkpoints(conn, &name).await.err());
    note(store.projections(conn).await.err());
    note(store.partitions(conn, &name).await.err());
    note(store.workers(conn, &name).await.err());
    note(store.dead_letters(conn, &name, Position::START, 10).await.err());
    note(store.dead_letter_queue(conn, &name, &stream("a"), 10).await.err());
    note(store.dead_letter_counts(conn, &name).await.err());
    note(store.parked_streams(conn, &name, &["a"]).await.err());
    note(store.first_position_since(conn, sqlx::types::chrono::Utc::now()).await.err());
    execute(conn, "start transaction").await.expect("a transaction");
    if let Err(es::CheckpointError::Store(error)) =
        store.lock_checkpoint(conn, &name, Partition::ALL).await
    {
        note(Some(error));
    }
    note(store.lock_projection(conn, &name).await.err());
    note(store.lock_partitions(conn, &name).await.err());
    let lease = std::time::Duration::from_secs(1);
    note(store.claim(conn, &name, Partition::ALL, &worker, lease).await.err());
    if let Err(es::AppendError::Store(error)) =
        store.append(conn, &stream("a"), ANY, &event()).await
    {
        note(Some(error));
    }
    execute(conn, "rollback").await.expect("rolled back");
    errors
}

/// A decoder's or a server's error: not one that blames the network, and not one without words.
fn assert_clear(error: &StoreError, what: &str) {
    let is_clear = match error {
        StoreError::Corrupt { what } => what.contains(' ') && !what.contains("column index"),
        // As the server says it, with its own words as the source.
        StoreError::Database { .. }
        | StoreError::SchemaVersion { .. }
        | StoreError::SchemaIncomplete { .. }
        | StoreError::SchemaUnsafe { .. } => true,
        _ => false,
    };
    assert!(is_clear, "{what}: {error:?}");
}

#[tokio::test]
async fn every_column_edited_by_hand_is_an_error_and_no_panic() {
    let store = filled().await;
    let mut conn = store.harness.connect().await;
    let lax = "set sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0,
        check_constraint_checks = 0";
    let mut editor = store.harness.connect().await;
    execute(&mut editor, lax).await.expect("set");
    let (mut edited, mut refused) = (0, 0);
    for (table, columns) in COLUMNS {
        for column in *columns {
            for value in VALUES {
                execute(&mut editor, "start transaction").await.expect("a transaction");
                let keep = format!("create temporary table kept as select * from {table}");
                execute(&mut editor, AssertSqlSafe(keep)).await.expect("kept");
                let update = format!("update {table} set {column} = {value} limit 1");
                let what = update.clone();
                let done = execute(&mut editor, AssertSqlSafe(update)).await;
                execute(&mut editor, "commit").await.expect("committed");
                if done.is_ok() {
                    edited += 1;
                    let errors = read_everything(store.store(), &mut conn).await;
                    refused += usize::from(!errors.is_empty());
                    for error in errors {
                        assert_clear(&error, &what);
                    }
                }
                let counter = match *column {
                    "global_position" => "alter table events auto_increment = 2",
                    _ => "do 0",
                };
                let back = format!(
                    "delete from {table}; insert into {table} select * from kept;
                     drop temporary table kept; {counter}"
                );
                execute(&mut editor, AssertSqlSafe(back)).await.expect("as before");
            }
        }
    }
    assert!(edited > 500 && refused > 100, "{edited} edited, {refused} refused");
    let errors = read_everything(store.store(), &mut conn).await;
    assert!(errors.is_empty(), "all is as before: {errors:?}");
}

/// Statements that are prepared on a connection meet a column that has another type since: one of
/// them may fail, and once the type is as before everything is.
#[tokio::test]
async fn every_column_altered_under_prepared_statements_is_an_error_and_no_panic() {
    let store = filled().await;
    let mut conn = store.harness.connect().await;
    let mut editor = store.harness.connect().await;
    let lax = "set sql_mode = 'ALLOW_INVALID_DATES', foreign_key_checks = 0";
    execute(&mut editor, lax).await.expect("set");
    let mut altered = 0;
    for (table, columns) in COLUMNS {
        for (number, column) in columns.iter().enumerate() {
            let kind = TYPES[number % TYPES.len()];
            let keep =
                format!("create table kept like {table}; insert into kept select * from {table}");
            execute(&mut editor, AssertSqlSafe(keep)).await.expect("kept");
            let what = format!("alter table {table} modify {column} {kind}");
            if execute(&mut editor, AssertSqlSafe(what.clone())).await.is_ok() {
                altered += 1;
                for error in read_everything(store.store(), &mut conn).await {
                    assert_clear(&error, &what);
                }
            }
            let back = format!("drop table {table}; rename table kept to {table}");
            execute(&mut editor, AssertSqlSafe(back)).await.expect("as before");
            let errors = read_everything(store.store(), &mut conn).await;
            assert!(errors.is_empty(), "after {what}: {errors:?}");
        }
    }
    assert!(altered > 30, "{altered} altered");
}

/// A larger type, as an operator gives a column under a service that runs: nothing fails for long.
#[tokio::test]
async fn a_column_that_is_widened_fails_one_statement_at_most() {
    let store = filled().await;
    let mut conn = store.harness.connect().await;
    let mut tx = store.begin().await;
    assert!(read_everything(store.store(), &mut conn).await.is_empty());
    for alter in [
        "alter table events modify event_type varchar(300) not null",
        "alter table events modify metadata longtext null",
        "alter table events add column note int null first",
        "alter table projection_checkpoints modify last_error longtext null",
        "alter table projections add column note int null first",
    ] {
        let mut editor = store.harness.connect().await;
        execute(&mut editor, alter).await.expect("altered");
        let mut failed = 0;
        for _ in 0..3 {
            let errors = read_everything(store.store(), &mut conn).await;
            // The start check says that it is another type.
            let is_new =
                |error: &&StoreError| !matches!(error, StoreError::SchemaIncomplete { .. });
            failed += errors.iter().filter(is_new).count();
            let appended = store.append_in(&mut tx, &stream("b"), ANY, &event()).await;
            failed += usize::from(appended.is_err());
            store.commit(tx).await;
            tx = store.begin().await;
        }
        assert!(failed <= 1, "{alter}: {failed} failed");
    }
}

/// A name that differs from another one by spaces only is equal to it for the collation.
#[tokio::test]
async fn names_with_spaces_at_their_end_are_not_taken_for_others() {
    let store = filled().await;
    let mut conn = store.harness.connect().await;
    for (column, value) in [("event_type", "Happened"), ("aggregate_type", "Thing")] {
        let insert = format!(
            "insert into events
             select null, 1, created_at, recorded_at, event_version, slot, unhex(md5('{column}')),
               bounded_context, if('{column}' = 'aggregate_type', 'Thing ', aggregate_type),
               'other {column}', if('{column}' = 'event_type', 'Happened ', event_type), payload,
               metadata, correlation_id, causation_id, trace_id
             from events where global_position = 1"
        );
        execute(&mut conn, AssertSqlSafe(insert)).await.expect("inserted by hand");
        let filter = EventFilter::default();
        let filter = match column {
            "event_type" => filter.with_event_types([value]),
            _ => filter.with_aggregate_types([value]),
        };
        let all = store.log().await;
        let read = store
            .store()
            .read_events(&mut conn, Position::START, &filter, ReadLimit::default())
            .await
            .expect("a read");
        let matching: Vec<_> = all.into_iter().filter(|event| filter.matches(event)).collect();
        assert_eq!(read.events, matching, "{column}");
        assert!(!matching.is_empty());
    }
    let rename = "update events set aggregate_id = 'a ' where aggregate_id = 'a'";
    execute(&mut conn, rename).await.expect("edited by hand");
    let error = store.store().read_stream(&mut conn, &stream("a"), ..).await.expect_err("another");
    assert!(error.to_string().contains("by spaces only"), "{error}");
}
