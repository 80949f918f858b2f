//! Every read uses its index, at 100,000 events: what PostgreSQL's planner says about the shipped
//! statements, as a generic plan that serves every bind.

use es::conformance::Fixture;
use es_postgres::sqlx::{self, AssertSqlSafe, PgConnection};

use crate::harness::{PgHarness, execute};

const FILL: &str = "
    insert into events (
        bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, event_id,
        event_type, event_version, payload, created_at
    )
    select
        'Test', 'Thing', 'id-' || number % 1000, number / 1000 + 1, number % 16384,
        gen_random_uuid(), 'Happened', 1, 'x', now()
    from generate_series(0, 99999) as number;
    insert into projections (name, partition_total) values ('p', 16);
    insert into projection_checkpoints (projection, partition_index, position)
    select 'p', number, 0 from generate_series(0, 15) as number;
    analyze";

/// Each statement with its binds, and what its plan must contain, separated by semicolons.
const CASES: [(&str, &str, &str); 10] = [
    (
        "append",
        "'Test', 'Thing', 'id-7', 1::smallint, null, gen_random_uuid(), 'a', 1, 'x', null, null,
         null, null, now(), array[gen_random_uuid(), gen_random_uuid()], array['a', 'b'],
         array[1, 1], array['x', 'y']::bytea[], null, null, null, null, array[now(), now()],
         gen_random_uuid(), gen_random_uuid()",
        "Index Only Scan Backward using events_stream_key; Index Only Scan using events_event_id_key",
    ),
    (
        "append_one",
        "'Test', 'Thing', 'id-7', 1::smallint, null, gen_random_uuid(), 'a', 1, 'x', null, null,
         null, null, now()",
        "Index Only Scan Backward using events_stream_key",
    ),
    (
        "stream_versions",
        "array['Test'], array['Thing'], array['id-7']",
        "Index Only Scan Backward using events_stream_key",
    ),
    (
        "stream_version",
        "'Test', 'Thing', 'id-7'",
        "Index Only Scan Backward using events_stream_key",
    ),
    ("read_stream", "'Test', 'Thing', 'id-7', 1, 50", "Index Scan using events_stream_key"),
    ("read_window", "500, 1500, 100, null, null, null, 1, 0", "Index Scan using events_pkey"),
    (
        "existing_events",
        "array[gen_random_uuid(), gen_random_uuid()]",
        "Index Scan using events_event_id_key",
    ),
    ("lock_checkpoint", "'p', 3", "projection_checkpoints_pkey"),
    ("checkpoint_settings", "'p'", "projections_pkey"),
    ("save_checkpoint", "'p', 3, 0, 9, 0, null", "projection_checkpoints_pkey"),
];

#[tokio::test]
async fn every_statement_uses_its_index_at_100_000_events() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    execute(&mut conn, FILL).await.expect("filled");
    // A table of a few checkpoints is read faster without an index; one of many is not.
    execute(&mut conn, "set enable_seqscan = off").await.expect("set");
    assert_indexed(&mut conn, &CASES).await;
}

/// A plan that is made on the first day and kept by a connection must serve the table it grows to.
#[tokio::test]
async fn every_statement_uses_its_index_while_the_table_is_empty() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    assert_indexed(&mut conn, &CASES[..7]).await;
}

async fn assert_indexed(conn: &mut PgConnection, cases: &[(&str, &str, &str)]) {
    execute(conn, "set plan_cache_mode = force_generic_plan").await.expect("set");
    for (name, binds, expected) in cases {
        let sql = statement(name);
        let prepare = format!("deallocate all; prepare statement as {sql}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *conn).await.expect(name);
        let explain = format!("explain (costs off) execute statement({binds})");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .expect(name);
        let scans = |line: &String| {
            let table = line.split("Seq Scan on ").nth(1);
            table.is_some_and(|table| !table.starts_with("events_global_position_seq"))
        };
        assert!(!plan.iter().any(scans), "{name}: {plan:#?}");
        for expected in expected.split("; ") {
            assert!(plan.iter().any(|line| line.contains(expected)), "{name}: {plan:#?}");
        }
        // What comes in an index's order, or in that of an array, must not be sorted again.
        assert!(!plan.iter().any(|line| line.contains("Sort")), "{name}: {plan:#?}");
    }
}

fn statement(name: &str) -> String {
    let sql = match name {
        "append" => include_str!("../../sql/events/append.sql"),
        "append_one" => include_str!("../../sql/events/append_one.sql"),
        "stream_versions" => include_str!("../../sql/events/stream_versions.sql"),
        "stream_version" => include_str!("../../sql/events/stream_version.sql"),
        "read_stream" => include_str!("../../sql/events/read_stream.sql"),
        "read_window" => include_str!("../../sql/events/read_window.sql"),
        "existing_events" => include_str!("../../sql/events/existing_events.sql"),
        "lock_checkpoint" => include_str!("../../sql/projections/lock_checkpoint.sql"),
        "checkpoint_settings" => include_str!("../../sql/projections/checkpoint_settings.sql"),
        "save_checkpoint" => include_str!("../../sql/projections/save_checkpoint.sql"),
        other => panic!("no statement is called {other}"),
    };
    sql.replace("{events}", "events")
        .replace("{checkpoints}", "projection_checkpoints")
        .replace("{projections}", "projections")
        .replace("{dead_letters}", "projection_dead_letters")
        .replace("{sequence}", "events_global_position_seq")
        .replace("{sequence_name}", "'events_global_position_seq'")
        .replace("{lock_class}", "1")
        .replace("{registered_setting}", "'es.registered'")
}
