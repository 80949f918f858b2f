//! evento: appends by its builder, projections as its subscriptions.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use es_postgres::PgSource;
use evento::cursor::Args;
use evento::metadata::Event;
use evento::migrator::{Migrate, Plan};
use evento::subscription::{Context, SubscriptionBuilder};
use evento::{Executor, TenantFilter};
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EVENTO, RESET, fill_appends};
use crate::backend::Backend;
use crate::contender::{AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, note};

/// How many events a read of the log asks for.
const READ_EVENTS: u16 = 5000;

/// The longest stream: its versions are `u16`.
const LENGTH_MAX: usize = u16::MAX as usize;

/// How long an event may take until it is old enough for a subscription; the margin is a second.
const STABLE_PATIENCE: Duration = Duration::from_secs(10);

/// evento on `PostgreSQL`.
pub(crate) struct Evento {
    pool: PgPool,
    executor: evento::Postgres,
    connections: u32,
}

impl Evento {
    pub(crate) async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        // As the other pools: no ping before each use.
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        let pool = options.connect(url).await?;
        Ok(Evento { executor: pool.clone().into(), pool, connections })
    }

    /// Waits until a subscription may be given every event: the margin that it keeps is a part of
    /// its latency, not of its rate.
    async fn until_stable(&self) -> anyhow::Result<()> {
        let latest = self.executor.latest_timestamp(None, None, TenantFilter::All).await?;
        let deadline = Instant::now() + STABLE_PATIENCE;
        while let Some(stable) = self.executor.stable_timestamp().await?
            && stable < (latest + 1) * 1_000_000
        {
            anyhow::ensure!(Instant::now() < deadline, "the events of evento do not get stable");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Generates the type of the event, `Placed`, and `OrderEvent`, one of all events.
#[evento::aggregate(name = "benchmarks/Order")]
enum Order {
    Placed { n: u64, note: String },
}

/// The handler: evento has no transaction to offer, so that what it does has one of its own.
#[evento::subscription]
async fn count<E: Executor>(context: &Context<'_, E>, event: Event<Placed>) -> anyhow::Result<()> {
    let counting: Counting = context.extract();
    if counting.work == Work::UpsertEach {
        let mut conn = counting.pool.acquire().await?;
        PgSource::upsert(&mut conn, &event.aggregate_id).await?;
    }
    if let Some(seen) = &counting.seen {
        seen.send(Seen { number: event.data.n, at: Instant::now() })?;
    }
    counting.handled.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// What the handler needs.
#[derive(Clone)]
struct Counting {
    pool: PgPool,
    work: Work,
    seen: Option<UnboundedSender<Seen>>,
    handled: Arc<AtomicU64>,
}

/// A subscription from the start of the log, with the settings it has by default, such as chunks of
/// 300 events, each acknowledged at its end.
fn subscription<E: Executor>(counting: Counting) -> SubscriptionBuilder<E> {
    let key = format!("counting-{}", Uuid::now_v7().simple());
    SubscriptionBuilder::new(key).handler(count()).data(counting)
}

/// The stream that `fill` stores under a number, or one part of it.
fn filled_stream(index: usize, part: usize) -> String {
    if part == 0 { format!("stream-{index}") } else { format!("stream-{index}-{part}") }
}

#[async_trait]
impl Contender for Evento {
    fn name(&self) -> &'static str {
        EVENTO
    }

    fn events_table(&self) -> &'static str {
        "event"
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        sqlx::raw_sql(RESET).execute(&self.pool).await?;
        let mut conn = self.pool.acquire().await?;
        evento::sql_migrator::new::<sqlx::Postgres>()?.run(&mut *conn, &Plan::apply_all()).await?;
        Ok(())
    }

    async fn writer(
        &self,
        _index: usize,
        plan: AppendPlan,
    ) -> anyhow::Result<Option<Box<dyn Writer>>> {
        if plan.scope == Scope::Transaction {
            // Its executor is made of a pool, and each commit begins a transaction of its own.
            return Ok(None);
        }
        let writer = EventoWriter {
            executor: self.executor.clone(),
            plan,
            note: note(plan.payload_bytes),
            stream: None,
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
            let (mut part, mut version) = (0, 0);
            for numbers in fill_appends(index, length) {
                let count = (numbers.end - numbers.start) as usize;
                if usize::from(version) + count > LENGTH_MAX {
                    (part, version) = (part + 1, 0);
                }
                let append = evento::append(filled_stream(index, part));
                commit(&self.executor, append, version, numbers, note).await?;
                version += u16::try_from(count)?;
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
        let mut count = 0;
        for part in 0.. {
            let stream = filled_stream(index, part);
            let events = evento::read::<Order>(stream).decode(&self.executor).await?;
            count += events.len();
            if events.len() + super::FILL_EVENTS <= LENGTH_MAX {
                break;
            }
        }
        Ok(Some(count))
    }

    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let (mut after, mut count) = (None, 0);
        loop {
            let args = Args::forward(READ_EVENTS, after);
            let page = self.executor.read(None, None, TenantFilter::All, args, None).await?;
            let events = page.edges.iter().map(|edge| OrderEvent::try_from(&edge.node));
            count += events.collect::<Result<Vec<_>, _>>()?.len();
            if !page.page_info.has_next_page {
                return Ok(Some(count));
            }
            after = page.page_info.end_cursor;
        }
    }

    async fn project(&self, work: Work, events: usize) -> anyhow::Result<Option<Duration>> {
        if work == Work::UpsertBatch {
            // A handler is given one event at a time.
            return Ok(None);
        }
        let handled = Arc::default();
        let pool = self.pool.clone();
        let counting = Counting { pool, work, seen: None, handled: Arc::clone(&handled) };
        self.until_stable().await?;
        let started = Instant::now();
        // It comes back when all is handled and acknowledged.
        subscription(counting).no_retry().run_once(&self.executor).await?;
        let taken = started.elapsed();
        let handled = handled.load(Ordering::Relaxed);
        anyhow::ensure!(handled == events as u64, "evento handled {handled} of {events} events");
        Ok(Some(taken))
    }

    async fn follow(
        &self,
        seen: UnboundedSender<Seen>,
        stop: CancellationToken,
    ) -> anyhow::Result<bool> {
        let pool = self.pool.clone();
        let handled = Arc::default();
        let counting = Counting { pool, work: Work::Nothing, seen: Some(seen), handled };
        let following = subscription(counting).start(&self.executor).await?;
        tokio::select! {
            () = stop.cancelled() => following.shutdown().await?,
            reason = following.stopped() => anyhow::bail!("evento has stopped: {reason}"),
        }
        Ok(true)
    }
}

async fn commit(
    executor: &evento::Postgres,
    mut append: evento::WriteBuilder,
    version: u16,
    numbers: Range<u64>,
    note: &str,
) -> anyhow::Result<String> {
    append.original_version(version);
    for n in numbers {
        append.event(&Placed { n, note: note.to_owned() });
    }
    Ok(append.commit(executor).await?)
}

/// A writer.
struct EventoWriter {
    executor: evento::Postgres,
    plan: AppendPlan,
    note: String,
    stream: Option<String>,
    version: u16,
}

#[async_trait]
impl Writer for EventoWriter {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        let is_full = usize::from(self.version) + self.plan.events > LENGTH_MAX;
        if self.plan.streams == Streams::Fresh || is_full {
            (self.stream, self.version) = (None, 0);
        }
        let append = self.stream.take().map_or_else(evento::create, evento::append);
        let numbers = first_number..first_number + self.plan.events as u64;
        let stream = commit(&self.executor, append, self.version, numbers, &self.note).await?;
        self.stream = Some(stream);
        self.version += u16::try_from(self.plan.events)?;
        Ok(())
    }
}
