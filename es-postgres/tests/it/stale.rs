//! Statements that connections keep prepared, while somebody changes what they read.

use std::sync::Arc;

use es::adapter::ProjectionStore;
use es::conformance::{Fixture, Harness};
use es::{
    AppendError, Event, EventFilter, EventSource, EventStore, ExpectedVersion, Partition, Position,
    ProjectionName, ReadLimit, StoreError, StreamId, TransactionState,
};
use es_postgres::sqlx::{self, AssertSqlSafe, PgConnection};
use projection::Processor;
use projection::conformance::{Recorder, append_numbers};
use tokio_util::sync::CancellationToken;

use crate::harness::{PgHarness, execute};

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn stream() -> StreamId {
    StreamId::new("Test", "Thing", "a").expect("a valid name")
}

fn event() -> [Event; 1] {
    [Event::json("Happened", &1).expect("a valid event")]
}

/// What changes the columns that the store's statements give.
const CHANGES: [&str; 6] = [
    "alter table events alter column event_type type varchar(255) collate \"C\"",
    "alter table events alter column aggregate_id type varchar(255) collate \"C\"",
    "alter table projections alter column name type varchar(255)",
    "alter table projection_checkpoints alter column owner type varchar(255)",
    "create table copy (like events including all); drop table events cascade;
     alter table copy rename to events; alter table events alter column event_type type varchar(99);
     alter sequence copy_global_position_seq rename to events_global_position_seq;
     alter index copy_event_id_key rename to events_event_id_key",
    "deallocate all",
];

/// Uses every statement that reads, and the appends.
async fn use_all(store: &Fixture<PgHarness>, conn: &mut PgConnection) -> Result<(), StoreError> {
    let appended = store.append_in(conn, &stream(), ANY, &event()).await;
    let several = [event(), event()].concat();
    let appended = match appended {
        Ok(_) => store.append_in(conn, &stream(), ANY, &several).await,
        Err(error) => Err(error),
    };
    match appended {
        Ok(_) => {}
        Err(AppendError::Store(error)) => return Err(error),
        Err(error) => panic!("{error:?}"),
    }
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let p = ProjectionName::new("p").expect("a valid name");
    let adapter = store.store();
    adapter.read_stream(conn, &stream(), ..).await?;
    adapter.stream_version(conn, &stream()).await?;
    adapter.read_events(conn, Position::START, &filter, ReadLimit::default()).await?;
    adapter.projections(conn).await?;
    adapter.partitions(conn, &p).await?;
    adapter.workers(conn, &p).await?;
    adapter.dead_letters(conn, &p, Position::START, 9).await?;
    Ok(())
}

async fn registered(store: &Fixture<PgHarness>) {
    let p = ProjectionName::new("p").expect("a valid name");
    let mut tx = store.begin().await;
    let registered = es::adapter::CheckpointStore::register_checkpoint(
        store.store(),
        &mut tx,
        &p,
        Partition::ALL,
    )
    .await;
    registered.expect("registered");
    store.commit(tx).await;
}

#[tokio::test]
async fn a_change_of_a_column_is_not_noticed_outside_a_transaction() {
    for change in CHANGES {
        let store = Fixture::new(PgHarness::new()).await;
        registered(&store).await;
        let mut conn = store.conn().await;
        use_all(&store, &mut conn).await.expect("everything is prepared");
        sqlx::raw_sql(change).execute(&mut *conn).await.expect("changed");
        for _ in 0..2 {
            let used = use_all(&store, &mut conn).await;
            used.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        }
    }
}

#[tokio::test]
async fn a_change_of_a_column_costs_a_transaction_at_most() {
    for change in CHANGES {
        let store = Fixture::new(PgHarness::new()).await;
        registered(&store).await;
        let mut conn = store.conn().await;
        use_all(&store, &mut conn).await.expect("everything is prepared");
        sqlx::raw_sql(change).execute(&mut *conn).await.expect("changed");
        execute(&mut conn, "begin").await.expect("a transaction");
        let used = use_all(&store, &mut conn).await.expect_err(change);
        let StoreError::Retryable { transaction, .. } = &used else { panic!("{change}: {used:?}") };
        assert_eq!(*transaction, TransactionState::MustRollBack);
        execute(&mut conn, "rollback").await.expect("rolled back");
        execute(&mut conn, "begin").await.expect("a transaction");
        let used = use_all(&store, &mut conn).await;
        used.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        execute(&mut conn, "commit").await.expect("committed");
    }
}

/// The tables are elsewhere, and another of their columns is of another type there.
#[tokio::test]
async fn another_search_path_is_not_noticed_outside_a_transaction() {
    let (store, other) =
        (Fixture::new(PgHarness::new()).await, Fixture::new(PgHarness::new()).await);
    let unqualified = es_postgres::PgEventStore::default();
    let mut there = other.conn().await;
    execute(&mut there, CHANGES[0]).await.expect("changed");
    let mut conn = store.conn().await;
    unqualified.append(&mut conn, &stream(), ANY, &event()).await.expect("appended");
    unqualified.read_stream(&mut conn, &stream(), ..).await.expect("read");
    let path = format!("set search_path = {}", other.harness.tables().schema().expect("a schema"));
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut *conn).await.expect("set");
    assert!(unqualified.read_stream(&mut conn, &stream(), ..).await.expect("read").is_empty());
    unqualified.append(&mut conn, &stream(), ANY, &event()).await.expect("appended");
}

/// A type in which the values mean something else is named, and is no panic.
#[tokio::test]
async fn a_column_of_another_type_is_an_error_that_names_it() {
    for (column, other) in [
        ("global_position", "numeric"),
        ("aggregate_version", "double precision"),
        ("event_version", "bigint"),
        ("event_version", "real"),
        ("created_at", "timestamp"),
        ("event_id", "text"),
        ("payload", "text using payload::text"),
        ("correlation_id", "bytea using correlation_id::bytea"),
    ] {
        let store = Fixture::new(PgHarness::new()).await;
        store.append(&stream(), &event()).await;
        let mut conn = store.conn().await;
        let drop = "alter table events alter column global_position drop identity";
        execute(&mut conn, drop).await.expect("an ordinary column");
        let alter = format!("alter table events alter column {column} type {other}");
        sqlx::raw_sql(AssertSqlSafe(alter)).execute(&mut *conn).await.expect("altered");
        let error = store.store().read_stream(&mut conn, &stream(), ..).await.expect_err(column);
        let StoreError::Corrupt { what } = &error else { panic!("{column}: {error:?}") };
        assert!(what.contains(column), "{what}");
    }
}

#[tokio::test]
async fn a_processor_goes_on_when_a_column_is_changed() {
    let harness = Arc::new(PgHarness::new());
    let store = Fixture::new(Arc::clone(&harness)).await;
    let recorder = Arc::new(Recorder::new(Arc::clone(&harness), "p"));
    let processor =
        Processor::new(Arc::new(store.source.clone())).with_projection(Arc::clone(&recorder));
    for (round, change) in CHANGES[..4].iter().enumerate() {
        append_numbers(&store, 3).await;
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it runs");
        let mut conn = store.conn().await;
        sqlx::raw_sql(*change).execute(&mut *conn).await.expect("changed");
        append_numbers(&store, 3).await;
        let ran = processor.run_until_caught_up(CancellationToken::new()).await;
        ran.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        let rows = harness.rows(&mut conn, "p").await.expect("rows");
        assert_eq!(rows.len(), (round + 1) * 6, "{change}");
        store.source.release(conn);
    }
}
