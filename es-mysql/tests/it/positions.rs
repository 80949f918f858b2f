//! Positions that no append has drawn: somebody has inserted an event with a position of its own.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::{Fixture, Harness};
use es::{AppendError, EventFilter, EventStore, Position, ReadLimit, StoreError};
use es_mysql::sqlx::{AssertSqlSafe, MySqlConnection};
use projection::conformance::Recorder;
use projection::{Processor, ProjectionOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::{MySqlHarness, execute};
use crate::schedule::{ANY, PATIENCE, event, stream};

/// A copy of the first event, elsewhere.
async fn insert_at(conn: &mut MySqlConnection, position: i64) {
    let insert = format!(
        "insert into events
         select {position}, 1, created_at, recorded_at, event_version, slot, unhex(md5('{position}')),
           bounded_context, aggregate_type, 'by hand', event_type, payload, metadata,
           correlation_id, causation_id, trace_id
         from events where global_position = 1"
    );
    execute(conn, AssertSqlSafe(insert)).await.expect("inserted by hand");
}

/// Runs a projection until it has caught up; it must not take long, however long the log looks.
async fn run(store: &Fixture<Arc<MySqlHarness>>, name: &str) -> Result<(), String> {
    let recorder = Recorder::new(Arc::clone(&store.harness), name);
    let options = ProjectionOptions::default().with_poll_interval_max(Duration::from_millis(5));
    let processor =
        Processor::new(Arc::new(store.source.clone())).with_projection_options(recorder, options);
    let run = processor.run_until_caught_up(CancellationToken::new());
    let ended = timeout(PATIENCE, run).await.expect("it is not busy without end");
    ended.map_err(|error| {
        let source =
            std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        format!("{error}: {source}")
    })
}

#[tokio::test]
async fn a_hole_of_a_thousand_billion_positions_is_passed_at_once() {
    let store = Fixture::new(Arc::new(MySqlHarness::new())).await;
    let mut conn = store.conn().await;
    store.append(&stream("a"), &event()).await;
    insert_at(&mut conn, 1_000_000_000_000_000).await;
    store.append(&stream("a"), &event()).await;
    run(&store, "p").await.expect("it catches up");
    let rows = store.harness.rows(&mut conn, "p").await.expect("rows");
    assert_eq!(rows, [1, 1_000_000_000_000_000, 1_000_000_000_000_001]);

    let nothing = EventFilter::default().with_event_types(["Nothing"]);
    let mut after = Position::START;
    for _ in 0..3 {
        let read = store.store().read_events(&mut conn, after, &nothing, ReadLimit::default());
        after = read.await.expect("a read").complete_through;
    }
    assert_eq!(after.get(), 1_000_000_000_000_001);
}

#[tokio::test]
async fn the_largest_position_is_reported_and_can_be_mended() {
    for largest in [i64::MAX, i64::MAX - 1_000] {
        let store = Fixture::new(Arc::new(MySqlHarness::new())).await;
        let mut conn = store.conn().await;
        store.append(&stream("a"), &event()).await;
        insert_at(&mut conn, largest).await;

        let error = store.store().horizon(&mut conn, Position::START).await.expect_err("refused");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        let error = run(&store, "p").await.expect_err("it says what is wrong");
        for part in [&largest.to_string(), "a position of its own", "auto_increment"] {
            assert!(error.contains(part), "{error}");
        }
        if largest == i64::MAX {
            let mut tx = store.begin().await;
            let append = store.append_in(&mut tx, &stream("a"), ANY, &event()).await;
            let AppendError::Store(error) = append.expect_err("no position is left") else {
                panic!("an error of the store")
            };
            assert!(error.to_string().contains("no position is left"), "{error:?}");
            store.rollback(tx).await;
        }
        let delete = format!("delete from events where global_position = {largest}");
        execute(&mut conn, AssertSqlSafe(delete)).await.expect("deleted");
        execute(&mut conn, "alter table events auto_increment = 2").await.expect("set back");
        store.append(&stream("a"), &event()).await;
        run(&store, "p").await.expect("it goes on");
        assert_eq!(store.harness.rows(&mut conn, "p").await.expect("rows"), [1, 2]);
    }
}
