//! The projection: a row for each event, and a count for each aggregate.

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use es::{PersistedEvent, ProjectionName};
use projection::{EventContext, FailurePolicy, HandlerError, Projection, Retries};

use crate::backend::Backend;
use crate::elastic::Poison;

/// The name of [`Effects`].
pub(crate) static EFFECTS: ProjectionName = ProjectionName::from_static("effects");

/// After this many attempts a poisonous event is parked.
pub(crate) const ATTEMPTS_MAX: NonZeroU32 = NonZeroU32::new(3).expect("it is not zero");

const DELAY_MIN: Duration = Duration::from_millis(2);
const DELAY_MAX: Duration = Duration::from_millis(20);

/// Notes every event it is given and counts it for its aggregate.
#[derive(Debug)]
pub(crate) struct Effects<B> {
    has_poison: bool,
    backend: PhantomData<fn() -> B>,
}

impl<B> Effects<B> {
    /// One that can handle every event, and stops where it cannot.
    pub(crate) fn new() -> Self {
        Effects { has_poison: false, backend: PhantomData }
    }

    /// One that fails on some events as often as [`Poison`] says, and parks them.
    pub(crate) fn with_poison() -> Self {
        Effects { has_poison: true, ..Effects::new() }
    }
}

impl<B: Backend> Projection for Effects<B> {
    type Connection = B::Connection;

    fn name(&self) -> &ProjectionName {
        &EFFECTS
    }

    fn failure_policy(&self) -> FailurePolicy {
        if !self.has_poison {
            return FailurePolicy::Stop;
        }
        let retries = Retries::new(ATTEMPTS_MAX);
        FailurePolicy::Park(retries.with_delay_min(DELAY_MIN).with_delay_max(DELAY_MAX))
    }

    async fn handle(
        &self,
        conn: &mut B::Connection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        B::apply(conn, event).await?;
        match Poison::of(event.id()).filter(|_| self.has_poison) {
            // What was just written must be undone with everything else.
            Some(poison) if poison.is_effective(context.attempt) => poison.strike::<B>(conn).await,
            _ => Ok(()),
        }
    }
}
