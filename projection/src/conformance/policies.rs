//! Clauses about events that cannot be handled, and what becomes of them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{DeadLetter, EventFilter, PersistedEvent, Position, ProjectionName, StreamId};
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers};
use crate::operator::RetriedLetters;
use crate::{
    EventContext, FailurePolicy, HandlerError, OperatorError, ProcessorError, Projection, Retries,
};

/// A recorder that cannot handle some events until it is cured, and notes its attempts.
struct Sick<H> {
    recorder: Recorder<H>,
    policy: FailurePolicy,
    fails: fn(i64, &EventContext) -> Result<(), HandlerError>,
    is_cured: AtomicBool,
    attempts: Mutex<Vec<(i64, u32)>>,
}

impl<H: Harness> Sick<H> {
    fn new(
        stage: &Stage<H>,
        policy: FailurePolicy,
        fails: fn(i64, &EventContext) -> Result<(), HandlerError>,
    ) -> Arc<Self> {
        Arc::new(Sick {
            recorder: Recorder::new(Arc::clone(&stage.harness), "p"),
            policy,
            fails,
            is_cured: AtomicBool::new(false),
            attempts: Mutex::default(),
        })
    }

    fn cure(&self) {
        self.is_cured.store(true, Ordering::Relaxed);
    }
}

impl<H: Harness> Projection for Sick<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        self.policy
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        assert_eq!(context.position, event.position());
        self.recorder.record(conn, event).await?;
        if self.is_cured.load(Ordering::Relaxed) {
            return Ok(());
        }
        let number = event.payload_json()?;
        let handled = (self.fails)(number, context);
        if handled.is_err() {
            self.attempts.lock().expect("no panic").push((number, context.attempt));
        }
        handled
    }
}

fn retries(attempts_max: u32) -> Retries {
    Retries::new(NonZeroU32::new(attempts_max).expect("one at least"))
        .with_delay_min(Duration::from_millis(1))
        .with_delay_max(Duration::from_millis(4))
}

fn third(number: i64, _: &EventContext) -> Result<(), HandlerError> {
    if number == 3 { Err("it is \0 poison".into()) } else { Ok(()) }
}

impl<H: Harness> Stage<H>
where
    H::Source: Clone,
{
    async fn catch_up<P: Projection<Connection = Conn<H>>>(&self, projection: &Arc<P>) {
        let processor = self.processor(projection);
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let name = ProjectionName::new("p").expect("a valid name");
        let letters = self.operator().dead_letters(&name, Position::START, 100).await;
        letters.expect("the dead letters are read")
    }

    /// The events of the stream that `append_numbers` puts number 3 into.
    async fn sick_stream(&self) -> (StreamId, Vec<Position>) {
        let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
        let events = self.store.stream(&stream).await;
        let positions = events.events().iter().map(PersistedEvent::position).collect();
        (stream, positions)
    }
}

/// The poison event is parked, its successors queue behind it, all others go on; once the handler
/// is cured, the queue is handled in order and the stream goes on as before.
pub async fn a_parked_event_keeps_its_stream_in_order<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let sick = Sick::new(&stage, FailurePolicy::Park(retries(3)), third);
    for round in 1..=2 {
        append_numbers(&stage.store, 12).await;
        if round == 2 {
            // In the second round the same number would be poison again, in another event.
            append_numbers(&stage.store, 3).await;
        }
        stage.catch_up(&sick).await;
        let (_, positions) = stage.sick_stream().await;
        let letters = stage.letters().await;
        let parked: Vec<Position> = letters.iter().map(|letter| letter.position).collect();
        assert_eq!(parked, positions, "round {round}");
        assert_eq!(letters[0].attempts, 3);
        assert_eq!(letters[0].error.as_deref(), Some("it is \u{fffd} poison"));
        assert!(letters[1..].iter().all(|letter| letter.attempts == 0 && letter.error.is_none()));
        let log = stage.store.log().await;
        assert_eq!(stage.handled("p").await.len(), log.len() - parked.len(), "round {round}");
    }
    assert_eq!(*sick.attempts.lock().expect("no panic"), [(3, 1), (3, 1), (3, 2), (3, 3)]);

    let (stream, positions) = stage.sick_stream().await;
    let again = stage.operator().retry(&*sick, &stream).await.expect("it is tried");
    let RetriedLetters::Failed { handled: 0, position, .. } = again else { panic!("{again:?}") };
    assert_eq!(position, positions[0]);
    assert_eq!(stage.letters().await[0].attempts, 4);
    assert_eq!(stage.letters().await.len(), positions.len());

    sick.cure();
    let again = stage.operator().retry(&*sick, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(n) if n == positions.len()), "{again:?}");
    assert!(stage.letters().await.is_empty());
    append_numbers(&stage.store, 10).await;
    stage.catch_up(&sick).await;
    stage.assert_handled_once("p", &EventFilter::default()).await;
    let again = stage.operator().retry(&*sick, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(0)), "{again:?}");
}

/// What comes before the one that fails again is handled for good.
pub async fn a_retry_keeps_what_it_could_handle<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    fn three_then_thirteen(number: i64, context: &EventContext) -> Result<(), HandlerError> {
        let fails = (number == 3 && context.attempt <= 2) || number == 13;
        if fails { Err("it is poison".into()) } else { Ok(()) }
    }
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let sick = Sick::new(&stage, FailurePolicy::Park(retries(2)), three_then_thirteen);
    stage.catch_up(&sick).await;
    let (stream, positions) = stage.sick_stream().await;
    assert_eq!(stage.letters().await.len(), 4);
    let again = stage.operator().retry(&*sick, &stream).await.expect("it is tried");
    let RetriedLetters::Failed { handled, position, source } = again else { panic!("{again:?}") };
    assert_eq!((handled, position), (2, positions[2]));
    assert_eq!(source.to_string(), "it is poison");
    let letters = stage.letters().await;
    let left: Vec<Position> = letters.iter().map(|letter| letter.position).collect();
    assert_eq!(left, positions[2..]);
    assert_eq!((letters[0].attempts, letters[0].error.as_deref()), (1, Some("it is poison")));

    // Skipped, it never comes; its successor does.
    let name = ProjectionName::new("p").expect("a valid name");
    for is_there in [true, false] {
        let mut tx = stage.store.begin().await;
        let skipped = stage.operator().skip_in(&mut tx, &name, positions[2]).await;
        match skipped {
            Ok(()) => assert!(is_there),
            Err(OperatorError::NoDeadLetter { .. }) => assert!(!is_there),
            Err(error) => panic!("{error:?}"),
        }
        stage.store.commit(tx).await;
    }
    let again = stage.operator().retry(&*sick, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(1)), "{again:?}");
    assert_eq!(stage.handled("p").await.len(), 19);
}

/// Retries come before either end; the attempts are counted, and noted for operators.
pub async fn a_failing_event_is_tried_as_often_as_the_policy_says<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 6).await;
    let sick = Sick::new(&stage, FailurePolicy::Retry(retries(4)), third);
    let processor = stage.processor(&sick);
    let error = processor.run(CancellationToken::new()).await.expect_err("it stops in the end");
    assert!(matches!(error, ProcessorError::Handler { .. }), "{error:?}");
    let attempts = sick.attempts.lock().expect("no panic").clone();
    assert_eq!(attempts, [(3, 1), (3, 1), (3, 2), (3, 3), (3, 4)], "in the batch, then alone");
    let mut status = stage.operator().status_of(sick.name()).await.expect("the status");
    let partition = status.partitions.remove(0);
    assert_eq!(partition.state.attempts, 4);
    assert_eq!(partition.state.last_error.as_deref(), Some("it is \u{fffd} poison"));
    assert!(partition.lag > 0 && partition.oldest_unhandled.is_some());
    assert_eq!(stage.handled("p").await.len(), 3);
    sick.cure();
    stage.catch_up(&sick).await;
    stage.assert_handled_once("p", &EventFilter::default()).await;
    let mut status = stage.operator().status_of(sick.name()).await.expect("the status");
    let partition = status.partitions.remove(0);
    assert_eq!((partition.state.attempts, partition.state.last_error), (0, None));
    assert_eq!((partition.lag, partition.oldest_unhandled), (0, None));
}

/// A panic is the handler's failure, and the policy's to judge.
pub async fn a_handler_that_panics_is_parked<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    #[expect(clippy::unnecessary_wraps, reason = "it stands in for a handler")]
    fn panics(number: i64, _: &EventContext) -> Result<(), HandlerError> {
        assert!(number != 3, "this handler panics");
        Ok(())
    }
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 6).await;
    let sick = Sick::new(&stage, FailurePolicy::Park(retries(2)), panics);
    stage.catch_up(&sick).await;
    let letters = stage.letters().await;
    assert_eq!(letters.len(), 1);
    let error = letters[0].error.as_deref().expect("it failed");
    assert!(error.contains("panicked: this handler panics"), "{error}");
    assert_eq!(stage.handled("p").await.len(), 5);
    sick.cure();
    let (stream, _) = stage.sick_stream().await;
    stage.operator().retry(&*sick, &stream).await.expect("it is tried");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}
