//! What the options add: the indexes, the append-only guard and the grants.

use expect_test::expect;
use migrate_gen::{OptionalIndex, SCHEMA_VERSION};

use super::server::{
    OTHER_EVENT_ID, TestDatabase, insert_event, lines, mysql, number, refusal, run,
};

const ACCESS_TO_DATABASE_DENIED: u16 = 1044;
const ACCESS_TO_TABLE_DENIED: u16 = 1142;
const ACCESS_TO_COLUMN_DENIED: u16 = 1143;
const SIGNALLED: u16 = 1644;

#[tokio::test]
async fn an_index_holds_what_its_name_says() {
    let store = mysql()
        .with_index(OptionalIndex::EventType)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::CreatedAt);
    let (_database, mut conn) = TestDatabase::with(&store).await;
    let columns = "select concat(index_name, ': ', group_concat(column_name order by seq_in_index))
        from information_schema.statistics
        where table_schema = database()
          and table_name = 'events'
          and non_unique
        group by index_name
        order by index_name";
    expect![[r"
        events_correlation_id_idx: correlation_id
        events_created_at_idx: created_at
        events_event_type_idx: event_type"]]
    .assert_eq(&lines(&mut conn, columns).await);
}

#[tokio::test]
async fn an_append_only_table_takes_events_and_no_change() {
    let (_database, mut conn) = TestDatabase::with(&mysql().with_append_only()).await;
    let insert = insert_event("events", &[]);
    run(&mut conn, insert.as_str()).await.unwrap();
    for (statement, verb) in [
        ("update events set payload = ''", "update"),
        ("update events set slot = slot", "update"),
        ("update ignore events set payload = ''", "update"),
        ("delete from events", "delete"),
        ("delete ignore from events", "delete"),
        (&insert.replace("insert", "replace"), "delete"),
        (&format!("{insert} on duplicate key update slot = 0"), "update"),
    ] {
        let message = format!("{verb} refused: the table events is append-only");
        assert_eq!(refusal(&mut conn, statement).await, (SIGNALLED, message), "{statement}");
    }
    assert_eq!(number(&mut conn, "select count(*) from events where payload = x'7b7d'").await, 1);

    let more = [("aggregate_version", "2"), ("event_id", OTHER_EVENT_ID)];
    run(&mut conn, insert_event("events", &more)).await.unwrap();
    assert_eq!(number(&mut conn, "select count(*) from events").await, 2);
}

#[tokio::test]
async fn a_truncate_gets_past_the_guard_and_begins_the_positions_again() {
    let (_database, mut conn) = TestDatabase::with(&mysql().with_append_only()).await;
    let more = [("aggregate_version", "2"), ("event_id", OTHER_EVENT_ID)];
    for event in [insert_event("events", &[]), insert_event("events", &more)] {
        run(&mut conn, event).await.unwrap();
    }
    assert_eq!(number(&mut conn, "select max(global_position) from events").await, 2);
    run(&mut conn, "truncate events").await.unwrap();
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut conn, "select max(global_position) from events").await, 1);
}

#[tokio::test]
async fn without_the_option_nothing_stops_an_update() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(run(&mut conn, "update events set payload = ''").await.unwrap(), 1);
    assert_eq!(run(&mut conn, "delete from events").await.unwrap(), 1);
}

#[tokio::test]
async fn the_user_can_do_what_the_store_needs_and_nothing_else() {
    let database = TestDatabase::reserve();
    let mut conn = database.connect_to_server().await;
    let user = database.create_user(&mut conn).await;
    // With the guard, because a trigger must not need a right of its own.
    let store = mysql().with_tables(database.tables()).with_append_only().with_role(user.clone());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();

    let mut conn = database.connect_as_user().await.unwrap();
    let insert = insert_event("events", &[]);
    for allowed in [
        insert.as_str(),
        "select coalesce(max(global_position), 0) from events",
        "insert into events_appenders \
         (connection_id, seq, low_position, first_low_position, announced_at) \
         values (connection_id(), 1, 0, 0, utc_timestamp(6)) \
         on duplicate key update seq = seq + 1, low_position = 0",
        "select connection_id, seq, low_position, first_low_position from events_appenders",
        "select connection_id from events_appenders for update skip locked",
        "delete from events_appenders where connection_id = 0",
        "insert into projections (name, partition_total) values ('totals', 1)",
        "insert ignore into projections (name, partition_total) values ('totals', 1)",
        "insert into projections (name, partition_total) values ('totals', 1) on duplicate key update name = name",
        "update projections set partition_total = 2",
        "insert into projection_checkpoints (projection, partition_index, `position`) \
         values ('totals', 0, 0)",
        "select `position` from projection_checkpoints for update",
        "update projection_checkpoints set `position` = 1, updated_at = utc_timestamp(6)",
        "select version from events_schema",
    ] {
        run(&mut conn, allowed).await.unwrap_or_else(|error| panic!("{allowed}: {error}"));
    }
    for forbidden in [
        "update events set payload = ''",
        "delete from events",
        "truncate events",
        "insert into events select * from events on duplicate key update slot = 0",
        "drop table events",
        "alter table events auto_increment = 100",
        "create index mine on events (slot)",
        "drop trigger events_append_only_update",
        "create trigger mine before insert on events for each row set new.slot = 0",
        "truncate events_appenders",
        "delete from projections",
        "truncate projections",
        "truncate projection_checkpoints",
        "insert into events_schema (version) values (2)",
        "update events_schema set version = 2",
        "delete from events_schema",
        "create table mine (id int)",
    ] {
        let (code, message) = refusal(&mut conn, forbidden).await;
        assert_eq!(code, ACCESS_TO_TABLE_DENIED, "{forbidden}: {message}");
    }
    let (code, message) = refusal(&mut conn, format!("drop database {user}")).await;
    assert_eq!(code, ACCESS_TO_DATABASE_DENIED, "{message}");
}

/// An event at a position of somebody's choice may lie where readers have been, or so high that
/// none is left.
#[tokio::test]
async fn the_role_cannot_choose_a_position() {
    let database = TestDatabase::reserve();
    let mut conn = database.connect_to_server().await;
    let user = database.create_user(&mut conn).await;
    let store = mysql().with_tables(database.tables()).with_role(user.clone());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    let mut conn = database.connect_as_user().await.unwrap();
    let insert = insert_event("events", &[]);
    let chosen = insert
        .replace("events (", "events (global_position, ")
        .replace("values (", "values (9223372036854775807, ");
    let (code, message) = refusal(&mut conn, chosen).await;
    assert_eq!(code, ACCESS_TO_COLUMN_DENIED, "{message}");
    run(&mut conn, insert).await.expect("the database draws one");
}

#[tokio::test]
async fn the_grants_are_exactly_the_documented_ones() {
    let database = TestDatabase::reserve();
    let mut conn = database.connect_to_server().await;
    let user = database.create_user(&mut conn).await;
    let store = mysql().with_tables(database.tables()).with_role(user.clone());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();

    let on_tables = format!(
        "select concat(
           table_name, ': ', group_concat(privilege_type order by privilege_type separator ', ')
         )
         from information_schema.table_privileges
         where grantee = '\\'{user}\\'@\\'%\\''
           and is_grantable = 'NO'
         group by table_name
         order by hex(table_name)"
    );
    expect![[r"
        events: SELECT
        events_appenders: DELETE, INSERT, SELECT, UPDATE
        events_schema: SELECT
        projection_checkpoints: DELETE, INSERT, SELECT, UPDATE
        projection_dead_letters: DELETE, INSERT, SELECT, UPDATE
        projection_workers: DELETE, INSERT, SELECT, UPDATE
        projections: INSERT, SELECT, UPDATE"]]
    .assert_eq(&lines(&mut conn, on_tables).await);
    let columns = format!(
        "select group_concat(column_name order by column_name separator ', ')
         from information_schema.column_privileges
         where grantee = '\\'{user}\\'@\\'%\\''
           and table_name = 'events'
           and privilege_type = 'INSERT'"
    );
    expect!["aggregate_id, aggregate_type, aggregate_version, bounded_context, causation_id, correlation_id, created_at, event_id, event_type, event_version, metadata, payload, slot, trace_id"].assert_eq(&lines(&mut conn, columns).await);
    let elsewhere = format!(
        "select concat(privilege_type, ' on ', place)
         from (
           select grantee, privilege_type, 'the server' as place
           from information_schema.user_privileges
           union all
           select grantee, privilege_type, 'a database'
           from information_schema.schema_privileges
         ) as granted
         where grantee = '\\'{user}\\'@\\'%\\''"
    );
    // USAGE is MySQL's word for no right at all.
    assert_eq!(lines(&mut conn, elsewhere).await, "USAGE on the server");
}

#[tokio::test]
async fn a_user_who_was_granted_nothing_cannot_even_connect() {
    let database = TestDatabase::reserve();
    let mut conn = database.connect_to_server().await;
    database.create_user(&mut conn).await;
    let store = mysql().with_tables(database.tables());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    let error = database.connect_as_user().await.unwrap_err();
    assert!(error.to_string().contains("1044"), "{error}");
}

#[tokio::test]
async fn a_grant_to_a_user_who_does_not_exist_is_refused() {
    let (database, mut conn) = TestDatabase::create().await;
    let sql = mysql().with_role(database.name().clone()).to_sql().unwrap();
    refusal(&mut conn, sql).await;
    // What stands before the grants has committed by then.
    assert_eq!(number(&mut conn, "select version from events_schema").await, SCHEMA_VERSION);
}
