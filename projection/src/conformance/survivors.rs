//! Clauses about processes that live, but whose partition is another's by now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{
    EventFilter, EventSource, PersistedEvent, Position, ProjectionName, StoreError, WorkerId,
};
use futures_util::future::{join, join3};
use tokio_util::sync::CancellationToken;

use super::Frozen;
use super::fixture::{Recorder, Stage, append_numbers};
use super::outage::Outage;
use super::survival::{name, retries, until};
use crate::operator::ResetTo;
use crate::{EventContext, FailurePolicy, HandlerError, Processor, Projection, ProjectionOptions};

/// Long enough for a process to come back in a third of it on a busy machine.
const LEASE: Duration = Duration::from_secs(3);

/// As often as the database is lost in the middle of the event: once in its batch, and more often
/// alone than processes may die there.
const CUT_OFF: usize = 1 + 4;

/// A recorder whose process loses its database in the middle of number 3.
struct CutOff<H: Harness> {
    recorder: Recorder<H>,
    own: Arc<Outage<H::Source>>,
    /// How often the handler was called with that event, in all processes.
    calls: Arc<AtomicUsize>,
}

impl<H: Harness> Projection for CutOff<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(retries(1))
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await?;
        if event.payload_json::<i64>()? != 3 || self.calls.load(Ordering::SeqCst) >= CUT_OFF {
            return Ok(());
        }
        self.own.switch(true);
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::ConnectionLost { source: "it is cut off".into() }.into())
    }
}

/// A process that lost its database in the middle of an event did not die at it, although another
/// has taken its partition over meanwhile.
pub async fn an_outage_in_the_middle_of_an_event_is_no_death<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 6).await;
    let calls = Arc::<AtomicUsize>::default();
    let process = |id| {
        let own = Arc::new(Outage::new(stage.store.source.clone()));
        let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
        let (own_too, calls) = (Arc::clone(&own), Arc::clone(&calls));
        let projection = CutOff { recorder, own: own_too, calls };
        let worker = Processor::new(Arc::clone(&own))
            .with_id(WorkerId::new(id).expect("a valid name"))
            .with_lease(LEASE)
            .with_poll_interval(Duration::from_millis(20))
            .with_projection(projection);
        (own, worker)
    };
    let ((a, worker_a), (b, worker_b)) = (process("a"), process("b"));
    let stop = CancellationToken::new();
    let play = async {
        for cut_off in 1..=CUT_OFF {
            until("it is cut off", async || calls.load(Ordering::SeqCst) == cut_off).await;
            let (gone, other) = if a.is_off() { (&a, "b") } else { (&b, "a") };
            let is_taken_over = async || {
                let status = stage.status_of(&name()).await;
                let owner = status.and_then(|status| status.partitions[0].state.owner.clone());
                owner.is_some_and(|owner| owner.as_str() == other)
            };
            until("it is taken over", is_taken_over).await;
            gone.switch(false);
        }
        stage.wait_for_all("p").await;
        stop.cancel();
    };
    let (first, second, ()) =
        join3(worker_a.run(stop.clone()), worker_b.run(stop.clone()), play).await;
    first.and(second).expect("they stop when they are told to");
    assert_eq!(stage.letters_of("p").await, []);
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A recorder that counts how often its handler is called.
struct Counting<H> {
    recorder: Recorder<H>,
    calls: AtomicUsize,
}

impl<H: Harness> Projection for Counting<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _: &EventContext,
    ) -> Result<(), HandlerError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.recorder.record(conn, event).await
    }
}

/// A worker that stood still while its projection was set back calls no handler in the epoch that
/// is over, although its checkpoint is where it left it.
pub async fn no_handler_is_called_in_an_epoch_that_is_over<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let frozen = Arc::new(Frozen::new(stage.store.source.clone()));
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let counting = Arc::new(Counting { recorder, calls: AtomicUsize::new(0) });
    let options = ProjectionOptions::default().with_poll_interval_max(Duration::from_millis(10));
    let worker = Processor::new(Arc::clone(&frozen))
        .with_lease(LEASE)
        .with_poll_interval(Duration::from_millis(20))
        .with_projection_options(Arc::clone(&counting), options);
    let stop = CancellationToken::new();
    let play = async {
        stage.wait_for_all("p").await;
        let reached =
            stage.store.log().await.last().map_or(Position::START, PersistedEvent::position);
        frozen.freeze_at_begin();
        append_numbers(&stage.store, 5).await;
        frozen.frozen().await;
        let mut tx = stage.source.begin().await.expect("a transaction");
        let (of, to) = (name(), ResetTo::Position(reached));
        let reset = stage.operator().reset_in(&mut tx, &of, to).await;
        reset.expect("it is reset");
        stage.source.commit(tx).await.expect("it commits");
        frozen.thaw();
        stage.wait_for_all("p").await;
        stop.cancel();
    };
    let (ended, ()) = join(worker.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    assert_eq!(counting.calls.load(Ordering::SeqCst), 10, "every event once");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}
