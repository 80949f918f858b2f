//! One run: writers, workers and faults; then time to catch up; then the accounts.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::{Position, ProjectionName};
use fastrand::Rng;
use projection::Operator;
use tokio::sync::RwLock;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::calm;
use super::child_seat::ChildSeat;
use super::counts::Counts;
use super::database::Faulty;
use super::evidence::{self, Evidence};
use super::injector::{Injector, LANES};
use super::inner_seat::InnerSeat;
use super::ledger::{self, Ledger};
use super::outcome::{Outcome, missing};
use super::planter;
use super::proxy::{self, Proxy};
use super::seat::Seat;
use super::server::Server;
use super::temper::Temper;
use super::whole;
use super::writer::Writer;
use super::{
    CHILDREN, INNER, LEAVE_MAX, PROJECTIONS, STOP_MAX, WORKER_CONNECTIONS_MAX, takeover_max,
};
use crate::run::Settings;
use crate::store::Store;
use crate::tasks::Tasks;

/// How many writers there are.
const WRITERS: u32 = 4;

/// How many transactions all of them begin in a second, about.
const TRANSACTIONS_PER_SECOND: u32 = 40;

/// For writers and for those whose futures are dropped.
const CONNECTIONS_MAX: u32 = 10;

/// How long the workers may take to project what is left when the faults are over.
const CATCH_UP_MAX: Duration = Duration::from_mins(2);

/// How long the last fault may take to be over.
const LAST_FAULT_MAX: Duration = Duration::from_mins(3);

/// Everybody who takes part.
struct Parts<B> {
    counts: Arc<Counts>,
    ledger: Arc<Ledger>,
    seats: Vec<Arc<Seat>>,
    /// Of the workers of this process.
    inner: Vec<Arc<B>>,
    /// Of the writers.
    writing: Arc<B>,
    /// In front of the writers.
    _proxy: Option<Proxy>,
}

/// Runs; `None` if it was stopped before its end.
pub(crate) async fn run<B: Faulty>(
    settings: &Settings,
    store: &Store<B>,
    server: Option<&Path>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Outcome>> {
    store.backend.create_faulty().await?;
    let halt = stop.child_token();
    let (seats_over, over) = (halt.child_token(), halt.child_token());
    let mut seeds = Rng::with_seed(settings.seed);
    let mut seats = Tasks::new(&halt);
    let parts = seat_workers(settings, store, &mut seeds, &seats_over, &mut seats).await?;
    let mut writers = start_writers(settings, &parts, &mut seeds, &halt, &over);
    let server = server.map(Server::new);
    let injector = injector(store, &parts, server, &mut seeds, &over);
    let mut faults = Tasks::new(&halt);
    for number in 1..=LANES {
        let doing = Arc::clone(&injector).run(seeds.fork());
        faults.spawn(format!("faults, {number}"), doing);
    }

    let _ = halt.run_until_cancelled(sleep(settings.length)).await;
    over.cancel();
    faults.join("the last fault", LAST_FAULT_MAX).await?;
    writers.join("the writers", STOP_MAX).await?;
    if !halt.is_cancelled() {
        let caught_up = catch_up(&*store.backend, &parts).await;
        if let Err(error) = caught_up {
            parts.counts.complain(format!("not caught up: {error:#}"));
        }
    }
    seats_over.cancel();
    seats.join("the workers", LEAVE_MAX * 2).await?;
    if halt.is_cancelled() {
        return Ok(None);
    }
    for (backend, count) in parts
        .inner
        .iter()
        .map(|inner| (inner, WORKER_CONNECTIONS_MAX))
        .chain([(&parts.writing, CONNECTIONS_MAX)])
    {
        if let Err(error) = whole::check_connections(&**backend, count).await {
            parts.counts.complain(format!("a pool is not whole: {error:#}"));
        }
    }
    if let Err(error) = whole::check_transactions(&*store.backend).await {
        parts.counts.complain(format!("{error:#}"));
    }
    let evidence = Evidence::gather(&*store.backend, parts.ledger.entries()).await?;
    let counts = &parts.counts;
    for (what, outcome) in [
        ("writers' transactions, committed", ledger::Outcome::Committed),
        ("writers' transactions, rolled back", ledger::Outcome::RolledBack),
        ("writers' transactions, nobody knows", ledger::Outcome::Unknown),
    ] {
        counts.add(what, u64::try_from(parts.ledger.count(outcome))?);
    }
    let done = Injector::<B>::faults(injector.server.is_some());
    let takeovers = injector.takeovers.lock().expect("nobody panics who holds it").clone();
    Ok(Some(Outcome {
        account: Account::of(&evidence)?,
        counts: counts.all(),
        complaints: counts.complaints(),
        takeovers,
        takeover_max: takeover_max::<B>(),
        missing: missing(counts, &done),
    }))
}

async fn seat_workers<B: Faulty>(
    settings: &Settings,
    store: &Store<B>,
    seeds: &mut Rng,
    over: &CancellationToken,
    tasks: &mut Tasks<()>,
) -> anyhow::Result<Parts<B>> {
    let url = B::user_url(&settings.url, &store.name);
    let counts = Arc::new(Counts::default());
    let (mut seats, mut inner) = (Vec::new(), Vec::new());
    for number in 1..=CHILDREN {
        let (proxy, url) = proxied(&url).await?;
        let (seat, kills) = Seat::new(format!("child-{number}"), proxy, true);
        let seat = Arc::new(seat);
        seats.push(Arc::clone(&seat));
        let child = ChildSeat {
            seat,
            kills,
            url,
            store: store.name.clone(),
            counts: Arc::clone(&counts),
            rng: seeds.fork(),
            over: over.clone(),
        };
        tasks.spawn(format!("child {number}"), child.run());
    }
    for number in 1..=INNER {
        let (proxy, url) = proxied(&url).await?;
        let (seat, _) = Seat::new(format!("inner-{number}"), proxy, false);
        let seat = Arc::new(seat);
        seats.push(Arc::clone(&seat));
        let backend = B::open_faulty(&url, &store.name, WORKER_CONNECTIONS_MAX).await?;
        let backend = Arc::new(backend);
        inner.push(Arc::clone(&backend));
        let (counts, rng) = (Arc::clone(&counts), seeds.fork());
        let one = InnerSeat { seat, backend, counts, rng, over: over.clone() };
        tasks.spawn(format!("inner {number}"), one.run());
    }
    let (proxy, url) = proxied(&url).await?;
    let writing = Arc::new(B::open_faulty(&url, &store.name, CONNECTIONS_MAX).await?);
    let ledger = Arc::new(Ledger::default());
    Ok(Parts { counts, ledger, seats, inner, writing, _proxy: proxy })
}

/// A proxy in front of a server, and the URL through it; a file has none.
async fn proxied(url: &str) -> anyhow::Result<(Option<Proxy>, String)> {
    if url.starts_with("sqlite:") {
        return Ok((None, url.to_owned()));
    }
    let proxy = Proxy::start(proxy::server_of(url).await?).await?;
    let url = proxy::through(url, proxy.port())?;
    Ok((Some(proxy), url))
}

fn start_writers<B: Faulty>(
    settings: &Settings,
    parts: &Parts<B>,
    seeds: &mut Rng,
    halt: &CancellationToken,
    over: &CancellationToken,
) -> Tasks<()> {
    let mut tasks = Tasks::new(halt);
    let rate =
        if B::CONCURRENT_WRITERS { TRANSACTIONS_PER_SECOND } else { TRANSACTIONS_PER_SECOND / 2 };
    let mut writer = || Writer {
        backend: Arc::clone(&parts.writing),
        ledger: Arc::clone(&parts.ledger),
        counts: Arc::clone(&parts.counts),
        rng: seeds.fork(),
        rest: Duration::from_secs(1) * WRITERS / rate,
        over: over.clone(),
    };
    for number in 1..=WRITERS {
        let writer = writer();
        tasks.spawn(format!("writer {number}"), async {
            writer.run().await;
            Ok(())
        });
    }
    let mut planter = writer();
    let tempers = Temper::plan(settings.length.as_secs(), &mut planter.rng);
    let planting = planter::run(planter, tempers, settings.length.mul_f64(0.7), over.clone());
    tasks.spawn("the planter", planting);
    let (backend, counts) = (Arc::clone(&parts.writing), Arc::clone(&parts.counts));
    tasks.spawn("the operators", drop_futures(backend, counts, seeds.fork(), over.clone()));
    tasks
}

fn injector<B: Faulty>(
    store: &Store<B>,
    parts: &Parts<B>,
    server: Option<Server>,
    seeds: &mut Rng,
    over: &CancellationToken,
) -> Arc<Injector<B>> {
    Arc::new(Injector {
        backend: Arc::clone(&store.backend),
        seats: parts.seats.clone(),
        server,
        signals: B::SIGNALS,
        counts: Arc::clone(&parts.counts),
        deck: Mutex::new((Vec::new(), seeds.fork())),
        quiet: RwLock::new(()),
        takeovers: Mutex::default(),
        over: over.clone(),
    })
}

/// Asks what an operator asks, and drops the futures at random.
async fn drop_futures<B: Faulty>(
    backend: Arc<B>,
    counts: Arc<Counts>,
    mut rng: Rng,
    over: CancellationToken,
) -> anyhow::Result<()> {
    let operator = Operator::new(&**backend.source());
    let name = ProjectionName::new(PROJECTIONS[0].0)?;
    while !over.is_cancelled() {
        let patience = Duration::from_micros(rng.u64(0..15_000));
        let dropped = match rng.u8(0..3) {
            0 => timeout(patience, operator.status()).await.is_err(),
            1 => timeout(patience, operator.lag(&name)).await.is_err(),
            _ => {
                let far = Position::MAX;
                let waited = operator.wait_for(&name, far, Duration::from_mins(1));
                timeout(patience, waited).await.is_err()
            }
        };
        counts.add("dropped futures of operators", u64::from(dropped));
        let _ = over.run_until_cancelled(sleep(patience)).await;
    }
    Ok(())
}

/// Waits until everybody is back and has projected everything.
async fn catch_up<B: Faulty>(backend: &B, parts: &Parts<B>) -> anyhow::Result<()> {
    calm::wait(backend, &parts.seats).await?;
    let end = evidence::end(backend).await?;
    for (name, _) in PROJECTIONS {
        let name = ProjectionName::new(name)?;
        Operator::new(&**backend.source()).wait_for(&name, end, CATCH_UP_MAX).await?;
    }
    calm::wait(backend, &parts.seats).await
}
