//! What cannot work is said in words that tell what to do.

use crate::program::{Ended, Program};
use crate::repository::Change::Write;
use crate::repository::Repository;

#[test]
fn a_database_in_a_directory_that_is_not_there() {
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let mut command = program.command_on("sqlite://no/history.db", &repository);
    let ended = Ended::from(command.output().unwrap());
    ended.failed_saying(&["cannot open", "its directory must be there"]);
}

#[test]
fn a_repository_without_commits() {
    let ended = Program::new().run(&Repository::new());
    ended.failed_saying(&["has no commits yet: commit something", "--repo"]);
}

#[test]
fn a_directory_that_is_no_repository() {
    let (program, repository) = (Program::new(), Repository::new());
    std::fs::remove_dir_all(repository.path().join(".git")).unwrap();
    // Keeps git from finding a repository above the directory of temporary files.
    let mut command = program.command(&repository);
    command.env("GIT_CEILING_DIRECTORIES", repository.path().parent().unwrap());
    let ended = Ended::from(command.output().unwrap());
    ended.failed_saying(&["is not in a git repository", "--repo"]);
}

#[test]
fn a_directory_that_is_not_there() {
    let repository = Repository::new();
    std::fs::remove_dir_all(repository.path()).unwrap();
    let ended = Program::new().run(&repository);
    ended.failed_saying(&["is not in a git repository", "No such file or directory"]);
}

#[test]
fn git_is_not_installed() {
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let mut command = program.command(&repository);
    let ended = Ended::from(command.env("PATH", "").output().unwrap());
    ended.failed_saying(&["cannot find the program `git`: install it"]);
}

#[test]
fn a_database_of_another_kind() {
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let mut command = program.command_on("oracle://history", &repository);
    let ended = Ended::from(command.output().unwrap());
    ended.failed_saying(&["\"oracle\"", "write sqlite://PATH, postgres://", " or mysql://"]);
}

#[test]
fn no_schema_and_no_migrations() {
    let (program, repository) = (Program::new(), Repository::of_commits(1));
    let mut command = program.command_on("sqlite://history.db", &repository);
    let ended = Ended::from(command.output().unwrap());
    ended.failed_saying(&["--migrations", "migrate-gen --database sqlite --output migrations"]);
}

#[test]
fn a_history_that_was_rewritten() {
    let repository = Repository::of_commits(3);
    let program = Program::new();
    program.verifies(&repository, 3, 6);
    repository.git(&["update-ref", "refs/heads/main", "main~1"]);
    repository.commit("Ada", &[Write(b"other", b"x")]);
    let ended = program.run(&repository);
    ended.failed_saying(&["the database holds 1 commits", "rewritten", "--database-url"]);
}

#[test]
fn a_shallow_clone_that_was_deepened() {
    let (program, whole) = (Program::new(), Repository::of_commits(5));
    let clone = whole.shallow_clone(2);
    program.verifies(&clone, 2, 10);
    // Its first commit keeps its hash, but touches two files now instead of all there are.
    clone.git(&["fetch", "--quiet", "--unshallow"]);
    let ended = program.run(&clone);
    ended.failed_saying(&["the database holds 1 commits", "deepened"]);
}
