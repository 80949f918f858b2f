//! The start check on catalogs that lack one thing after the other.

use super::needed::{self, Given};
use super::*;
use crate::error::StoreError;

type Fact = [String; 5];

fn types(kind: ColumnKind) -> &'static [&'static str] {
    match kind {
        ColumnKind::Name | ColumnKind::Text => &["text"],
        _ => &["other"],
    }
}

fn needs() -> SchemaNeeds {
    SchemaNeeds {
        database: "db",
        tables: TableNames::default(),
        types,
        quote: '"',
        has_appenders: true,
        has_sequence: true,
    }
}

fn fact(what: &str, table: &str, name: &str, value: &str, flags: &str) -> Fact {
    [what, table, name, value, flags].map(str::to_owned)
}

/// A catalog in which nothing is missing.
fn whole() -> Vec<Fact> {
    let needs = needs();
    let mut facts =
        vec![fact("session", "", "app", "schema s", ""), fact("version", "", "", "1", "")];
    for table in needed::tables(&needs.tables, true, true) {
        let name = table.name.as_str();
        facts.push(fact("table", name, "s", table.kind, "uds"));
        for column in table.columns {
            let value = types(column.kind)[0];
            let flags = match column.given {
                Given::Value => "siu",
                Given::ValueOrNull => "siun",
                Given::Nothing if table.usage == needed::Use::Log => "sv",
                Given::Nothing => "siuv",
            };
            facts.push(fact("column", name, column.name, value, flags));
        }
        for (number, key) in table.keys.iter().enumerate() {
            let columns = key.iter();
            facts.extend(columns.map(|column| fact("key", name, &number.to_string(), column, "")));
        }
    }
    facts
}

fn check(facts: &[Fact]) -> Result<(), StoreError> {
    let mut found = FoundSchema::default();
    for [what, table, name, value, flags] in facts {
        found.note(what, table, name, value, flags);
    }
    check_schema(&needs(), &found)
}

#[test]
fn a_whole_schema_passes() {
    check(&whole()).expect("nothing is missing");
}

#[test]
fn whatever_is_missing_is_noticed() {
    let facts = whole();
    for missing in 1..facts.len() {
        let mut facts = facts.clone();
        let [what, table, name, ..] = facts.remove(missing);
        if what == "table" {
            facts.retain(|fact| fact[1] != table);
        }
        let error = check(&facts).expect_err(&format!("{what} {table} {name}"));
        let message = error.to_string();
        let is_named = message.contains(&format!("\"{table}\""));
        match what.as_str() {
            "version" => assert!(matches!(error, StoreError::SchemaVersion { found: 0, .. })),
            _ => assert!(matches!(error, StoreError::SchemaIncomplete { .. }), "{error:?}"),
        }
        assert!(what == "version" || is_named, "{what} {table} {name}: {message}");
    }
}

/// Each flag stands for a right, a default or that null is taken; without it something is refused.
#[test]
fn whatever_is_not_granted_is_noticed() {
    for (number, [what, table, name, _, flags]) in whole().iter().enumerate() {
        for flag in flags.chars() {
            let is_needed = match (what.as_str(), table.as_str(), flag) {
                ("column", "events" | "events_schema", 'u')
                | ("column", "events_schema", 'i')
                | ("table", "events_global_position_seq", 'd') => false,
                ("table", table, 's') => table == "events_global_position_seq",
                ("table", table, 'd') => {
                    !["events", "events_schema", "projections"].contains(&table)
                }
                _ => true,
            };
            let mut facts = whole();
            facts[number][4].retain(|kept| kept != flag);
            match check(&facts) {
                Ok(()) => assert!(!is_needed, "{what} {table} {name} without {flag}"),
                Err(StoreError::SchemaForbidden { grants, .. }) => {
                    assert!(is_needed && "siud".contains(flag), "{what} {table} {name} {flag}");
                    assert!(
                        grants.starts_with("grant ") && grants.ends_with(" to app"),
                        "{grants}"
                    );
                    assert!(!grants.contains("global_position\""), "{grants}");
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::SchemaIncomplete { .. }), "{error:?}");
                    assert!("nv".contains(flag), "{what} {table} {name} {flag}: {error}");
                }
            }
        }
    }
}

#[test]
fn other_versions_are_told_from_missing_parts() {
    for (version, advice) in [(2, "use the library version that wrote it"), (-1, "--stdout")] {
        let mut facts = whole();
        facts[1][3] = version.to_string();
        // Another version may well have other columns.
        facts.pop();
        let error = check(&facts).expect_err("another version");
        let StoreError::SchemaVersion { found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, version);
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn tables_elsewhere_hidden_and_missing_ones_are_told_apart() {
    let session = fact("session", "", "app", "schema s", "");
    let error = check(std::slice::from_ref(&session)).expect_err("nothing is there");
    assert!(matches!(error, StoreError::SchemaMissing { .. }), "{error:?}");

    let other = fact("similar", "events", "s", "shop_events", "u");
    let error = check(&[session.clone(), other]).expect_err("another name");
    assert!(matches!(error, StoreError::SchemaElsewhere { .. }), "{error:?}");
    assert!(error.to_string().contains("with_events(\"shop_events\".parse()?)"), "{error}");

    let unusable = fact("similar", "events", "s", "events", "p");
    let error = check(&[session.clone(), unusable]).expect_err("a schema that may not be used");
    assert!(error.to_string().ends_with("grant usage on schema \"s\" to app"), "{error}");

    let hidden = fact("hidden", "", "", "", "");
    let error = check(&[session, hidden]).expect_err("no right to anything");
    assert!(matches!(error, StoreError::SchemaForbidden { .. }), "{error:?}");
}

#[test]
fn the_options_name_what_is_not_default() {
    assert_eq!(TableNames::default().migration_options(), "");
    let name = |name: &str| name.parse::<SqlName>().expect("a name");
    let tables = TableNames::default().with_schema(name("s")).with_checkpoints(name("c"));
    assert_eq!(tables.migration_options(), " --schema s --checkpoints-table c");
}
