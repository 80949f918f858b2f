//! The generated schema in a real MySQL or MariaDB.

mod options;
mod server;

use es::limits::{METADATA_BYTES_MAX, PAYLOAD_BYTES_MAX};
use expect_test::expect;
use migrate_gen::{ExistingFile, OptionalIndex, SCHEMA_VERSION, TableNames};
use sqlx::migrate::Migrator;

use server::{
    GOOD_EVENT, OTHER_EVENT_ID, TestDatabase, insert_event, lines, listing, mysql, number, refusal,
    run,
};

const NOT_NULL: u16 = 1048;
const TABLE_EXISTS: u16 = 1050;
const UNIQUE: u16 = 1062;
const TOO_LONG: u16 = 1406;
const FOREIGN_KEY_CHILD: u16 = 1452;
const FOREIGN_KEY_PARENT: u16 = 1451;
/// `MySQL` has a number of its own for a check constraint, `MariaDB` another.
const CHECK: [u16; 2] = [3819, 4025];

fn renamed(tables: TableNames, events: &str, projections: &str, checkpoints: &str) -> TableNames {
    tables
        .with_events(events.parse().unwrap())
        .with_projections(projections.parse().unwrap())
        .with_checkpoints(checkpoints.parse().unwrap())
}

#[tokio::test]
async fn the_defaults_create_what_the_store_needs_and_no_more() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    expect![[r"
        check projection_checkpoints_position_check
        check projections_partition_total_check
        foreign key projection_checkpoints_projection_fkey
        index events.PRIMARY
        index events.events_event_id_key
        index events.events_stream_key
        index events_appenders.PRIMARY
        index events_schema.PRIMARY
        index projection_checkpoints.PRIMARY
        index projection_dead_letters.PRIMARY
        index projection_dead_letters.projection_dead_letters_queue_idx
        index projection_workers.PRIMARY
        index projections.PRIMARY
        table events
        table events_appenders
        table events_schema
        table projection_checkpoints
        table projection_dead_letters
        table projection_workers
        table projections"]]
    .assert_eq(&listing(&mut conn).await);
}

#[tokio::test]
async fn names_can_be_key_words_or_of_mixed_case_and_everything_be_added() {
    let database = TestDatabase::reserve();
    let mut conn = database.connect_to_server().await;
    let user = database.create_user(&mut conn).await;
    let store = mysql()
        .with_tables(renamed(database.tables(), "Order", "group", "select"))
        .with_index(OptionalIndex::EventType)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::CreatedAt)
        .with_append_only()
        .with_role(user);
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    let mut conn = database.connect().await;
    expect![[r"
        check group_partition_total_check
        check select_position_check
        foreign key select_projection_fkey
        index Order.Order_correlation_id_idx
        index Order.Order_created_at_idx
        index Order.Order_event_id_key
        index Order.Order_event_type_idx
        index Order.Order_stream_key
        index Order.PRIMARY
        index Order_appenders.PRIMARY
        index Order_schema.PRIMARY
        index group.PRIMARY
        index group_dead_letters.PRIMARY
        index group_dead_letters.group_dead_letters_queue_idx
        index group_workers.PRIMARY
        index select.PRIMARY
        table Order
        table Order_appenders
        table Order_schema
        table group
        table group_dead_letters
        table group_workers
        table select
        trigger Order_append_only_delete
        trigger Order_append_only_update"]]
    .assert_eq(&listing(&mut conn).await);

    run(&mut conn, insert_event("`Order`", &[])).await.unwrap();
    run(&mut conn, "insert into `group` (name, partition_total) values ('totals', 1)")
        .await
        .unwrap();
    let checkpoint = |name| {
        format!(
            "insert into `select` (projection, partition_index, `position`) values ('{name}', 0, 1)"
        )
    };
    run(&mut conn, checkpoint("totals")).await.unwrap();
    assert_eq!(refusal(&mut conn, checkpoint("other")).await.0, FOREIGN_KEY_CHILD);
    let guard = refusal(&mut conn, "delete from `Order`").await;
    assert_eq!(guard.1, "delete refused: the table Order is append-only");
}

#[tokio::test]
async fn the_longest_names_fit() {
    let (_database, mut conn) = TestDatabase::create().await;
    let [events, projections, checkpoints] = ["e", "p", "c"].map(|letter| letter.repeat(40));
    let store = mysql()
        .with_tables(renamed(TableNames::default(), &events, &projections, &checkpoints))
        .with_index(OptionalIndex::EventType)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::CreatedAt)
        .with_append_only();
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    run(&mut conn, insert_event(&events, &[])).await.unwrap();
    let guard = refusal(&mut conn, format!("delete from {events}")).await;
    assert_eq!(guard.1, format!("delete refused: the table {events} is append-only"));
}

#[tokio::test]
async fn every_table_is_of_innodb_and_compares_bytes() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    let tables = "select concat_ws(' ', table_name, lower(engine), table_collation)
        from information_schema.tables
        where table_schema = database()
        order by hex(table_name)";
    expect![[r"
        events innodb utf8mb4_bin
        events_appenders innodb utf8mb4_bin
        events_schema innodb utf8mb4_bin
        projection_checkpoints innodb utf8mb4_bin
        projection_dead_letters innodb utf8mb4_bin
        projection_workers innodb utf8mb4_bin
        projections innodb utf8mb4_bin"]]
    .assert_eq(&lines(&mut conn, tables).await);
    let others = "select count(*)
        from information_schema.columns
        where table_schema = database()
          and collation_name <> 'utf8mb4_bin'";
    assert_eq!(number(&mut conn, others).await, 0);
}

#[tokio::test]
async fn the_version_of_the_schema_is_recorded_once() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    assert_eq!(number(&mut conn, "select count(*) from events_schema").await, 1);
    let version = "select version from events_schema";
    assert_eq!(number(&mut conn, version).await, SCHEMA_VERSION);
}

#[tokio::test]
async fn times_are_utc_whatever_the_time_zone_of_the_connection() {
    let (_database, mut conn) = TestDatabase::create().await;
    run(&mut conn, "set time_zone = '+11:00'").await.unwrap();
    run(&mut conn, mysql().to_sql().unwrap()).await.unwrap();
    run(&mut conn, "insert into projections (name, partition_total) values ('totals', 1)")
        .await
        .unwrap();
    let checkpoint = "insert into projection_checkpoints (projection, partition_index, `position`)
        values ('totals', 0, 0)";
    run(&mut conn, checkpoint).await.unwrap();
    for (table, column) in
        [("events_schema", "applied_at"), ("projection_checkpoints", "updated_at")]
    {
        let recent = format!(
            "select count(*)
             from {table}
             where abs(timestampdiff(second, {column}, utc_timestamp(6))) < 60"
        );
        assert_eq!(number(&mut conn, recent).await, 1, "{table}");
    }
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    run(&mut conn, "set time_zone = '-03:00'").await.unwrap();
    let written = "select count(*) from events where created_at = '2026-01-01 00:00:00'";
    assert_eq!(number(&mut conn, written).await, 1);
}

#[tokio::test]
async fn values_come_back_as_they_were_written() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    let metadata = r#"{ "b": 1.0,  "a": "\u00e9", "a": null }"#;
    let quoted = format!("'{}'", metadata.replace('\\', r"\\"));
    let changes = [
        ("metadata", quoted.as_str()),
        ("payload", "x'00ff0a00'"),
        ("created_at", "'2026-01-01 12:34:56.123456'"),
        // The first byte and the last are those a database might trim.
        ("event_id", "x'20000000000000000000000000000000'"),
        ("correlation_id", "'żółw'"),
    ];
    run(&mut conn, insert_event("events", &changes)).await.unwrap();
    let written = "select concat_ws(
          '\n', created_at, hex(payload), hex(event_id), hex(correlation_id), metadata
        )
        from events";
    expect![[r#"
        2026-01-01 12:34:56.123456
        00FF0A00
        20000000000000000000000000000000
        C5BCC3B3C58277
        { "b": 1.0,  "a": "\u00e9", "a": null }"#]]
    .assert_eq(&lines(&mut conn, written).await);
}

#[tokio::test]
async fn the_largest_values_fit() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    let [longest, longer] = [255, 256].map(|length| format!("repeat('\u{1f600}', {length})"));
    let payload = format!("repeat('p', {PAYLOAD_BYTES_MAX})");
    let metadata = format!("repeat('m', {METADATA_BYTES_MAX})");
    let changes = [
        ("bounded_context", longest.as_str()),
        ("aggregate_type", &longest),
        ("aggregate_id", &longest),
        ("event_type", &longest),
        ("payload", &payload),
        ("metadata", &metadata),
    ];
    run(&mut conn, insert_event("events", &changes)).await.unwrap();
    for column in ["bounded_context", "aggregate_type", "aggregate_id", "event_type"] {
        let too_long = insert_event("events", &[(column, &longer)]);
        let (code, message) = refusal(&mut conn, too_long).await;
        assert_eq!(code, TOO_LONG, "{message}");
    }
}

#[tokio::test]
async fn the_position_of_a_deleted_or_refused_event_is_not_given_again() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    refusal(&mut conn, insert_event("events", &[])).await;
    run(&mut conn, "delete from events").await.unwrap();
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut conn, "select global_position from events").await, 3);
}

#[tokio::test]
async fn a_stream_has_one_event_for_each_version() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let again = insert_event("events", &[("event_id", OTHER_EVENT_ID)]);
    let (code, message) = refusal(&mut conn, again).await;
    assert_eq!(code, UNIQUE);
    assert!(message.contains("events_stream_key'"), "{message}");
    // Another value in any one part of the key makes it another place.
    for (i, part) in [
        ("bounded_context", "'Shop'"),
        ("aggregate_type", "'ord\u{e9}r'"),
        ("aggregate_id", "'ORDER-1'"),
        ("aggregate_version", "2"),
    ]
    .into_iter()
    .enumerate()
    {
        let event_id = format!("x'0198c0de0000700080000000000000a{i}'");
        let other = insert_event("events", &[part, ("event_id", &event_id)]);
        assert_eq!(run(&mut conn, other).await.unwrap(), 1, "{part:?}");
    }
}

#[tokio::test]
async fn ids_compare_byte_for_byte() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    // The last is the letter and its accent as two characters.
    for (i, id) in ["A", "a", "\u{e1}", "\u{c1}", "a\u{301}"].iter().enumerate() {
        let event_id = format!("x'0198c0de0000700080000000000000b{i}'");
        let id = format!("'{id}'");
        let event = insert_event("events", &[("aggregate_id", &id), ("event_id", &event_id)]);
        run(&mut conn, event).await.unwrap();
        let found = format!("select count(*) from events where aggregate_id = {id}");
        assert_eq!(number(&mut conn, found).await, 1, "{id}");
        run(&mut conn, format!("insert into projections (name, partition_total) values ({id}, 1)"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_event_id_is_stored_once() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let again = insert_event("events", &[("aggregate_version", "2")]);
    let (code, message) = refusal(&mut conn, again).await;
    assert_eq!(code, UNIQUE);
    assert!(message.contains("events_event_id_key'"), "{message}");
}

#[tokio::test]
async fn a_repeated_event_is_refused_for_its_id_and_not_its_version() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    run(&mut conn, insert_event("events", &[])).await.unwrap();
    let (code, message) = refusal(&mut conn, insert_event("events", &[])).await;
    assert_eq!(code, UNIQUE);
    assert!(message.contains("events_event_id_key'"), "{message}");
}

#[tokio::test]
async fn an_event_without_a_required_value_is_refused() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    let optional = ["metadata", "correlation_id", "causation_id", "trace_id"];
    for column in GOOD_EVENT.map(|(column, _)| column) {
        let insert = insert_event("events", &[(column, "null")]);
        if optional.contains(&column) {
            assert_eq!(run(&mut conn, insert).await.unwrap(), 1, "{column}");
            run(&mut conn, "delete from events").await.unwrap();
            continue;
        }
        let (code, message) = refusal(&mut conn, insert).await;
        assert_eq!(code, NOT_NULL, "{message}");
        assert!(message.contains(&format!("'{column}'")), "{message}");
    }
    let long_id = insert_event("events", &[("event_id", "repeat('i', 17)")]);
    assert_eq!(refusal(&mut conn, long_id).await.0, TOO_LONG);
}

#[tokio::test]
async fn bad_projections_and_checkpoints_are_refused() {
    let (_database, mut conn) = TestDatabase::with(&mysql()).await;
    run(
        &mut conn,
        "insert into projections (name, partition_total) values ('one', 1), ('most', 16384)",
    )
    .await
    .unwrap();
    let checkpoints = "projection_checkpoints (projection, partition_index, `position`)";
    run(&mut conn, format!("insert into {checkpoints} values ('one', 0, 0)")).await.unwrap();
    for (table, values, reasons) in [
        ("projections (name, partition_total)", "('one', 2)", &[UNIQUE][..]),
        ("projections (name, partition_total)", "('none', 0)", &CHECK),
        ("projections (name, partition_total)", "('many', 16385)", &CHECK),
        ("projections (name, partition_total)", "(null, 1)", &[NOT_NULL]),
        ("projections (name, partition_total)", "('unsaid', null)", &[NOT_NULL]),
        (checkpoints, "('one', 0, 5)", &[UNIQUE]),
        (checkpoints, "('one', 1, -1)", &CHECK),
        (checkpoints, "('one', 1, null)", &[NOT_NULL]),
        (checkpoints, "('unknown', 0, 0)", &[FOREIGN_KEY_CHILD]),
        (checkpoints, "('ONE', 0, 0)", &[FOREIGN_KEY_CHILD]),
    ] {
        let (code, message) =
            refusal(&mut conn, format!("insert into {table} values {values}")).await;
        assert!(reasons.contains(&code), "{values}: {code} {message}");
    }
    let delete = refusal(&mut conn, "delete from projections where name = 'one'").await;
    assert_eq!(delete.0, FOREIGN_KEY_PARENT);
}

#[tokio::test]
async fn two_stores_fit_in_one_database() {
    let (_database, mut conn) = TestDatabase::with(&mysql().with_append_only()).await;
    let second = mysql()
        .with_tables(renamed(TableNames::default(), "log", "views", "progress"))
        .with_append_only();
    run(&mut conn, second.to_sql().unwrap()).await.unwrap();

    run(&mut conn, insert_event("events", &[])).await.unwrap();
    run(&mut conn, insert_event("log", &[])).await.unwrap();
    run(&mut conn, "insert into views (name, partition_total) values ('totals', 1)").await.unwrap();
    let checkpoint = |table| {
        format!(
            "insert into {table} (projection, partition_index, `position`) values ('totals', 0, 0)"
        )
    };
    let other_store = refusal(&mut conn, checkpoint("projection_checkpoints")).await;
    assert_eq!(other_store.0, FOREIGN_KEY_CHILD);
    run(&mut conn, checkpoint("progress")).await.unwrap();
    assert_eq!(number(&mut conn, "select version from log_schema").await, SCHEMA_VERSION);
}

#[tokio::test]
async fn two_schemas_have_a_store_each() {
    let databases = [TestDatabase::reserve(), TestDatabase::reserve()];
    // Both files run on one connection that has no database: the names alone say where the tables go.
    let mut conn = databases[0].connect_to_server().await;
    for database in &databases {
        let store = mysql().with_tables(database.tables()).with_append_only();
        run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    }
    let [mut first, mut second] = [databases[0].connect().await, databases[1].connect().await];
    run(&mut first, insert_event("events", &[])).await.unwrap();
    assert_eq!(number(&mut first, "select count(*) from events").await, 1);
    assert_eq!(number(&mut second, "select count(*) from events").await, 0);
    assert_eq!(listing(&mut first).await, listing(&mut second).await);
    let collation = "select @@collation_database";
    assert_eq!(lines(&mut first, collation).await, "utf8mb4_bin");
}

#[tokio::test]
async fn a_schema_that_is_there_already_is_used_and_left_as_it_is() {
    let (database, mut conn) = TestDatabase::create().await;
    run(&mut conn, "create table ours (id int)").await.unwrap();
    let store = mysql().with_tables(database.tables());
    run(&mut conn, store.to_sql().unwrap()).await.unwrap();
    assert_eq!(number(&mut conn, "select count(*) from events").await, 0);
    assert_eq!(number(&mut conn, "select count(*) from ours").await, 0);
    let collation = "select @@collation_database";
    assert_eq!(lines(&mut conn, collation).await, "utf8mb4_general_ci");
}

#[tokio::test]
async fn a_second_run_fails_and_changes_nothing() {
    let database = TestDatabase::reserve();
    let mut conn = database.connect_to_server().await;
    let user = database.create_user(&mut conn).await;
    let sql = mysql()
        .with_tables(database.tables())
        .with_index(OptionalIndex::EventType)
        .with_append_only()
        .with_role(user)
        .to_sql()
        .unwrap();
    run(&mut conn, &sql).await.unwrap();
    let mut conn = database.connect().await;
    let before = listing(&mut conn).await;
    let (code, message) = refusal(&mut conn, &sql).await;
    assert_eq!(code, TABLE_EXISTS, "{message}");
    assert!(message.contains("'events'"), "{message}");

    // A shell that goes on after an error runs every statement.
    let statements: Vec<&str> = sql.split_inclusive(";\n\n").collect();
    assert_eq!(statements.len(), 19);
    for statement in statements {
        let result = run(&mut conn, statement).await;
        let repeatable = ["\ngrant ", "\ngrant\n", "\ncreate database if not exists "];
        let is_repeatable = repeatable.iter().any(|start| statement.contains(start));
        assert_eq!(result.is_ok(), is_repeatable, "{statement}");
    }
    assert_eq!(listing(&mut conn).await, before);
    assert_eq!(number(&mut conn, "select count(*) from events_schema").await, 1);
}

#[tokio::test]
async fn the_migrator_of_sqlx_runs_the_file_with_every_option() {
    let (database, mut conn) = TestDatabase::create().await;
    let user = database.create_user(&mut conn).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0001_event_store.sql");
    let store = mysql()
        .with_tables(database.tables())
        .with_index(OptionalIndex::CorrelationId)
        .with_append_only()
        .with_role(user);
    store.write_to(&path, ExistingFile::Keep).unwrap();
    let migrator = Migrator::new(directory.path()).await.unwrap();
    for _ in 0..2 {
        migrator.run(&mut conn).await.unwrap();
    }
    assert_eq!(number(&mut conn, "select version from events_schema").await, SCHEMA_VERSION);
}

#[tokio::test]
async fn the_modes_of_sql_that_change_the_grammar_do_not_matter() {
    for mode in ["ansi", "traditional", "no_backslash_escapes", ""] {
        let (_database, mut conn) = TestDatabase::create().await;
        run(&mut conn, format!("set sql_mode = '{mode}'")).await.unwrap();
        let store =
            mysql().with_index(OptionalIndex::CreatedAt).with_append_only().to_sql().unwrap();
        run(&mut conn, store).await.unwrap();
        run(&mut conn, insert_event("events", &[])).await.unwrap();
    }
}
