//! This library.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use es::{
    Event, EventFilter, EventStore, ExpectedVersion, Partition, PartitionCount, PersistedEvent,
    Position, ProjectionName, ReadLimit, StreamId, Version,
};
use projection::{BatchContext, EventContext, HandlerError, Processor, Projection};
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backend::Backend;
use crate::contender::{
    AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, counts, note, payload,
};
use crate::figure::OURS;

/// How many events a read of the log asks for where many are wanted.
const READ_EVENTS: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not zero");

/// The library on one database.
#[derive(Debug, Clone)]
pub(crate) struct Ours<S> {
    /// The source, whose database is this contender's alone.
    pub(crate) source: S,
    partitions: PartitionCount,
}

impl<S: Backend> Ours<S> {
    pub(crate) async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        Ok(Ours { source: S::open(url, connections).await?, partitions: PartitionCount::ONE })
    }

    /// The same, with its projections in as many partitions, side by side.
    pub(crate) fn with_partitions(&self, partitions: PartitionCount) -> Self {
        Ours { source: self.source.clone(), partitions }
    }
}

#[async_trait]
impl<S: Backend> Contender for Ours<S> {
    fn name(&self) -> &'static str {
        if self.partitions == PartitionCount::ONE { OURS } else { "this library, 4 partitions" }
    }

    fn events_table(&self) -> &'static str {
        "events"
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.source.reset().await
    }

    async fn writer(
        &self,
        _index: usize,
        plan: AppendPlan,
    ) -> anyhow::Result<Option<Box<dyn Writer>>> {
        let writer = OurWriter {
            source: self.source.clone(),
            plan,
            note: note(plan.payload_bytes),
            stream: new_stream()?,
            version: Version::NONE,
        };
        Ok(Some(Box::new(writer)))
    }

    async fn fill(
        &self,
        streams: Range<usize>,
        length: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<()> {
        let note = note(payload_bytes);
        let events = streams.flat_map(|index| {
            let stream = filled_stream(index);
            let note = &note;
            (0..length).map(move |offset| {
                let number = (index * length + offset) as u64;
                let event = Event::new("OrderPlaced", payload(number, note));
                (stream.clone(), event.expect("the type is valid"))
            })
        });
        let events: Box<dyn Iterator<Item = (StreamId, Event)> + Send> = Box::new(events);
        let mut tx = self.source.begin().await?;
        self.source.store().import(&mut tx, events).await?;
        self.source.commit(tx).await?;
        Ok(())
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        self.source.analyze().await
    }

    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>> {
        let mut conn = self.source.acquire().await?;
        let stream = self.source.store().read_stream(&mut conn, &filled_stream(index), ..).await?;
        self.source.release(conn);
        Ok(Some(stream.len()))
    }

    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let mut conn = self.source.acquire().await?;
        let (filter, limit) = (EventFilter::default(), ReadLimit::new(READ_EVENTS));
        let (mut after, mut count) = (Position::START, 0);
        loop {
            let batch = self.source.store().read_events(&mut conn, after, &filter, limit).await?;
            if batch.is_nothing(after) {
                self.source.release(conn);
                return Ok(Some(count));
            }
            count += batch.events.len();
            after = batch.complete_through;
        }
    }

    async fn project(&self, work: Work, events: usize) -> anyhow::Result<Option<Duration>> {
        let projection = Arc::new(Counting::<S>::new(work, None)?);
        let source = Arc::new(self.source.clone());
        let started = Instant::now();
        let connections_max =
            NonZeroUsize::new(2 * usize::from(self.partitions.get())).unwrap_or(NonZeroUsize::MIN);
        let processor = Processor::new(source)
            .with_projection(Arc::clone(&projection))
            .with_assigned(Partition::split(self.partitions))
            .with_connections_max(connections_max);
        let run = async move { processor.run_until_caught_up(CancellationToken::new()).await };
        tokio::spawn(run).await??;
        let taken = started.elapsed();
        let handled = projection.handled();
        anyhow::ensure!(handled == events as u64, "{handled} of {events} events were handled");
        Ok(Some(taken))
    }

    async fn follow(
        &self,
        seen: UnboundedSender<Seen>,
        stop: CancellationToken,
    ) -> anyhow::Result<bool> {
        let projection = Counting::<S>::new(Work::Nothing, Some(seen))?;
        let processor = Processor::new(Arc::new(self.source.clone())).with_projection(projection);
        processor.with_assigned([Partition::ALL]).run(stop).await?;
        Ok(true)
    }
}

/// A projection that does the measured work and counts.
pub(crate) struct Counting<S> {
    name: ProjectionName,
    work: Work,
    seen: Option<UnboundedSender<Seen>>,
    handled: AtomicU64,
    source: std::marker::PhantomData<fn() -> S>,
}

impl<S> Counting<S> {
    /// A new projection, which starts at the beginning of the log.
    pub(crate) fn new(work: Work, seen: Option<UnboundedSender<Seen>>) -> anyhow::Result<Self> {
        let name = ProjectionName::new(format!("counting-{}", Uuid::now_v7().simple()))?;
        let (handled, source) = (AtomicU64::new(0), std::marker::PhantomData);
        Ok(Counting { name, work, seen, handled, source })
    }
}

impl<S> Counting<S> {
    /// How many events were handled.
    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }
}

#[derive(Deserialize)]
struct Numbered {
    n: u64,
}

impl<S: Backend> Projection for Counting<S> {
    type Connection = S::Connection;

    fn name(&self) -> &ProjectionName {
        &self.name
    }

    async fn handle(
        &self,
        conn: &mut S::Connection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        if self.work == Work::UpsertEach {
            S::upsert(conn, event.aggregate_id()).await?;
        }
        if let Some(seen) = &self.seen {
            let number = event.payload_json::<Numbered>()?.n;
            seen.send(Seen { number, at: Instant::now() })?;
        }
        self.handled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn handle_batch(
        &self,
        conn: &mut S::Connection,
        events: &[PersistedEvent],
        context: &BatchContext,
    ) -> Result<(), HandlerError> {
        if self.work != Work::UpsertBatch {
            for event in events {
                self.handle(conn, event, &context.event(event)).await?;
            }
            return Ok(());
        }
        let counts = counts(events.iter().map(PersistedEvent::aggregate_id));
        S::upsert_many(conn, &counts).await?;
        self.handled.fetch_add(events.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// A writer.
struct OurWriter<S> {
    source: S,
    plan: AppendPlan,
    note: String,
    stream: StreamId,
    version: Version,
}

#[async_trait]
impl<S: Backend> Writer for OurWriter<S> {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        if self.plan.streams == Streams::Fresh {
            (self.stream, self.version) = (new_stream()?, Version::NONE);
        }
        let numbers = (first_number..).take(self.plan.events);
        let events = numbers.map(|number| Event::new("OrderPlaced", payload(number, &self.note)));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let expected = ExpectedVersion::Exact(self.version);
        let store = self.source.store();
        let is_alone = self.plan.scope == Scope::Pool && S::APPENDS_ALONE;
        let appended = if is_alone {
            let mut conn = self.source.acquire().await?;
            let appended = store.append(&mut conn, &self.stream, expected, &events).await?;
            self.source.release(conn);
            appended
        } else {
            let mut tx = self.source.begin().await?;
            if self.plan.scope == Scope::Transaction {
                S::insert_order(&mut tx, &Uuid::now_v7().to_string()).await?;
            }
            let appended = store.append(&mut tx, &self.stream, expected, &events).await?;
            self.source.commit(tx).await?;
            appended
        };
        self.version = appended.to_version();
        Ok(())
    }
}

fn new_stream() -> anyhow::Result<StreamId> {
    Ok(StreamId::new("Sales", "Order", Uuid::now_v7().to_string())?)
}

/// The stream that `fill` stores under a number.
pub(crate) fn filled_stream(index: usize) -> StreamId {
    StreamId::new("Sales", "Order", format!("stream-{index}")).expect("a valid name")
}
