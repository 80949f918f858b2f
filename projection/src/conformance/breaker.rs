//! Clauses about many events that fail in a row.

use std::sync::Arc;

use es::conformance::Harness;
use es::{Event, StreamId};

use super::fixture::{Stage, batch, options};
use super::survival::{Fate, Fated, retries, until};
use crate::FailurePolicy;

/// Number n of 30 is the event of a stream of two, so that every other one queues after the one
/// before if that is parked.
async fn append_pairs<H: Harness>(stage: &Stage<H>) {
    for number in 0..30 {
        let stream = StreamId::new("Test", "Thing", format!("stream-{}", number / 2));
        let event = Event::json("Happened", &number).expect("valid");
        stage.store.append(&stream.expect("a valid name"), &[event]).await;
    }
}

/// Every number from 3 is parked, or would be.
fn fails_from_there<H: Harness>(stage: &Stage<H>) -> Arc<Fated<H>> {
    let mut fated = Fated::new(stage, FailurePolicy::Park(retries(1)), Fate::Permanent);
    fated.goes_on_from_there = true;
    Arc::new(fated)
}

/// Events that fail one after the other are not the events' fault: after some the partition waits,
/// and goes on by itself when the handler can. Those that only queue do not interrupt the row.
pub async fn many_events_that_fail_in_a_row_are_not_the_events_fault<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_pairs(&stage).await;
    let fated = fails_from_there(&stage);
    let worker = stage.two(&fated, options().with_parked_in_a_row_max(batch(4)));
    let health = worker.health();
    stage
        .run_while(&worker, async {
            let waits = async || {
                health.troubles().iter().any(|one| one.reason.contains("4 events in a row"))
            };
            until("it waits", waits).await;
            fated.cure();
            stage.wait_for_all("p").await;
        })
        .await;
    let letters = stage.letters_of("p").await;
    let failed = letters.iter().filter(|letter| letter.error.is_some()).count();
    assert_eq!((failed, letters.len()), (4, 7), "3, 4, 6 and 8; 5, 7 and 9 queue");
    assert_eq!(stage.handled("p").await.len(), 30 - 7);
}

/// The event at which a partition waits has not ended its process: after a new start, with a
/// handler that is mended, it is handled.
pub async fn an_event_that_waits_after_many_others_is_tried_by_the_next_process<H: Harness>(
    harness: H,
) where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_pairs(&stage).await;
    let fated = fails_from_there(&stage);
    let options = options().with_parked_in_a_row_max(batch(2));
    let worker = stage.two(&fated, options);
    let health = worker.health();
    stage
        .run_while(&worker, async {
            let waits = async || {
                health.troubles().iter().any(|one| one.reason.contains("2 events in a row"))
            };
            until("it waits", waits).await;
            let before = fated.calls();
            until("it is tried", async || fated.calls() > before + 5).await;
        })
        .await;
    let parked = stage.letters_of("p").await.len();
    fated.cure();
    let worker = stage.two(&fated, options);
    stage.run_while(&worker, async { stage.wait_for_all("p").await }).await;
    assert_eq!(stage.letters_of("p").await.len(), parked, "none is parked untried");
    assert_eq!(stage.handled("p").await.len(), 30 - parked);
}
