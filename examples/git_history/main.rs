//! Appends a git repository's history to an event store and projects statistics of each file.
//!
//! For every commit, oldest first, one transaction inserts a row into the program's own table
//! `commits` and appends a `FileChanged` event to the stream of every file it touched. Four
//! workers then project the events into `file_stats` and `file_authors`. In the end all of it is
//! compared with what git says when asked a second time, in another way.
//!
//! The program may be stopped or killed at any moment: run it again and it goes on.

mod backend;
mod file_changed;
mod file_stats;
mod git_count;
mod git_log;
mod import;
mod mysql;
mod postgres;
mod progress;
mod project;
mod refused_paths;
mod report;
mod repository;
mod schema;
mod sqlite;
mod stop;
mod verification;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Parser;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::backend::Backend;
use crate::import::Import;
use crate::mysql::MySql;
use crate::postgres::Postgres;
use crate::repository::Repository;
use crate::sqlite::Sqlite;

/// What a shell expects of a program that Ctrl-C has ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Appends a git repository's history to an event store, projects statistics of each file, and
/// checks the result against git.
#[derive(Debug, Parser)]
#[command(name = "git_history", version)]
struct Arguments {
    /// The repository to read; the commits reachable from its HEAD, without merges.
    #[arg(long, value_name = "PATH", default_value = ".")]
    repo: PathBuf,
    /// The database of this one repository: `sqlite://history.db`, a file that is made if it is
    /// not there, `postgres://user@host/history`, or `mysql://user@host/history`, MariaDB too. To
    /// keep several repositories in one PostgreSQL database, make a schema for each and add
    /// `?options=-csearch_path=SCHEMA`.
    #[arg(long, value_name = "URL")]
    database_url: String,
    /// The directory of the SQL files `migrate-gen` wrote, run if the schema is not there yet.
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,
}

/// How a run ended, where nothing went wrong on the way.
enum Outcome {
    Verified,
    Different,
    Interrupted,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(Outcome::Verified) => ExitCode::SUCCESS,
        Ok(Outcome::Different) => ExitCode::FAILURE,
        Ok(Outcome::Interrupted) => {
            println!("stopped: what is committed stays; run it again to resume");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes in one line. A driver's message may end with that of its cause.
fn explain(error: &anyhow::Error) -> String {
    let mut explained = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !explained.ends_with(&cause) {
            explained = format!("{explained}: {cause}");
        }
    }
    explained
}

async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let stop = stop::on_ctrl_c();
    let repository = Repository::open(&arguments.repo).await?;
    let scheme = arguments.database_url.split(':').next().unwrap_or_default();
    match scheme {
        "sqlite" => run_on::<Sqlite>(&arguments, &repository, stop).await,
        "postgres" | "postgresql" => run_on::<Postgres>(&arguments, &repository, stop).await,
        "mysql" | "mariadb" => run_on::<MySql>(&arguments, &repository, stop).await,
        _ => bail!(
            "--database-url begins with {scheme:?}, which is not a database this program knows: \
             write sqlite://PATH, postgres://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE"
        ),
    }
}

async fn run_on<B: Backend>(
    arguments: &Arguments,
    repository: &Repository,
    stop: CancellationToken,
) -> anyhow::Result<Outcome> {
    let backend = Arc::new(B::open(&arguments.database_url).await?);
    schema::ensure(&*backend, arguments.migrations.as_deref()).await?;

    let known = backend.commits().await?;
    let listed = repository.commits().await?;
    repository::check_same_history(&known, &listed)?;
    println!(
        "{}: {} commits, {} of them in the database",
        repository.path().display(),
        listed.len(),
        known.len()
    );

    let imported = Import::new(&*backend, known).run(repository, listed.len(), &stop).await?;
    if stop.is_cancelled() {
        return Ok(Outcome::Interrupted);
    }
    let projected = project::run(&backend, &stop).await?;
    if stop.is_cancelled() {
        return Ok(Outcome::Interrupted);
    }
    report::print(&*backend, &imported, &projected).await?;

    let git = tokio::task::spawn_blocking({
        let (log, stop) = (repository.log(git_count::LOG_ARGUMENTS), stop.clone());
        move || git_count::count(log, &stop)
    });
    let Some(git) = git.await?? else {
        return Ok(Outcome::Interrupted);
    };
    let differences = verification::compare(&*backend, &git, &imported.refused).await?;
    report::print_verdict(&git, &differences);
    Ok(if differences.is_empty() { Outcome::Verified } else { Outcome::Different })
}
