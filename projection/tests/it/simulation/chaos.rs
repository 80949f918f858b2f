//! What goes wrong around a handler: a source whose every step takes time, or is lost.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, StoreError};
use tokio::time::{Instant, sleep, sleep_until};

/// Whether connections are lost now, and when the last one was.
#[derive(Debug)]
pub(super) struct Weather {
    is_stormy: AtomicBool,
    last_loss: Mutex<Instant>,
}

impl Weather {
    pub(super) fn new(is_stormy: bool) -> Arc<Self> {
        let last_loss = Mutex::new(Instant::now());
        Arc::new(Weather { is_stormy: AtomicBool::new(is_stormy), last_loss })
    }

    pub(super) fn set_stormy(&self, is_stormy: bool) {
        self.is_stormy.store(is_stormy, Ordering::Relaxed);
    }

    pub(super) fn last_loss(&self) -> Instant {
        *self.last_loss.lock().expect("no panic")
    }
}

/// What all steps of one process pass: each takes a moment, or as long as the process stands still.
#[derive(Debug)]
pub(super) struct Gate {
    weather: Arc<Weather>,
    still_until: Mutex<Instant>,
    hangs_until: Mutex<Instant>,
    random: Mutex<fastrand::Rng>,
    is_killed: AtomicBool,
}

impl Gate {
    pub(super) fn new(seed: u64, weather: &Arc<Weather>) -> Arc<Self> {
        Arc::new(Gate {
            weather: Arc::clone(weather),
            still_until: Mutex::new(Instant::now()),
            hangs_until: Mutex::new(Instant::now()),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            is_killed: AtomicBool::new(false),
        })
    }

    pub(super) fn stand_still(&self, duration: Duration) {
        let mut still_until = self.still_until.lock().expect("no panic");
        *still_until = (*still_until).max(Instant::now() + duration);
    }

    /// A handler does not come to its end, and keeps its checkpoint locked that long.
    pub(super) fn hang(&self, duration: Duration) {
        let mut hangs_until = self.hangs_until.lock().expect("no panic");
        *hangs_until = (*hangs_until).max(Instant::now() + duration);
    }

    /// Whether its leases may expire, or its locks may be in others' way.
    pub(super) fn stands_still(&self) -> bool {
        let is_later = |until: &Mutex<Instant>| *until.lock().expect("no panic") > Instant::now();
        is_later(&self.still_until) || is_later(&self.hangs_until)
    }

    /// The handler has done something that its process does not survive.
    pub(super) fn kill(&self) {
        self.is_killed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    pub(super) async fn pass(&self) {
        let moment = self.random.lock().expect("no panic").u64(0..4_000);
        sleep(Duration::from_micros(moment)).await;
        loop {
            let until = *self.still_until.lock().expect("no panic");
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Sometimes the connection is lost, before the statement or after it.
    pub(super) fn is_lost(&self) -> bool {
        let is_stormy = self.weather.is_stormy.load(Ordering::Relaxed);
        let is_lost = is_stormy && self.random.lock().expect("no panic").u32(0..300) == 0;
        if is_lost {
            *self.weather.last_loss.lock().expect("no panic") = Instant::now();
        }
        is_lost
    }

    async fn pass_or_lose(&self) -> Result<(), StoreError> {
        self.pass().await;
        if self.is_lost() {
            return Err(StoreError::ConnectionLost { source: "the connection is lost".into() });
        }
        Ok(())
    }
}

/// The source of one process.
#[derive(Debug)]
pub(super) struct Chaos {
    pub(super) inner: MemoryStore,
    pub(super) gate: Arc<Gate>,
}

impl EventSource for Chaos {
    type Connection = MemoryConnection;
    type Store = MemoryStore;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &MemoryStore {
        &self.inner
    }

    async fn acquire(&self) -> Result<Box<MemoryConnection>, StoreError> {
        self.gate.pass_or_lose().await?;
        self.inner.acquire().await
    }

    fn release(&self, conn: Box<MemoryConnection>) {
        self.inner.release(conn);
    }

    async fn begin_within(&self, time_max: Duration) -> Result<Box<MemoryConnection>, StoreError> {
        self.gate.pass_or_lose().await?;
        self.inner.begin_within(time_max).await
    }

    async fn check_open(&self, transaction: &mut Box<MemoryConnection>) -> Result<(), StoreError> {
        self.gate.pass_or_lose().await?;
        self.inner.check_open(transaction).await
    }

    async fn commit(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.gate.pass_or_lose().await?;
        self.inner.commit(transaction).await?;
        self.gate.pass_or_lose().await
    }

    async fn rollback(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.gate.pass().await;
        self.inner.rollback(transaction).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}
