//! Tries to make the event store skip, repeat or reorder events, and counts how often it did.
//!
//! In two stores of one database at once, writers run transactions with pauses, rollbacks,
//! savepoints and two-phase commits on a few hundred aggregates, while an unrelated transaction
//! stays open. Readers follow the log from its start: unfiltered, filtered, partitioned, and a
//! projection whose process is killed every second and sometimes runs twice. When the writers
//! have ended and the readers have caught up, everything seen is compared with everything
//! committed. A naive reader runs along, to show that there was something to skip.
//!
//! With `--projections` it is the workers that are tortured, see [`elastic`]; with `--faults` the
//! database fails, see [`faults`].

mod aggregate;
mod backend;
mod bystander;
mod check;
mod child;
mod effects;
mod elastic;
mod failure;
mod faults;
mod isolation;
mod ledger;
mod mysql;
mod plan;
mod postgres;
mod projector;
mod projector_process;
mod reader;
mod report;
mod run;
mod sighting;
mod sqlite;
mod stop;
mod store;
mod tally;
mod tasks;
mod unknown_outcome;
mod verdict;
mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::backend::Backend;
use crate::elastic::Load;
use crate::faults::Faulty;
use crate::isolation::Isolations;
use crate::mysql::MySql;
use crate::postgres::Postgres;
use crate::projector::Until;
use crate::run::{CONNECTIONS_BESIDE_WRITERS, Settings};
use crate::sqlite::Sqlite;
use crate::store::Store;
use crate::tally::Tally;
use crate::verdict::Verdict;

/// What a shell expects of a program that Ctrl-C has ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Tries to make the event store skip, repeat or reorder events; exits with 0 if it never did.
#[derive(Debug, Parser)]
#[command(name = "stress", version)]
struct Arguments {
    /// The database: `postgres://USER@HOST:PORT/DATABASE`, `mysql://USER@HOST:PORT/DATABASE`,
    /// MariaDB too, or `sqlite://PATH`. The run makes tables of its own and removes them if all is
    /// well.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// How long the writers write, in seconds.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many writers, shared by two stores; the server must take 40 connections more.
    #[arg(long, value_name = "W", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=128))]
    writers: u32,
    /// Repeats the random choices of an earlier run; only the clock differs.
    #[arg(long)]
    seed: Option<u64>,
    /// Tortures workers that share a projection instead: they join, leave, are killed and stopped,
    /// while the number of partitions changes and the handler fails on some events. The writers are
    /// slowed down, so that the workers can keep up.
    #[arg(long)]
    projections: bool,
    /// Lets the database, the network, the handlers and their processes fail in every way instead,
    /// while workers run two projections and writers commit.
    #[arg(long, conflicts_with = "projections")]
    faults: bool,
    /// The directory of the server, whose supervisor starts it again: with `--faults` it is
    /// restarted. `cargo xtask stress` gives that of its own.
    #[arg(long, value_name = "DIR", requires = "faults")]
    server_directory: Option<PathBuf>,
    /// The isolation level of the writers' transactions, on MySQL [default: both, half of the
    /// writers each].
    #[arg(long, value_enum)]
    isolation: Option<Isolations>,
    /// Succeeds even if the naive reader skipped nothing, as in a very short run.
    #[arg(long)]
    allow_naive_zero: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the program starts itself for.
#[derive(Debug, Subcommand)]
enum Role {
    /// Runs the projection of one store, until standard input ends.
    #[command(hide = true)]
    Projector {
        /// The store's name.
        #[arg(long)]
        store: String,
        /// Ends when everything the log holds now is projected.
        #[arg(long)]
        until_caught_up: bool,
    },
    /// Works on the projection of one store together with others, until standard input ends.
    #[command(hide = true)]
    Worker {
        /// The store's name.
        #[arg(long)]
        store: String,
        /// The worker's name.
        #[arg(long)]
        id: String,
    },
    /// Works on both projections of the survival program, until standard input ends.
    #[command(hide = true)]
    FragileWorker {
        /// The store's name.
        #[arg(long)]
        store: String,
        /// The worker's name.
        #[arg(long)]
        id: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A projector warns of its rival, which is the point here.
    let level = if arguments.role.is_some() { "error" } else { "warn,sqlx=error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match arguments.database_url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Box::pin(start::<Postgres>(arguments)).await,
        Some(("mysql" | "mariadb", _)) => Box::pin(start::<MySql>(arguments)).await,
        Some(("sqlite", _)) => start::<Sqlite>(arguments).await,
        _ => Err(anyhow::anyhow!(
            "{:?} is not the URL of a database this program knows: write postgres://…, mysql://… or \
             sqlite://…",
            arguments.database_url
        )),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn start<B: Faulty>(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(role) = &arguments.role {
        play::<B>(&arguments.database_url, role).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.isolation.is_some() && !B::CHOOSES_ISOLATION {
        bail!("--isolation is for MySQL: on other databases it cannot be chosen, leave it out");
    }
    let stop = stop::on_ctrl_c();
    let load = arguments.projections.then(|| Load::moderate(B::CONCURRENT_WRITERS));
    let settings = Settings {
        url: arguments.database_url,
        length: Duration::from_secs(arguments.seconds),
        writers: arguments.writers,
        rest: load.map_or(Duration::ZERO, |load| load.rest(arguments.writers)),
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..)),
        isolations: arguments.isolation.unwrap_or(Isolations::Both),
    };
    let choices = settings.choices::<B>();
    if arguments.faults {
        println!("faults for {} s, {choices}", arguments.seconds);
    } else {
        println!("{} writers for {} s, {choices}", settings.writers, arguments.seconds);
    }
    let has_one_store = arguments.projections || arguments.faults;
    let stores = stores::<B>(&settings, if has_one_store { 1 } else { 2 }).await?;
    let result = if arguments.projections {
        stress_workers(&settings, &stores[0], &stop).await
    } else if arguments.faults {
        survive(&settings, &stores[0], arguments.server_directory.as_deref(), &stop).await
    } else {
        stress(&settings, &stores, arguments.allow_naive_zero, &stop).await
    };
    if result.is_ok() {
        for store in &stores {
            store.backend.remove().await?;
        }
    } else {
        let names: Vec<&str> = stores.iter().map(|store| &*store.name).collect();
        eprintln!("the tables are kept for a look, in {}; {choices}", names.join(" and "));
    }
    result
}

async fn play<B: Faulty>(url: &str, role: &Role) -> anyhow::Result<()> {
    match role {
        Role::Projector { store, until_caught_up } => {
            let until = if *until_caught_up { Until::CaughtUp } else { Until::InputEnds };
            projector::run::<B>(url, store, until).await
        }
        Role::Worker { store, id } => elastic::run_worker::<B>(url, store, id).await,
        Role::FragileWorker { store, id } => faults::run_worker::<B>(url, store, id).await,
    }
}

/// Several stores can get into each other's way.
async fn stores<B: Backend>(settings: &Settings, count: u32) -> anyhow::Result<Vec<Arc<Store<B>>>> {
    let id = fastrand::u32(..);
    let connections_max = settings.writers.div_ceil(count) + CONNECTIONS_BESIDE_WRITERS;
    let mut stores = Vec::new();
    for number in 1..=count {
        let name = format!("stress_{id:08x}_{number}");
        let store: Store<B> = Store::open(&settings.url, name, connections_max).await?;
        store.backend.create().await?;
        stores.push(Arc::new(store));
    }
    Ok(stores)
}

async fn stress<B: Backend>(
    settings: &Settings,
    stores: &[Arc<Store<B>>],
    allow_naive_zero: bool,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let tally = Arc::new(Tally::default());
    let Some(observed) = run::run(settings, stores, &tally, stop).await? else {
        return stopped(stop);
    };
    let verdict = Verdict::of(&observed)?;
    report::print(&verdict, &tally, &settings.choices::<B>());
    verdict.judge(allow_naive_zero || !B::CONCURRENT_WRITERS)?;
    Ok(ExitCode::SUCCESS)
}

async fn stress_workers<B: Backend>(
    settings: &Settings,
    store: &Arc<Store<B>>,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let tally = Arc::new(Tally::default());
    let Some(outcome) = elastic::run(settings, store, &tally, stop).await? else {
        return stopped(stop);
    };
    outcome.judge(&tally, &settings.choices::<B>())?;
    Ok(ExitCode::SUCCESS)
}

async fn survive<B: Faulty>(
    settings: &Settings,
    store: &Store<B>,
    server: Option<&Path>,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let Some(outcome) = faults::run(settings, store, server, stop).await? else {
        return stopped(stop);
    };
    outcome.judge(&settings.choices::<B>())?;
    Ok(ExitCode::SUCCESS)
}

fn stopped(stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    if !stop.is_cancelled() {
        bail!("a task ended the run without saying why");
    }
    println!("stopped; nothing was compared");
    Ok(ExitCode::from(EXIT_INTERRUPTED))
}
