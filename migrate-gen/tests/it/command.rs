//! The command, run as a process in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::expect_file;
use migrate_gen::{Database, Schema};
use tempfile::TempDir;

const DEFAULT_PATH: &str = "migrations/0001_event_store.sql";

fn default_sql() -> String {
    Schema::new(Database::Sqlite).to_sql().unwrap()
}

fn migrate_gen(directory: &Path, arguments: &[&str]) -> Output {
    migrate_gen_for("sqlite", directory, arguments)
}

fn migrate_gen_for(database: &str, directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_migrate-gen"))
        .current_dir(directory)
        .args(["--database", database])
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

#[track_caller]
fn assert_success(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[track_caller]
fn assert_failure(output: &Output, message_parts: &[&str]) {
    assert!(!output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let message = str::from_utf8(&output.stderr).unwrap();
    for part in message_parts {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[track_caller]
fn assert_empty(directory: &TempDir) {
    let entries: Vec<PathBuf> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries, Vec::<PathBuf>::new());
}

/// A directory in which the default file exists and holds something else.
fn directory_with_other_migration() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DEFAULT_PATH);
    fs::create_dir(directory.path().join("migrations")).unwrap();
    fs::write(&path, "select 1;\n").unwrap();
    (directory, path)
}

/// A shell runs what is printed, whatever the directory is called.
#[test]
fn the_next_step_quotes_the_path_for_a_shell() {
    for name in ["with space", "o'clock", "$HOME", "a;b", "back`tick", "-dash", "ünïcode", "plain"]
    {
        let directory = tempfile::tempdir().unwrap();
        let output = migrate_gen(directory.path(), &[&format!("--output={name}")]);
        assert_success(&output);
        let next = stdout(&output).rsplit_once("or with `").unwrap().1;
        let command = next.strip_suffix("`\n").unwrap();
        let printed = command.replace("sqlite3 -bail app.db <", "cat <");
        let shell =
            Command::new("sh").current_dir(directory.path()).args(["-c", &printed]).output();
        assert_eq!(stdout(&shell.unwrap()), default_sql(), "{command}");
    }
}

#[test]
fn only_the_database_must_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen(directory.path(), &[]);
    assert_success(&output);
    assert_eq!(
        stdout(&output),
        "wrote migrations/0001_event_store.sql\n\
         next: run it once, with your migration tool (`sqlx migrate run`) or with \
         `sqlite3 -bail app.db < migrations/0001_event_store.sql`\n"
    );
    assert_eq!(fs::read_to_string(directory.path().join(DEFAULT_PATH)).unwrap(), default_sql());
}

#[test]
fn a_file_with_other_content_is_not_overwritten() {
    let (directory, path) = directory_with_other_migration();
    let output = migrate_gen(directory.path(), &[]);
    assert_failure(&output, &["migrations/0001_event_store.sql exists", "--filename", "--force"]);
    assert_eq!(fs::read_to_string(path).unwrap(), "select 1;\n");
}

#[test]
fn force_overwrites_the_file() {
    let (directory, path) = directory_with_other_migration();
    let output = migrate_gen(directory.path(), &["--force"]);
    assert_success(&output);
    assert!(stdout(&output).starts_with("overwrote migrations/0001_event_store.sql\n"));
    assert_eq!(fs::read_to_string(path).unwrap(), default_sql());
}

#[test]
fn a_file_that_holds_the_same_already_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    assert_success(&migrate_gen(directory.path(), &[]));
    for arguments in [&[][..], &["--force"]] {
        let output = migrate_gen(directory.path(), arguments);
        assert_success(&output);
        assert!(stdout(&output).contains("holds the same already"), "{output:?}");
    }
}

#[test]
fn every_option_reaches_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen(
        directory.path(),
        &[
            "--output=db/sql",
            "--filename=V1__event_store.sql",
            "--events-table=order",
            "--projections-table=shop_projections",
            "--checkpoints-table=ShopCheckpoints",
            "--index=created-at",
            "--index=correlation-id",
            "--index=event-type",
            "--index=event-type",
        ],
    );
    assert_success(&output);
    let sql = fs::read_to_string(directory.path().join("db/sql/V1__event_store.sql")).unwrap();
    expect_file!["../golden/sqlite_all_options.sql"].assert_eq(&sql);
}

#[test]
fn every_option_of_postgres_reaches_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen_for(
        "postgres",
        directory.path(),
        &[
            "--schema=Shop",
            "--events-table=order",
            "--projections-table=shop_projections",
            "--checkpoints-table=ShopCheckpoints",
            "--index=created-at",
            "--index=correlation-id",
            "--index=event-type",
            "--append-only",
            "--notify",
            "--role=shop_app",
            "--role=user",
        ],
    );
    assert_success(&output);
    let sql = fs::read_to_string(directory.path().join(DEFAULT_PATH)).unwrap();
    expect_file!["../golden/postgres_all_options.sql"].assert_eq(&sql);
}

#[test]
fn postgres_needs_no_option_but_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen_for("postgres", directory.path(), &[]);
    assert_success(&output);
    assert_eq!(
        stdout(&output),
        "wrote migrations/0001_event_store.sql\n\
         next: run it once, with your migration tool (`sqlx migrate run`) or with \
         `psql --single-transaction -v ON_ERROR_STOP=1 -f migrations/0001_event_store.sql \
         \"$DATABASE_URL\"`\n"
    );
    let sql = fs::read_to_string(directory.path().join(DEFAULT_PATH)).unwrap();
    expect_file!["../golden/postgres_default.sql"].assert_eq(&sql);
}

#[test]
fn every_option_of_mysql_reaches_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen_for(
        "mysql",
        directory.path(),
        &[
            "--schema=Shop",
            "--events-table=order",
            "--projections-table=shop_projections",
            "--checkpoints-table=ShopCheckpoints",
            "--index=created-at",
            "--index=correlation-id",
            "--index=event-type",
            "--append-only",
            "--role=shop_app",
            "--role=user",
        ],
    );
    assert_success(&output);
    let sql = fs::read_to_string(directory.path().join(DEFAULT_PATH)).unwrap();
    expect_file!["../golden/mysql_all_options.sql"].assert_eq(&sql);
}

#[test]
fn mysql_needs_no_option_but_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen_for("mysql", directory.path(), &[]);
    assert_success(&output);
    assert_eq!(
        stdout(&output),
        "wrote migrations/0001_event_store.sql\n\
         next: run it once, with your migration tool (`sqlx migrate run`) or with \
         `mysql app < migrations/0001_event_store.sql`\n"
    );
    let sql = fs::read_to_string(directory.path().join(DEFAULT_PATH)).unwrap();
    expect_file!["../golden/mysql_default.sql"].assert_eq(&sql);
}

#[test]
fn stdout_prints_the_sql_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen(directory.path(), &["--stdout"]);
    assert_success(&output);
    assert_eq!(stdout(&output), default_sql());
    assert_empty(&directory);
}

#[test]
fn stdout_and_force_exclude_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen(directory.path(), &["--stdout", "--force"]);
    assert_failure(&output, &["--stdout", "--force", "cannot be used with"]);
}

#[test]
fn a_bad_table_name_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["my events", "1st", "", "a\"; drop table x; --", &"x".repeat(41)] {
        let output = migrate_gen(directory.path(), &["--events-table", name]);
        assert_failure(&output, &["--events-table", "begin with a letter or _"]);
    }
    assert_empty(&directory);
}

#[test]
fn tables_with_one_name_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for place in [&[][..], &["--stdout"]] {
        let arguments = [&["--projections-table", "Events"], place].concat();
        let output = migrate_gen(directory.path(), &arguments);
        assert_failure(&output, &["would be called \"Events\"", "--projections-table"]);
    }
    assert_empty(&directory);
}

#[test]
fn sqlite_refuses_a_schema() {
    let directory = tempfile::tempdir().unwrap();
    for place in [&[][..], &["--stdout"]] {
        let arguments = [&["--schema", "shop"], place].concat();
        let output = migrate_gen(directory.path(), &arguments);
        assert_failure(&output, &["sqlite has no schemas", "leave out --schema"]);
    }
    assert_empty(&directory);
}

#[test]
fn mysql_refuses_notifications() {
    let directory = tempfile::tempdir().unwrap();
    for place in [&[][..], &["--stdout"]] {
        let output = migrate_gen_for("mysql", directory.path(), &[&["--notify"], place].concat());
        assert_failure(&output, &["mysql has no notifications", "leave out --notify"]);
    }
    assert_empty(&directory);
}

#[test]
fn mysql_refuses_tables_whose_names_differ_in_case_only() {
    let directory = tempfile::tempdir().unwrap();
    for (option, name) in [
        ("--projections-table", "Events"),
        ("--checkpoints-table", "PROJECTIONS"),
        ("--projections-table", "Events_Appenders"),
        ("--checkpoints-table", "events_SCHEMA"),
    ] {
        let output = migrate_gen_for("mysql", directory.path(), &[option, name]);
        assert_failure(&output, &[&format!("would be called {name:?}"), option]);
    }
    assert_empty(&directory);
}

#[test]
fn the_databases_of_the_mysql_server_are_refused_as_schemas() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["mysql", "SYS", "information_schema", "Performance_Schema"] {
        let output = migrate_gen_for("mysql", directory.path(), &["--schema", name]);
        let message = format!("mysql reserves names like {name:?}");
        assert_failure(&output, &[&message, "--schema"]);
    }
    assert_empty(&directory);
}

#[test]
fn sqlite_refuses_what_only_servers_have() {
    let directory = tempfile::tempdir().unwrap();
    for (option, message_parts) in [
        ("--append-only", ["no append-only guard for sqlite", "leave out --append-only"]),
        ("--notify", ["sqlite has no notifications", "leave out --notify"]),
        ("--role=shop_app", ["sqlite has no roles", "leave out --role"]),
    ] {
        for place in [&[][..], &["--stdout"]] {
            let output = migrate_gen(directory.path(), &[&[option], place].concat());
            assert_failure(&output, &message_parts);
        }
    }
    assert_empty(&directory);
}

#[test]
fn a_grant_to_every_role_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = migrate_gen_for("postgres", directory.path(), &["--role=public"]);
    assert_failure(&output, &["postgres reserves names like \"public\"", "--role"]);
    for role in ["public", "PUBLIC", "None"] {
        let output = migrate_gen_for("mysql", directory.path(), &["--role", role]);
        assert_failure(&output, &[&format!("mysql reserves names like {role:?}"), "--role"]);
    }
    let output = migrate_gen_for("postgres", directory.path(), &["--role", "a\" to public; --"]);
    assert_failure(&output, &["--role", "begin with a letter or _"]);
    assert_empty(&directory);
}

#[test]
fn a_file_name_cannot_lead_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["../up.sql", "sub/one.sql", "..", ""] {
        let output = migrate_gen(directory.path(), &["--filename", name]);
        assert_failure(&output, &["--filename", "--output"]);
    }
    assert_empty(&directory);
}

#[test]
fn a_directory_that_cannot_be_created_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    for output_directory in ["file", "file/sub"] {
        let output = migrate_gen(directory.path(), &["--output", output_directory]);
        assert_failure(&output, &["cannot create the directory file", "--output"]);
    }
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"");
}
