//! Measures the event stores beside the limit of the database and beside their peers.
//!
//! `cargo xtask bench` builds it, starts a server and calls it.

mod backend;
mod contender;
mod database;
mod environment;
mod figure;
mod limit;
mod measure;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod proxy;
mod report;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// What is to be measured, where, and how long.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value_t = Scope::All)]
    scope: Scope,
    /// Where: the URL of a PostgreSQL or MariaDB server, in which databases are made and dropped,
    /// or of an SQLite file, beside which others are made.
    #[arg(long, env = "DATABASE_URL", default_value = "")]
    database_url: String,
    /// Measures the other libraries, too.
    #[arg(long)]
    peers: bool,
    /// Cuts everything short.
    #[arg(long)]
    quick: bool,
    /// Fails when a ratio is below its recorded floor.
    #[arg(long)]
    check: bool,
    /// How often each figure is taken; the median counts.
    #[arg(long)]
    rounds: Option<usize>,
    /// Where the figures are kept.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// How many events the log holds that `project-alone` is about.
    #[arg(long, hide = true, default_value_t = 0)]
    events: usize,
}

/// Some of the measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// Appends and imports.
    Append,
    /// Reads of streams and of the log, and the horizon.
    Read,
    /// Projections: throughput and memory.
    Project,
    /// From a commit to the handler; the cost of waiting; events lost.
    Latency,
    /// Appends to a table that has grown.
    Growth,
    /// What is sent to workers that share a projection.
    Partitions,
    /// All of them.
    All,
    /// Nothing: writes the page and the charts from what was measured before.
    Docs,
    /// A part of `project`, which runs in a process of its own.
    #[value(hide = true)]
    ProjectAlone,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // In a task, as services run: on the main thread every answer of the server would first wake
    // another one.
    let run = tokio::spawn(async move { run::run(&arguments).await });
    match run.await.map_err(anyhow::Error::from).flatten() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
