//! Does the faults: two at once, but alone where a takeover is measured.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::calm::{self, insist};
use super::counts::Counts;
use super::database::{Fault, Faulty};
use super::seat::Seat;
use super::server::Server;
use super::takeover;
use super::{SPELL, takeover_max};

/// How many faults are done at once.
pub(super) const LANES: usize = 2;

/// How long nothing happens between two faults of a lane, at most.
const PEACE_MAX: Duration = Duration::from_millis(1200);

/// How long is waited for a worker to come by in the middle of a batch.
const CATCH_MAX: Duration = Duration::from_secs(12);

/// Does faults.
pub(super) struct Injector<B> {
    /// Straight to the server, with all rights.
    pub(super) backend: Arc<B>,
    pub(super) seats: Vec<Arc<Seat>>,
    /// If it can be restarted.
    pub(super) server: Option<Server>,
    /// The signal that ends the server in order, and the one that ends it at once.
    pub(super) signals: (Signal, Signal),
    pub(super) counts: Arc<Counts>,
    /// What is done next, and again when all is done.
    pub(super) deck: Mutex<(Vec<Fault>, Rng)>,
    /// Read by those who do faults at once, written by who must be alone.
    pub(super) quiet: RwLock<()>,
    pub(super) takeovers: Mutex<Vec<(Fault, Duration)>>,
    pub(super) over: CancellationToken,
}

impl<B: Faulty> Injector<B> {
    /// The faults that can be done.
    pub(super) fn faults(has_server: bool) -> Vec<Fault> {
        let mut faults = B::FAULTS.to_vec();
        if has_server {
            faults.extend([Fault::Restart, Fault::Crash]);
        }
        faults
    }

    /// Does one fault after the other until it is over, and undoes the last.
    pub(super) async fn run(self: Arc<Self>, mut rng: Rng) -> anyhow::Result<()> {
        loop {
            let peace = PEACE_MAX.mul_f64(rng.f64());
            if self.over.run_until_cancelled(sleep(peace)).await.is_none() {
                return Ok(());
            }
            let fault = self.draw();
            if fault.is_measured() {
                let _quiet = self.quiet.write().await;
                if self.over.is_cancelled() {
                    return Ok(());
                }
                if let Err(error) = calm::wait(&*self.backend, &self.seats).await {
                    self.counts.complain(format!("{error:#}"));
                }
                self.measure(fault, &mut rng).await?;
            } else {
                let _quiet = self.quiet.read().await;
                if self.over.is_cancelled() {
                    return Ok(());
                }
                self.inject(fault).await?;
            }
        }
    }

    fn draw(&self) -> Fault {
        let mut deck = self.deck.lock().expect("nobody panics who holds it");
        let (deck, rng) = &mut *deck;
        if deck.is_empty() {
            *deck = Injector::<B>::faults(self.server.is_some());
            rng.shuffle(deck);
        }
        deck.pop().unwrap_or(Fault::ReadOnly)
    }

    async fn inject(&self, fault: Fault) -> anyhow::Result<()> {
        tracing::debug!("{}", fault.name());
        let backend = &*self.backend;
        match fault {
            Fault::Restart => self.restart(self.signals.0).await?,
            Fault::Crash => self.restart(self.signals.1).await?,
            Fault::ReadOnly => {
                insist("making it read-only", || backend.set_read_only(true)).await?;
                sleep(SPELL).await;
                insist("making it writable", || backend.set_read_only(false)).await?;
            }
            Fault::FullDisk => {
                insist("filling the disk", || backend.set_full(true)).await?;
                sleep(SPELL).await;
                insist("clearing the disk", || backend.set_full(false)).await?;
            }
            // Another fault may end it early, or come first.
            Fault::LockEffects | Fault::LockCheckpoints => {
                insist("locking", || async {
                    let locked = backend.lock(fault, SPELL).await;
                    locked.inspect_err(|error| tracing::debug!("a lock did not last: {error}"))
                })
                .await?;
            }
            Fault::Silence => self.proxies().for_each(super::proxy::Proxy::silence),
            Fault::NoAnswer => {
                self.proxies().for_each(|proxy| proxy.set_mute(true));
                // Those who have connections are to need new ones.
                self.counts.add(
                    "ended sessions",
                    insist("ending sessions", || backend.disconnect_some()).await?,
                );
                sleep(SPELL).await;
                self.proxies().for_each(|proxy| proxy.set_mute(false));
            }
            Fault::Disconnect => {
                let ended = insist("ending sessions", || backend.disconnect_some()).await?;
                self.counts.add("ended sessions", ended);
            }
            Fault::KillWorker | Fault::SilenceWorker => {}
        }
        self.counts.add(fault.name(), 1);
        Ok(())
    }

    async fn restart(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        server.restart(signal).await?;
        insist("waiting for the server", || self.backend.own_rows()).await.map(drop)
    }

    fn proxies(&self) -> impl Iterator<Item = &super::proxy::Proxy> {
        self.seats.iter().filter_map(|seat| seat.proxy.as_ref())
    }

    async fn measure(&self, fault: Fault, rng: &mut Rng) -> anyhow::Result<()> {
        let is_child = fault == Fault::KillWorker;
        let seats: Vec<_> = self.seats.iter().filter(|seat| seat.is_child == is_child).collect();
        let Some(seat) = rng.choice(seats) else {
            return Ok(());
        };
        let _peace = seat.peace.lock().await;
        let Some(worker) = seat.worker() else {
            return Ok(());
        };
        let took = if is_child {
            let orphans = takeover::belongings(&*self.backend, &worker).await?;
            let since = Instant::now();
            if orphans.is_empty() || !seat.kill().await {
                return Ok(());
            }
            takeover::watch(&*self.backend, since, orphans).await?
        } else {
            let Some(proxy) = &seat.proxy else {
                return Ok(());
            };
            let (caught, go_on) = seat.gate.close();
            let caught = timeout(CATCH_MAX, caught).await;
            let Ok(Ok(caught)) = caught else {
                seat.gate.open();
                return Ok(());
            };
            proxy.set_mute(true);
            proxy.silence();
            let since = Instant::now();
            // Nobody may stand there any more.
            let _ = go_on.send(());
            let mut orphans = takeover::belongings(&*self.backend, &worker).await?;
            orphans.retain(|orphan| orphan.is(&caught.projection, caught.partition));
            let took = takeover::watch(&*self.backend, since, orphans).await;
            proxy.set_mute(false);
            took?
        };
        self.counts.add(fault.name(), 1);
        self.takeovers.lock().expect("nobody panics who holds it").push((fault, took));
        let limit = takeover_max::<B>();
        if took > limit {
            let what = format!("{}: the takeover from {worker} took {took:?}", fault.name());
            self.counts.complain(format!("{what}, more than {limit:?}"));
        }
        Ok(())
    }
}
