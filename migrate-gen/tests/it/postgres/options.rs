//! What the options add: the append-only guard, the notifications and the grants.

use std::time::Duration;

use expect_test::expect;
use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::server::{
    OTHER_EVENT_ID, TestSchema, insert_event, lines, listing, number, postgres, refusal, run,
};

const PERMISSION_DENIED: &str = "42501";

/// How long a notification may take before the test fails.
const NOTIFICATION_WAIT_MAX: Duration = Duration::from_secs(30);

async fn payload(listener: &mut PgListener) -> String {
    let notification = timeout(NOTIFICATION_WAIT_MAX, listener.recv()).await.unwrap().unwrap();
    notification.payload().to_owned()
}

/// Notifies a channel and waits until the listener has seen it. Notifications come in the order of
/// the commits, so none was sent before.
async fn assert_silence(conn: &mut PgConnection, listener: &mut PgListener, channel: &str) {
    run(conn, format!("notify {channel}, 'nothing before this'")).await.unwrap();
    assert_eq!(payload(listener).await, "nothing before this");
}

#[tokio::test]
async fn an_append_only_table_takes_events_and_no_change() {
    let (schema, mut conn) = TestSchema::with(&postgres().with_append_only()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    for (statement, verb) in [
        ("update events set payload = ''", "update"),
        ("update events set payload = '' where false", "update"),
        ("delete from events", "delete"),
        ("delete from events where false", "delete"),
        ("truncate events", "truncate"),
        (
            "insert into events default values on conflict (event_id) do update set slot = 0",
            "update",
        ),
    ] {
        let message = format!("{verb} refused: the table {}.events is append-only", schema.name());
        assert_eq!(refusal(&mut conn, statement).await, ("55000".to_owned(), message));
    }
    let kept = r"select count(*) from events where payload = '\x7b7d'";
    assert_eq!(number(&mut conn, kept).await, 1);

    let more = [("aggregate_version", "2"), ("event_id", OTHER_EVENT_ID)];
    run(&mut conn, insert_event("events", &more)).await.unwrap();
    let nothing = insert_event("events", &more) + " on conflict do nothing";
    assert_eq!(run(&mut conn, nothing).await.unwrap(), 0);
    assert_eq!(number(&mut conn, "select count(*) from events").await, 2);
}

#[tokio::test]
async fn without_the_option_nothing_stops_an_update() {
    let (_schema, mut conn) = TestSchema::with(&postgres().with_notify()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(run(&mut conn, "update events set payload = ''").await.unwrap(), 1);
}

#[tokio::test]
async fn a_notification_comes_with_the_commit_and_not_before() {
    let (schema, mut conn) = TestSchema::with(&postgres().with_notify()).await;
    let channel = lines(&mut conn, "select 'es_' || 'events'::regclass::oid").await;
    let mut listener = schema.listener().await;
    listener.listen(&channel).await.unwrap();
    let mut other = schema.connect().await;

    let mut tx = conn.begin().await.unwrap();
    run(&mut tx, insert_event("events", &[])).await.unwrap();
    let more = [("aggregate_version", "2"), ("event_id", OTHER_EVENT_ID)];
    run(&mut tx, insert_event("events", &more)).await.unwrap();
    assert_silence(&mut other, &mut listener, &channel).await;
    tx.commit().await.unwrap();
    assert_eq!(payload(&mut listener).await, "");
    // One for both inserts of the transaction.
    assert_silence(&mut other, &mut listener, &channel).await;
}

#[tokio::test]
async fn a_rollback_notifies_nobody() {
    let (schema, mut conn) = TestSchema::with(&postgres().with_notify()).await;
    let channel = lines(&mut conn, "select 'es_' || 'events'::regclass::oid").await;
    let mut listener = schema.listener().await;
    listener.listen(&channel).await.unwrap();

    let mut tx = conn.begin().await.unwrap();
    run(&mut tx, insert_event("events", &[])).await.unwrap();
    tx.rollback().await.unwrap();
    assert_silence(&mut conn, &mut listener, &channel).await;
}

#[tokio::test]
async fn the_role_can_do_what_the_store_needs_and_nothing_else() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let role = schema.create_role(&mut conn).await;
    // With every option, because a trigger must not need a right of its own.
    let store = postgres()
        .with_tables(schema.tables())
        .with_append_only()
        .with_notify()
        .with_role(role.clone());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    run(&mut conn, format!("set role {role}")).await.unwrap();

    let insert = insert_event("events", &[]);
    for allowed in [
        insert.as_str(),
        &format!("{insert} on conflict do nothing returning global_position"),
        "select count(*) from events",
        "select last_value, is_called from events_global_position_seq",
        "insert into projections values ('totals', 1)",
        "insert into projections values ('totals', 1) on conflict (name) do nothing",
        "update projections set partition_total = 2",
        "insert into projection_checkpoints values ('totals', 0, 0)",
        "select position from projection_checkpoints join projections on name = projection \
         for update of projection_checkpoints",
        "update projection_checkpoints set position = 1",
        "select version from events_schema",
    ] {
        run(&mut conn, allowed).await.unwrap_or_else(|error| panic!("{allowed}: {error}"));
    }
    for forbidden in [
        "update events set payload = ''",
        "delete from events",
        "truncate events",
        "select from events for update",
        "select nextval('events_global_position_seq')",
        "select setval('events_global_position_seq', 1)",
        "delete from projections",
        "truncate projections",
        "truncate projection_checkpoints",
        "insert into events_schema values (2)",
        "update events_schema set version = 2",
        "delete from events_schema",
        "drop table events",
        "drop sequence events_global_position_seq",
        "alter table events disable trigger all",
        "alter sequence events_global_position_seq cache 32",
        "create trigger mine after insert on events execute function events_notify()",
        "create index on events (payload)",
        "create table mine ()",
        "create function mine() returns integer language sql as 'select 1'",
        "drop function events_append_only",
    ] {
        let (code, message) = refusal(&mut conn, forbidden).await;
        assert_eq!(code, PERMISSION_DENIED, "{forbidden}: {message}");
    }
    let (code, message) = refusal(&mut conn, format!("drop schema {role} cascade")).await;
    assert_eq!(code, PERMISSION_DENIED, "{message}");
}

#[tokio::test]
async fn the_grants_are_exactly_the_documented_ones() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let role = schema.create_role(&mut conn).await;
    let store = postgres().with_tables(schema.tables()).with_role(role.clone());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();

    let grants = format!(
        r#"select name || ': ' || string_agg(privilege_type, ', ' order by privilege_type)
           from (
             select '(the schema)' as name, nspacl as acl, oid as namespace
             from pg_namespace
             union all
             select relname::text, relacl, relnamespace
             from pg_class
           ) as thing
           cross join aclexplode(acl)
           where namespace = '{role}'::regnamespace
             and grantee = '{role}'::regrole
             and not is_grantable
           group by name
           order by name collate "C""#
    );
    expect![[r"
        (the schema): USAGE
        events: SELECT
        events_global_position_seq: SELECT
        events_schema: SELECT
        projection_checkpoints: DELETE, INSERT, SELECT, UPDATE
        projection_dead_letters: DELETE, INSERT, SELECT, UPDATE
        projection_workers: DELETE, INSERT, SELECT, UPDATE
        projections: INSERT, SELECT, UPDATE"]]
    .assert_eq(&lines(&mut conn, grants).await);
    let columns = format!(
        r"select attname::text
           from pg_attribute
           cross join aclexplode(attacl)
           where attrelid = '{role}.events'::regclass
             and grantee = '{role}'::regrole
             and privilege_type = 'INSERT'
           order by attnum"
    );
    expect![[r"
        aggregate_version
        created_at
        event_version
        slot
        event_id
        bounded_context
        aggregate_type
        aggregate_id
        event_type
        payload
        metadata
        correlation_id
        causation_id
        trace_id"]]
    .assert_eq(&lines(&mut conn, columns).await);
}

/// An event at a position of somebody's choice may lie where readers have been, or so high that
/// none is left.
#[tokio::test]
async fn the_role_cannot_choose_a_position() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let role = schema.create_role(&mut conn).await;
    let store = postgres().with_tables(schema.tables()).with_role(role.clone());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    let insert = insert_event("events", &[]);
    let chosen = insert
        .replace("events (", "events (global_position, ")
        .replace("values (", "overriding system value values (9223372036854775807, ");
    run(&mut conn, format!("begin; {chosen}; rollback")).await.expect("the owner can");
    run(&mut conn, format!("set role {role}")).await.unwrap();
    let (code, message) = refusal(&mut conn, chosen).await;
    assert_eq!(code, PERMISSION_DENIED, "{message}");
    run(&mut conn, insert).await.expect("the database draws one");
}

#[tokio::test]
async fn a_role_that_was_granted_nothing_cannot_even_read() {
    let schema = TestSchema::reserve();
    let mut conn = schema.connect().await;
    let role = schema.create_role(&mut conn).await;
    let store = postgres().with_tables(schema.tables());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    run(&mut conn, format!("set role {role}")).await.unwrap();
    let (code, _) = refusal(&mut conn, format!("select count(*) from {role}.events")).await;
    assert_eq!(code, PERMISSION_DENIED);
}

#[tokio::test]
async fn a_grant_to_a_role_that_does_not_exist_leaves_nothing_behind() {
    let (schema, mut conn) = TestSchema::create().await;
    let sql = postgres().with_role(schema.name().clone()).to_sql().unwrap();
    let mut tx = conn.begin().await.unwrap();
    let (code, message) = refusal(&mut tx, sql).await;
    assert_eq!(
        (code.as_str(), message),
        ("42704", format!("role \"{}\" does not exist", schema.name()))
    );
    tx.rollback().await.unwrap();
    assert_eq!(listing(&mut conn).await, "");
}
