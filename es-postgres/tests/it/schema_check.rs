//! The start check on tables that are missing, half there, elsewhere, or not to be used.

use es::conformance::Fixture;
use es::{
    Event, EventFilter, EventStore, ExpectedVersion, Position, ReadLimit, StoreError, StreamId,
    TableNames,
};
use es_postgres::{PgEventStore, sqlx};
use migrate_gen::{Database, Schema};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::harness::PgHarness;

async fn run(conn: &mut PgConnection, sql: impl Into<String>) {
    let sql = sql.into();
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(conn).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn texts(conn: &mut PgConnection, sql: impl Into<String>) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_all(conn).await.expect("an answer")
}

/// Makes a change in a transaction, checks, and takes the change back.
async fn refusal(conn: &mut PgConnection, change: &str) -> StoreError {
    run(conn, format!("begin; {change}")).await;
    let checked = PgEventStore::default().check_schema(conn).await;
    run(conn, "rollback").await;
    checked.err().unwrap_or_else(|| panic!("nothing was noticed of: {change}"))
}

fn lacks(error: &StoreError, change: &str, lack: &str) {
    assert!(matches!(error, StoreError::SchemaIncomplete { .. }), "{change}: {error:?}");
    let message = error.to_string();
    assert!(message.contains(lack), "{change}: {message}");
    assert!(message.contains("`migrate-gen --database postgres --stdout`"), "{message}");
}

const TABLES: &str = "select table_name::text from information_schema.tables \
                      where table_schema = current_schema() and table_name <> 'caller_rows'";

const COLUMNS: &str = "select table_name || '.' || column_name from information_schema.columns \
                       where table_schema = current_schema() and table_name <> 'caller_rows' \
                       and column_name <> 'applied_at'";

#[tokio::test]
async fn each_table_and_each_column_is_looked_for() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    let tables = texts(&mut conn, TABLES).await;
    assert_eq!(tables.len(), 6);
    for table in tables {
        for change in [
            format!("drop table {table} cascade"),
            format!("alter table {table} rename to elsewhere"),
        ] {
            let error = refusal(&mut conn, &change).await;
            lacks(&error, &change, &format!("table \"{table}\" is missing"));
        }
    }
    let columns = texts(&mut conn, COLUMNS).await;
    assert_eq!(columns.len(), 46);
    for (table, column) in columns.iter().filter_map(|column| column.split_once('.')) {
        for change in [
            format!("alter table {table} drop column {column} cascade"),
            format!("alter table {table} rename column {column} to elsewhere"),
        ] {
            let error = refusal(&mut conn, &change).await;
            lacks(&error, &change, &format!("column {column} of table \"{table}\" is missing"));
        }
    }
}

#[tokio::test]
async fn each_type_and_each_key_is_looked_at() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    let constraints = "alter table projection_checkpoints drop constraint \
                       projection_checkpoints_projection_fkey";
    let columns = texts(&mut conn, COLUMNS).await;
    for (table, column) in columns.iter().filter_map(|column| column.split_once('.')) {
        if column == "global_position" {
            continue;
        }
        let change = format!(
            "{constraints}; alter table projections drop constraint projections_rescale_to_check, \
             drop constraint projections_partition_total_check; alter table projection_checkpoints \
             drop constraint projection_checkpoints_position_check; alter table {table} alter \
             {column} drop default, alter {column} type name using {column}::text"
        );
        let error = refusal(&mut conn, &change).await;
        lacks(&error, &change, &format!("column {column} of table \"{table}\" has the type"));
    }
    let keys = texts(
        &mut conn,
        "select relname || '.' || conname from pg_constraint join pg_class on pg_class.oid = \
         conrelid where connamespace = current_schema()::regnamespace and contype in ('p', 'u') \
         and relname <> 'events_schema'",
    )
    .await;
    assert_eq!(keys.len(), 7);
    for (table, key) in keys.iter().filter_map(|key| key.split_once('.')) {
        let change = format!("alter table {table} drop constraint {key} cascade");
        let error = refusal(&mut conn, &change).await;
        lacks(&error, &change, &format!("table \"{table}\" has no unique key on ("));
    }
}

#[tokio::test]
async fn what_else_would_break_an_append_or_a_projection_is_looked_at() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    for (change, lack) in [
        (
            "alter table events rename to e; create view events as select * from e",
            "\"events\" is no table but a view",
        ),
        ("alter table events set unlogged", "\"events\" is no table but a table that a crash"),
        (
            "create temporary table projections (like projections)",
            "\"projections\" is no table but a temporary table",
        ),
        ("alter table events add tenant text not null", "column tenant was added to table"),
        (
            "alter table events alter metadata set not null",
            "column metadata of table \"events\" must",
        ),
        (
            "alter table projection_checkpoints alter epoch drop default",
            "column epoch of table \"projection_checkpoints\" has lost its default",
        ),
        (
            "alter table events drop constraint events_event_id_key, \
             add unique (event_id) deferrable",
            "table \"events\" has no unique key on (event_id)",
        ),
        (
            "alter table events drop constraint events_event_id_key; \
             create unique index on events (event_id) where event_version > 0",
            "table \"events\" has no unique key on (event_id)",
        ),
        (
            "create collation careless (provider = icu, locale = 'und-u-ks-level2', \
             deterministic = false); \
             alter table events alter aggregate_id type text collate careless",
            "column aggregate_id of table \"events\" has the type text collate careless and not text",
        ),
        (
            "alter sequence events_global_position_seq rename to elsewhere",
            "sequence \"events_global_position_seq\" is missing",
        ),
    ] {
        let error = refusal(&mut conn, change).await;
        lacks(&error, change, lack);
    }
    run(&mut conn, "alter table events add tenant text not null default ''").await;
    store.store().check_schema(&mut conn).await.expect("a column with a default is fine");
}

#[tokio::test]
async fn another_name_or_another_schema_is_named() {
    let harness = PgHarness::new();
    let pool = harness.pool().await;
    let mut conn = pool.acquire().await.expect("a connection");
    let schema = harness.tables().schema().expect("its own").to_string();

    let renamed = "alter table events rename to shop_events";
    let error = refusal(&mut conn, renamed).await;
    lacks(
        &error,
        renamed,
        &format!(
            "table \"events\" is missing (there is \"{schema}\".\"shop_events\", which is named by \
             `TableNames::with_events(\"shop_events\".parse()?)`)"
        ),
    );

    let error = refusal(&mut conn, "create schema empty; set local search_path = empty").await;
    assert!(matches!(error, StoreError::SchemaElsewhere { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("not in the search path (empty)"), "{message}");
    assert!(message.contains("TableNames::with_schema(\"test_"), "{message}");
    assert!(message.contains("`migrate-gen --database postgres --output migrations`"), "{message}");

    let name = |name: &str| name.parse().expect("a name");
    let tables = TableNames::default()
        .with_schema(name("no_such_schema"))
        .with_events(name("shop_events"))
        .with_projections(name("shop_projections"))
        .with_checkpoints(name("shop_checkpoints"));
    let error = PgEventStore::new(&tables).check_schema(&mut conn).await.expect_err("elsewhere");
    let message = error.to_string();
    assert!(message.contains("not in schema \"no_such_schema\""), "{message}");
    assert!(
        message.contains(
            "`migrate-gen --database postgres --schema no_such_schema --events-table shop_events \
             --projections-table shop_projections --checkpoints-table shop_checkpoints --output"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn an_empty_database_is_told_the_command() {
    let harness = PgHarness::new();
    let mut conn = harness.options().connect().await.expect("a connection");
    let database = format!("empty_{}", std::process::id());
    run(&mut conn, format!("create database {database}")).await;
    let mut empty = harness.options().database(&database).connect().await.expect("a connection");
    let error = PgEventStore::default().check_schema(&mut empty).await.expect_err("no tables");
    empty.close().await.expect("closed");
    run(&mut conn, format!("drop database {database}")).await;
    assert!(matches!(error, StoreError::SchemaMissing { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("migrate-gen --database postgres --output migrations"), "{message}");
}

/// With what `migrate-gen` grants the check passes; without any one of it, it says which.
#[tokio::test]
async fn each_right_is_looked_for_and_the_advice_gives_it() {
    let harness = PgHarness::new();
    let pool = harness.pool().await;
    let mut owner = pool.acquire().await.expect("a connection");
    let schema = harness.tables().schema().expect("its own").to_string();
    let role = format!("{schema}_app");
    let sql = Schema::new(Database::Postgres)
        .with_tables(harness.tables())
        .with_role(role.parse().expect("a name"))
        .to_sql()
        .expect("valid names");
    let grants = &sql[sql.find("grant usage").expect("grants")..];
    run(&mut owner, format!("create role {role} login")).await;
    let mut app = harness.options().username(&role).connect().await.expect("a connection");
    let store = harness.store();

    let error = store.check_schema(&mut app).await.expect_err("no rights at all");
    assert!(matches!(error, StoreError::SchemaForbidden { .. }), "{error:?}");
    let error = PgEventStore::default().check_schema(&mut app).await.expect_err("no usage");
    let usage = format!("Let their owner run: grant usage on schema \"{schema}\" to {role}");
    assert!(error.to_string().ends_with(&usage), "{error}");
    follow(&mut owner, &error).await;
    let error = PgEventStore::default().check_schema(&mut app).await.expect_err("no rights");
    follow(&mut owner, &error).await;
    store.check_schema(&mut app).await.expect("the advice is enough");

    run(&mut owner, format!("drop owned by {role}; {grants}")).await;
    store.check_schema(&mut app).await.expect("the grants of migrate-gen are enough");
    let rights = texts(
        &mut owner,
        format!(
            "select privilege_type || ' on ' || table_name from information_schema.table_privileges \
             where grantee = '{role}' union all select 'select on sequence {schema}.\
             events_global_position_seq' union all select 'insert on events' union all select \
             'usage on schema {schema}'"
        ),
    )
    .await;
    assert!(rights.len() > 16, "{rights:?}");
    for right in rights {
        let columns = "bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, \
                       event_id, event_type, event_version, payload, metadata, correlation_id, \
                       causation_id, trace_id, created_at";
        let right = right.replace("insert on events", &format!("insert ({columns}) on events"));
        run(&mut owner, format!("revoke {right} from {role}")).await;
        let error = store.check_schema(&mut app).await.expect_err(&right);
        assert!(matches!(error, StoreError::SchemaForbidden { .. }), "{right}: {error:?}");
        let verb = right.split_once(' ').expect("words").0.to_lowercase();
        assert!(error.to_string().contains(&format!("grant {verb}")), "{right}: {error}");
        follow(&mut owner, &error).await;
        store.check_schema(&mut app).await.expect("the advice is enough");
    }
    app.close().await.expect("closed");
    run(&mut owner, format!("drop owned by {role}; drop role {role}")).await;
}

/// The check that is meant for it lets a role that only appends pass, and no role with less.
#[tokio::test]
async fn a_role_that_only_appends_is_checked_for_what_it_needs() {
    let harness = PgHarness::new();
    let pool = harness.pool().await;
    let mut owner = pool.acquire().await.expect("a connection");
    let role = format!("{}_appends", harness.tables().schema().expect("its own"));
    run(&mut owner, format!("create role {role} login")).await;
    let mut app = harness.options().username(&role).connect().await.expect("a connection");
    let store = harness.store();
    let error = store.check_log_schema(&mut app).await.expect_err("no rights at all");
    assert!(!error.to_string().contains("projection"), "{error}");
    follow(&mut owner, &error).await;

    store.check_log_schema(&mut app).await.expect("the advice is enough");
    let stream = StreamId::new("Test", "Thing", "a").expect("a valid name");
    let events = [Event::json("Happened", &1).expect("a valid event")];
    let appended = store.append(&mut app, &stream, ExpectedVersion::Any, &events).await;
    appended.expect("it may append");
    let read = store.read_stream(&mut app, &stream, ..).await;
    assert_eq!(read.expect("it may read").len(), 1);
    let (filter, limit) = (EventFilter::default(), ReadLimit::default());
    let log = store.read_events(&mut app, Position::START, &filter, limit).await;
    assert_eq!(log.expect("it may read the log").events.len(), 1);
    let error = store.check_schema(&mut app).await.expect_err("no right to a projection");
    assert!(error.to_string().contains("projection_checkpoints"), "{error}");
    app.close().await.expect("closed");
    run(&mut owner, format!("drop owned by {role}; drop role {role}")).await;
}

async fn follow(owner: &mut PgConnection, error: &StoreError) {
    let StoreError::SchemaForbidden { grants, .. } = error else { panic!("{error:?}") };
    run(owner, grants.clone()).await;
}

#[tokio::test]
async fn rows_that_are_hidden_from_the_role_are_noticed() {
    let harness = PgHarness::new();
    let pool = harness.pool().await;
    let mut conn = pool.acquire().await.expect("a connection");
    let role = format!("{}_app", harness.tables().schema().expect("its own"));
    let sql = Schema::new(Database::Postgres)
        .with_tables(harness.tables())
        .with_role(role.parse().expect("a name"))
        .to_sql()
        .expect("valid names");
    let grants = &sql[sql.find("grant usage").expect("grants")..];
    let change = format!(
        "create role {role}; {grants}; alter table events enable row level security; \
         set local role {role}"
    );
    let error = refusal(&mut conn, &change).await;
    lacks(&error, &change, "row-level security hides rows of table \"events\"");
}
