//! How many batches and reads of a worker are under way at the same time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, PartitionCount, PersistedEvent, ProjectionName};
use futures_util::future::join;
use projection::conformance::append_numbers;
use projection::{EventContext, HandlerError, Operator, Processor, Projection, ProjectionOptions};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::watched::{Moment, Watched};

/// What is under way now, and the most that ever was.
#[derive(Debug, Default)]
struct UnderWay {
    now: AtomicUsize,
    most: AtomicUsize,
    /// How many batches and reads there were.
    kinds: Mutex<[usize; 2]>,
}

const BATCH: usize = 0;
const READ: usize = 1;

impl UnderWay {
    fn begins(&self, kind: usize) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.kinds.lock().expect("no panic while it is held")[kind] += 1;
    }

    fn ends(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes a moment for each event, and writes it down.
struct Slow {
    name: ProjectionName,
    under_way: Arc<UnderWay>,
}

impl Projection for Slow {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &self.name
    }

    async fn handle(
        &self,
        conn: &mut MemoryConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.under_way.begins(BATCH);
        sleep(Duration::from_millis(5)).await;
        self.under_way.ends();
        Ok(conn.insert_row(self.name.as_str(), event.position().get())?)
    }
}

/// Runs two projections in four partitions each, and gives what was under way at most.
async fn most_under_way(connections_max: usize) -> usize {
    let store = MemoryStore::default();
    let fixture = Fixture { harness: MemoryHarness, source: store.clone() };
    append_numbers(&fixture, 100).await;
    let end = fixture.log().await.last().expect("there are events").position();
    let under_way = Arc::new(UnderWay::default());
    let reads = Arc::clone(&under_way);
    let source = Arc::new(Watched::new(
        &store,
        Box::new(move |moment, call| {
            let reads = Arc::clone(&reads);
            Box::pin(async move {
                match (moment, call) {
                    (Moment::Before, "read_window") => {
                        reads.begins(READ);
                        sleep(Duration::from_millis(5)).await;
                    }
                    (Moment::After, "read_window") => reads.ends(),
                    _ => {}
                }
            })
        }),
    ));
    let four = PartitionCount::of(4);
    let connections_max = NonZeroUsize::new(connections_max).expect("it is not zero");
    let mut worker = Processor::new(Arc::clone(&source)).with_connections_max(connections_max);
    let names = ["first", "second"];
    for name in names {
        let name = ProjectionName::from_static(name);
        let slow = Slow { name, under_way: Arc::clone(&under_way) };
        let options = ProjectionOptions::default()
            .with_partitions(four)
            .with_batch_size_max(NonZeroU32::new(3).expect("it is not zero"));
        worker = worker.with_projection_options(slow, options);
    }
    let stop = CancellationToken::new();
    let handled = async {
        sleep(Duration::from_secs(1)).await;
        for name in names {
            let name = ProjectionName::from_static(name);
            Operator::new(&store)
                .wait_for(&name, end, Duration::from_mins(5))
                .await
                .expect("it is handled");
        }
        stop.cancel();
    };
    let (ended, ()) = join(worker.run(stop.clone()), handled).await;
    ended.expect("it goes on");
    let mut conn = store.acquire().await.expect("a connection");
    for name in names {
        assert_eq!(conn.rows(name).expect("rows").len(), 100, "{name}: each once");
    }
    let [batches, reads] = *under_way.kinds.lock().expect("no panic while it is held");
    assert!(batches > 0 && reads > 0, "{batches} {reads}");
    under_way.most.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_worker_uses_no_more_connections_than_it_may() {
    for connections_max in [1, 2, 3, 5] {
        assert_eq!(most_under_way(connections_max).await, connections_max);
    }
}
