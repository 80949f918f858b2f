//! What goes wrong: a source whose every step takes time, and a handler that fails.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, PersistedEvent, ProjectionName, StoreError, TransactionState};
use projection::{EventContext, FailurePolicy, HandlerError, Projection, Retries};
use tokio::time::{Instant, sleep, sleep_until};

/// What all steps of one worker pass: each takes a moment, or as long as the worker stands still.
#[derive(Debug)]
pub(super) struct Gate {
    still_until: Mutex<Instant>,
    random: Mutex<fastrand::Rng>,
}

impl Gate {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        Arc::new(Gate { still_until: Mutex::new(Instant::now()), random })
    }

    pub(super) fn stand_still(&self, duration: Duration) {
        let mut still_until = self.still_until.lock().expect("no panic");
        *still_until = (*still_until).max(Instant::now() + duration);
    }

    pub(super) fn stands_still(&self) -> bool {
        *self.still_until.lock().expect("no panic") > Instant::now()
    }

    async fn pass(&self) {
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
    fn is_lost(&self) -> bool {
        self.random.lock().expect("no panic").u32(0..400) == 0
    }
}

fn lost() -> StoreError {
    StoreError::ConnectionLost { source: "the connection is lost".into() }
}

/// The source of one worker.
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
        self.gate.pass().await;
        self.inner.acquire().await
    }

    fn release(&self, conn: Box<MemoryConnection>) {
        self.inner.release(conn);
    }

    async fn begin_within(
        &self,
        time_max: std::time::Duration,
    ) -> Result<Box<MemoryConnection>, StoreError> {
        self.gate.pass().await;
        if self.gate.is_lost() {
            return Err(lost());
        }
        self.inner.begin_within(time_max).await
    }

    async fn commit(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.gate.pass().await;
        if self.gate.is_lost() {
            return Err(lost());
        }
        self.inner.commit(transaction).await?;
        self.gate.pass().await;
        if self.gate.is_lost() { Err(lost()) } else { Ok(()) }
    }

    async fn rollback(&self, transaction: Box<MemoryConnection>) -> Result<(), StoreError> {
        self.gate.pass().await;
        self.inner.rollback(transaction).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}

/// Writes down what it handles, and fails now and then until it is cured.
#[derive(Debug)]
pub(super) struct Frail {
    pub(super) gate: Arc<Gate>,
    pub(super) seed: u64,
    pub(super) is_cured: Arc<AtomicBool>,
}

impl Frail {
    /// The same event fails in the same way, wherever it is handled.
    fn fate(&self, event: &PersistedEvent) -> u64 {
        let position = event.position().get().unsigned_abs();
        fastrand::Rng::with_seed(self.seed ^ position.wrapping_mul(0x9e37_79b9)).u64(0..200)
    }
}

impl Projection<MemoryConnection> for Frail {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("p").expect("a valid name")
    }

    fn failure_policy(&self) -> FailurePolicy {
        let retries = Retries::new(3.try_into().expect("it is not zero"));
        FailurePolicy::Park(retries.with_delay_max(Duration::from_millis(400)))
    }

    async fn handle(
        &self,
        conn: &mut MemoryConnection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.gate.pass().await;
        conn.insert_row("p", event.position().get())?;
        if self.is_cured.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.fate(event) {
            // Poison, for now and for ever.
            0..4 => Err("it is poison".into()),
            // Better with the second attempt, or when it is retried as a dead letter.
            4..12 if context.attempt == 1 => Err("not yet".into()),
            12..14 if context.attempt < 4 => Err("not for long".into()),
            14 => panic!("this handler panics"),
            _ if self.gate.is_lost() => {
                let transaction = TransactionState::MustRollBack;
                Err(StoreError::Retryable { transaction, source: "a deadlock".into() }.into())
            }
            _ => Ok(()),
        }
    }
}
