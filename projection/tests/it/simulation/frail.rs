//! The handler of a simulation: it writes down what it is given, and fails in every way there is.

use std::collections::BTreeMap;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::memory::MemoryConnection;
use es::{PersistedEvent, Position, ProjectionName, StoreError, TransactionState};
use projection::{EventContext, FailurePolicy, HandlerError, Projection, Retries};
use thiserror::Error;

use super::chaos::Gate;
use super::ledger::Entry;

/// How long a handler may take for a batch, or for a dead letter that is tried again.
pub(super) const HANDLER_TIME_MAX: Duration = Duration::from_secs(1);

/// How many processes may end at one event before it is given up.
const DEATHS_MAX: u32 = 5;

/// A projection, as all processes see it.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) name: ProjectionName,
    pub(super) policy: FailurePolicy,
    seed: u64,
    /// Nothing fails any more.
    is_cured: AtomicBool,
    /// Everything fails: a bad deployment.
    is_bad: AtomicBool,
    /// How often an operator has done something that makes every attempt count again.
    changes: AtomicU32,
    /// How many processes did not survive an event.
    deaths: Mutex<BTreeMap<Position, u32>>,
}

#[derive(Debug, Error)]
#[error("a layer")]
struct Layer(#[source] HandlerError);

impl Patient {
    pub(super) fn new(number: usize, seed: u64, random: &mut fastrand::Rng) -> Arc<Self> {
        let retries = Retries::new(NonZeroU32::new(3).expect("it is not zero"));
        let retries = retries.with_delay_max(Duration::from_millis(400));
        let policy = match random.u32(0..4) {
            0 => FailurePolicy::Stop,
            1 => FailurePolicy::Retry(retries),
            _ => FailurePolicy::Park(retries),
        };
        Arc::new(Patient {
            name: ProjectionName::new(format!("p{number}")).expect("a valid name"),
            policy,
            seed: seed.wrapping_add(u64::try_from(number).expect("a few") << 32),
            is_cured: AtomicBool::new(false),
            is_bad: AtomicBool::new(false),
            changes: AtomicU32::new(0),
            deaths: Mutex::default(),
        })
    }

    pub(super) fn cure(&self) {
        self.is_cured.store(true, Ordering::Relaxed);
    }

    pub(super) fn turn(&self) {
        self.is_bad.fetch_xor(true, Ordering::Relaxed);
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn died_at(&self, position: Position) {
        *self.deaths.lock().expect("no panic").entry(position).or_default() += 1;
    }

    /// An event that kills its process is given up: after a death in a batch that was not its run's
    /// first, one in a batch that was, and three alone. What an operator does begins it all again, a
    /// retry of dead letters included.
    pub(super) fn assert_deaths_end(&self) {
        let most = DEATHS_MAX * (1 + self.changes.load(Ordering::Relaxed));
        for (position, deaths) in &*self.deaths.lock().expect("no panic") {
            assert!(
                *deaths <= most,
                "{}: {deaths} deaths at {position}, {most} at most",
                self.name
            );
        }
    }

    /// The same event fails in the same way, wherever it is handled.
    fn fate(&self, event: &PersistedEvent) -> u32 {
        let position = event.position().get().unsigned_abs();
        fastrand::Rng::with_seed(self.seed ^ position.wrapping_mul(0x9e37_79b9)).u32(0..1_000)
    }
}

/// The handler in one process.
#[derive(Debug)]
pub(super) struct Frail {
    pub(super) gate: Arc<Gate>,
    pub(super) patient: Arc<Patient>,
}

impl Projection for Frail {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &self.patient.name
    }

    fn failure_policy(&self) -> FailurePolicy {
        self.patient.policy
    }

    async fn handle(
        &self,
        conn: &mut MemoryConnection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.gate.pass().await;
        let (name, position) = (&self.patient.name, event.position());
        Entry::Begun(position).write(conn, name)?;
        self.meet_fate(event, context).await?;
        let end = if context.replaying { Entry::Replayed } else { Entry::Handled };
        Ok(end(position).write(conn, name)?)
    }
}

impl Frail {
    async fn meet_fate(
        &self,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        if self.patient.is_cured.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.patient.is_bad.load(Ordering::Relaxed) {
            return Err("this deployment is bad".into());
        }
        match self.patient.fate(event) {
            // Poison, for now and for ever.
            0..12 => Err("it is poison".into()),
            12..16 => Err(Layer(Layer("it is poison".into()).into()).into()),
            // Better with the second attempt, or when it is retried as a dead letter.
            16..50 if context.attempt == 1 => Err("not yet".into()),
            50..60 if context.attempt < 4 => Err("not for long".into()),
            // As a panic does, but without a word on the terminal.
            60..64 => std::panic::resume_unwind(Box::new("this handler panics")),
            64..68 if context.attempt < 3 => {
                self.gate.hang(HANDLER_TIME_MAX);
                pending().await
            }
            68..72 => {
                self.patient.died_at(event.position());
                self.gate.kill();
                pending().await
            }
            _ if self.gate.is_lost() => {
                let transaction = TransactionState::MustRollBack;
                let error = StoreError::Retryable { transaction, source: "a deadlock".into() };
                Err(Layer(Layer(error.into()).into()).into())
            }
            _ => Ok(()),
        }
    }
}
