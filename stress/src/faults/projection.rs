//! The projections: a row for each event, and everything a handler can do wrong.

use std::future::pending;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use es::{PersistedEvent, ProjectionName};
use projection::{EventContext, FailurePolicy, HandlerError, Projection, Retries};
use tokio::sync::Notify;

use super::database::Faulty;
use super::gate::{Caught, Gate};
use super::hidden_error::HandlingFailed;
use super::temper::{Manner, Temper};

/// After this many attempts an event is parked.
const ATTEMPTS_MAX: NonZeroU32 = NonZeroU32::new(4).expect("it is not zero");

const DELAY_MIN: Duration = Duration::from_millis(5);
const DELAY_MAX: Duration = Duration::from_millis(100);

/// What happens when a handler ends its process.
#[derive(Debug, Clone)]
pub(super) enum Crash {
    /// The process ends.
    Process,
    /// The worker's future is dropped by the one who hears this.
    Future(Arc<Notify>),
}

impl Crash {
    async fn strike(&self) {
        match self {
            Crash::Process => std::process::abort(),
            Crash::Future(dropped) => {
                dropped.notify_one();
                pending::<()>().await;
            }
        }
    }
}

/// Notes every event it is given.
#[derive(Debug)]
pub(super) struct Fragile<B> {
    name: ProjectionName,
    crash: Crash,
    gate: Gate,
    backend: PhantomData<fn() -> B>,
}

impl<B> Fragile<B> {
    pub(super) fn new(name: ProjectionName, crash: Crash, gate: Gate) -> Self {
        Fragile { name, crash, gate, backend: PhantomData }
    }
}

impl<B: Faulty> Fragile<B> {
    async fn fail(&self, manner: Manner, conn: &mut B::Connection) -> Result<(), HandlingFailed> {
        match manner {
            Manner::Error => return Err(HandlingFailed::Unwilling),
            Manner::Statement => B::fail(conn).await?,
            // Without the message that every panic prints.
            Manner::Panic => resume_unwind(Box::new("this event panics")),
            Manner::Hang => pending::<()>().await,
            Manner::Block => B::sleep(conn).await?,
            Manner::Abort => self.crash.strike().await,
        }
        // What was to take very long has ended.
        Err(HandlingFailed::Unwilling)
    }
}

impl<B: Faulty> Projection for Fragile<B> {
    type Connection = B::Connection;

    fn name(&self) -> &ProjectionName {
        &self.name
    }

    fn failure_policy(&self) -> FailurePolicy {
        let retries = Retries::new(ATTEMPTS_MAX);
        FailurePolicy::Park(retries.with_delay_min(DELAY_MIN).with_delay_max(DELAY_MAX))
    }

    async fn handle(
        &self,
        conn: &mut B::Connection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        let note = B::note_effect(conn, self.name.as_str(), event).await;
        note.map_err(HandlingFailed::from)?;
        let (projection, partition) = (self.name.clone(), context.partition);
        self.gate.pass(|| Caught { projection, partition }).await;
        match Temper::of(event.event_type()).at(context.attempt) {
            Some(manner) => Ok(self.fail(manner, conn).await?),
            None => Ok(()),
        }
    }
}
