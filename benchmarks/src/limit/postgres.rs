//! PostgreSQL: one insert, COPY, a plain select.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use es::{EventSource, StreamId};
use es_postgres::PgSource;
use futures_util::TryStreamExt;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Row as _, SqlSafeStr as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Row, rows};
use crate::backend::Backend;
use crate::contender::{AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, counts, note};
use crate::figure::LIMIT;
use crate::ours::filled_stream;

/// The columns that are read.
const READ_COLUMNS: &str = "global_position, bounded_context, aggregate_type, aggregate_id, \
    aggregate_version, event_id, event_type, event_version, payload, metadata::text, \
    correlation_id, causation_id, trace_id, created_at";

/// After how many bytes of a COPY the connection is given them: as the library does.
const BUFFER_BYTES: usize = 64 * 1024;

/// How many events a projection reads at once.
const PAGE_EVENTS: usize = 1000;

/// How long the naive reader waits when there is nothing new.
const PAUSE: Duration = Duration::from_millis(1);

/// The plainest statements, on a database of their own with this library's schema.
#[derive(Debug)]
pub(crate) struct PgLimit {
    source: PgSource,
}

impl PgLimit {
    pub(crate) async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        Ok(PgLimit { source: PgSource::open(url, connections).await? })
    }

    fn pool(&self) -> &PgPool {
        self.source.pool()
    }
}

#[async_trait]
impl Contender for PgLimit {
    fn name(&self) -> &'static str {
        LIMIT
    }

    fn events_table(&self) -> &'static str {
        "events"
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.source.reset().await
    }

    async fn writer(
        &self,
        index: usize,
        plan: AppendPlan,
    ) -> anyhow::Result<Option<Box<dyn Writer>>> {
        let stream = StreamId::new("Sales", "Order", format!("{index}-{}", Uuid::now_v7()))?;
        let (pool, note) = (self.pool().clone(), note(plan.payload_bytes));
        Ok(Some(Box::new(PgWriter { pool, plan, note, stream, version: 0 })))
    }

    async fn fill(
        &self,
        streams: Range<usize>,
        length: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<()> {
        let note = note(payload_bytes);
        let mut conn = self.source.acquire().await?;
        let mut copy = conn
            .copy_in_raw(
                "copy events (bounded_context, aggregate_type, aggregate_id, aggregate_version, \
                 slot, event_id, event_type, event_version, payload, metadata, correlation_id, \
                 causation_id, trace_id, created_at) from stdin (format binary)",
            )
            .await?;
        let mut buffer = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for index in streams {
            let first_number = (index * length) as u64;
            for row in rows(&filled_stream(index), 0, first_number, length, &note) {
                write_row(&mut buffer, &row);
            }
            if buffer.len() > BUFFER_BYTES {
                copy.send(&*buffer).await?;
                buffer.clear();
            }
        }
        buffer.extend((-1_i16).to_be_bytes());
        copy.send(&*buffer).await?;
        copy.finish().await?;
        Ok(())
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        self.source.analyze().await
    }

    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>> {
        let stream = filled_stream(index);
        let sql = format!(
            "select {READ_COLUMNS} from events where bounded_context = $1 and aggregate_type = $2 \
             and aggregate_id = $3 order by aggregate_version"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .fetch_all(self.pool())
            .await?;
        Ok(Some(rows.len()))
    }

    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let mut conn = self.source.acquire().await?;
        let sql = format!(
            "copy (select {READ_COLUMNS} from events where global_position > 0 \
             order by global_position) to stdout (format binary)"
        );
        let mut messages = conn.copy_out_raw(&sql).await?;
        let mut count = 0;
        while messages.try_next().await?.is_some() {
            count += 1;
        }
        // A message is a row; the last one is the trailer.
        Ok(Some(count - 1))
    }

    /// A loop that reads a page, then does the work, on another connection and without a checkpoint.
    async fn project(&self, work: Work, events: usize) -> anyhow::Result<Option<Duration>> {
        let sql = format!(
            "select {READ_COLUMNS} from events where global_position > $1 order by global_position \
             limit {PAGE_EVENTS}"
        );
        let sql = AssertSqlSafe(sql).into_sql_str();
        let started = Instant::now();
        let (mut last, mut handled) = (0_i64, 0);
        let (mut reader, mut conn) = (self.source.acquire().await?, self.source.acquire().await?);
        while handled < events {
            let rows = sqlx::query(sql.clone()).bind(last).fetch_all(&mut *reader).await?;
            last = rows.last().context("the log is shorter than it was")?.try_get(0)?;
            let ids = rows.iter().map(|row| row.try_get::<&str, _>(3));
            let ids = ids.collect::<Result<Vec<_>, _>>()?;
            handled += ids.len();
            let mut tx = conn.begin().await?;
            match work {
                Work::Nothing => {}
                Work::UpsertEach => {
                    for id in ids {
                        PgSource::upsert(&mut tx, id).await?;
                    }
                }
                Work::UpsertBatch => {
                    PgSource::upsert_many(&mut tx, &counts(ids.into_iter())).await?;
                }
            }
            tx.commit().await?;
        }
        Ok(Some(started.elapsed()))
    }

    /// A reader that takes the last position it saw for its checkpoint.
    async fn follow(
        &self,
        seen: UnboundedSender<Seen>,
        stop: CancellationToken,
    ) -> anyhow::Result<bool> {
        let mut conn = self.source.acquire().await?;
        let mut last = 0_i64;
        while !stop.is_cancelled() {
            let rows = read_naively(&mut conn, last).await?;
            if rows.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            for (position, number) in rows {
                last = position;
                seen.send(Seen { number, at: Instant::now() })?;
            }
        }
        Ok(true)
    }
}

#[derive(Deserialize)]
struct Numbered {
    n: u64,
}

async fn read_naively(conn: &mut PgConnection, after: i64) -> anyhow::Result<Vec<(i64, u64)>> {
    let select = sqlx::query(
        "select global_position, payload from events where global_position > $1 \
         order by global_position limit 500",
    );
    let rows = select.bind(after).fetch_all(conn).await?;
    let number = |row: &sqlx::postgres::PgRow| {
        let numbered: Numbered = serde_json::from_slice(row.try_get(1)?)?;
        Ok((row.try_get(0)?, numbered.n))
    };
    rows.iter().map(number).collect()
}

struct PgWriter {
    pool: PgPool,
    plan: AppendPlan,
    note: String,
    stream: StreamId,
    version: i64,
}

#[async_trait]
impl Writer for PgWriter {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        if self.plan.streams == Streams::Fresh {
            self.stream = StreamId::new("Sales", "Order", Uuid::now_v7().to_string())?;
            self.version = 0;
        }
        let rows = rows(&self.stream, self.version, first_number, self.plan.events, &self.note);
        match self.plan.scope {
            Scope::Pool => insert(&mut *self.pool.acquire().await?, &rows).await?,
            Scope::Transaction => {
                let mut tx = self.pool.begin().await?;
                PgSource::insert_order(&mut tx, &Uuid::now_v7().to_string()).await?;
                insert(&mut tx, &rows).await?;
                tx.commit().await?;
            }
        }
        self.version += i64::try_from(rows.len())?;
        Ok(())
    }
}

async fn insert(conn: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let [row] = rows else { return insert_many(conn, rows).await };
    let insert = sqlx::query(
        "insert into events (bounded_context, aggregate_type, aggregate_id, aggregate_version, \
         slot, event_id, event_type, event_version, payload, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    );
    let insert = insert
        .bind(row.stream.bounded_context())
        .bind(row.stream.aggregate_type())
        .bind(row.stream.aggregate_id())
        .bind(row.version)
        .bind(row.slot)
        .bind(row.id)
        .bind("OrderPlaced")
        .bind(1)
        .bind(row.payload.as_bytes())
        .bind(row.created_at);
    insert.execute(conn).await.map(drop)
}

async fn insert_many(conn: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let Some(first) = rows.first() else { return Ok(()) };
    let insert = sqlx::query(
        "insert into events (bounded_context, aggregate_type, aggregate_id, aggregate_version, \
         slot, event_id, event_type, event_version, payload, created_at) \
         select $1, $2, $3, version, $4, id, $5, 1, payload, created_at \
         from unnest($6::bigint[], $7::uuid[], $8::bytea[], $9::timestamptz[]) \
         as event (version, id, payload, created_at)",
    );
    let insert = insert
        .bind(first.stream.bounded_context())
        .bind(first.stream.aggregate_type())
        .bind(first.stream.aggregate_id())
        .bind(first.slot)
        .bind("OrderPlaced")
        .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.payload.as_bytes()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.created_at).collect::<Vec<_>>());
    insert.execute(conn).await.map(drop)
}

/// The binary format of COPY: a count of fields, then each with its length.
fn write_row(buffer: &mut Vec<u8>, row: &Row) {
    const EPOCH_MICROS: i64 = 946_684_800_000_000;
    buffer.extend(14_i16.to_be_bytes());
    let micros = (row.created_at.timestamp_micros() - EPOCH_MICROS).to_be_bytes();
    let (version, slot, one) =
        (row.version.to_be_bytes(), row.slot.to_be_bytes(), 1_i32.to_be_bytes());
    let values: [Option<&[u8]>; 14] = [
        Some(row.stream.bounded_context().as_bytes()),
        Some(row.stream.aggregate_type().as_bytes()),
        Some(row.stream.aggregate_id().as_bytes()),
        Some(&version),
        Some(&slot),
        Some(row.id.as_bytes()),
        Some(b"OrderPlaced"),
        Some(&one),
        Some(row.payload.as_bytes()),
        None,
        None,
        None,
        None,
        Some(&micros),
    ];
    for value in values {
        let length = value.map_or(Ok(-1), |value| i32::try_from(value.len()));
        let length = length.expect("no payload is as long");
        buffer.extend(length.to_be_bytes());
        buffer.extend_from_slice(value.unwrap_or_default());
    }
}
