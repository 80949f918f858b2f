//! The handler of a simulation: it writes down what it is given, and fails in every way there is.

use std::future::pending;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use es::memory::MemoryConnection;
use es::{PersistedEvent, ProjectionName, StoreError, TransactionState};
use projection::{EventContext, FailurePolicy, HandlerError, Projection, Retries};
use thiserror::Error;

use super::chaos::Gate;
use super::ledger::Entry;

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
        })
    }

    pub(super) fn cure(&self) {
        self.is_cured.store(true, Ordering::Relaxed);
    }

    pub(super) fn turn(&self) {
        self.is_bad.fetch_xor(true, Ordering::Relaxed);
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
    /// Whether it is given a time limit.
    pub(super) may_hang: bool,
}

impl Projection<MemoryConnection> for Frail {
    fn name(&self) -> ProjectionName {
        self.patient.name.clone()
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
        Entry::Handled(event.position()).write(conn, &self.patient.name)?;
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
            64..68 if self.may_hang && context.attempt < 3 => pending().await,
            68..72 => {
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
