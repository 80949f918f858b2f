//! The start check on tables that are missing, half there or of other names.

use es::{EventStore, StoreError, TableNames};
use es_sqlite::{SqliteEventStore, sqlx};
use migrate_gen::{Database, Schema};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::harness::SqliteHarness;

async fn run(conn: &mut SqliteConnection, sql: impl Into<String>) {
    let sql = sql.into();
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(conn).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Makes a change in a transaction, checks, and takes the change back.
async fn refusal(conn: &mut SqliteConnection, change: &str) -> StoreError {
    run(conn, format!("begin; {change}")).await;
    let checked = SqliteEventStore::default().check_schema(conn).await;
    run(conn, "rollback").await;
    checked.err().unwrap_or_else(|| panic!("nothing was noticed of: {change}"))
}

fn lacks(error: &StoreError, change: &str, lack: &str) {
    assert!(matches!(error, StoreError::SchemaIncomplete { .. }), "{change}: {error:?}");
    let message = error.to_string();
    assert!(message.contains(lack), "{change}: {message}");
    assert!(message.contains("`migrate-gen --database sqlite --stdout`"), "{message}");
}

fn shipped() -> String {
    Schema::new(Database::Sqlite).to_sql().expect("valid names")
}

async fn columns(conn: &mut SqliteConnection) -> Vec<(String, String)> {
    sqlx::query_as(
        "select tables.name, columns.name from sqlite_schema as tables \
         join pragma_table_info(tables.name) as columns \
         where tables.type = 'table' and tables.name not like 'sqlite_%' \
         and columns.name <> 'applied_at'",
    )
    .fetch_all(conn)
    .await
    .expect("an answer")
}

#[tokio::test]
async fn each_table_and_each_column_is_looked_for() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let mut conn = pool.acquire().await.expect("a connection");
    run(&mut conn, "pragma foreign_keys = off").await;
    let columns = columns(&mut conn).await;
    assert_eq!(columns.len(), 46);
    let mut tables: Vec<&String> = columns.iter().map(|(table, _)| table).collect();
    tables.dedup();
    assert_eq!(tables.len(), 6);
    for table in tables {
        for change in
            [format!("drop table {table}"), format!("alter table {table} rename to elsewhere")]
        {
            let error = refusal(&mut conn, &change).await;
            lacks(&error, &change, &format!("table \"{table}\" is missing"));
        }
    }
    for (table, column) in &columns {
        let change = format!("alter table {table} rename column {column} to elsewhere");
        let error = refusal(&mut conn, &change).await;
        lacks(&error, &change, &format!("column {column} of table \"{table}\" is missing"));
    }
    SqliteEventStore::default().check_schema(&mut conn).await.expect("all is there again");
}

/// Tables made by another text than the shipped one.
#[tokio::test]
async fn types_keys_and_what_a_promise_rests_on_are_looked_at() {
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
    for (shipped_text, other, lack) in [
        ("payload blob", "payload text", "column payload of table \"events\" has the type text"),
        ("event_version integer", "event_version text", "column event_version of table"),
        ("alive_until integer", "alive_until text", "column alive_until of table"),
        (
            " autoincrement",
            "",
            "column global_position of table \"events\" has the type integer and",
        ),
        (
            "metadata text null",
            "metadata text not null",
            "column metadata of table \"events\" must",
        ),
        ("epoch integer not null default 0", "epoch integer not null", "has lost its default"),
        (
            "create unique index \"events_event_id_key\"",
            "create index i",
            "no unique key on (event_id)",
        ),
        (
            "create unique index \"events_stream_key\"",
            "create index i",
            "no unique key on (bounded_context, aggregate_type, aggregate_id, aggregate_version)",
        ),
        (
            "primary key (projection, worker_id)",
            "primary key (worker_id)",
            "no unique key on (projec",
        ),
        ("as integer))\n) strict", "as integer))\n)", "not strict"),
        ("event_type text not null", "event_type text not null, tenant text not null", "tenant"),
    ] {
        let text = shipped();
        let changed = text.replacen(shipped_text, other, 1);
        assert_ne!(text, changed, "{shipped_text}");
        let error = refusal(&mut conn, &changed).await;
        lacks(&error, other, lack);
    }
    run(&mut conn, shipped()).await;
    for (change, lack) in [
        (
            "alter table events rename to e; create view events as select * from e",
            "\"events\" is no table but a view",
        ),
        ("create temporary table projections (name text)", "no table but a temporary table"),
    ] {
        let error = refusal(&mut conn, change).await;
        lacks(&error, change, lack);
    }
    SqliteEventStore::default().check_schema(&mut conn).await.expect("all is as it was");
}

#[tokio::test]
async fn another_name_is_named_and_a_schema_is_refused() {
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
    let name = |name: &str| name.parse().expect("a name");
    let tables = TableNames::default()
        .with_events(name("shop_events"))
        .with_projections(name("shop_projections"))
        .with_checkpoints(name("shop_checkpoints"));
    let sql = Schema::new(Database::Sqlite).with_tables(tables.clone()).to_sql();
    run(&mut conn, sql.expect("valid names")).await;
    let error = SqliteEventStore::default().check_schema(&mut conn).await.expect_err("elsewhere");
    let StoreError::SchemaElsewhere { .. } = &error else { panic!("{error:?}") };
    let message = error.to_string();
    let hint =
        "\"shop_events\", which is named by `TableNames::with_events(\"shop_events\".parse()?)`";
    assert!(message.contains(hint), "{message}");
    SqliteEventStore::new(&tables).check_schema(&mut conn).await.expect("by their names");

    let tables = tables.with_schema(name("shop"));
    let error = SqliteEventStore::new(&tables).check_schema(&mut conn).await.expect_err("refused");
    assert!(error.to_string().contains("leave out `TableNames::with_schema`"), "{error}");
}
