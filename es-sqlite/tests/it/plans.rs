//! Every read uses its index: what SQLite's planner says about the shipped statements.

use es::TableNames;
use es_sqlite::sqlx;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::harness::SqliteHarness;

async fn plan(conn: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let sql = sql.replace("{events}", "events").replace("{checkpoints}", "projection_checkpoints");
    let sql = sql.replace("{projections}", "projections");
    let sql = sql.replace("{dead_letters}", "projection_dead_letters");
    let sql = sql.replace("{rows}", "(1, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)");
    let rows = sqlx::query(AssertSqlSafe(format!("explain query plan {sql}")))
        .fetch_all(conn)
        .await
        .expect("the planner answers");
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn every_statement_searches_an_index() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let mut conn = pool.acquire().await.expect("a connection");
    let by_stream = "SEARCH events USING INDEX events_stream_key \
                     (bounded_context=? AND aggregate_type=? AND aggregate_id=?";
    let cases = [
        (include_str!("../../sql/events/append.sql"), by_stream.replace("INDEX", "COVERING INDEX")),
        (
            include_str!("../../sql/events/stream_version.sql"),
            by_stream.replace("INDEX", "COVERING INDEX"),
        ),
        (include_str!("../../sql/events/read_stream.sql"), by_stream.to_owned()),
        (
            include_str!("../../sql/events/read_window.sql"),
            "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)".to_owned(),
        ),
        (
            include_str!("../../sql/events/existing_events.sql"),
            "SEARCH events USING INDEX events_event_id_key (event_id=?)".to_owned(),
        ),
        (
            include_str!("../../sql/projections/lock_checkpoint.sql"),
            "SEARCH projection_checkpoints USING PRIMARY KEY".to_owned(),
        ),
        (
            include_str!("../../sql/projections/save_checkpoint.sql"),
            "SEARCH projection_checkpoints USING PRIMARY KEY".to_owned(),
        ),
    ];
    for (sql, expected) in cases {
        let plan = plan(&mut conn, sql).await;
        assert!(plan.iter().any(|step| step.starts_with(&expected)), "{sql}\n{plan:#?}");
        // The append sorts the rows it was given, not the table.
        let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
        assert_eq!(sorts, sql.contains("insert into"), "{sql}\n{plan:#?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN events")), "{sql}\n{plan:#?}");
    }
}
