//! What is different on `MySQL` and `MariaDB`: what a server can do, how it compares text, and
//! that it takes back no table.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};

use crate::database::{Database, MySqlDatabase};
use crate::program::{Ended, Program};
use crate::repository::Change::Write;
use crate::repository::Repository;

fn database(program: &Program) -> &MySqlDatabase {
    match program.database() {
        Database::Mysql(database) => database,
        Database::Sqlite(_) | Database::Postgres(_) => panic!("the program is not on MySQL"),
    }
}

fn run_on(url: &str, program: &Program, repository: &Repository) -> Ended {
    let mut command = program.command_on(url, repository);
    Ended::from(command.args(["--migrations", "migrations"]).output().unwrap())
}

#[test]
fn repositories_in_databases_of_one_mysql_server_are_apart() {
    let [one, other] = [Program::on_mysql(), Program::on_mysql()];
    let repositories = [Repository::of_commits(3), Repository::of_commits(4)];
    one.verifies(&repositories[0], 3, 6);
    other.verifies(&repositories[1], 4, 8);
    one.verifies(&repositories[0], 3, 6);
}

#[test]
fn both_schemes_name_mysql() {
    let (program, repository) = (Program::on_mysql(), Repository::of_commits(1));
    let url = program.database().url().replacen("mysql:", "mariadb:", 1);
    run_on(&url, &program, &repository).verified(1, 2);
}

/// Most collations take some of these for the same, and a key has room for 3072 bytes.
#[tokio::test]
async fn paths_and_authors_compare_byte_for_byte_on_mysql() {
    let repository = Repository::new();
    let long = "l".repeat(3000);
    let authors = ["Ada", "ada", "Àda", "A\u{300}da", &long, &format!("{long}!"), "🦀", "🐘"];
    let longest = "p".repeat(255);
    let paths = ["straße", "strasse", "STRASSE", "e\u{301}", "é", "🦀", "🐘", &longest];
    for author in authors {
        let changes = paths.map(|path| Write(path.as_bytes(), author.as_bytes()));
        repository.commit(author, &changes);
    }
    let program = Program::on_mysql();
    program.verifies(&repository, 8, 64);
    assert_eq!(program.database().number("select count(*) from file_stats").await, Some(8));
    assert_eq!(program.database().number("select count(*) from file_authors").await, Some(64));
}

#[test]
fn a_mysql_server_that_is_not_there() {
    // The port is free again when the listener is dropped.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let url = format!("mysql://ada:secret@127.0.0.1:{port}/history");
    let ended = run_on(&url, &program, &repository);
    let address = format!("cannot connect to mysql://ada@127.0.0.1:{port}/history");
    ended.failed_saying(&[&address, "the server must be running", "Connection refused"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn a_mysql_database_that_is_not_there() {
    let (program, repository) = (Program::on_mysql(), Repository::of_commits(1));
    let url = program.database().url().replace(database(&program).name(), "git_history_no");
    let ended = run_on(&url, &program, &repository);
    ended.failed_saying(&["the database be there", "Unknown database 'git_history_no'"]);
}

#[test]
fn a_mysql_url_without_a_database() {
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let ended = run_on("mysql://ada:secret@127.0.0.1", &program, &repository);
    ended.failed_saying(&["names no database: write mysql://USER@HOST/DATABASE"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn a_mysql_user_without_rights() {
    let (program, repository) = (Program::on_mysql(), Repository::of_commits(1));
    let database = database(&program);
    database.on_server(&[
        "drop user if exists '{}'@'127.0.0.1', '{}'@'localhost'",
        "create user '{}'@'127.0.0.1' identified by 'secret', \
         '{}'@'localhost' identified by 'secret'",
        "grant select on {}.* to '{}'@'127.0.0.1', '{}'@'localhost'",
    ]);
    let options = database.options().username(database.name()).password("secret");
    let ended = run_on(options.to_url_lossy().as_str(), &program, &repository);
    database.on_server(&["drop user '{}'@'127.0.0.1', '{}'@'localhost'"]);
    ended.failed_saying(&["0001_event_store.sql does not run", "CREATE command denied to user"]);
}

#[test]
fn no_schema_and_no_migrations_on_mysql() {
    let (program, repository) = (Program::on_mysql(), Repository::of_commits(1));
    let mut command = program.command_on(&program.database().url(), &repository);
    let ended = Ended::from(command.output().unwrap());
    ended.failed_saying(&["--migrations", "migrate-gen --database mysql --output migrations"]);
}

#[tokio::test]
async fn tables_of_a_schema_that_was_not_finished_on_mysql() {
    let (program, repository) = (Program::on_mysql(), Repository::of_commits(1));
    program.database().execute("create table events (id int)").await;
    let ended = program.run(&repository);
    ended.failed_saying(&[
        "the event store's schema is not whole",
        "column payload of table `events` is missing",
        "table `events_appenders` is missing",
        "`migrate-gen --database mysql --stdout` prints how it must be",
    ]);
}

/// The server may be committing for a run that was killed, when the next one asks what is there.
#[tokio::test]
async fn a_transaction_left_open_on_mysql_is_waited_for() {
    // For a second: what waits for a lock stands nowhere else that could be asked often.
    const WAITING: &str = "select count(*)
        from information_schema.processlist
        where db = database() and info like '%from commits%lock in share mode%' and time >= 1
            and id <> connection_id()";

    let (program, repository) = (Program::on_mysql(), Repository::of_commits(3));
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
