//! Clauses about workers that claim partitions and share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use es::conformance::{Conn, Harness};
use es::{
    Event, EventFilter, EventSource, Partition, PartitionCount, PersistedEvent, ProjectionName,
    StreamId, WorkerId,
};
use futures_util::future::{join, join3};
use tokio_util::sync::CancellationToken;

use super::Frozen;
use super::fixture::{Recorder, Stage, append_numbers, append_stubbornly, batch};
use crate::operator::{PartitionStatus, ProjectionStatus, Rescaled};
use crate::{EventContext, HandlerError, OperatorError, Processor, Projection, ProjectionOptions};

/// Short enough to wait for; it may expire by accident on a busy machine.
const LEASE: Duration = Duration::from_millis(1500);
const POLL: Duration = Duration::from_millis(40);

/// Where a clause says that nobody loses a lease: longer than a busy machine stands still.
const LEASE_THAT_LASTS: Duration = Duration::from_secs(12);

/// No clause waits longer for anything.
const PATIENCE: Duration = Duration::from_mins(1);

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

impl<H: Harness> Stage<H>
where
    H::Source: Clone,
{
    fn worker_over<S>(&self, source: &Arc<S>, id: &str, partitions: u16) -> Processor<S>
    where
        S: EventSource<Connection = Conn<H>>,
    {
        let recorder = Arc::new(Recorder::new(Arc::clone(&self.harness), "p"));
        let options = ProjectionOptions::default()
            .with_partitions(PartitionCount::of(partitions))
            .with_batch_size_max(batch(7))
            .with_poll_interval_max(Duration::from_millis(10));
        Processor::new(Arc::clone(source))
            .with_id(WorkerId::new(id).expect("a valid name"))
            .with_lease(LEASE)
            .with_poll_interval(POLL)
            .with_projection_options(recorder, options)
    }

    fn worker(&self, id: &str, partitions: u16) -> Processor<H::Source> {
        self.worker_over(&self.source, id, partitions)
    }

    async fn status(&self) -> Option<ProjectionStatus> {
        self.status_of(&name()).await
    }

    /// Waits until the owners of all partitions, with leases that last, are as wanted.
    async fn wait_until(&self, what: &str, is_so: impl Fn(&ProjectionStatus) -> bool) {
        let start = Instant::now();
        loop {
            let status = self.status().await;
            if status.as_ref().is_some_and(&is_so) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_until_handled(&self) {
        let end = self.store.log().await.last().map(es::PersistedEvent::position);
        let end = end.expect("there are events");
        self.operator().wait_for(&name(), end, PATIENCE).await.expect("it is handled");
    }

    /// How many partitions each of the workers owns.
    async fn wait_for_owners(&self, wanted: &[(&str, usize)]) {
        self.wait_until(&format!("{wanted:?}"), |status| owners(status) == wanted).await;
    }
}

/// The workers whose leases last, with how many partitions each has, by name.
fn owners(status: &ProjectionStatus) -> Vec<(&str, usize)> {
    let mut owners: Vec<(&str, usize)> = Vec::new();
    for id in &status.workers {
        let is_its =
            |one: &&PartitionStatus| one.state.owner.as_ref() == Some(id) && !one.state.is_free();
        let count = status.partitions.iter().filter(is_its).count();
        owners.push((id.as_str(), count));
    }
    owners.retain(|(_, count)| *count > 0);
    owners
}

/// One worker has everything; a second and a third get their share; the last one has everything
/// again; and all the while every event is handled once.
pub async fn workers_join_share_and_leave<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let (a, b, c) = (stage.worker("a", 6), stage.worker("b", 6), stage.worker("c", 1));
    let [stop_a, stop_b, stop_c] = [(); 3].map(|()| CancellationToken::new());
    let (b, c) = (&b, &c);
    let play = async {
        stage.wait_for_owners(&[("a", 6)]).await;
        append_numbers(&stage.store, 20).await;
        let second = b.run(stop_b.clone());
        let rest = async {
            stage.wait_for_owners(&[("a", 3), ("b", 3)]).await;
            append_numbers(&stage.store, 20).await;
            let third = c.run(stop_c.clone());
            let rest = async {
                stage.wait_for_owners(&[("a", 2), ("b", 2), ("c", 2)]).await;
                append_numbers(&stage.store, 20).await;
                stop_a.cancel();
                stage.wait_for_owners(&[("b", 3), ("c", 3)]).await;
                append_numbers(&stage.store, 20).await;
                stop_c.cancel();
                stage.wait_for_owners(&[("b", 6)]).await;
                append_numbers(&stage.store, 20).await;
                stage.wait_until_handled().await;
                stop_b.cancel();
            };
            join(third, rest).await.0
        };
        join(second, rest).await
    };
    let (first, (second, third)) = join(a.run(stop_a.clone()), play).await;
    first.and(second).and(third).expect("they stop when they are told to");
    let status = stage.status().await.expect("it is registered");
    assert!(status.workers.is_empty() && status.partitions.iter().all(|one| one.state.is_free()));
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A clean stop frees the partitions at once, well before their lease is over.
pub async fn a_stopped_worker_hands_over_at_once<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let long = Duration::from_mins(10);
    let a = stage.worker("a", 2).with_lease(long);
    let b = stage.worker("b", 2).with_lease(long);
    let (stop_a, stop_b) = (CancellationToken::new(), CancellationToken::new());
    let play = async {
        stage.wait_for_owners(&[("a", 1), ("b", 1)]).await;
        append_numbers(&stage.store, 10).await;
        stop_a.cancel();
        stage.wait_for_owners(&[("b", 2)]).await;
        stage.wait_until_handled().await;
        stop_b.cancel();
    };
    let (first, second, ()) = join3(a.run(stop_a.clone()), b.run(stop_b.clone()), play).await;
    first.and(second).expect("they stop when they are told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// The partitions of a worker that dies are taken over within a lease and a poll.
pub async fn a_dead_worker_is_replaced_after_its_lease<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 10).await;
    let (a, b) = (stage.worker("a", 2), stage.worker("b", 2));
    let stop = CancellationToken::new();
    tokio::select! {
        ended = a.run(CancellationToken::new()) => panic!("it runs on: {ended:?}"),
        () = stage.wait_for_owners(&[("a", 2)]) => {}
    }
    let died = Instant::now();
    append_numbers(&stage.store, 10).await;
    let play = async {
        stage.wait_for_owners(&[("b", 2)]).await;
        let took = died.elapsed();
        println!("taken over after {took:?}, with a lease of {LEASE:?} and a poll of {POLL:?}");
        assert!(took < LEASE + POLL + Duration::from_secs(15), "{took:?}");
        stage.wait_until_handled().await;
        stop.cancel();
    };
    let (ended, ()) = join(b.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A worker stands still between reading a batch and handling it, for longer than its lease; what
/// it then begins cannot be committed.
pub async fn a_worker_that_stood_still_cannot_commit<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let frozen = Arc::new(Frozen::new(stage.store.source.clone()));
    let (a, b) = (stage.worker_over(&frozen, "a", 1), stage.worker("b", 1));
    let (stop_a, stop_b) = (CancellationToken::new(), CancellationToken::new());
    let play = async {
        stage.wait_for_owners(&[("a", 1)]).await;
        stage.wait_until("idle", |status| status.partitions[0].lag == 0).await;
        frozen.freeze_at_begin();
        append_numbers(&stage.store, 5).await;
        frozen.frozen().await;
        let takes_over = async {
            stage.wait_for_owners(&[("b", 1)]).await;
            stage.wait_until_handled().await;
            append_numbers(&stage.store, 20).await;
            frozen.thaw();
            stage.wait_until_handled().await;
            (stop_a.cancel(), stop_b.cancel())
        };
        join(b.run(stop_b.clone()), takes_over).await.0
    };
    let (first, second) = join(a.run(stop_a.clone()), play).await;
    first.and(second).expect("they stop when they are told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A processor that was told its partition takes no lease, and disturbs nobody who has.
pub async fn a_processor_beside_a_worker_repeats_nothing<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let worker = stage.worker("a", 1);
    let processor = stage.processor(&stage.recorder("p"));
    let stop = CancellationToken::new();
    let play = async {
        append_numbers(&stage.store, 60).await;
        stage.wait_until_handled().await;
        stop.cancel();
    };
    let (told, claimed, ()) =
        join3(processor.run(stop.clone()), worker.run(stop.clone()), play).await;
    told.expect("it stops when it is told to");
    claimed.expect("it stops when it is told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// From 1 partition to 4, 8 and 3, while events are appended and two workers are at it.
pub async fn a_projection_is_rescaled_under_load<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let (a, b) = (stage.worker("a", 1), stage.worker("b", 1));
    let (stop, written) = (CancellationToken::new(), CancellationToken::new());
    let write = async {
        let mut number = 0;
        while !written.is_cancelled() || number < 60 {
            let stream = StreamId::new("Test", "Thing", format!("{}", number % 17));
            let event = Event::json("Happened", &number).expect("valid");
            append_stubbornly(&stage.store, &stream.expect("a valid name"), event).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let play = async {
        stage.wait_until("registered", |_| true).await;
        for total in [4, 8, 3, 3, 5].map(PartitionCount::of) {
            let start = Instant::now();
            // Somebody else may hold a lock at the moment.
            while !matches!(
                stage.operator().rescale(&name(), total).await,
                Ok(Rescaled::Done | Rescaled::Draining)
            ) {
                assert!(start.elapsed() < PATIENCE, "{total}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stage
                .wait_until(&format!("{total} partitions, owned"), |status| {
                    status.partitions.len() == usize::from(total.get())
                        && status.state.rescale_to.is_none()
                        && status.partitions.iter().all(|one| !one.state.is_free())
                })
                .await;
        }
        written.cancel();
    };
    let work = async {
        join(write, play).await;
        stage.wait_until_handled().await;
        stop.cancel();
    };
    let (first, second, ()) = join3(a.run(stop.clone()), b.run(stop.clone()), work).await;
    first.and(second).expect("they stop when they are told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// Without workers, a barrier is reached by processors, and asking again completes the change.
pub async fn rescaling_is_resumed_by_asking_again<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let unknown = stage.operator().rescale(&name(), PartitionCount::of(2)).await;
    assert!(matches!(unknown, Err(OperatorError::UnknownProjection { .. })), "{unknown:?}");
    let rescale = async |total| {
        let total = PartitionCount::of(total);
        stage.operator().rescale(&name(), total).await.expect("an answer")
    };
    append_numbers(&stage.store, 20).await;
    let recorder = stage.recorder("p");
    let [first, second] = [0, 1]
        .map(|index| Partition::new(index, PartitionCount::of(2)).expect("one of two"))
        .map(|partition| stage.processor(&recorder).with_assigned([partition]));
    first.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    assert_eq!(rescale(2).await, Rescaled::Done);
    assert_eq!(rescale(3).await, Rescaled::Draining);
    assert_eq!(rescale(3).await, Rescaled::Draining, "the second one is still at the start");
    second.run_until_caught_up(CancellationToken::new()).await.expect("it comes to the barrier");
    assert_eq!(rescale(3).await, Rescaled::Done);
    let stopped = second.run(CancellationToken::new()).await;
    stopped.expect_err("the projection has three partitions now");
    append_numbers(&stage.store, 20).await;
    for partition in Partition::split(PartitionCount::of(3)) {
        let processor = stage.processor(&recorder).with_assigned([partition]);
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    }
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// Cannot handle number 3 until it is cured.
struct Poisoned<H> {
    recorder: Recorder<H>,
    is_cured: AtomicBool,
}

impl<H: Harness> Projection for Poisoned<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await?;
        if event.payload_json::<i64>()? == 3 && !self.is_cured.load(Ordering::Relaxed) {
            return Err("poison".into());
        }
        Ok(())
    }
}

/// The partition stands still with the worker that met the event; no other worker is stopped by
/// it, and the other partitions go on. An operator has it tried again.
pub async fn a_poison_event_stops_its_partition_and_nothing_else<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let projection = Arc::new(Poisoned { recorder, is_cured: AtomicBool::new(false) });
    let worker = || {
        let four = PartitionCount::of(4);
        let options = ProjectionOptions::default().with_partitions(four);
        Processor::new(Arc::clone(&stage.source))
            .with_lease(LEASE_THAT_LASTS)
            .with_poll_interval(POLL)
            .with_projection_options(Arc::clone(&projection), options)
    };
    let (a, b, stop) = (worker(), worker(), CancellationToken::new());
    let stands_still = |status: &ProjectionStatus| {
        let (failed, others): (Vec<_>, Vec<_>) =
            status.partitions.iter().partition(|one| one.state.last_error.is_some());
        let end = others.iter().map(|one| one.state.position).max();
        failed.len() == 1
            && owners(status).iter().map(|(_, count)| *count).eq([2, 2])
            && others.iter().all(|one| Some(one.state.position) == end && end > Some(3.into()))
    };
    let play = async {
        stage
            .wait_until("one partition stands still, and each worker has its share", stands_still)
            .await;
        let epochs = |status: &ProjectionStatus| -> Vec<_> {
            let failed = status.partitions.iter().filter(|one| one.state.last_error.is_some());
            failed.map(|one| (one.state.epoch, one.state.owner.clone())).collect()
        };
        let before = epochs(&stage.status().await.expect("it is registered"));
        let start = Instant::now();
        let mut lease_lasts = Duration::ZERO;
        while lease_lasts < LEASE_THAT_LASTS * 3 / 2 {
            let status = stage.status().await.expect("it is registered");
            assert_eq!(epochs(&status), before, "nobody else takes it over");
            assert_eq!(status.workers.len(), 2, "nobody stops");
            let failed = status.partitions.iter().find(|one| one.state.last_error.is_some());
            let left = failed.and_then(|one| one.state.lease_left);
            lease_lasts = start.elapsed() + left.expect("its lease lasts");
            assert!(start.elapsed() < PATIENCE, "its lease is not renewed");
            tokio::time::sleep(POLL).await;
        }
        projection.is_cured.store(true, Ordering::Relaxed);
        stage.operator().resume(&name()).await.expect("resumed");
        stage.wait_until_handled().await;
        stop.cancel();
    };
    let (a, (b, ())) = join(a.run(stop.clone()), join(b.run(stop.clone()), play)).await;
    a.and(b).expect("they stop when they are told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}
