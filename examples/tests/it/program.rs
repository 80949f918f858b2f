//! One run of `git_history` on a database of the test's own.

use std::process::{Command, Output};

use migrate_gen::Schema;
use tempfile::TempDir;

use crate::database::Database;
use crate::repository::Repository;

/// A directory with an empty database's migrations, where the runs of one test happen.
pub(crate) struct Program {
    directory: TempDir,
    database: Database,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// The program on `SQLite`.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let database = Database::sqlite(directory.path());
        Program::in_directory(directory, database)
    }

    /// The program on `PostgreSQL`.
    pub(crate) fn on_postgres() -> Self {
        Program::in_directory(TempDir::new().unwrap(), Database::postgres())
    }

    /// The program on `MySQL` or `MariaDB`.
    pub(crate) fn on_mysql() -> Self {
        Program::in_directory(TempDir::new().unwrap(), Database::mysql())
    }

    fn in_directory(directory: TempDir, database: Database) -> Self {
        let sql = Schema::new(database.kind()).to_sql().unwrap();
        std::fs::create_dir(directory.path().join("migrations")).unwrap();
        std::fs::write(directory.path().join("migrations/0001_event_store.sql"), sql).unwrap();
        Program { directory, database }
    }

    /// The database its runs are on.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The command, ready to be run in the program's directory.
    pub(crate) fn command(&self, repository: &Repository) -> Command {
        let mut command = self.command_on(&self.database.url(), repository);
        command.args(["--migrations", "migrations"]);
        command
    }

    /// The command on another database, and without its migrations.
    pub(crate) fn command_on(&self, url: &str, repository: &Repository) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_git_history"));
        command.current_dir(self.directory.path()).arg("--repo").arg(repository.path());
        command.args(["--database-url", url]);
        command
    }

    pub(crate) fn run(&self, repository: &Repository) -> Ended {
        Ended::from(self.command(repository).output().unwrap())
    }

    /// Runs it and expects the last line to say this many commits and events, and exit code 0.
    #[track_caller]
    pub(crate) fn verifies(&self, repository: &Repository, commits: u32, events: u32) -> Ended {
        let ended = self.run(repository);
        ended.verified(commits, events);
        ended
    }
}

impl Ended {
    /// Expects the last line to say this many commits and events, and exit code 0.
    #[track_caller]
    pub(crate) fn verified(&self, commits: u32, events: u32) {
        let verified = format!("verified: {commits} commits, {events} events, 0 differences");
        assert_eq!((self.last_line(), self.code), (&*verified, Some(0)), "{self:#?}");
    }

    /// Expects exit code 1 and an error that says all of this.
    #[track_caller]
    pub(crate) fn failed_saying(&self, expected: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:#?}");
        for said in expected {
            assert!(self.stderr.contains(said), "{said}: {}", self.stderr);
        }
    }

    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
