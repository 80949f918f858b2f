//! The limit of a database that has no better than an insert of many rows and a plain select.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use es::StreamId;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Row, rows};
use crate::backend::Backend;
use crate::contender::{AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, note};
use crate::figure::LIMIT;
use crate::ours::filled_stream;

/// The columns that are read.
pub(super) const READ_COLUMNS: &str = "global_position, bounded_context, aggregate_type, \
    aggregate_id, aggregate_version, event_id, event_type, event_version, payload, metadata, \
    correlation_id, causation_id, trace_id, created_at";

/// How many rows one insert takes when there are many.
const ROWS_MAX: usize = 1000;

/// The plainest statements of a database.
pub(crate) trait Plain: Backend {
    /// Inserts rows, if there are any.
    fn insert(
        conn: &mut Self::Connection,
        rows: &[Row],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Reads a stream; gives how many events it has.
    fn read_stream(
        conn: &mut Self::Connection,
        stream: &StreamId,
    ) -> impl Future<Output = Result<usize, sqlx::Error>> + Send;

    /// Reads the whole log; gives how many events it has.
    fn read_log(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<usize, sqlx::Error>> + Send;
}

/// The plainest statements, on a database of their own with this library's schema.
#[derive(Debug)]
pub(crate) struct PlainLimit<S> {
    source: S,
}

impl<S: Plain> PlainLimit<S> {
    pub(crate) async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        Ok(PlainLimit { source: S::open(url, connections).await? })
    }
}

#[async_trait]
impl<S: Plain> Contender for PlainLimit<S> {
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
        let (source, note) = (self.source.clone(), note(plan.payload_bytes));
        Ok(Some(Box::new(PlainWriter { source, plan, note, stream, version: 0 })))
    }

    async fn fill(
        &self,
        streams: Range<usize>,
        length: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<()> {
        let note = note(payload_bytes);
        let mut tx = self.source.begin().await?;
        let mut waiting = Vec::new();
        for index in streams {
            waiting.extend(rows(&filled_stream(index), 0, (index * length) as u64, length, &note));
            while waiting.len() >= ROWS_MAX {
                let rest = waiting.split_off(ROWS_MAX);
                S::insert(&mut tx, &waiting).await?;
                waiting = rest;
            }
        }
        S::insert(&mut tx, &waiting).await?;
        self.source.commit(tx).await?;
        Ok(())
    }

    async fn analyze(&self) -> anyhow::Result<()> {
        self.source.analyze().await
    }

    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>> {
        let mut conn = self.source.acquire().await?;
        let events = S::read_stream(&mut conn, &filled_stream(index)).await?;
        self.source.release(conn);
        Ok(Some(events))
    }

    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let mut conn = self.source.acquire().await?;
        let events = S::read_log(&mut conn).await?;
        self.source.release(conn);
        Ok(Some(events))
    }

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

struct PlainWriter<S> {
    source: S,
    plan: AppendPlan,
    note: String,
    stream: StreamId,
    version: i64,
}

#[async_trait]
impl<S: Plain> Writer for PlainWriter<S> {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        if self.plan.streams == Streams::Fresh {
            self.stream = StreamId::new("Sales", "Order", Uuid::now_v7().to_string())?;
            self.version = 0;
        }
        let rows = rows(&self.stream, self.version, first_number, self.plan.events, &self.note);
        if self.plan.scope == Scope::Pool && S::APPENDS_ALONE {
            let mut conn = self.source.acquire().await?;
            S::insert(&mut conn, &rows).await?;
            self.source.release(conn);
        } else {
            let mut tx = self.source.begin().await?;
            if self.plan.scope == Scope::Transaction {
                S::insert_order(&mut tx, &Uuid::now_v7().to_string()).await?;
            }
            S::insert(&mut tx, &rows).await?;
            self.source.commit(tx).await?;
        }
        self.version += i64::try_from(rows.len())?;
        Ok(())
    }
}
