//! mire: appends without the aggregate, projections in its transactional batches.

mod counting;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use es_postgres::PgSource;
use futures_util::{StreamExt, TryStreamExt, stream};
use mire::{Aggregate, Event, EventData, EventStore, ExpectedVersion, ProjectionRunner};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::counting::Counting;
use super::{MIRE, RESET, fill_appends};
use crate::backend::Backend;
use crate::contender::{AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, note};

const CATEGORY: &str = "order";

/// How many events a read of the log asks for.
const READ_EVENTS: i64 = 5000;

/// How long a projection may take for all that it is given.
const PROJECTION_PATIENCE: Duration = Duration::from_mins(15);

/// mire on `PostgreSQL`.
pub(crate) struct Mire {
    pool: PgPool,
    store: EventStore,
    connections: u32,
}

impl Mire {
    pub(crate) async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        // As the other pools: no ping before each use.
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        let pool = options.connect(url).await?;
        Ok(Mire { store: EventStore::new(pool.clone()), pool, connections })
    }

    /// Whether a projection has committed the last event of the log. `projection_lag` of the
    /// library compares positions alone, but the log is in the order of transactions.
    async fn is_at_end(&self, subscription_id: &str) -> anyhow::Result<bool> {
        let is_at_end = sqlx::query_scalar(
            "select not exists (
                 select from es_events event, es_subscriptions reached
                 where reached.subscription_id = $1
                 and (event.transaction_id, event.global_position)
                     > (reached.last_transaction_id, reached.last_position)
             )",
        );
        Ok(is_at_end.bind(subscription_id).fetch_one(&self.pool).await?)
    }
}

/// What happens to an order; an enum with a tag, as in the examples of the library.
#[derive(Debug, Clone, Serialize, Deserialize, EventData)]
#[serde(tag = "type")]
#[mire(entity = "order")]
enum OrderEvent {
    Placed { n: u64, note: String },
}

#[derive(Debug, Default)]
struct Order;

impl Aggregate for Order {
    type Event = OrderEvent;

    fn stream_category() -> &'static str {
        CATEGORY
    }

    fn apply(&mut self, _event: &OrderEvent) {}
}

fn events(numbers: Range<u64>, note: &str) -> Vec<Event<OrderEvent>> {
    numbers.map(|n| Event::new(OrderEvent::Placed { n, note: note.to_owned() })).collect()
}

fn expected(version: i64) -> ExpectedVersion {
    match version {
        0 => ExpectedVersion::NoStream,
        version => ExpectedVersion::Exact(version),
    }
}

fn filled_stream(index: usize) -> String {
    format!("{CATEGORY}-stream-{index}")
}

#[async_trait]
impl Contender for Mire {
    fn name(&self) -> &'static str {
        MIRE
    }

    fn events_table(&self) -> &'static str {
        "es_events"
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        sqlx::raw_sql(RESET).execute(&self.pool).await?;
        self.store.migrate().await?;
        Ok(())
    }

    async fn writer(
        &self,
        _index: usize,
        plan: AppendPlan,
    ) -> anyhow::Result<Option<Box<dyn Writer>>> {
        let writer = MireWriter {
            store: self.store.clone(),
            plan,
            note: note(plan.payload_bytes),
            stream: new_stream(),
            version: 0,
        };
        Ok(Some(Box::new(writer)))
    }

    async fn fill(
        &self,
        streams: Range<usize>,
        length: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<()> {
        let note = &note(payload_bytes);
        let fill_stream = |index| async move {
            let (stream, mut version) = (filled_stream(index), 0);
            for numbers in fill_appends(index, length) {
                let events = events(numbers, note);
                let expected = expected(version);
                version = self.store.append(&stream, CATEGORY, expected, &events).await?;
            }
            anyhow::Ok(())
        };
        let fills = stream::iter(streams).map(fill_stream);
        fills.buffer_unordered(self.connections as usize).try_collect().await
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("analyze").execute(&self.pool).await?;
        Ok(())
    }

    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>> {
        let recorded = self.store.read_stream_all(&filled_stream(index), 0).await?;
        let events = recorded.iter().map(|event| OrderEvent::deserialize(&event.data));
        Ok(Some(events.collect::<Result<Vec<_>, _>>()?.len()))
    }

    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let (mut transaction_id, mut position, mut count) = (0, 0, 0);
        loop {
            let page = self.store.read_all_after(transaction_id, position, READ_EVENTS).await?;
            let Some(last) = page.last() else { return Ok(Some(count)) };
            (transaction_id, position) = (last.transaction_id, last.global_position);
            let events = page.iter().map(|event| OrderEvent::deserialize(&event.data));
            count += events.collect::<Result<Vec<_>, _>>()?.len();
        }
    }

    async fn project(&self, work: Work, events: usize) -> anyhow::Result<Option<Duration>> {
        let (counting, id) = (Counting::new(work, None), subscription_id());
        let handled = Arc::clone(&counting.handled);
        // With the settings it has by default, such as batches of 100 events.
        let runner = ProjectionRunner::builder(self.store.clone())
            .subscribe_transactional_batch(&*id, counting)
            .build();
        let stop = CancellationToken::new();
        let started = Instant::now();
        let run = tokio::spawn(runner.run(stop.clone()));
        let running = stop.drop_guard();
        while handled.load(Ordering::Relaxed) < events as u64 || !self.is_at_end(&id).await? {
            if run.is_finished() {
                run.await??;
                anyhow::bail!("the projection of mire has stopped");
            }
            let is_patient = started.elapsed() < PROJECTION_PATIENCE;
            anyhow::ensure!(is_patient, "mire handled {handled:?} of {events} events");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let taken = started.elapsed();
        drop(running);
        run.await??;
        Ok(Some(taken))
    }

    async fn follow(
        &self,
        seen: UnboundedSender<Seen>,
        stop: CancellationToken,
    ) -> anyhow::Result<bool> {
        let counting = Counting::new(Work::Nothing, Some(seen));
        ProjectionRunner::builder(self.store.clone())
            // A commit wakes the runner, in this process; but where a transaction that is still
            // open hides the event, only the next look finds it, by default after a minute. This
            // interval is that of the example of several replicas.
            .idle_backstop_interval(Duration::from_millis(50))
            .subscribe_transactional_batch(subscription_id(), counting)
            .build()
            .run(stop)
            .await?;
        Ok(true)
    }
}

fn subscription_id() -> String {
    format!("counting-{}", Uuid::now_v7().simple())
}

fn new_stream() -> String {
    format!("{CATEGORY}-{}", Uuid::now_v7())
}

/// A writer.
struct MireWriter {
    store: EventStore,
    plan: AppendPlan,
    note: String,
    stream: String,
    version: i64,
}

#[async_trait]
impl Writer for MireWriter {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        if self.plan.streams == Streams::Fresh {
            (self.stream, self.version) = (new_stream(), 0);
        }
        let events = events(first_number..first_number + self.plan.events as u64, &self.note);
        let expected = expected(self.version);
        self.version = match self.plan.scope {
            Scope::Pool => self.store.append(&self.stream, CATEGORY, expected, &events).await?,
            Scope::Transaction => {
                let mut scope = self.store.begin_transaction().await?;
                PgSource::insert_order(scope.tx(), &Uuid::now_v7().to_string()).await?;
                let version = scope.append(&self.stream, CATEGORY, expected, &events).await?;
                scope.commit().await?;
                version
            }
        };
        Ok(())
    }
}
