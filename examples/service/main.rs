//! An order service: requests append in their own transactions, a worker in the same process keeps
//! the read model, and a request is answered when the read model shows what it did.
//!
//! ```text
//! cargo run -p examples --bin service
//! curl -i localhost:3000/orders --json '{"order_id": "1", "customer": "Ada"}'
//! curl -i localhost:3000/orders/1
//! ```
//!
//! Begin with `orders.rs`, which has the transactions; `order.rs` has the rules, `summaries.rs` the
//! projection, and `run_on` below what is to be stopped in which order.

mod backend;
mod error;
mod event_id;
mod http;
mod order;
mod orders;
mod postgres;
mod schema;
mod server;
mod sqlite;
mod stop;
mod summaries;

use std::future::Future;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use es::{PartitionCount, WorkerId};
use projection::{Processor, ProjectionOptions};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::backend::Backend;
use crate::orders::Orders;
use crate::postgres::Postgres;
use crate::server::Limits;
use crate::sqlite::Sqlite;
use crate::summaries::OrderSummaries;

/// How many partitions the read model begins with: as many processes can share the work.
const PARTITIONS: PartitionCount = PartitionCount::of(4);

/// How long the read model may be behind when nothing has happened for a while.
const POLL_INTERVAL_MAX: Duration = Duration::from_millis(20);

/// The longest that a request can wait for the read model, or take to begin: less than it may take
/// as a whole.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long clients may keep the process from stopping.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(35);

/// An order service on the event store, with a worker in the same process.
#[derive(Debug, Parser)]
#[command(name = "service", version)]
struct Arguments {
    /// The database: `sqlite://PATH`, a file that is made if it is not there, or
    /// `postgres://user@host/database`. The tables are made at the first start.
    #[arg(long, value_name = "URL", default_value = "sqlite://target/service.db")]
    database_url: String,
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// How long a request waits for the read model before it is answered with 202.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    wait_max: Duration,
    /// How long a client may take to send the head of a request, and an idle connection stays open.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    head_time_max: Duration,
    /// How many connections may be open; further clients wait.
    #[arg(long, value_name = "N", default_value = "512")]
    connections_max: NonZeroUsize,
    /// The worker's name, which no other process has. One that was killed and starts again under
    /// its name goes on at once, without waiting until its old leases are over [default: random].
    #[arg(long, value_name = "NAME", value_parser = |name: &str| WorkerId::new(name))]
    worker: Option<WorkerId>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "write a number such as 2 or 0.5".to_owned())?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if time > WAIT_MAX {
        return Err(format!("{} at most", WAIT_MAX.as_secs()));
    }
    Ok(time)
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
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

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let scheme = arguments.database_url.split(':').next().unwrap_or_default();
    match scheme {
        "sqlite" => run_on::<Sqlite>(arguments).await,
        "postgres" | "postgresql" => run_on::<Postgres>(arguments).await,
        _ => bail!(
            "--database-url begins with {scheme:?}, which is not a database this program knows: \
             write sqlite://PATH or postgres://USER@HOST/DATABASE"
        ),
    }
}

/// Starts the worker, then the server; stops the server, then the worker: a request that is being
/// answered waits for the read model.
async fn run_on<B: Backend>(arguments: Arguments) -> anyhow::Result<()> {
    let stop_requests = stop::on_signal().context("cannot listen for signals")?;
    let backend = Arc::new(B::open(&arguments.database_url).await?);
    schema::ensure(&*backend).await?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;

    let stop_worker = CancellationToken::new();
    let worker = worker(&backend, arguments.worker.clone());
    let health = worker.health();
    let worker = tokio::spawn({
        let (stop_requests, stop_worker) = (stop_requests.clone(), stop_worker.clone());
        async move {
            // A worker ends by itself only if it cannot begin: then the service ends, too.
            let _stop_requests = stop_requests.drop_guard();
            worker.run(stop_worker).await
        }
    });
    println!("listening on http://{}", listener.local_addr()?);

    let router = http::router(Arc::new(Orders::new(backend, arguments.wait_max)), health);
    let Arguments { head_time_max, connections_max, .. } = arguments;
    let limits = Limits { head_time_max, connections_max };
    within(server::serve(listener, router, limits, stop_requests.clone()), &stop_requests).await;
    stop_worker.cancel();
    worker.await.context("the worker panicked")?.context("the worker stopped")?;
    info!("stopped");
    Ok(())
}

fn worker<B: Backend>(backend: &Arc<B>, id: Option<WorkerId>) -> Processor<B::Source> {
    let options = ProjectionOptions::default()
        .with_partitions(PARTITIONS)
        .with_poll_interval_max(POLL_INTERVAL_MAX);
    let worker = Processor::new(Arc::clone(backend.source()))
        .with_projection_options(OrderSummaries::<B>::default(), options);
    match id {
        Some(id) => worker.with_id(id),
        None => worker,
    }
}

/// Waits for the server, once it was told to stop no longer than [`SHUTDOWN_TIME_MAX`].
async fn within(server: impl Future<Output = ()>, stop: &CancellationToken) {
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => return,
        () = stop.cancelled() => info!("stopping"),
    }
    if timeout(SHUTDOWN_TIME_MAX, server).await.is_err() {
        warn!("some connections did not end in time");
    }
}
