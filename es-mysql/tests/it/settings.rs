//! What an application may have set in its sessions: harmless, or refused with what to do.

use es::adapter::read_below;
use es::conformance::Fixture;
use es::{
    Event, EventFilter, EventStore, ExpectedVersion, Position, ReadLimit, StoreError, StreamId,
    Version,
};
use es_mysql::MySqlEventStore;
use es_mysql::sqlx::types::Uuid;
use es_mysql::sqlx::{AssertSqlSafe, MySqlConnection};

use crate::harness::{MySqlHarness, execute};
use crate::schedule::event;

/// Names that other character sets lack, or order alike.
const NAMES: [&str; 5] = ["日本", "大阪", "Zoë", "zoë", "😀?"];

/// A statement, and the variable that a refusal names.
const SETTINGS: &[(&str, Option<&str>)] = &[
    ("set character_set_results = latin1", Some("character_set_results")),
    ("set character_set_results = utf8mb3", Some("character_set_results")),
    ("set character_set_results = null", None),
    ("set character_set_connection = latin1", Some("character_set_connection")),
    ("set character_set_client = latin1", Some("character_set_client")),
    ("set names latin1", Some("character_set_client")),
    ("set names utf8mb3", Some("character_set_client")),
    ("set names utf8mb4 collate utf8mb4_general_ci", None),
    ("set collation_connection = ucs2_bin", Some("character_set_connection")),
    ("set collation_connection = utf8mb4_turkish_ci", None),
    ("set unique_checks = 0", Some("unique_checks")),
    ("set sql_mode = ''", None),
    ("set sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE'", None),
    ("set sql_mode = 'NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,ONLY_FULL_GROUP_BY'", None),
    ("set sql_mode = 'TRADITIONAL,NO_AUTO_VALUE_ON_ZERO,NO_UNSIGNED_SUBTRACTION'", None),
    ("set sql_mode = 'ORACLE'", None),
    ("set sql_mode = 'EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL'", None),
    ("set time_zone = '-11:30'", None),
    ("set autocommit = 0", None),
    ("set completion_type = 'CHAIN'", None),
    ("set sql_auto_is_null = 1", None),
    ("set sql_select_limit = 1", None),
    ("set sql_safe_updates = 1", None),
    ("set group_concat_max_len = 4", None),
    ("set auto_increment_increment = 7, auto_increment_offset = 3", None),
    ("set foreign_key_checks = 0", None),
    ("set lc_messages = 'de_DE'", None),
    ("set lc_time_names = 'de_DE'", None),
    ("set div_precision_increment = 0", None),
    ("set default_week_format = 3", None),
    ("set old_mode = ''", None),
    ("set max_sort_length = 64", None),
    ("set sql_quote_show_create = 0", None),
    ("set sql_notes = 0, sql_warnings = 1", None),
];

fn named(id: &str) -> StreamId {
    StreamId::new("Größe", "Thing", id).expect("a valid name")
}

/// Events without a payload, bound and sent as text; nothing of them stays.
async fn append_empty(
    store: &MySqlEventStore,
    conn: &mut MySqlConnection,
) -> Result<(), es::AppendError> {
    execute(conn, "start transaction").await.expect("a transaction");
    for count in [2, 20] {
        let empty = Event::new("Happened", Vec::new()).expect("a valid event");
        let empty: Vec<_> = (0..count).map(|_| empty.clone().with_id(Uuid::now_v7())).collect();
        store.append(conn, &named("empty"), ExpectedVersion::Any, &empty).await?;
    }
    let read = store.read_stream(conn, &named("empty"), ..).await?;
    assert!(read.len() == 22 && read.events().iter().all(|event| event.payload().is_empty()));
    execute(conn, "rollback and no chain").await.expect("rolled back");
    Ok(())
}

/// Appends, in a transaction that a caller with this setting begins and ends.
async fn append(
    store: &MySqlEventStore,
    conn: &mut MySqlConnection,
    id: &str,
) -> Result<(), StoreError> {
    execute(conn, "start transaction").await.expect("a transaction");
    let expected = ExpectedVersion::NoStream;
    let result = store.append(conn, &named(id), expected, &event()).await;
    execute(conn, "commit and no chain").await.expect("committed");
    result.map(drop).map_err(|error| match error {
        es::AppendError::Store(error) => error,
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn a_sessions_settings_are_harmless_or_refused_with_what_to_do() {
    for (setting, refused_for) in SETTINGS {
        let fixture = Fixture::new(MySqlHarness::new()).await;
        let store = fixture.store();
        let mut conn = fixture.harness.connect().await;
        execute(&mut conn, AssertSqlSafe(*setting)).await.expect(setting);
        let checked = store.check_schema(&mut conn).await;
        execute(&mut conn, "commit and no chain").await.expect("the check is over");
        if let Some(variable) = refused_for {
            let error = checked.expect_err(setting).to_string();
            assert!(error.contains(variable), "{setting}: {error}");
            let may_append = variable == &"character_set_results";
            let appended = append(store, &mut conn, NAMES[0]).await;
            assert_eq!(appended.is_ok(), may_append, "{setting}: {appended:?}");
            if let Err(error) = appended {
                assert!(error.to_string().contains(variable), "{setting}: {error}");
            }
            let rest = if may_append { &NAMES[1..] } else { &NAMES[..] };
            let mut other = fixture.harness.connect().await;
            for name in rest {
                append(store, &mut other, name).await.expect("another session may");
            }
        } else {
            checked.expect(setting);
            for name in NAMES {
                append(store, &mut conn, name).await.expect(setting);
            }
            append_empty(store, &mut conn).await.expect(setting);
        }
        // Whatever may be written, what is read is what was appended.
        let (filter, limit) = (EventFilter::default(), ReadLimit::default());
        let wanted = filter.clone().with_bounded_contexts(["Größe"]);
        for filter in [filter, wanted] {
            let read = store.read_events(&mut conn, Position::START, &filter, limit);
            let mut read = read.await.expect(setting).events;
            if read.len() < NAMES.len() {
                let horizon = store.horizon(&mut conn, Position::START).await.expect(setting);
                let below = read_below(
                    store,
                    &mut conn,
                    Position::START,
                    horizon.position,
                    &filter,
                    ReadLimit::default(),
                );
                read = below.await.expect(setting).events;
            }
            let read: Vec<_> = read.iter().map(|event| event.stream().clone()).collect();
            assert_eq!(read, NAMES.map(named), "{setting}");
        }
        for name in NAMES {
            let stream = store.read_stream(&mut conn, &named(name), ..).await.expect(setting);
            assert_eq!(stream.len(), 1, "{setting}: {name}");
            let version = store.stream_version(&mut conn, &named(name)).await.expect(setting);
            assert_eq!(version, Version::FIRST, "{setting}: {name}");
        }
    }
}
