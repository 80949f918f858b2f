//! The horizon, by schedules placed by hand on several connections.

use es::conformance::{Fixture, Harness};
use es::{EventStore, Horizon, Position, TableNames};
use es_mysql::MySqlEventStore;
use es_mysql::sqlx::{self, AssertSqlSafe};
use futures_util::future::join;

use crate::harness::{MySqlHarness, execute, migrate};
use crate::schedule::{
    ANY, PATIENCE, READ_COMMITTED, REPEATABLE_READ, begin, event, events, horizon, id, stream,
    until_waiting, visible, warm_up,
};

/// Positions 1 to 4 are there; from here on the tests draw 5, 6, …
async fn with_four_events() -> Fixture<MySqlHarness> {
    let store = Fixture::new(MySqlHarness::new()).await;
    warm_up(&store, 4).await;
    assert_eq!(visible(&store).await, [1, 2, 3, 4]);
    store
}

/// The first append's announcement is overwritten by the third's; its event must still hold the
/// log. The connection has appended before, so that its row is an old one.
#[tokio::test]
async fn an_announcement_that_was_overwritten_still_holds_the_log() {
    let store = with_four_events().await;
    let mut early = store.harness.connect().await;
    execute(&mut early, "start transaction").await.expect("a transaction");
    store.append_in(&mut early, &stream("z"), ANY, &event()).await.expect("5");
    execute(&mut early, "commit; start transaction").await.expect("committed");
    store.append_in(&mut early, &stream("a"), ANY, &event()).await.expect("6");
    store.append(&stream("b"), &event()).await;
    store.append_in(&mut early, &stream("c"), ANY, &event()).await.expect("8");
    store.append(&stream("d"), &event()).await;
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 5]);
    let held = horizon(&store).await;
    assert_eq!((held.position, held.end), (5.into(), 9.into()));
    assert_eq!(held.held_by[0].session, format!("connection {}", id(&mut early).await));
    assert!(held.held_by[0].open_for.expect("an age") < PATIENCE);
    store.append_in(&mut early, &stream("e"), ANY, &event()).await.expect("10");
    assert_eq!(horizon(&store).await.position, 5.into());
    execute(&mut early, "commit").await.expect("committed");
    assert_eq!(visible(&store).await, (1..=10).collect::<Vec<i64>>());
}

/// A scan that has more to look at than one answer holds goes on, and finds the open event.
#[tokio::test]
async fn an_open_event_far_below_the_end_is_found() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut early = store.harness.connect().await;
    for end in ["commit", "do 0"] {
        execute(&mut early, "start transaction").await.expect("a transaction");
        store.append_in(&mut early, &stream("a"), ANY, &event()).await.expect("appended");
        execute(&mut early, end).await.expect("done");
    }
    let all = events(3000);
    for _ in 0..5 {
        let fresh: Vec<_> =
            all.iter().map(|event| event.clone().with_id(uuid::Uuid::now_v7())).collect();
        store.append(&stream("b"), &fresh).await;
    }
    store.append_in(&mut early, &stream("c"), ANY, &event()).await.expect("beyond them");
    let held = horizon(&store).await;
    assert_eq!((held.position, held.end), (1.into(), 15_003.into()));
    execute(&mut early, "rollback; start transaction").await.expect("rolled back");
    // The same again, with the open event beyond the first answers.
    store.append_in(&mut early, &stream("d"), ANY, &event()).await.expect("15004");
    store.append_in(&mut early, &stream("d"), ANY, &event()).await.expect("15005");
    store.append(&stream("e"), &event()).await;
    assert_eq!(horizon(&store).await.position, 15_003.into());
}

/// A rollback to a savepoint takes an announcement back and the events behind it, wherever the
/// savepoint stands.
#[tokio::test]
async fn savepoints_before_and_after_the_first_append_take_back_only_what_they_should() {
    for savepoint_first in [true, false] {
        let store = with_four_events().await;
        let mut early = store.harness.connect().await;
        execute(&mut early, "start transaction").await.expect("a transaction");
        if savepoint_first {
            execute(&mut early, "savepoint back").await.expect("a savepoint");
        }
        store.append_in(&mut early, &stream("a"), ANY, &event()).await.expect("5");
        if !savepoint_first {
            execute(&mut early, "savepoint back").await.expect("a savepoint");
        }
        store.append_in(&mut early, &stream("b"), ANY, &event()).await.expect("6");
        store.append(&stream("c"), &event()).await;
        execute(&mut early, "rollback to savepoint back").await.expect("back");
        store.append(&stream("d"), &event()).await;
        let held: &[i64] = if savepoint_first { &[1, 2, 3, 4, 7, 8] } else { &[1, 2, 3, 4] };
        assert_eq!(visible(&store).await, held);
        store.append_in(&mut early, &stream("e"), ANY, &event()).await.expect("9");
        store.append(&stream("f"), &event()).await;
        assert_eq!(visible(&store).await, held);
        execute(&mut early, "commit").await.expect("committed");
        let mut all = vec![1, 2, 3, 4, 7, 8, 9, 10];
        if !savepoint_first {
            all.insert(4, 5);
        }
        assert_eq!(visible(&store).await, all);
    }
}

/// What was drawn and rolled back is passed as soon as nobody is open.
#[tokio::test]
async fn a_rolled_back_hole_is_passed_at_once() {
    let store = with_four_events().await;
    let mut early = store.begin().await;
    store.append_in(&mut early, &stream("a"), ANY, &events(3)).await.expect("5 to 7");
    store.append(&stream("b"), &event()).await;
    assert_eq!(visible(&store).await, [1, 2, 3, 4]);
    store.rollback(early).await;
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 8]);
    let after = horizon(&store).await;
    assert_eq!((after.position, after.end, after.held_by.len()), (8.into(), 8.into(), 0));
    // At the end of the log: who has read to the horizon is not behind the end afterwards.
    let mut last = store.begin().await;
    store.append_in(&mut last, &stream("a"), ANY, &event()).await.expect("9");
    let open = horizon(&store).await;
    assert_eq!((open.position, open.end), (8.into(), 9.into()));
    store.rollback(last).await;
    let after = horizon(&store).await;
    assert_eq!((after.position, after.end), (8.into(), 8.into()));
}

/// A snapshot that is old when the transaction appends gives a lower bound that is lower.
#[tokio::test]
async fn an_old_snapshot_holds_more_than_it_must_and_skips_nothing() {
    let store = with_four_events().await;
    let mut old = begin(&store, REPEATABLE_READ).await;
    execute(&mut old, "select max(global_position) from events").await.expect("a snapshot");
    store.append(&stream("b"), &event()).await;
    store.append_in(&mut old, &stream("a"), ANY, &event()).await.expect("6");
    store.append(&stream("c"), &event()).await;
    let held = horizon(&store).await;
    assert!(held.position <= 5.into() && held.position >= 4.into(), "{held:?}");
    execute(&mut old, "commit").await.expect("committed");
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 5, 6, 7]);
}

/// The hole that looking at the events alone does not show: position 5 is drawn and its insert
/// waits behind a gap lock, so that no version of the table holds it, and position 6 is committed
/// after the reader has looked at what is not committed and before it looks at what is.
///
/// Between the two looks the reader is stopped by a named lock, which a view takes for it when it
/// comes to the last row of the first look.
#[tokio::test]
async fn a_position_that_is_drawn_and_not_yet_inserted_is_not_skipped() {
    let store = with_four_events().await;
    let mut gap = begin(&store, REPEATABLE_READ).await;
    execute(&mut gap, "select * from events where global_position > 4 for update").await.unwrap();
    let mut late = begin(&store, READ_COMMITTED).await;
    let late_id = id(&mut late).await;
    let (stream_a, event_a) = (stream("a"), event());
    let append = store.append_in(&mut late, &stream_a, ANY, &event_a);
    let schedule = async {
        until_waiting(&store, late_id).await;
        store.append_in(&mut gap, &stream("b"), ANY, &event()).await.expect("6");

        // Six rows: those of four connections that have committed, and of the two here.
        stopped_horizon(&store, 6, async {
            execute(&mut gap, "commit").await.expect("6 is committed");
        })
        .await
    };
    let both = tokio::time::timeout(PATIENCE, join(append, schedule)).await;
    let (appended, seen) = both.expect("nobody hangs");
    assert_eq!(appended.expect("5").last_position(), 5.into());
    assert_eq!((seen.position, seen.end), (4.into(), 6.into()), "{seen:?}");
    assert_eq!(visible(&store).await, [1, 2, 3, 4]);
    execute(&mut late, "commit").await.expect("committed");
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 5, 6]);
}

/// What is rolled back after the reader has seen the end of the log, and before it has seen who
/// is appending, must not become the horizon: the end of the log goes back with it.
#[tokio::test]
async fn the_horizon_is_never_a_position_that_was_rolled_back() {
    let store = with_four_events().await;
    let mut open = begin(&store, READ_COMMITTED).await;
    store.append_in(&mut open, &stream("a"), ANY, &event()).await.expect("5");
    let seen = stopped_horizon(&store, 1, async {
        execute(&mut open, "rollback").await.expect("5 is rolled back");
    })
    .await;
    assert_eq!((seen.position, seen.end), (4.into(), 5.into()), "{seen:?}");
    let after = horizon(&store).await;
    assert_eq!((after.position, after.end), (4.into(), 4.into()));
}

/// A horizon whose reader is stopped when it has read this many rows of the appenders, until
/// `meanwhile` is over.
async fn stopped_horizon(
    store: &Fixture<MySqlHarness>,
    rows: u32,
    meanwhile: impl Future<Output = ()>,
) -> Horizon {
    let mut turnstile = store.conn().await;
    execute(&mut turnstile, SLOW_TABLES).await.expect("the tables, seen slowly");
    execute(&mut turnstile, "do get_lock(database(), 0)").await.expect("locked");
    let mut reader = store.harness.connect().await;
    let stop_at = format!("set @es_stop_at = {rows}");
    execute(&mut reader, AssertSqlSafe(stop_at)).await.expect("set");
    let reader_id = id(&mut reader).await;
    let tables = TableNames::default().with_events("seen".parse().expect("a name"));
    let slow = MySqlEventStore::new(&tables);
    let let_it_go_on = async {
        until_at_turnstile(store, reader_id).await;
        meanwhile.await;
        execute(&mut turnstile, "do release_lock(database())").await.expect("released");
    };
    let (seen, ()) = join(slow.horizon(&mut reader, Position::START), let_it_go_on).await;
    seen.expect("a horizon")
}

const SLOW_TABLES: &str = "
    create function passes_turnstile() returns int
    begin
      set @es_rows = coalesce(@es_rows, 0) + 1;
      if @es_rows = @es_stop_at then
        do get_lock(database(), 30);
        do release_lock(database());
      end if;
      return 1;
    end;
    create view seen as select * from events;
    create view seen_appenders as select * from events_appenders where passes_turnstile() = 1";

async fn until_at_turnstile(store: &Fixture<MySqlHarness>, reader: i64) {
    let mut conn = store.conn().await;
    let stands_there = async {
        loop {
            let found = sqlx::query(
                "select id from information_schema.processlist
                 where id = ? and state = 'User lock'",
            )
            .bind(reader)
            .fetch_optional(&mut *conn)
            .await
            .expect("an answer");
            if found.is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, stands_there).await.expect("the reader stops");
}

/// Announcements of connections that are gone are removed by readers, while others append; those
/// that are in use stay, however old they are.
#[tokio::test]
async fn unused_announcements_are_removed_while_others_append() {
    let store = with_four_events().await;
    let mut open = begin(&store, READ_COMMITTED).await;
    store.append_in(&mut open, &stream("a"), ANY, &event()).await.expect("5");
    let mut conn = store.conn().await;
    execute(
        &mut conn,
        "insert into events_appenders
         with recursive numbers (n) as (
           select 1 union all select n + 1 from numbers where n < 500
         )
         select -n, 1, 0, 0, utc_timestamp(6) - interval 61 minute from numbers",
    )
    .await
    .expect("500 connections that are gone");
    // One of them is appending again, in a transaction that is old.
    let mut woken = begin(&store, READ_COMMITTED).await;
    execute(&mut woken, "update events_appenders set seq = 2 where connection_id = -7")
        .await
        .expect("locked");
    let appending = async {
        for number in 0..50 {
            store.append(&stream(&format!("s{number}")), &event()).await;
        }
    };
    let reading = async {
        for _ in 0..20 {
            assert_eq!(horizon(&store).await.position, 0.into(), "the woken one holds the log");
        }
    };
    join(appending, reading).await;
    let left = "select count(*) from events_appenders where connection_id < 0";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut *conn).await.expect("a count");
    assert_eq!(left, 1);
    execute(&mut woken, "commit").await.expect("committed");
    execute(&mut open, "commit").await.expect("committed");
    assert_eq!(visible(&store).await.len(), 55);
}

/// A few unused announcements cost nothing and stay.
#[tokio::test]
async fn a_few_unused_announcements_stay() {
    let store = with_four_events().await;
    let mut conn = store.conn().await;
    let age = "update events_appenders set announced_at = utc_timestamp(6) - interval 2 hour";
    execute(&mut conn, age).await.expect("aged");
    let before = horizon(&store).await;
    let count: i64 = sqlx::query_scalar("select count(*) from events_appenders")
        .fetch_one(&mut *conn)
        .await
        .expect("a count");
    assert!(count >= 4, "{count}");
    assert_eq!(before.position, 4.into());
}

/// Stores in one database have logs of their own.
#[tokio::test]
async fn several_stores_in_one_database_do_not_hold_each_other() {
    let store = with_four_events().await;
    let name = |name: &str| name.parse().expect("a name");
    let tables = TableNames::default()
        .with_events(name("other"))
        .with_projections(name("other_projections"))
        .with_checkpoints(name("other_checkpoints"));
    migrate(store.source.pool(), &tables).await;
    let other = MySqlEventStore::new(&tables);
    let mut both = begin(&store, READ_COMMITTED).await;
    other.append(&mut both, &stream("a"), ANY, &events(2)).await.expect("in the other log");
    store.append(&stream("b"), &event()).await;
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 5], "this log is not held");
    let mut conn = store.conn().await;
    let held = other.horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!((held.position, held.end), (0.into(), 2.into()));
    store.append_in(&mut both, &stream("c"), ANY, &event()).await.expect("in both, at once");
    assert_eq!(horizon(&store).await.position, 5.into());
    execute(&mut both, "commit").await.expect("committed");
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 5, 6]);
    let end = other.horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!(end.position, 2.into());
}

#[tokio::test]
async fn an_unrelated_long_transaction_does_not_hold_the_log() {
    let store = with_four_events().await;
    let mut unrelated = begin(&store, REPEATABLE_READ).await;
    store.harness.insert_row(&mut unrelated, "orders", 1).await.expect("it has written");
    store.append(&stream("a"), &event()).await;
    let free = horizon(&store).await;
    assert_eq!((free.position, free.end, free.held_by.len()), (5.into(), 5.into(), 0));
}

/// A transaction that was refused has announced nothing.
#[tokio::test]
async fn a_conflict_does_not_hold_the_log() {
    let store = with_four_events().await;
    let mut refused = begin(&store, READ_COMMITTED).await;
    let stale = es::ExpectedVersion::exact(9);
    let error = store.append_in(&mut refused, &stream("warm-0"), stale, &event()).await;
    assert!(error.expect_err("a conflict").is_conflict());
    store.append(&stream("a"), &event()).await;
    assert_eq!(visible(&store).await, [1, 2, 3, 4, 5]);
}
