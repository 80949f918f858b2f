//! What stands between the store and its tables: a standby, a pooler, a role with few rights.

use es::adapter::{CheckpointMove, CheckpointStore, Epoch, ProjectionStore};
use es::conformance::Fixture;
use es::{
    DeadLetter, Event, EventFilter, EventStore, ExpectedVersion, Partition, Position,
    ProjectionName, ReadLimit, StoreError, StreamId, WorkerId,
};
use es_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use migrate_gen::{Database, Schema};

use crate::harness::{PgHarness, execute, url};

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn events(count: i64) -> Vec<Event> {
    (0..count).map(|number| Event::json("Happened", &number).expect("a valid event")).collect()
}

/// A standby replays the events but not the locks that say who is appending.
#[tokio::test]
async fn the_log_is_not_read_on_a_standby() {
    let store = Fixture::new(PgHarness::new()).await;
    store.append(&stream("a"), &events(3)).await;
    let mut primary = store.conn().await;
    let end: String = sqlx::query_scalar("select pg_current_wal_lsn()::text")
        .fetch_one(&mut *primary)
        .await
        .expect("a position of the log");
    let mut standby =
        PgConnection::connect_with(&url("ES_POSTGRES_STANDBY_URL")).await.expect("the standby");
    let replayed = async {
        let sql = "select pg_last_wal_replay_lsn() >= $1::pg_lsn";
        loop {
            let query = sqlx::query_scalar(sql).bind(&end);
            if query.fetch_one(&mut standby).await.expect("an answer") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), replayed).await.expect("it replays");

    let read = store.store().read_stream(&mut standby, &stream("a"), ..).await;
    assert_eq!(read.expect("a stream may be read there").len(), 3);
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let errors = [
        store.store().horizon(&mut standby, Position::START).await.expect_err("refused"),
        store
            .store()
            .read_events(&mut standby, Position::START, &filter, ReadLimit::default())
            .await
            .expect_err("refused"),
    ];
    for error in errors {
        let StoreError::UnsafeRead { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains("standby") && reason.contains("primary"), "{reason}");
    }
}

/// Behind a pooler that gives each transaction another server connection, and does not carry
/// named statements over: without names, as the documentation says.
#[tokio::test]
async fn appends_work_behind_pgbouncer_in_transaction_mode() {
    let store = Fixture::new(PgHarness::new()).await;
    let unnamed = store.harness.store().with_unnamed_statements();
    let options = url("ES_PGBOUNCER_URL");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(PgConnection::connect_with(&options).await.expect("the pooler accepts"));
    }
    // The first client's transaction is open while the others come and go: the lock that
    // registers it stays with its server connection.
    let mut open = clients.remove(0);
    let mut open_tx = open.begin().await.expect("a transaction");
    unnamed.append(&mut open_tx, &stream("open"), ANY, &events(2)).await.expect("appended");
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            let mut tx = client.begin().await.expect("a transaction");
            let id = stream(&format!("s{number}"));
            let expected = ExpectedVersion::exact(round);
            let result = unnamed.append(&mut tx, &id, expected, &events(1)).await;
            result.expect("the version is right");
            let stale = unnamed.append(&mut tx, &id, ExpectedVersion::NoStream, &events(1)).await;
            assert!(stale.expect_err("the stream is there").is_conflict());
            let read = unnamed.read_stream(&mut tx, &id, ..).await.expect("a read");
            assert_eq!(read.len(), usize::try_from(round).expect("small") + 1);
            tx.commit().await.expect("committed");
        }
    }
    assert!(store.log().await.is_empty(), "positions 1 and 2 are open");
    open_tx.commit().await.expect("committed");
    assert_eq!(store.log().await.len(), 17);
}

/// The grants that `migrate-gen --role` writes are enough for everything the store does.
#[tokio::test]
async fn a_role_with_the_documented_grants_can_do_everything() {
    let harness = PgHarness::new();
    let role = format!("role_{}", harness.tables().schema().expect("a schema"));
    let store = Fixture::new(harness).await;
    let mut admin = store.conn().await;
    let create = format!("create role {role}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *admin).await.expect("a role");
    let name = |name: &str| name.parse().expect("a name");
    let tables = store
        .harness
        .tables()
        .with_events(name("guarded"))
        .with_projections(name("guarded_projections"))
        .with_checkpoints(name("guarded_checkpoints"));
    let schema = Schema::new(Database::Postgres).with_tables(tables.clone()).with_append_only();
    let sql = schema.with_role(name(&role)).to_sql().expect("valid names");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *admin).await.expect("the migration runs");

    let mut conn = PgConnection::connect_with(&store.harness.options()).await.expect("conn");
    let set = format!("set role {role}");
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut conn).await.expect("set");
    let guarded = es_postgres::PgEventStore::new(&tables);
    guarded.check_schema(&mut conn).await.expect("the start check");
    let batch = events(3);
    guarded.append(&mut conn, &stream("a"), ANY, &batch).await.expect("an append");
    let replay = guarded.append(&mut conn, &stream("a"), ANY, &batch).await.expect("a repetition");
    assert!(replay.is_replay());
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let after = Position::START;
    let read = guarded.read_events(&mut conn, after, &filter, ReadLimit::default()).await;
    assert_eq!(read.expect("the log").events.len(), 3);
    let p = ProjectionName::new("p").expect("a valid name");
    execute(&mut conn, "begin").await.expect("a transaction");
    let all = Partition::ALL;
    guarded.register_checkpoint(&mut conn, &p, all).await.expect("registered");
    guarded.lock_checkpoint(&mut conn, &p, all).await.expect("locked");
    let to = CheckpointMove {
        epoch: Epoch::FIRST,
        from: after,
        to: Position::from(3),
        lease: Some(std::time::Duration::from_secs(1)),
    };
    guarded.save_checkpoint(&mut conn, &p, all, to).await.expect("saved");
    let worker = WorkerId::new("worker").expect("a valid name");
    let lease = std::time::Duration::from_secs(9);
    guarded.heartbeat(&mut conn, &p, &worker, lease).await.expect("noted");
    let epoch = guarded.claim(&mut conn, &p, all, &worker, lease).await.expect("answered");
    guarded.release(&mut conn, &p, all, epoch.expect("claimed")).await.expect("released");
    guarded.leave(&mut conn, &p, &worker).await.expect("gone");
    let letter = DeadLetter::queued(&replay.events()[0]);
    guarded.put_dead_letters(&mut conn, &p, &[letter]).await.expect("parked");
    guarded.lock_projection(&mut conn, &p).await.expect("locked").expect("registered");
    guarded.lock_partitions(&mut conn, &p).await.expect("locked");
    guarded.remove_dead_letters_after(&mut conn, &p, Position::START).await.expect("removed");
    assert_eq!(guarded.checkpoints(&mut conn, &p).await.expect("a list").len(), 1);
    execute(&mut conn, "commit").await.expect("committed");
    for refused in ["update guarded set slot = 0", "delete from guarded", "truncate guarded"] {
        execute(&mut conn, refused).await.expect_err(refused);
    }
    let drop_role = format!("drop owned by {role}; drop role {role}");
    drop(conn);
    sqlx::raw_sql(AssertSqlSafe(drop_role)).execute(&mut *admin).await.expect("dropped");
}
