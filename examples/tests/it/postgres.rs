//! What only a server can do: be away, refuse, lag behind, hold several repositories.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use sqlx::Connection;

use crate::database::{Database, PgDatabase};
use crate::program::{Ended, Program};
use crate::repository::Repository;

/// The URL of the program's database with more for the server to set.
fn url_with(program: &Program, options: &str) -> String {
    let url = program.database().url();
    let divider = if url.contains('?') { '&' } else { '?' };
    format!("{url}{divider}options={options}")
}

fn database(program: &Program) -> &PgDatabase {
    match program.database() {
        Database::Postgres(database) => database,
        Database::Sqlite(_) | Database::Mysql(_) => panic!("the program is not on PostgreSQL"),
    }
}

fn run_on(url: &str, program: &Program, repository: &Repository) -> Ended {
    let mut command = program.command_on(url, repository);
    Ended::from(command.args(["--migrations", "migrations"]).output().unwrap())
}

#[tokio::test]
async fn repositories_in_schemas_of_one_postgres_database_are_apart() {
    let program = Program::on_postgres();
    program.database().execute("create schema one; create schema other").await;
    let (one, other) = (Repository::of_commits(3), Repository::of_commits(4));
    let [one_url, other_url] = ["one", "other"].map(|schema| {
        let option = format!("-csearch_path={schema}");
        url_with(&program, &option)
    });
    run_on(&one_url, &program, &one).verified(3, 6);
    run_on(&other_url, &program, &other).verified(4, 8);
    run_on(&one_url, &program, &one).verified(3, 6);
}

#[test]
fn both_schemes_name_postgres() {
    let (program, repository) = (Program::on_postgres(), Repository::of_commits(1));
    let url = program.database().url().replacen("postgres:", "postgresql:", 1);
    run_on(&url, &program, &repository).verified(1, 2);
}

#[test]
fn a_postgres_server_that_is_not_there() {
    // The port is free again when the listener is dropped.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let url = format!("postgres://ada:secret@127.0.0.1:{port}/history");
    let ended = run_on(&url, &program, &repository);
    let address = format!("cannot connect to postgres://ada@127.0.0.1:{port}/history");
    ended.failed_saying(&[&address, "the server must be running", "Connection refused"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn a_postgres_database_that_is_not_there() {
    let (program, repository) = (Program::on_postgres(), Repository::of_commits(1));
    let url = program.database().url().replace(database(&program).name(), "git_history_no");
    let ended = run_on(&url, &program, &repository);
    ended.failed_saying(&["the database be there", "\"git_history_no\" does not exist"]);
}

#[tokio::test]
async fn a_postgres_role_without_rights() {
    let (program, repository) = (Program::on_postgres(), Repository::of_commits(1));
    // Every server has this role, and before PostgreSQL 15 everyone had this right.
    program.database().execute("revoke create on schema public from public").await;
    let url = url_with(&program, "-crole=pg_monitor");
    let ended = run_on(&url, &program, &repository);
    ended.failed_saying(&[
        "the role \"pg_monitor\" must not make tables in the schema \"public\"",
        "run `grant create on schema \"public\" to \"pg_monitor\"`",
    ]);
}

#[test]
fn a_postgres_schema_that_is_not_there() {
    let (program, repository) = (Program::on_postgres(), Repository::of_commits(1));
    let url = url_with(&program, "-csearch_path=nowhere");
    let ended = run_on(&url, &program, &repository);
    ended.failed_saying(&["its search_path is nowhere", "make one with `create schema`"]);
}

#[test]
fn no_schema_and_no_migrations_on_postgres() {
    let (program, repository) = (Program::on_postgres(), Repository::of_commits(1));
    let mut command = program.command_on(&program.database().url(), &repository);
    let ended = Ended::from(command.output().unwrap());
    ended.failed_saying(&["--migrations", "migrate-gen --database postgres --output migrations"]);
}

/// The server may be committing for a run that was killed, when the next one asks what is there.
#[tokio::test]
async fn a_transaction_left_open_on_postgres_is_waited_for() {
    const WAITING: &str = "select count(*) from pg_locks
        where not granted and relation = 'commits'::regclass";

    let (program, repository) = (Program::on_postgres(), Repository::of_commits(3));
    program.verifies(&repository, 3, 6);
    let mut conn = database(&program).connect().await;
    let mut tx = conn.begin().await.unwrap();
    let insert = "insert into commits (hash, parent, author, events, refused)
        values ('late', '', 'Ada', 0, 0)";
    sqlx::raw_sql(insert).execute(&mut *tx).await.unwrap();

    let mut command = program.command(&repository);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while program.database().number(WAITING).await == Some(0) {
        assert_eq!(child.try_wait().unwrap(), None, "ended without waiting");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tx.rollback().await.unwrap();
    Ended::from(child.wait_with_output().unwrap()).verified(3, 6);
}
