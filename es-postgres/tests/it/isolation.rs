//! Races between writers, in every isolation level; schedules placed by hand.

use std::time::Duration;

use es::adapter::{Checkpoint, CheckpointStore, Epoch, PartitionSeed, ProjectionStore};
use es::conformance::{Fixture, Harness};
use es::{
    AppendError, AppendResult, CheckpointError, Event, EventStore, ExpectedVersion, ImportError,
    Partition, PartitionCount, Position, ProjectionName, ProjectionState, StoreError, StreamId,
    TransactionState, Version,
};
use es_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use futures_util::future::join;
use tokio::time::timeout;

use crate::harness::{PgHarness, execute};

const PATIENCE: Duration = Duration::from_secs(20);

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn event() -> [Event; 1] {
    [Event::json("Happened", &1).expect("a valid event")]
}

/// Outside a transaction the registration would end before the first position is drawn.
#[tokio::test]
async fn an_import_outside_a_transaction_is_refused() {
    let store = Fixture::new(PgHarness::new()).await;
    let [one] = event();
    let mut conn = store.conn().await;
    let error = store.store().import(&mut *conn, [(stream("a"), one)]).await;
    match error.expect_err("there is no transaction") {
        ImportError::Store(StoreError::NoTransaction { .. }) => {}
        error => panic!("not refused for want of a transaction: {error:?}"),
    }
    drop(conn);
    assert!(store.log().await.is_empty());
}

/// An append takes the version that an import has counted on, and commits first.
#[tokio::test]
async fn an_import_that_loses_a_race_is_retryable() {
    let store = Fixture::new(PgHarness::new()).await;
    store.append(&stream("a"), &event()).await;
    let [one] = event();
    let mut winner = begin(&store, "read committed").await;
    let any = ExpectedVersion::Any;
    store.append_in(&mut winner, &stream("a"), any, &event()).await.expect("it is first");
    let mut loser = begin(&store, "read committed").await;
    let pid = pid(&mut loser).await;
    let import = store.store().import(&mut loser, [(stream("a"), one.clone())]);
    let commit = async {
        until_waiting(&store, pid).await;
        execute(&mut winner, "commit").await.expect("it commits");
    };
    let (imported, ()) = join(import, commit).await;
    match imported.expect_err("the version is taken") {
        ImportError::Store(StoreError::Retryable { transaction, .. }) => {
            assert_eq!(transaction, TransactionState::MustRollBack);
        }
        error => panic!("not retryable: {error:?}"),
    }
    execute(&mut loser, "rollback").await.expect("it rolls back");
    let mut again = begin(&store, "read committed").await;
    store.store().import(&mut again, [(stream("a"), one)]).await.expect("it is alone now");
    execute(&mut again, "commit").await.expect("it commits");
    assert_eq!(store.version(&stream("a")).await, Version::from(3));
}

/// A connection with an open transaction in which a snapshot has been taken.
async fn begin(store: &Fixture<PgHarness>, isolation: &str) -> PgConnection {
    let options = store.harness.options();
    let mut conn = PgConnection::connect_with(&options).await.expect("a connection");
    let begin = format!("begin isolation level {isolation}");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut conn).await.expect("a transaction");
    execute(&mut conn, "select count(*) from caller_rows").await.expect("a snapshot");
    conn
}

/// Waits until the server says that `conn`'s statement is waiting for a lock.
async fn until_waiting(store: &Fixture<PgHarness>, pid: i32) {
    let mut conn = store.conn().await;
    let waits = async {
        loop {
            let waiting: bool = sqlx::query_scalar(
                "select count(*) > 0 from pg_locks where pid = $1 and not granted",
            )
            .bind(pid)
            .fetch_one(&mut *conn)
            .await
            .expect("an answer");
            if waiting {
                return;
            }
        }
    };
    timeout(PATIENCE, waits).await.expect("the statement comes to wait");
}

async fn pid(conn: &mut PgConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(conn).await.expect("a process id")
}

/// Both expect version 1; the first has appended and not committed when the second comes.
async fn race(
    store: &Fixture<PgHarness>,
    isolation: &str,
    expected: ExpectedVersion,
) -> (PgConnection, Result<AppendResult, AppendError>) {
    store.append(&stream("a"), &event()).await;
    let mut winner = begin(store, isolation).await;
    let mut loser = begin(store, isolation).await;
    let loser_pid = pid(&mut loser).await;
    store.append_in(&mut winner, &stream("a"), expected, &event()).await.expect("it is first");
    let lose = async {
        let stream = stream("a");
        let result = store.append_in(&mut loser, &stream, expected, &event()).await;
        (loser, result)
    };
    let win = async {
        until_waiting(store, loser_pid).await;
        execute(&mut winner, "commit").await.expect("committed");
    };
    let (result, ()) = timeout(PATIENCE, join(lose, win)).await.expect("nobody hangs");
    result
}

#[tokio::test]
async fn in_read_committed_the_loser_of_a_race_sees_a_conflict_and_goes_on() {
    let store = Fixture::new(PgHarness::new()).await;
    let (mut loser, result) = race(&store, "read committed", ExpectedVersion::exact(1)).await;
    let error = result.expect_err("the version is taken");
    let AppendError::Conflict { actual, .. } = error else { panic!("{error:?}") };
    assert_eq!(actual, Version::from(2));
    store.harness.insert_row(&mut loser, "orders", 1).await.expect("the transaction goes on");
    let expected = ExpectedVersion::Exact(actual);
    let again = store.append_in(&mut loser, &stream("a"), expected, &event()).await;
    again.expect("the right version this time");
    execute(&mut loser, "commit").await.expect("committed");
    assert_eq!(store.version(&stream("a")).await, Version::from(3));
}

#[tokio::test]
async fn in_read_committed_any_version_goes_behind_the_winner() {
    let store = Fixture::new(PgHarness::new()).await;
    let (mut second, result) = race(&store, "read committed", ExpectedVersion::Any).await;
    assert_eq!(result.expect("it is tried again").to_version(), Version::from(3));
    execute(&mut second, "commit").await.expect("committed");
    let log = store.log().await;
    let versions: Vec<i64> = log.iter().map(|event| event.version().get()).collect();
    assert_eq!(versions, [1, 2, 3], "in the order of the positions");
}

#[tokio::test]
async fn in_stricter_isolation_the_loser_of_a_race_is_retryable() {
    for isolation in ["repeatable read", "serializable"] {
        for expected in [ExpectedVersion::exact(1), ExpectedVersion::Any] {
            let store = Fixture::new(PgHarness::new()).await;
            let (_loser, result) = race(&store, isolation, expected).await;
            let error = result.expect_err("the snapshot is old");
            assert!(error.is_retryable() && !error.is_conflict(), "{isolation}: {error:?}");
            let AppendError::Store(error) = error else { panic!("{error:?}") };
            assert_eq!(error.transaction(), Some(TransactionState::MustRollBack));
            assert_eq!(store.version(&stream("a")).await, Version::from(2));
        }
    }
}

#[tokio::test]
async fn two_transactions_in_opposite_order_end_with_one_retryable() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut first = begin(&store, "read committed").await;
    let mut second = begin(&store, "read committed").await;
    let first_pid = pid(&mut first).await;
    let (a, b, any) = (stream("a"), stream("b"), ExpectedVersion::Any);
    store.append_in(&mut first, &a, any, &event()).await.expect("appended");
    store.append_in(&mut second, &b, any, &event()).await.expect("appended");
    let cross_first = async {
        let result = store.append_in(&mut first, &b, any, &event()).await;
        let end = if result.is_ok() { "commit" } else { "rollback" };
        execute(&mut first, end).await.expect("it ends");
        result
    };
    let cross_second = async {
        until_waiting(&store, first_pid).await;
        let result = store.append_in(&mut second, &a, any, &event()).await;
        let end = if result.is_ok() { "commit" } else { "rollback" };
        execute(&mut second, end).await.expect("it ends");
        result
    };
    let results = timeout(PATIENCE, join(cross_first, cross_second)).await.expect("nobody hangs");
    let errors: Vec<AppendError> =
        [results.0, results.1].into_iter().filter_map(Result::err).collect();
    assert!(matches!(&errors[..], [one] if one.is_retryable()), "{errors:?}");
    assert_eq!(store.log().await.len(), 2, "the other transaction's events");
}

/// A winner that rolls back leaves the version to the one that waits.
#[tokio::test]
async fn a_waiting_writer_takes_the_version_of_one_that_rolls_back() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut first = begin(&store, "read committed").await;
    let mut second = begin(&store, "read committed").await;
    let second_pid = pid(&mut second).await;
    let (a, no_stream) = (stream("a"), ExpectedVersion::NoStream);
    store.append_in(&mut first, &a, no_stream, &event()).await.expect("appended");
    let wait = async {
        let result = store.append_in(&mut second, &a, no_stream, &event()).await;
        execute(&mut second, "commit").await.expect("committed");
        result
    };
    let give_way = async {
        until_waiting(&store, second_pid).await;
        execute(&mut first, "rollback").await.expect("rolled back");
    };
    let (result, ()) = timeout(PATIENCE, join(wait, give_way)).await.expect("nobody hangs");
    assert_eq!(result.expect("the version is free").to_version(), Version::FIRST);
    assert_eq!(store.log().await.len(), 1);
}

/// Statement and lock timeouts are the operator's word that the transaction may be tried again.
#[tokio::test]
async fn a_timeout_is_retryable() {
    for set in ["set lock_timeout = '100ms'", "set statement_timeout = '100ms'"] {
        let store = Fixture::new(PgHarness::new()).await;
        let mut first = begin(&store, "read committed").await;
        let (a, any) = (stream("a"), ExpectedVersion::Any);
        store.append_in(&mut first, &a, any, &event()).await.expect("appended");
        let mut second = begin(&store, "read committed").await;
        execute(&mut second, set).await.expect("set");
        let error = store.append_in(&mut second, &a, any, &event()).await.expect_err("it waits");
        assert!(error.is_retryable(), "{set}: {error:?}");
    }
}

/// An event id that another transaction stores at the same moment, behind its first event.
#[tokio::test]
async fn a_race_for_an_event_id_is_retryable_and_then_named() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut first = begin(&store, "read committed").await;
    let mut second = begin(&store, "read committed").await;
    let second_pid = pid(&mut second).await;
    let [twin] = event();
    let events = |twin: &Event| [event()[0].clone(), twin.clone()];
    let (a, b, any) = (stream("a"), stream("b"), ExpectedVersion::Any);
    store.append_in(&mut first, &a, any, &events(&twin)).await.expect("appended");
    let wait = async {
        let result = store.append_in(&mut second, &b, any, &events(&twin)).await;
        execute(&mut second, "rollback").await.expect("rolled back");
        result
    };
    let commit = async {
        until_waiting(&store, second_pid).await;
        execute(&mut first, "commit").await.expect("committed");
    };
    let (result, ()) = timeout(PATIENCE, join(wait, commit)).await.expect("nobody hangs");
    assert!(result.expect_err("the id is taken").is_retryable());
    let again = store.append_in(&mut second, &b, any, &events(&twin)).await;
    let Err(AppendError::DuplicateEventId { event_id, stream, .. }) = again else {
        panic!("{again:?}")
    };
    assert_eq!((event_id, stream), (twin.id(), a));
    assert_eq!(store.log().await.len(), 2);
}

/// A transaction that has failed for another reason says so, and blames nobody else.
#[tokio::test]
async fn an_append_in_a_failed_transaction_is_an_error() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut failed = begin(&store, "read committed").await;
    execute(&mut failed, "select 1 / 0").await.expect_err("a mistake");
    let any = ExpectedVersion::Any;
    let error = store.append_in(&mut failed, &stream("a"), any, &event()).await;
    assert!(matches!(error, Err(AppendError::Store(StoreError::Database { .. }))), "{error:?}");
}

/// The epoch and what was changed with it come together, also for who had to wait for them.
#[tokio::test]
async fn a_worker_that_waited_for_an_operator_sees_what_was_changed() {
    let store = Fixture::new(PgHarness::new()).await;
    let operator = changing(&store, |state| state.is_paused = true).await;
    let worker = begin(&store, "read committed").await;
    let paused = lock_behind(&store, operator, worker).await.expect("the row is there");
    assert_eq!((paused.epoch, paused.is_paused), (Epoch::FIRST.next(), true));

    let store = Fixture::new(PgHarness::new()).await;
    let operator = changing(&store, |state| state.partition_total = PartitionCount::of(2)).await;
    let worker = begin(&store, "read committed").await;
    let error = lock_behind(&store, operator, worker).await.expect_err("another count");
    assert!(
        matches!(&error, CheckpointError::PartitionCount { stored, .. } if stored.get() == 2),
        "{error:?}"
    );
}

/// Registers a projection of one partition, and gives a transaction in which an operator has
/// changed its settings, in a new epoch.
async fn changing(store: &Fixture<PgHarness>, change: fn(&mut ProjectionState)) -> PgConnection {
    let p = ProjectionName::new("p").expect("a valid name");
    let mut operator = begin(store, "read committed").await;
    let registered = store.store().register_checkpoint(&mut operator, &p, Partition::ALL).await;
    registered.expect("a new projection");
    execute(&mut operator, "commit").await.expect("committed");
    execute(&mut operator, "begin").await.expect("a transaction");
    let state = store.store().lock_projection(&mut operator, &p).await.expect("locked");
    let mut state = state.expect("registered");
    store.store().lock_partitions(&mut operator, &p).await.expect("locked");
    change(&mut state);
    store.store().save_projection(&mut operator, &state).await.expect("saved");
    let seed = PartitionSeed {
        position: Position::START,
        epoch: Epoch::FIRST.next(),
        replay_until: Position::START,
        stop_at: None,
    };
    let seeds = vec![seed; state.partition_total.get().into()];
    store.store().rewrite_partitions(&mut operator, &p, &seeds).await.expect("rewritten");
    operator
}

/// What `worker` finds when it has waited for `operator` to commit.
async fn lock_behind(
    store: &Fixture<PgHarness>,
    mut operator: PgConnection,
    mut worker: PgConnection,
) -> Result<Checkpoint, CheckpointError> {
    let p = ProjectionName::new("p").expect("a valid name");
    let worker_id = pid(&mut worker).await;
    let lock = store.store().lock_checkpoint(&mut worker, &p, Partition::ALL);
    let commit = async {
        until_waiting(store, worker_id).await;
        execute(&mut operator, "commit").await.expect("committed");
    };
    timeout(PATIENCE, join(lock, commit)).await.expect("nobody hangs").0
}
