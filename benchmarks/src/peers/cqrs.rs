//! postgres-es, the `PostgreSQL` repository of cqrs-es.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore, SerializedEvent};
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, EventStore};
use futures_util::{StreamExt, TryStreamExt, stream};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use sqlx08::PgPool;
use sqlx08::postgres::PgPoolOptions;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{POSTGRES_ES, RESET, fill_appends};
use crate::contender::{AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, note};

/// The tables that its documentation gives: the library makes none itself.
const TABLES: &str = "
    create table events (
        aggregate_type text not null,
        aggregate_id text not null,
        sequence bigint not null check (sequence >= 0),
        event_type text not null,
        event_version text not null,
        payload json not null,
        metadata json not null,
        primary key (aggregate_type, aggregate_id, sequence)
    );
    create table snapshots (
        aggregate_type text not null,
        aggregate_id text not null,
        last_sequence bigint not null check (last_sequence >= 0),
        current_snapshot bigint not null check (current_snapshot >= 0),
        payload json not null,
        primary key (aggregate_type, aggregate_id, last_sequence)
    );
";

/// postgres-es.
pub(crate) struct PostgresEs {
    pool: PgPool,
    connections: u32,
}

impl PostgresEs {
    pub(crate) async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        // As the other pools: no ping before each use.
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        Ok(PostgresEs { pool: options.connect(url).await?, connections })
    }

    fn repository(&self) -> PostgresEventRepository {
        PostgresEventRepository::new(self.pool.clone())
    }
}

/// What happens to an order; an enum, as the documentation has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum OrderEvent {
    Placed { n: u64, note: String },
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        "Placed".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Order;

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = OrderEvent;
    type Event = OrderEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(
        &mut self,
        command: OrderEvent,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Infallible> {
        sink.write(command, self).await;
        Ok(())
    }

    fn apply(&mut self, _event: OrderEvent) {}
}

fn filled_stream(index: usize) -> String {
    format!("stream-{index}")
}

/// Appends behind `sequence`, as its event store does for the events of a command, but without
/// loading the aggregate first: who appends knows where the stream ends.
async fn append(
    repository: &PostgresEventRepository,
    aggregate_id: &str,
    sequence: usize,
    numbers: Range<u64>,
    note: &str,
) -> anyhow::Result<usize> {
    let serialized = (sequence + 1..).zip(numbers).map(|(sequence, n)| {
        SerializedEvent::try_from(&EventEnvelope::<Order> {
            aggregate_id: aggregate_id.to_owned(),
            sequence,
            payload: OrderEvent::Placed { n, note: note.to_owned() },
            metadata: HashMap::new(),
        })
    });
    let serialized = serialized.collect::<Result<Vec<_>, _>>()?;
    repository.persist::<Order>(&serialized, None).await?;
    Ok(sequence + serialized.len())
}

#[async_trait]
impl Contender for PostgresEs {
    fn name(&self) -> &'static str {
        POSTGRES_ES
    }

    fn events_table(&self) -> &'static str {
        "events"
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        sqlx08::raw_sql(RESET).execute(&self.pool).await?;
        sqlx08::raw_sql(TABLES).execute(&self.pool).await?;
        Ok(())
    }

    async fn writer(
        &self,
        _index: usize,
        plan: AppendPlan,
    ) -> anyhow::Result<Option<Box<dyn Writer>>> {
        if plan.scope == Scope::Transaction {
            // Its repository is made of a pool, and begins a transaction of its own.
            return Ok(None);
        }
        let writer = PostgresEsWriter {
            repository: self.repository(),
            plan,
            note: note(plan.payload_bytes),
            aggregate_id: Uuid::now_v7().to_string(),
            sequence: 0,
        };
        Ok(Some(Box::new(writer)))
    }

    async fn fill(
        &self,
        streams: Range<usize>,
        length: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<()> {
        let (repository, note) = (&self.repository(), &note(payload_bytes));
        let fill_stream = |index| async move {
            let (aggregate_id, mut sequence) = (filled_stream(index), 0);
            for numbers in fill_appends(index, length) {
                sequence = append(repository, &aggregate_id, sequence, numbers, note).await?;
            }
            anyhow::Ok(())
        };
        let fills = stream::iter(streams).map(fill_stream);
        fills.buffer_unordered(self.connections as usize).try_collect().await
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        sqlx08::raw_sql("analyze").execute(&self.pool).await?;
        Ok(())
    }

    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>> {
        let store = PersistedEventStore::<_, Order>::new_event_store(self.repository());
        Ok(Some(store.load_events(&filled_stream(index)).await?.len()))
    }

    /// There is no log; what is read is the replay of the one type, in the order of the sequence
    /// numbers.
    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let mut events = self.repository().stream_all_events::<Order>().await?;
        let mut count = 0;
        while let Some(event) = events.next::<Order>(&[]).await {
            event?;
            count += 1;
        }
        Ok(Some(count))
    }

    /// Its queries are told of events by the process that appends them, or by a replay.
    async fn project(&self, _work: Work, _events: usize) -> anyhow::Result<Option<Duration>> {
        Ok(None)
    }

    async fn follow(
        &self,
        _seen: UnboundedSender<Seen>,
        _stop: CancellationToken,
    ) -> anyhow::Result<bool> {
        Ok(false)
    }
}

/// A writer.
struct PostgresEsWriter {
    repository: PostgresEventRepository,
    plan: AppendPlan,
    note: String,
    aggregate_id: String,
    sequence: usize,
}

#[async_trait]
impl Writer for PostgresEsWriter {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        if self.plan.streams == Streams::Fresh {
            (self.aggregate_id, self.sequence) = (Uuid::now_v7().to_string(), 0);
        }
        let numbers = first_number..first_number + self.plan.events as u64;
        let Self { repository, aggregate_id, sequence, note, .. } = self;
        *sequence = append(repository, aggregate_id, *sequence, numbers, note).await?;
        Ok(())
    }
}
