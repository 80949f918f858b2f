//! Every column that is read, edited by hand to every kind of value: clear errors, and no panic.

use es::adapter::EventLog;
use std::collections::BTreeSet;

use es::adapter::{CheckpointStore, Epoch, ProjectionStore};
use es::{
    AppendError, CheckpointError, DeadLetter, Event, EventFilter, EventStore, ExpectedVersion,
    Partition, Position, ProjectionName, ReadLimit, StoreError, StreamId, WorkerId,
};
use es_sqlite::{SqliteEventStore, sqlx};
use migrate_gen::{Database, Schema};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::harness::SqliteHarness;

/// Values of every type, and those at the edges of each.
const VALUES: [&str; 16] = [
    "null",
    "-1",
    "-9223372036854775808",
    "9223372036854775807",
    "65536",
    "4294967296",
    "1.5",
    "1e999",
    "''",
    "'text'",
    "' text '",
    "cast(x'ff' as text)",
    "x''",
    "x'00'",
    "x'ffffffffffffffffffffffffffffffff'",
    "zeroblob(1000)",
];

const TABLES: [&str; 6] = [
    "events",
    "projections",
    "projection_checkpoints",
    "projection_workers",
    "projection_dead_letters",
    "sqlite_sequence",
];

/// What no answer holds: it is only compared, or written.
const UNREAD: [&str; 8] = [
    "projection_checkpoints.attempt_began_at",
    "projection_workers.alive_until",
    "events.slot",
    "projection_checkpoints.updated_at",
    "projection_checkpoints.projection",
    "projection_workers.projection",
    "projection_dead_letters.projection",
    "sqlite_sequence.name",
];

fn stream() -> StreamId {
    StreamId::new("Test", "Thing", "a").expect("a valid name")
}

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

/// The tables without what makes SQLite refuse a wrong value.
async fn lax(harness: &SqliteHarness) -> SqliteConnection {
    let mut conn = SqliteConnection::connect_with(&harness.options()).await.expect("a file");
    let sql = Schema::new(Database::Sqlite).to_sql().expect("valid names");
    let sql = sql.replace(") strict", ")").replace(", without rowid", "").replace(" not null", "");
    run(&mut conn, sql).await;
    run(&mut conn, "pragma ignore_check_constraints = on; pragma foreign_keys = off".to_owned())
        .await;
    conn
}

async fn run(conn: &mut SqliteConnection, sql: String) {
    let ran = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(conn).await;
    ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn fill(conn: &mut SqliteConnection) -> [Event; 1] {
    let store = SqliteEventStore::default();
    let event = [Event::json("Happened", &1).expect("a valid event")];
    store.append(conn, &stream(), ExpectedVersion::Any, &event).await.expect("appended");
    let register = store.register_checkpoint(conn, &name(), Partition::ALL).await;
    register.expect("a new projection");
    let worker = WorkerId::new("w").expect("a valid name");
    let lease = std::time::Duration::from_mins(1);
    store.heartbeat(conn, &name(), &worker, lease).await.expect("it is alive");
    let claim = store.claim(conn, &name(), Partition::ALL, &worker, lease).await;
    claim.expect("answered").expect("it is free");
    let log = store.read_stream(conn, &stream(), ..).await.expect("read");
    let letter = DeadLetter::failed(&log.events()[0], 1, "poison");
    store.put_dead_letters(conn, &name(), &[letter]).await.expect("parked");
    event
}

/// What the reads say that is an error.
async fn errors(conn: &mut SqliteConnection, event: &[Event; 1]) -> Vec<StoreError> {
    let store = SqliteEventStore::default();
    let mut errors = Vec::new();
    let checkpoint = |error| match error {
        CheckpointError::Store(error) => Some(error),
        _ => None,
    };
    let mut note = |error: Option<StoreError>| errors.extend(error);
    note(store.read_stream(conn, &stream(), ..).await.err());
    note(store.stream_version(conn, &stream()).await.err());
    let limit = ReadLimit::default();
    let typed = EventFilter::default().with_event_types(["Happened"]);
    for filter in [EventFilter::default(), typed] {
        note(store.read_events(conn, Position::START, &filter, limit).await.err());
    }
    note(store.horizon(conn, Position::START).await.err());
    let again = store.append(conn, &stream(), ExpectedVersion::Any, event).await;
    note(match again {
        Err(AppendError::Store(error)) => Some(error),
        _ => None,
    });
    note(store.projections(conn).await.err());
    note(store.lock_projection(conn, &name()).await.err());
    note(store.partitions(conn, &name()).await.err());
    note(store.checkpoints(conn, &name()).await.err());
    note(store.lock_checkpoint(conn, &name(), Partition::ALL).await.err().and_then(checkpoint));
    note(store.workers(conn, &name()).await.err());
    note(store.dead_letters(conn, &name(), Position::START, 10).await.err());
    note(store.dead_letter_queue(conn, &name(), &stream(), 10).await.err());
    note(store.dead_letter_counts(conn, &name()).await.err());
    note(store.parked_streams(conn, &name(), &["a"]).await.err());
    note(
        store
            .first_position_since(conn, "1970-01-01T00:00:00Z".parse().expect("a time"))
            .await
            .err(),
    );
    let worker = WorkerId::new("v").expect("a valid name");
    let lease = std::time::Duration::from_mins(1);
    note(store.claim(conn, &name(), Partition::ALL, &worker, lease).await.err());
    note(store.renew(conn, &name(), Partition::ALL, Epoch::FIRST, lease).await.err());
    errors
}

async fn columns(conn: &mut SqliteConnection, table: &str) -> Vec<String> {
    let columns = sqlx::query_scalar("select name from pragma_table_info(?)");
    columns.bind(table.to_owned()).fetch_all(conn).await.expect("the columns")
}

#[tokio::test]
async fn every_column_edited_by_hand_is_a_clear_error_and_no_panic() {
    let harness = SqliteHarness::new();
    let mut conn = lax(&harness).await;
    let event = fill(&mut conn).await;
    assert!(errors(&mut conn, &event).await.is_empty(), "nothing is wrong yet");
    let mut unnoticed = BTreeSet::new();
    for table in TABLES {
        for column in columns(&mut conn, table).await {
            let mut is_noticed = false;
            for value in VALUES {
                run(&mut conn, "begin".to_owned()).await;
                let edit = format!("update or ignore {table} set \"{column}\" = {value}");
                // SQLite itself keeps a primary key of the rows to whole numbers.
                let edited = sqlx::raw_sql(AssertSqlSafe(edit)).execute(&mut conn).await;
                assert!(
                    edited.is_ok() || column == "global_position",
                    "{column} = {value}: {edited:?}"
                );
                for error in errors(&mut conn, &event).await {
                    let is_clear = matches!(error, StoreError::Corrupt { .. });
                    assert!(is_clear, "{table}.{column} = {value}: {error:?}");
                    is_noticed = true;
                }
                run(&mut conn, "rollback".to_owned()).await;
            }
            if !is_noticed {
                unnoticed.insert(format!("{table}.{column}"));
            }
        }
    }
    assert_eq!(unnoticed, BTreeSet::from(UNREAD.map(str::to_owned)));
    assert!(errors(&mut conn, &event).await.is_empty(), "everything is as before");
}
