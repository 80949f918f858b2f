//! Races between writers, in both isolation levels that are used; schedules placed by hand.

use es::adapter::{Checkpoint, CheckpointStore, Epoch, PartitionSeed, ProjectionStore};
use es::conformance::{Fixture, Harness};
use es::{
    AppendError, AppendResult, CheckpointError, EventStore, ExpectedVersion, Partition,
    PartitionCount, Position, ProjectionName, ProjectionState, StoreError, TransactionState,
    Version,
};
use es_mysql::sqlx::MySqlConnection;
use futures_util::future::{join, join3};
use tokio::time::timeout;

use crate::harness::{MySqlHarness, execute};
use crate::schedule::{
    ANY, PATIENCE, READ_COMMITTED, REPEATABLE_READ, begin, event, events, id, in_transaction,
    stream, until_waiting,
};

/// MariaDB's stricter reading of REPEATABLE READ; MySQL takes it for a comment.
const SNAPSHOT_ISOLATION: &str = "set session transaction isolation level repeatable read;
     /*M! set session innodb_snapshot_isolation = on */; do 0";

type Outcome = (MySqlConnection, Result<AppendResult, AppendError>);

/// Both expect version 1; the first has appended and not committed when the second comes.
async fn race(
    store: &Fixture<MySqlHarness>,
    isolation: &'static str,
    expected: ExpectedVersion,
) -> Outcome {
    store.append(&stream("a"), &event()).await;
    let mut winner = begin(store, isolation).await;
    let mut loser = begin(store, isolation).await;
    let loser_id = id(&mut loser).await;
    store.append_in(&mut winner, &stream("a"), expected, &event()).await.expect("it is first");
    let lose = append_on(store, loser, expected);
    let win = async {
        until_waiting(store, loser_id).await;
        execute(&mut winner, "commit").await.expect("committed");
    };
    timeout(PATIENCE, join(lose, win)).await.expect("nobody hangs").0
}

async fn append_on(
    store: &Fixture<MySqlHarness>,
    mut conn: MySqlConnection,
    expected: ExpectedVersion,
) -> Outcome {
    let stream = stream("a");
    let result = store.append_in(&mut conn, &stream, expected, &events(2)).await;
    (conn, result)
}

#[tokio::test]
async fn the_loser_of_a_race_sees_a_conflict_and_goes_on() {
    for isolation in [READ_COMMITTED, REPEATABLE_READ, SNAPSHOT_ISOLATION] {
        let store = Fixture::new(MySqlHarness::new()).await;
        let (mut loser, result) = race(&store, isolation, ExpectedVersion::exact(1)).await;
        let error = result.expect_err("the version is taken");
        let AppendError::Conflict { actual, .. } = error else { panic!("{isolation}: {error:?}") };
        assert_eq!(actual, Version::from(2), "{isolation}");
        store.harness.insert_row(&mut loser, "orders", 1).await.expect("the transaction goes on");
        let other = store.append_in(&mut loser, &stream("b"), ANY, &event()).await;
        other.expect("it can append elsewhere");
        execute(&mut loser, "commit").await.expect("committed");
        let mut conn = store.conn().await;
        assert_eq!(store.harness.rows(&mut conn, "orders").await.expect("rows"), [1]);
        drop(conn);
        assert_eq!(store.log().await.len(), 3, "{isolation}");
    }
}

#[tokio::test]
async fn in_read_committed_any_version_goes_behind_the_winner() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let (mut second, result) = race(&store, READ_COMMITTED, ANY).await;
    assert_eq!(result.expect("it is tried again").to_version(), Version::from(4));
    execute(&mut second, "commit").await.expect("committed");
    let log = store.log().await;
    let versions: Vec<i64> = log.iter().map(|event| event.version().get()).collect();
    assert_eq!(versions, [1, 2, 3, 4], "in the order of the positions");
}

/// The snapshot will never show what the winner wrote, so only a new transaction can tell.
#[tokio::test]
async fn in_repeatable_read_any_version_asks_for_a_new_transaction() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let (mut second, result) = race(&store, REPEATABLE_READ, ANY).await;
    let AppendError::Store(error) = result.expect_err("the snapshot is old") else { panic!() };
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(error.transaction(), Some(TransactionState::Usable));
    store.harness.insert_row(&mut second, "orders", 1).await.expect("the transaction goes on");
    execute(&mut second, "commit").await.expect("committed");
    assert_eq!(store.version(&stream("a")).await, Version::from(2));
}

/// The repetition of an append whose commit is not yet visible must not look like a conflict.
#[tokio::test]
async fn a_repetition_that_the_snapshot_does_not_show_is_retryable() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let events = events(2);
    let mut second = begin(&store, REPEATABLE_READ).await;
    let expected = ExpectedVersion::NoStream;
    store.try_append(&stream("a"), expected, &events).await.expect("the first time");
    let result = store.append_in(&mut second, &stream("a"), expected, &events).await;
    let error = result.expect_err("the snapshot does not show the events");
    assert!(error.is_retryable() && !error.is_conflict(), "{error:?}");
    execute(&mut second, "rollback; start transaction").await.expect("a new one");
    let result = store.append_in(&mut second, &stream("a"), expected, &events).await;
    assert!(result.expect("now it does").is_replay());
}

/// Two wait for a version whose writer rolls back: one gets it.
#[tokio::test]
async fn of_two_waiters_on_one_version_one_gets_it() {
    for isolation in [READ_COMMITTED, REPEATABLE_READ] {
        let store = Fixture::new(MySqlHarness::new()).await;
        let expected = ExpectedVersion::NoStream;
        let mut holder = begin(&store, isolation).await;
        store.append_in(&mut holder, &stream("a"), expected, &event()).await.expect("first");
        let (mut one, mut two) = (begin(&store, isolation).await, begin(&store, isolation).await);
        for conn in [&mut one, &mut two] {
            store.harness.insert_row(conn, "orders", 1).await.expect("a row of the caller's");
        }
        let ids = [id(&mut one).await, id(&mut two).await];
        let give_up = async {
            for id in ids {
                until_waiting(&store, id).await;
            }
            execute(&mut holder, "rollback").await.expect("rolled back");
        };
        let end = |(mut conn, result): Outcome| async move {
            // As a caller does: who has appended commits, and the other gets out of the way.
            let end = if result.is_ok() { "commit" } else { "rollback" };
            execute(&mut conn, end).await.expect("it ends");
            (conn, result)
        };
        let waiter = |conn| async { end(append_on(&store, conn, expected).await).await };
        let all = join3(waiter(one), waiter(two), give_up);
        let (one, two, ()) = timeout(PATIENCE, all).await.expect("nobody hangs");
        let (won, lost): (Vec<_>, Vec<_>) = [one.1, two.1].into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 1), "{isolation}: {won:?} {lost:?}");
        let error = lost.into_iter().next().expect("one").expect_err("it has lost");
        assert!(error.is_conflict() || error.is_retryable(), "{isolation}: {error:?}");
        assert_eq!(store.version(&stream("a")).await, Version::from(2));
        let mut conn = store.conn().await;
        assert_eq!(store.harness.rows(&mut conn, "orders").await.expect("rows"), [1]);
    }
}

/// Two transactions append to two streams in opposite order. The server ends one of them, and
/// nothing that its connection does afterwards is written outside a transaction.
#[tokio::test]
async fn after_a_deadlock_nothing_is_written_outside_a_transaction() {
    for isolation in [READ_COMMITTED, REPEATABLE_READ, SNAPSHOT_ISOLATION] {
        let store = Fixture::new(MySqlHarness::new()).await;
        let (mut one, mut two) = (begin(&store, isolation).await, begin(&store, isolation).await);
        for (conn, id) in [(&mut one, "a"), (&mut two, "b")] {
            store.harness.insert_row(conn, "orders", 1).await.expect("a row of the caller's");
            store.append_in(conn, &stream(id), ANY, &event()).await.expect("appended");
        }
        let one_id = id(&mut one).await;
        let (a, b, event) = (stream("a"), stream("b"), event());
        let cross = async {
            until_waiting(&store, one_id).await;
            let result = store.append_in(&mut two, &a, ANY, &event).await;
            // A victim's locks are gone already, and the other one goes on by itself.
            if result.is_ok() {
                execute(&mut two, "commit").await.expect("committed");
            }
            result
        };
        let both = join(store.append_in(&mut one, &b, ANY, &event), cross);
        let (first, second) = timeout(PATIENCE, both).await.expect("the server ends one of them");
        let (mut victim, error) = match (first, second) {
            (Err(error), Ok(_)) => (one, error),
            (Ok(_), Err(error)) => {
                execute(&mut one, "commit").await.expect("committed");
                (two, error)
            }
            outcome => panic!("{isolation}: {outcome:?}"),
        };
        let AppendError::Store(error) = error else { panic!("{error:?}") };
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!(error.transaction(), Some(TransactionState::Ended), "{error:?}");
        assert!(error.to_string().contains("already ended this one"), "{error}");
        assert!(!in_transaction(&mut victim).await);

        let before = store.log().await.len();
        let again = store.append_in(&mut victim, &stream("c"), ANY, &event).await;
        let AppendError::Store(error) = again.expect_err("refused") else { panic!("an error") };
        assert!(matches!(error, StoreError::NoTransaction { .. }), "{error:?}");
        execute(&mut victim, "rollback").await.expect("as a caller does");
        assert_eq!(store.version(&stream("c")).await, Version::NONE);
        assert_eq!(store.log().await.len(), before, "{isolation}");
        let mut conn = store.conn().await;
        assert_eq!(store.harness.rows(&mut conn, "orders").await.expect("rows"), [1]);
    }
}

/// A lock wait timeout undoes the statement; the transaction is open and can go on.
#[tokio::test]
async fn after_a_lock_wait_timeout_the_transaction_goes_on() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut holder = begin(&store, READ_COMMITTED).await;
    store.append_in(&mut holder, &stream("a"), ANY, &event()).await.expect("first");
    let mut waiter = begin(&store, READ_COMMITTED).await;
    execute(&mut waiter, "set session innodb_lock_wait_timeout = 1").await.expect("set");
    store.harness.insert_row(&mut waiter, "orders", 1).await.expect("a row");
    let result = store.append_in(&mut waiter, &stream("a"), ANY, &event()).await;
    let AppendError::Store(error) = result.expect_err("it waits in vain") else { panic!() };
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(error.transaction(), Some(TransactionState::Usable));
    store.append_in(&mut waiter, &stream("b"), ANY, &event()).await.expect("it goes on");
    execute(&mut waiter, "commit").await.expect("committed");
    execute(&mut holder, "rollback").await.expect("rolled back");
    let mut conn = store.conn().await;
    assert_eq!(store.harness.rows(&mut conn, "orders").await.expect("rows"), [1]);
    drop(conn);
    assert_eq!(store.log().await.len(), 1);
}

/// With snapshot isolation, a row that has changed since the snapshot ends the transaction: here
/// the connection's own announcement, removed because it was not used for long.
#[tokio::test]
async fn a_row_changed_since_the_snapshot_ends_the_transaction() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut idle = begin(&store, SNAPSHOT_ISOLATION).await;
    store.append_in(&mut idle, &stream("a"), ANY, &event()).await.expect("appended");
    execute(&mut idle, "commit; start transaction").await.expect("the next transaction");
    execute(&mut idle, "select count(*) from events").await.expect("a snapshot");
    store.harness.insert_row(&mut idle, "orders", 1).await.expect("a row");
    let mut conn = store.conn().await;
    execute(&mut conn, "delete from events_appenders").await.expect("removed");
    drop(conn);
    let result = store.append_in(&mut idle, &stream("b"), ANY, &event()).await;
    let AppendError::Store(error) = result.expect_err("1020") else { panic!("an error") };
    assert_eq!(error.transaction(), Some(TransactionState::Ended), "{error:?}");
    let again = store.store().append(&mut idle, &stream("b"), ANY, &event()).await;
    let again = again.expect_err("the transaction is gone");
    assert!(matches!(again, AppendError::Store(StoreError::NoTransaction { .. })), "{again:?}");
    execute(&mut idle, "start transaction").await.expect("a new one");
    store.append_in(&mut idle, &stream("b"), ANY, &event()).await.expect("now it works");
    execute(&mut idle, "commit").await.expect("committed");
    let mut conn = store.conn().await;
    assert!(store.harness.rows(&mut conn, "orders").await.expect("rows").is_empty());
    drop(conn);
    assert_eq!(store.log().await.len(), 2);
}

/// The epoch and what was changed with it come together, also for who had to wait for them.
#[tokio::test]
async fn a_worker_that_waited_for_an_operator_sees_what_was_changed() {
    for isolation in [READ_COMMITTED, REPEATABLE_READ] {
        let store = Fixture::new(MySqlHarness::new()).await;
        let operator = changing(&store, |state| state.is_paused = true).await;
        let worker = begin_without_snapshot(&store, isolation).await;
        let paused = lock_behind(&store, operator, worker).await.expect("the row is there");
        let found = (paused.epoch, paused.is_paused);
        assert_eq!(found, (Epoch::FIRST.next(), true), "{isolation}");

        let store = Fixture::new(MySqlHarness::new()).await;
        let operator =
            changing(&store, |state| state.partition_total = PartitionCount::of(2)).await;
        let worker = begin_without_snapshot(&store, isolation).await;
        let error = lock_behind(&store, operator, worker).await.expect_err("another count");
        assert!(
            matches!(&error, CheckpointError::PartitionCount { stored, .. } if stored.get() == 2),
            "{error:?}"
        );
    }
}

/// As a worker begins: its first statement locks the checkpoint.
async fn begin_without_snapshot(
    store: &Fixture<MySqlHarness>,
    isolation: &'static str,
) -> MySqlConnection {
    let mut conn = begin(store, isolation).await;
    execute(&mut conn, "commit; start transaction").await.expect("a transaction");
    conn
}

/// Registers a projection of one partition, and gives a transaction in which an operator has
/// changed its settings, in a new epoch.
async fn changing(
    store: &Fixture<MySqlHarness>,
    change: fn(&mut ProjectionState),
) -> MySqlConnection {
    let p = ProjectionName::new("p").expect("a valid name");
    let mut operator = begin(store, READ_COMMITTED).await;
    let registered = store.store().register_checkpoint(&mut operator, &p, Partition::ALL).await;
    registered.expect("a new projection");
    execute(&mut operator, "commit").await.expect("committed");
    execute(&mut operator, "start transaction").await.expect("a transaction");
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
    store: &Fixture<MySqlHarness>,
    mut operator: MySqlConnection,
    mut worker: MySqlConnection,
) -> Result<Checkpoint, CheckpointError> {
    let p = ProjectionName::new("p").expect("a valid name");
    let worker_id = id(&mut worker).await;
    let lock = store.store().lock_checkpoint(&mut worker, &p, Partition::ALL);
    let commit = async {
        until_waiting(store, worker_id).await;
        execute(&mut operator, "commit").await.expect("committed");
    };
    timeout(PATIENCE, join(lock, commit)).await.expect("nobody hangs").0
}
