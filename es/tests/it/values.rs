//! Identifiers, versions, partitions and table names: what is admitted and what is refused.

use es::adapter::{Epoch, error_text};
use es::limits::{ERROR_BYTES_MAX, SLOT_COUNT};
use es::{
    Event, ExpectedVersion, InvalidIdentifier, InvalidPartition, Partition, PartitionCount,
    Position, ProjectionName, SqlName, StreamId, Version,
};

#[test]
fn identifiers_that_a_database_would_change_are_refused() {
    let invalid = |id: &str| StreamId::new("Sales", "Order", id).expect_err(id);
    assert!(matches!(invalid(""), InvalidIdentifier::Empty { field: "aggregate id" }));
    assert!(matches!(invalid(&"x".repeat(256)), InvalidIdentifier::TooLong { bytes: 256, .. }));
    assert!(matches!(invalid(&"ż".repeat(128)), InvalidIdentifier::TooLong { bytes: 256, .. }));
    for control in ["a\0b", "a\nb", "a\u{7f}", "\u{85}a"] {
        assert!(matches!(invalid(control), InvalidIdentifier::ControlCharacter { .. }));
    }
    for white in [" a", "a ", "a\u{a0}", "\u{3000}a"] {
        assert!(matches!(invalid(white), InvalidIdentifier::OuterWhiteSpace { .. }), "{white:?}");
    }
    for fine in ["a", "a b", "x/y.z", "ż", &"x".repeat(255)] {
        assert_eq!(StreamId::new("Sales", "Order", fine).expect(fine).aggregate_id(), fine);
    }
    assert!(StreamId::new("", "Order", "1").is_err());
    assert!(StreamId::new("Sales", " Order", "1").is_err());
    assert!(ProjectionName::new("\t").is_err());
    assert!(Event::json("", &1).is_err());
}

#[test]
fn an_invalid_identifier_says_what_to_do() {
    let error = StreamId::new("Sales", "Order", "7 ").expect_err("white space");
    assert_eq!(error.to_string(), "aggregate id \"7 \" begins or ends with white space: trim it");
}

#[test]
fn an_event_has_a_time_ordered_id_and_microseconds() {
    let event = Event::new("Placed", "x").expect("valid");
    assert_eq!(event.id().get_version_num(), 7);
    assert_eq!(event.created_at().timestamp_subsec_nanos() % 1000, 0);
    assert_eq!(event.event_version(), 1);
}

#[test]
fn metadata_must_be_json() {
    let event = Event::new("Placed", "x").expect("valid");
    assert!(event.clone().with_metadata_json("{\"a\":1}").is_ok());
    for broken in ["", "{", "{\"a\":1} x", "\u{feff}1"] {
        assert!(event.clone().with_metadata_json(broken).is_err(), "{broken:?}");
    }
    assert!(event.clone().with_metadata_json(b"\"\xff\"".to_vec()).is_err(), "not UTF-8");
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    assert!(event.with_metadata_json(deep).is_err(), "deeper than databases go");
}

#[test]
fn expected_versions_compare_and_print_by_what_they_admit() {
    let exact_zero = ExpectedVersion::Exact(Version::NONE);
    assert_eq!(exact_zero, ExpectedVersion::NoStream);
    assert!(exact_zero.is_no_stream() && !exact_zero.is_exact() && !exact_zero.is_any());
    assert!(ExpectedVersion::exact(2).is_exact());
    assert!(ExpectedVersion::Any.is_any() && ExpectedVersion::Any.accepts(Version::from(9)));
    let shown =
        [ExpectedVersion::Any, exact_zero, ExpectedVersion::exact(2)].map(|e| e.to_string());
    assert_eq!(shown, ["any version", "no stream", "version 2"]);
}

#[test]
fn a_partition_that_does_not_exist_is_refused() {
    assert_eq!(
        Partition::new(4, PartitionCount::of(4)).expect_err("too high").to_string(),
        "partition 4 of 4: the index runs from 0 to 3"
    );
    assert_eq!(PartitionCount::new(0), Err(InvalidPartition::Total { total: 0 }));
    assert_eq!(PartitionCount::new(SLOT_COUNT), Ok(PartitionCount::MAX));
    assert_eq!(
        PartitionCount::try_from(SLOT_COUNT + 1).expect_err("too many").to_string(),
        "16385 partitions: choose 1 to 16384"
    );
}

#[test]
fn table_names_are_identifiers() {
    for name in ["events", "_x", "Order", "a1_b2", &"x".repeat(40)] {
        assert_eq!(name.parse::<SqlName>().expect(name).as_str(), name);
    }
    for name in ["", "1a", "a-b", "a b", "a\"b", "żółw", "a.b", &"x".repeat(41)] {
        assert!(name.parse::<SqlName>().is_err(), "{name:?}");
    }
}

#[test]
fn a_negative_number_is_an_error_that_a_question_mark_takes() {
    fn numbers(number: i64) -> Result<(Version, Position, Epoch), Box<dyn std::error::Error>> {
        Ok((number.try_into()?, number.try_into()?, number.try_into()?))
    }
    let error = numbers(-7).expect_err("negative");
    assert_eq!(error.to_string(), "-7 is negative: it must be 0 to 9223372036854775807");
    let (version, ..) = numbers(7).expect("not negative");
    assert_eq!(version, Version::from(7));
}

#[test]
fn an_error_is_noted_as_every_database_takes_it() {
    assert_eq!(error_text("plain: ż"), "plain: ż");
    assert_eq!(error_text("a\0b"), "a\u{fffd}b");
    for text in ["x".repeat(5000), "ż".repeat(5000), "\0".repeat(5000), "💩".repeat(1025)] {
        let cut = error_text(&text);
        assert!(cut.len() <= ERROR_BYTES_MAX && cut.len() > ERROR_BYTES_MAX - 10, "{}", cut.len());
        assert!(cut.ends_with('…') && !cut.contains('\0'), "{cut}");
    }
    let most = "x".repeat(ERROR_BYTES_MAX);
    assert_eq!(error_text(&most), most);
}

#[test]
fn what_the_memory_store_is_misused_for_is_not_called_a_refusal_of_the_database() {
    let mut conn = es::memory::MemoryStore::default().connect();
    let mut errors = vec![
        conn.commit().expect_err("none is open"),
        conn.rollback().expect_err("none is open"),
        conn.savepoint().expect_err("none is open"),
    ];
    conn.begin().expect("none is open");
    errors.push(conn.begin().expect_err("one is open"));
    errors.push(conn.rollback_to_savepoint().expect_err("none is set"));
    for error in errors {
        assert!(matches!(error, es::StoreError::Misuse { .. }), "{error:?}");
        let says = error.to_string();
        assert!(says.ends_with(" first"), "it says what to do: {says}");
    }
}
