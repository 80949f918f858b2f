//! What the library refuses, and how it treats files.

use std::fs;

use migrate_gen::{Database, ExistingFile, Schema, SchemaError, TableNames, WriteError, Written};

fn tables(events: &str, projections: &str) -> TableNames {
    TableNames::default()
        .with_events(events.parse().unwrap())
        .with_projections(projections.parse().unwrap())
}

fn with_tables(events: &str, projections: &str) -> Schema {
    Schema::new(Database::Sqlite).with_tables(tables(events, projections))
}

fn postgres(tables: TableNames) -> Schema {
    Schema::new(Database::Postgres).with_tables(tables)
}

#[test]
fn two_tables_cannot_share_a_name_that_differs_only_in_case() {
    let error = with_tables("Log", "log").to_sql().unwrap_err();
    assert!(matches!(error, SchemaError::DuplicateName { .. }), "{error}");
}

#[test]
fn no_table_can_have_the_name_derived_for_the_schema_version() {
    let error = with_tables("log", "log_schema").to_sql().unwrap_err();
    assert!(matches!(error, SchemaError::DuplicateName { .. }), "{error}");
}

#[test]
fn names_sqlite_reserves_are_refused() {
    let error = with_tables("SQLite_log", "projections").to_sql().unwrap_err();
    assert_eq!(error.to_string(), "sqlite reserves names like \"SQLite_log\" for itself");
}

#[test]
fn postgres_tells_tables_apart_by_case() {
    postgres(tables("Log", "log")).to_sql().unwrap();
    for projections in ["log", "log_schema"] {
        let error = postgres(tables("log", projections)).to_sql().unwrap_err();
        assert!(matches!(error, SchemaError::DuplicateName { .. }), "{error}");
    }
}

#[test]
fn no_table_of_postgres_can_have_the_name_of_an_index_or_sequence() {
    for projections in [
        "log_pkey",
        "log_stream_key",
        "log_event_id_key",
        "log_global_position_seq",
        "log_created_at_idx",
        "log_schema_pkey",
        "projection_checkpoints_pkey",
    ] {
        let error = postgres(tables("log", projections)).to_sql().unwrap_err();
        assert!(matches!(error, SchemaError::DuplicateName { .. }), "{error}");
    }
}

#[test]
fn names_postgres_reserves_are_refused() {
    let schema = TableNames::default().with_schema("pg_shop".parse().unwrap());
    let role = |name: &str| postgres(TableNames::default()).with_role(name.parse().unwrap());
    for (schema, name) in [
        (postgres(tables("pg_class", "projections")), "pg_class"),
        (postgres(schema), "pg_shop"),
        (role("pg_monitor"), "pg_monitor"),
        (role("public"), "public"),
        (role("none"), "none"),
    ] {
        let message = schema.to_sql().unwrap_err().to_string();
        assert_eq!(message, format!("postgres reserves names like {name:?} for itself"));
    }
}

#[test]
fn sqlite_refuses_what_only_servers_have() {
    let sqlite = || Schema::new(Database::Sqlite);
    let refusal = |schema: Schema| schema.to_sql().unwrap_err();
    let append_only = refusal(sqlite().with_append_only());
    assert!(matches!(append_only, SchemaError::AppendOnlyUnsupported { .. }), "{append_only}");
    let notify = refusal(sqlite().with_notify());
    assert!(matches!(notify, SchemaError::NotifyUnsupported { .. }), "{notify}");
    let role = refusal(sqlite().with_role("shop_app".parse().unwrap()));
    assert!(matches!(role, SchemaError::RolesUnsupported { .. }), "{role}");
}

#[test]
fn a_schema_without_sql_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("migrations/0001_event_store.sql");
    let error = with_tables("log", "log").write_to(&path, ExistingFile::Replace).unwrap_err();
    assert!(matches!(error, WriteError::Schema(SchemaError::DuplicateName { .. })), "{error}");
    assert!(!path.parent().unwrap().exists());
}

#[test]
fn replacing_leaves_no_other_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0001_event_store.sql");
    fs::write(&path, "old").unwrap();
    let written = Schema::new(Database::Sqlite).write_to(&path, ExistingFile::Replace).unwrap();
    assert_eq!(written, Written::Replaced);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn the_file_has_the_permissions_of_any_other_new_file() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0001_event_store.sql");
    let other = directory.path().join("other");
    Schema::new(Database::Sqlite).write_to(&path, ExistingFile::Keep).unwrap();
    fs::write(&other, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(path), mode(other));
}
