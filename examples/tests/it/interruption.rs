//! However a run ends, the next one goes on without losing or repeating anything.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::{Ended, Program};
use crate::repository::Repository;

/// Enough for a run to be met in the middle. On a server each takes longer.
const COMMITS: u16 = 2000;
const COMMITS_ON_SERVER: u16 = 1000;

const APPENDED: &str = "select count(*) from commits";
const PROJECTED: &str = "select count(*) from file_stats";

/// Starts a run and waits until the number `sql` selects has reached `count`.
async fn start_until(program: &Program, repository: &Repository, sql: &str, count: i64) -> Child {
    let mut command = program.command(repository);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while program.database().number(sql).await.is_none_or(|reached| reached < count) {
        assert_eq!(child.try_wait().unwrap(), None, "ended before {sql} reached {count}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child
}

#[tokio::test]
async fn a_run_killed_while_appending_is_resumed() {
    kill_while_appending(&Program::new(), COMMITS).await;
}

#[tokio::test]
async fn a_run_killed_while_appending_is_resumed_on_postgres() {
    kill_while_appending(&Program::on_postgres(), COMMITS_ON_SERVER).await;
}

#[tokio::test]
async fn a_run_killed_while_appending_is_resumed_on_mysql() {
    kill_while_appending(&Program::on_mysql(), COMMITS_ON_SERVER).await;
}

async fn kill_while_appending(program: &Program, commits: u16) {
    let repository = Repository::of_commits(commits.into());
    for count in [1, commits / 4, commits / 2].map(i64::from) {
        let mut child = start_until(program, &repository, APPENDED, count).await;
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let appended = program.database().number(APPENDED).await.unwrap();
        assert!((count..i64::from(commits)).contains(&appended), "killed too late: {appended}");
    }
    program.verifies(&repository, commits.into(), 2 * u32::from(commits));
}

#[tokio::test]
async fn a_run_killed_while_projecting_is_resumed() {
    kill_while_projecting(&Program::new(), COMMITS).await;
}

#[tokio::test]
async fn a_run_killed_while_projecting_is_resumed_on_postgres() {
    kill_while_projecting(&Program::on_postgres(), COMMITS_ON_SERVER).await;
}

#[tokio::test]
async fn a_run_killed_while_projecting_is_resumed_on_mysql() {
    kill_while_projecting(&Program::on_mysql(), COMMITS_ON_SERVER).await;
}

async fn kill_while_projecting(program: &Program, commits: u16) {
    let repository = Repository::of_commits(commits.into());
    let mut child = start_until(program, &repository, PROJECTED, 1).await;
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    program.verifies(&repository, commits.into(), 2 * u32::from(commits));
}

#[tokio::test]
async fn ctrl_c_stops_after_the_current_transaction() {
    interrupt(&Program::new(), COMMITS).await;
}

#[tokio::test]
async fn ctrl_c_stops_after_the_current_transaction_on_postgres() {
    interrupt(&Program::on_postgres(), COMMITS_ON_SERVER).await;
}

#[tokio::test]
async fn ctrl_c_stops_after_the_current_transaction_on_mysql() {
    interrupt(&Program::on_mysql(), COMMITS_ON_SERVER).await;
}

async fn interrupt(program: &Program, commits: u16) {
    let repository = Repository::of_commits(commits.into());
    let child = start_until(program, &repository, APPENDED, 1).await;
    let interrupt = ["-INT", &child.id().to_string()];
    assert!(Command::new("kill").args(interrupt).status().unwrap().success());

    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert!(ended.last_line().contains("run it again to resume"), "{ended:#?}");
    program.verifies(&repository, commits.into(), 2 * u32::from(commits));
}
