//! The start check on tables that are missing, half there, elsewhere, or not to be used.

use std::sync::Arc;

use es::{
    Event, EventFilter, EventStore, ExpectedVersion, PersistedEvent, Position, ProjectionName,
    ReadLimit, StoreError, StreamId, TableNames,
};
use es_mysql::{MySqlEventStore, MySqlSource, sqlx};
use migrate_gen::{Database, Schema};
use projection::{EventContext, HandlerError, Operator, Processor, Projection};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection};
use tokio_util::sync::CancellationToken;

use crate::harness::{MySqlHarness, url};

async fn run(conn: &mut MySqlConnection, sql: impl Into<String>) {
    let sql = sql.into();
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(conn).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn texts(conn: &mut MySqlConnection, sql: impl Into<String>) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_all(conn).await.expect("an answer")
}

async fn refusal(conn: &mut MySqlConnection, change: &str) -> StoreError {
    let checked = MySqlEventStore::default().check_schema(conn).await;
    checked.err().unwrap_or_else(|| panic!("nothing was noticed of: {change}"))
}

fn lacks(error: &StoreError, change: &str, lack: &str) {
    assert!(matches!(error, StoreError::SchemaIncomplete { .. }), "{change}: {error:?}");
    let message = error.to_string();
    assert!(message.contains(lack), "{change}: {message}");
    assert!(message.contains("`migrate-gen --database mysql --stdout`"), "{message}");
}

const TABLES: &str = "select cast(table_name as char) from information_schema.tables \
                      where table_schema = database()";

const COLUMNS: &str = "select concat(table_name, '.', column_name) \
                       from information_schema.columns where table_schema = database() \
                       and column_name <> 'applied_at'";

#[tokio::test]
async fn each_table_and_each_column_is_looked_for() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut conn = pool.acquire().await.expect("a connection");
    let tables = texts(&mut conn, TABLES).await;
    assert_eq!(tables.len(), 7);
    for table in tables {
        run(&mut conn, format!("rename table {table} to elsewhere")).await;
        let error = refusal(&mut conn, &table).await;
        lacks(&error, &table, &format!("table `{table}` is missing"));
        run(&mut conn, format!("rename table elsewhere to {table}")).await;
    }
    let columns = texts(&mut conn, COLUMNS).await;
    assert_eq!(columns.len(), 51);
    for (table, column) in columns.iter().filter_map(|column| column.split_once('.')) {
        // A check names its column, and a key of its own would keep the other table's.
        let rename = |from, to| format!("alter table {table} rename column {from} to {to}");
        let unchecked = "set check_constraint_checks = 0, foreign_key_checks = 0";
        run(&mut conn, unchecked).await;
        if ["partition_total", "position"].contains(&column) && table != "projection_dead_letters" {
            run(&mut conn, format!("alter table {table} drop constraint {table}_{column}_check"))
                .await;
        }
        run(&mut conn, rename(format!("`{column}`"), "elsewhere".to_owned())).await;
        let error = refusal(&mut conn, column).await;
        lacks(&error, column, &format!("column {column} of table `{table}` is missing"));
        run(&mut conn, rename("elsewhere".to_owned(), format!("`{column}`"))).await;
    }
    MySqlEventStore::default().check_schema(&mut conn).await.expect("all is there again");
}

/// Changes a table, checks, and puts a copy from before in its place.
async fn refusal_of(conn: &mut MySqlConnection, table: &str, change: &str) -> StoreError {
    let before = "set foreign_key_checks = 0, check_constraint_checks = 0";
    run(conn, format!("{before}; create table saved like {table}; {change}")).await;
    let error = refusal(conn, change).await;
    run(conn, format!("drop table if exists {table}; drop view if exists {table}")).await;
    run(conn, format!("drop table if exists moved; rename table saved to {table}")).await;
    if table == "events_schema" {
        run(conn, "insert into events_schema (version) values (1)").await;
    }
    error
}

#[tokio::test]
async fn each_type_and_each_key_is_looked_at() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut conn = pool.acquire().await.expect("a connection");
    for table in texts(&mut conn, TABLES).await {
        run(
            &mut conn,
            format!(
                "set foreign_key_checks = 0; create table copied like {table}; drop table {table}; \
                 rename table copied to {table}"
            ),
        )
        .await;
    }
    run(&mut conn, "insert into events_schema (version) values (1)").await;
    let columns = texts(&mut conn, COLUMNS).await;
    for (table, column) in columns.iter().filter_map(|column| column.split_once('.')) {
        let is_key = ["connection_id", "version", "name"].contains(&column);
        let changed = match column {
            "global_position" => "int unsigned not null auto_increment",
            "payload" => "blob not null",
            _ if is_key => "varchar(17) not null",
            _ => "varchar(17) null",
        };
        let drop_check = match (table, column) {
            ("projections", "partition_total") | ("projection_checkpoints", "position") => {
                format!("alter table {table} drop constraint {table}_{column}_check; ")
            }
            _ => String::new(),
        };
        let change = format!("{drop_check}alter table {table} modify `{column}` {changed}");
        let error = refusal_of(&mut conn, table, &change).await;
        lacks(&error, &change, &format!("column {column} of table `{table}` has the type"));
    }
    for (table, key) in [
        ("events", "drop key events_event_id_key"),
        ("events", "drop key events_stream_key"),
        ("events", "add key (global_position), drop primary key"),
        (
            "events",
            "drop key events_stream_key, add unique key events_stream_key (aggregate_id(9))",
        ),
        ("events_appenders", "drop primary key"),
        ("projections", "drop primary key"),
        ("projection_checkpoints", "drop primary key"),
        ("projection_workers", "drop primary key"),
        ("projection_dead_letters", "drop primary key"),
    ] {
        let change = format!("alter table {table} {key}");
        let error = refusal_of(&mut conn, table, &change).await;
        lacks(&error, &change, &format!("table `{table}` has no unique key on ("));
    }
    for (table, change, lack) in [
        (
            "events",
            "rename table events to moved; create view events as select * from moved",
            "`events` is no table but a view",
        ),
        (
            "events",
            "alter table events modify aggregate_id varchar(255) \
             character set utf8mb4 collate utf8mb4_general_ci not null",
            "has the type varchar(255) collate utf8mb4_general_ci and not varchar(255)",
        ),
        (
            "events",
            "alter table events add tenant int not null",
            "column tenant was added to table `events`",
        ),
        (
            "events",
            "alter table events modify metadata mediumtext not null",
            "column metadata of table `events` must take null",
        ),
        (
            "events",
            "alter table events modify global_position bigint not null",
            "column global_position of table `events` has lost its default",
        ),
        (
            "projection_checkpoints",
            "alter table projection_checkpoints modify epoch bigint not null",
            "column epoch of table `projection_checkpoints` has lost its default",
        ),
    ] {
        let error = refusal_of(&mut conn, table, change).await;
        lacks(&error, change, lack);
    }
    MySqlEventStore::default().check_schema(&mut conn).await.expect("all is as it was");
}

#[tokio::test]
async fn another_name_or_another_database_is_named() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut conn = pool.acquire().await.expect("a connection");
    run(&mut conn, "rename table events to shop_events").await;
    let error = refusal(&mut conn, "another name").await;
    lacks(&error, "another name", "named by `TableNames::with_events(\"shop_events\".parse()?)`)");

    let empty = MySqlHarness::new();
    let pool = empty.pool().await;
    let mut conn = pool.acquire().await.expect("a connection");
    run(&mut conn, "set foreign_key_checks = 0").await;
    for table in texts(&mut conn, TABLES).await {
        run(&mut conn, format!("drop table {table}")).await;
    }
    let error = refusal(&mut conn, "another database").await;
    assert!(matches!(error, StoreError::SchemaElsewhere { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("are not in database test_"), "{message}");
    assert!(message.contains("`TableNames::with_"), "{message}");
    assert!(message.contains("`migrate-gen --database mysql --output migrations`"), "{message}");

    let tables = TableNames::default().with_schema("no_such_place".parse().expect("a name"));
    let wrong = MySqlEventStore::new(&tables).check_schema(&mut conn).await.expect_err("no tables");
    let message = wrong.to_string();
    assert!(message.contains("mysql --schema no_such_place --output"), "{message}");
    let mut nowhere = url().connect().await.expect("a connection without a database");
    let wrong = refusal(&mut nowhere, "no database").await.to_string();
    assert!(wrong.contains("migrate-gen --database mysql"), "{wrong}");
}

/// With what `migrate-gen` grants the check passes; without any one of it, it says which.
#[tokio::test]
async fn each_right_is_looked_for_and_the_advice_gives_it() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut owner = pool.acquire().await.expect("a connection");
    let database = texts(&mut owner, "select database()").await.remove(0);
    let user = format!("{database}_app");
    let sql = Schema::new(Database::Mysql)
        .with_role(user.parse().expect("a name"))
        .to_sql()
        .expect("valid names");
    run(&mut owner, format!("create user {user}")).await;
    let grants = &sql[sql.find("grant\n").expect("grants")..];
    run(&mut owner, grants).await;
    let mut app = harness.options().username(&user).connect().await.expect("a connection");
    let store = MySqlEventStore::default();
    store.check_schema(&mut app).await.expect("the grants of migrate-gen are enough");

    let columns = "bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, \
                   event_id, event_type, event_version, payload, metadata, correlation_id, \
                   causation_id, trace_id, created_at";
    let insert = format!("insert ({columns})");
    let rights: &[(&str, &[&str])] = &[
        ("events", &["select", &insert]),
        ("events_schema", &["select"]),
        ("events_appenders", &["select", "insert", "update", "delete"]),
        ("projections", &["select", "insert", "update"]),
        ("projection_checkpoints", &["select", "insert", "update", "delete"]),
        ("projection_workers", &["select", "insert", "update", "delete"]),
        ("projection_dead_letters", &["select", "insert", "update", "delete"]),
    ];
    for (table, rights) in rights {
        for right in *rights {
            run(&mut owner, format!("revoke {right} on {table} from {user}")).await;
            let error = store.check_schema(&mut app).await.expect_err(right);
            assert!(matches!(error, StoreError::SchemaForbidden { .. }), "{right}: {error:?}");
            let message = error.to_string();
            let verb = right.split(' ').next().expect("a word");
            assert!(message.contains(&format!("grant {verb}")), "{table} {right}: {message}");
            assert!(message.contains(&format!("`{table}` to `{user}`@`%`")), "{message}");
            follow(&mut owner, &error).await;
            store.check_schema(&mut app).await.expect("the advice is enough");
        }
    }
    run(
        &mut owner,
        format!(
            "create table of_the_caller (id int); revoke all, grant option from {user}; \
             grant select on of_the_caller to {user}"
        ),
    )
    .await;
    let error = store.check_schema(&mut app).await.expect_err("no right to any table");
    follow(&mut owner, &error).await;
    store.check_schema(&mut app).await.expect("the advice is enough");
    app.close().await.expect("closed");
    run(&mut owner, format!("drop user {user}")).await;
}

/// The check that is meant for it lets a user who only appends pass, and none with less.
#[tokio::test]
async fn a_user_who_only_appends_is_checked_for_what_it_needs() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut owner = pool.acquire().await.expect("a connection");
    let user = format!("{}_app", texts(&mut owner, "select database()").await.remove(0));
    run(
        &mut owner,
        format!(
            "create user {user}; create table of_the_caller (id int); \
             grant select on of_the_caller to {user}"
        ),
    )
    .await;
    let mut app = harness.options().username(&user).connect().await.expect("a connection");
    let store = MySqlEventStore::default();
    let error = store.check_log_schema(&mut app).await.expect_err("no right to any table");
    assert!(!error.to_string().contains("projection"), "{error}");
    follow(&mut owner, &error).await;

    store.check_log_schema(&mut app).await.expect("the advice is enough");
    let stream = StreamId::new("Test", "Thing", "a").expect("a valid name");
    let events = [Event::json("Happened", &1).expect("a valid event")];
    let mut tx = app.begin().await.expect("a transaction");
    let appended = store.append(&mut tx, &stream, ExpectedVersion::Any, &events).await;
    appended.expect("it may append");
    tx.commit().await.expect("committed");
    let read = store.read_stream(&mut app, &stream, ..).await;
    assert_eq!(read.expect("it may read").len(), 1);
    let (filter, limit) = (EventFilter::default(), ReadLimit::default());
    let log = store.read_events(&mut app, Position::START, &filter, limit).await;
    assert_eq!(log.expect("it may read the log").events.len(), 1);
    let error = store.check_schema(&mut app).await.expect_err("no right to a projection");
    assert!(error.to_string().contains("projection_checkpoints"), "{error}");
    for right in ["select on events", "select on events_schema", "delete on events_appenders"] {
        run(&mut owner, format!("revoke {right} from {user}")).await;
        let error = store.check_log_schema(&mut app).await.expect_err(right);
        assert!(matches!(error, StoreError::SchemaForbidden { .. }), "{right}: {error:?}");
        follow(&mut owner, &error).await;
        store.check_log_schema(&mut app).await.expect("the advice is enough");
    }
    app.close().await.expect("closed");
    run(&mut owner, format!("drop user {user}")).await;
}

async fn follow(owner: &mut MySqlConnection, error: &StoreError) {
    let StoreError::SchemaForbidden { grants, .. } = error else { panic!("{error:?}") };
    run(owner, grants.clone()).await;
}

struct Nothing;

impl Projection for Nothing {
    type Connection = MySqlConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("nothing");
        &NAME
    }

    async fn handle(
        &self,
        _conn: &mut MySqlConnection,
        _event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// What `migrate-gen` grants is enough to append, to read and to run projections.
#[tokio::test]
async fn the_granted_user_appends_and_projects() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut owner = pool.acquire().await.expect("a connection");
    let user = format!("{}_app", texts(&mut owner, "select database()").await.remove(0));
    let sql = Schema::new(Database::Mysql)
        .with_role(user.parse().expect("a name"))
        .to_sql()
        .expect("valid names");
    run(&mut owner, format!("create user {user}")).await;
    run(&mut owner, &sql[sql.find("grant\n").expect("grants")..]).await;

    let options = harness.options().username(&user);
    let pool = MySqlPoolOptions::new().connect_with(options).await.expect("a pool");
    let store = MySqlEventStore::default();
    let stream = StreamId::new("Test", "Thing", "a").expect("a valid name");
    let events: Vec<Event> =
        (0..20).map(|number| Event::json("Happened", &number).expect("a valid event")).collect();
    let mut tx = pool.begin().await.expect("a transaction");
    for events in [&events[..1], &events[1..]] {
        let appended = store.append(&mut tx, &stream, ExpectedVersion::Any, events).await;
        appended.expect("it may append");
    }
    tx.commit().await.expect("committed");
    let source = Arc::new(MySqlSource::new(pool.clone(), store));
    let processor = Processor::new(Arc::clone(&source)).with_projection(Nothing);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it may project");
    let status = Operator::new(&*source).status().await.expect("an answer");
    assert_eq!(status.len(), 1, "it is registered");
    pool.close().await;
    run(&mut owner, format!("drop user {user}")).await;
}

/// Rights that come by a role count as well.
#[tokio::test]
async fn rights_by_a_role_are_enough() {
    let harness = MySqlHarness::new();
    let pool = harness.pool().await;
    let mut owner = pool.acquire().await.expect("a connection");
    let database = texts(&mut owner, "select database()").await.remove(0);
    let (role, user) = (format!("{database}_role"), format!("{database}_user"));
    let sql = Schema::new(Database::Mysql)
        .with_role(role.parse().expect("a name"))
        .to_sql()
        .expect("valid names");
    let grants = &sql[sql.find("grant\n").expect("grants")..];
    run(
        &mut owner,
        format!(
            "create role {role}; create user {user}; {grants} grant {role} to {user}; \
             set default role {role} for {user}"
        ),
    )
    .await;
    let mut app = harness.options().username(&user).connect().await.expect("a connection");
    MySqlEventStore::default().check_schema(&mut app).await.expect("the role's rights");
    run(&mut app, "start transaction read only").await;
    let checked = MySqlEventStore::default().check_schema(&mut app).await;
    checked.expect("where nothing may be written, nothing is said about it");
    app.close().await.expect("closed");
    run(&mut owner, format!("drop user {user}; drop role {role}")).await;
}
