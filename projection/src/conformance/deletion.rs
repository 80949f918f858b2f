//! Clauses about events that somebody deletes: the log has holes, and has never been shorter.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::Harness;
use es::{
    Event, EventFilter, EventStore, ExpectedVersion, PersistedEvent, Position, ReadLimit, StreamId,
};
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers};
use crate::Projection;

const PATIENCE: Duration = Duration::from_mins(1);

/// A projection that was there, one that is running and one that comes later go on, and so do
/// readers of the log.
pub async fn deleting_the_last_stream_stops_no_projection<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let [before, running, later] = ["before", "running", "later"].map(|name| stage.recorder(name));
    let until_caught_up = async |recorder: &Arc<Recorder<H>>| {
        let processor = stage.processor(recorder);
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it goes on");
    };
    until_caught_up(&before).await;
    let stop = CancellationToken::new();
    let processor = stage.processor(&running);
    let schedule = async {
        let name = running.name();
        let five: Vec<_> = stage.store.log().await.iter().map(PersistedEvent::position).collect();
        let (fourth, fifth) = (five[3], five[4]);
        stage.operator().wait_for(name, fifth, PATIENCE).await.expect("it handles all five");
        let mut conn = stage.store.conn().await;
        let last = StreamId::new("Test", "Thing", "stream-4").expect("a valid name");
        stage.harness.delete_stream(&mut conn, &last).await.expect("deleted");
        for known in [Position::START, fourth, fifth] {
            let horizon = stage.store.store().horizon(&mut conn, known).await.expect("a horizon");
            assert!(horizon.end >= horizon.position && horizon.end >= known, "{horizon:?}");
        }
        let (filter, limit) = (EventFilter::default(), ReadLimit::default());
        for (after, count) in [(Position::START, 4), (fourth, 0), (fifth, 0)] {
            let read = stage.store.store().read_events(&mut conn, after, &filter, limit);
            assert_eq!(read.await.expect("the log is read").events.len(), count);
        }
        drop(conn);
        until_caught_up(&before).await;
        until_caught_up(&later).await;
        // Each time the end of the log is one that was deleted, and then rolled back.
        for number in 6..9 {
            let mut tx = stage.store.begin().await;
            let stream = StreamId::new("Test", "Thing", "stream-5").expect("a valid name");
            let event = Event::json("Happened", &number).expect("a valid event");
            let any = ExpectedVersion::Any;
            stage.store.append_in(&mut tx, &stream, any, &[event]).await.expect("appended");
            stage.store.rollback(tx).await;
            until_caught_up(&before).await;
        }
        append_numbers(&stage.store, 2).await;
        let end = stage.store.log().await.last().expect("an event").position();
        for recorder in [&before, &later] {
            until_caught_up(recorder).await;
        }
        stage.operator().wait_for(name, end, PATIENCE).await.expect("it goes on, too");
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(processor.run(stop.clone()), schedule);
    ended.expect("it runs until it is stopped");
    for (name, count) in [("before", 7), ("running", 7), ("later", 6)] {
        assert_eq!(stage.handled(name).await.len(), count, "{name}");
    }
}
