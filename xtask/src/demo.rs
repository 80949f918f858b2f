//! `cargo xtask demo`: the library's main job on real input.

use std::ffi::OsString;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use xshell::{Shell, cmd};

use crate::interrupt;
use crate::servers::{self, Options, Source};
use crate::step::step;
use crate::workspace::{self, Programs};

/// Where the demo keeps its files, below the workspace's root.
const DIRECTORY: &str = "target/demo";

/// How long `git_history` may take to finish its batches after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `demo` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The database to run on.
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
    /// The git repository whose history to read [default: this project's own].
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Starts with an empty SQLite file; otherwise the demo goes on where an earlier run stopped.
    /// A server of the demo's own is always new.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    /// This project's own history on `SQLite`, from the beginning.
    pub(crate) fn fresh() -> Self {
        let options = Options::default();
        Arguments { database: Database::Sqlite, repo: None, fresh: true, options }
    }
}

/// The databases the demo runs on.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
    /// Runs on `MariaDB`.
    Mysql,
}

impl Database {
    /// The server it needs.
    fn server(self) -> Option<servers::Database> {
        match self {
            Database::Sqlite => None,
            Database::Postgres => Some(servers::Database::Postgres),
            Database::Mysql => Some(servers::Database::Mysql),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
            Database::Mysql => "mysql",
        })
    }
}

/// Builds the programs, writes the schema, and hands over to `git_history`, whose exit code is
/// the answer.
pub(crate) fn run(sh: &Shell, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let root = workspace::root()?;
    let repository = match &arguments.repo {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("cannot find the repository {}", path.display()))?,
        None => root.clone(),
    };
    let _directory = sh.push_dir(&root);
    let programs = step("build", || Programs::build(sh))?;

    let database = arguments.database;
    let migrations = format!("{DIRECTORY}/migrations-{database}");
    step("migrate-gen", || {
        let migrate_gen = programs.path("migrate-gen")?;
        let database = database.to_string();
        let options = ["--database", &database, "--output", &migrations, "--force"];
        Ok(cmd!(sh, "{migrate_gen} {options...}").run()?)
    })?;

    let file = format!("{DIRECTORY}/{}.db", slug(&repository));
    if arguments.fresh {
        remove(sh, &file)?;
    }
    let server = match database.server() {
        None => None,
        Some(server) => Some(step("server", || Source::open(server, &arguments.options))?),
    };
    let url = server.as_ref().map_or_else(|| format!("sqlite://{file}"), Source::url);
    let code = step("git_history", || {
        let mut command = Command::new(programs.path("git_history")?);
        command.current_dir(&root).arg("--repo").arg(&repository);
        command.args(["--database-url", &url]);
        command.args(["--migrations", &migrations]);
        Ok(interrupt::exit_code(interrupt::follow(&mut command, PATIENCE)?))
    })?;
    if code == 1 && server.is_none() && sh.path_exists(&file) {
        eprintln!("if the database is the trouble, `cargo xtask demo --fresh` begins with another");
    }
    Ok(ExitCode::from(code))
}

/// Removes a database, with the two files `SQLite` keeps beside it.
fn remove(sh: &Shell, file: &str) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        sh.remove_path(format!("{file}{suffix}"))?;
    }
    Ok(())
}

/// A file name for a repository: its directory's name, and a hash of the whole path.
fn slug(repository: &Path) -> String {
    let name: OsString = repository.file_name().unwrap_or_default().to_owned();
    let plain = |char: char| {
        if char.is_ascii_alphanumeric() { char } else { '_' }
    };
    let name: String = name.to_string_lossy().chars().take(40).map(plain).collect();
    let mut hasher = DefaultHasher::new();
    repository.hash(&mut hasher);
    format!("{name}-{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_of_the_same_name_have_different_files() {
        let (one, other) = (slug(Path::new("/a/my repo?")), slug(Path::new("/b/my repo?")));
        assert_ne!(one, other);
        assert!(one.starts_with("my_repo_-"), "{one}");
    }
}
