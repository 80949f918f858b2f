//! MySQL and MariaDB: one insert of many rows, a plain select.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use es::{EventSource, StreamId};
use es_mysql::MySqlSource;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, MySqlConnection};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Row, rows};
use crate::backend::Backend;
use crate::contender::{AppendPlan, Contender, Scope, Seen, Streams, Work, Writer, note};
use crate::figure::LIMIT;
use crate::ours::filled_stream;

const COLUMNS: &str = "global_position, bounded_context, aggregate_type, aggregate_id, \
    aggregate_version, event_id, event_type, event_version, payload, metadata, \
    correlation_id, causation_id, trace_id, created_at";

/// How many rows one insert takes when there are many.
const ROWS_MAX: usize = 1000;

/// The plainest statements, on a database of their own with this library's schema.
#[derive(Debug)]
pub(crate) struct MySqlLimit {
    source: MySqlSource,
}

impl MySqlLimit {
    pub(crate) async fn open(url: &str, connections: u32) -> anyhow::Result<Self> {
        Ok(MySqlLimit { source: MySqlSource::open(url, connections).await? })
    }
}

#[async_trait]
impl Contender for MySqlLimit {
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
        Ok(Some(Box::new(RawWriter { source, plan, note, stream, version: 0 })))
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
                insert(&mut tx, &waiting).await?;
                waiting = rest;
            }
        }
        insert(&mut tx, &waiting).await?;
        self.source.commit(tx).await?;
        Ok(())
    }

    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>> {
        let stream = filled_stream(index);
        let sql = format!(
            "select {COLUMNS} from events where bounded_context = ? and aggregate_type = ? \
             and aggregate_id = ? order by aggregate_version"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .fetch_all(self.source.pool())
            .await?;
        Ok(Some(rows.len()))
    }

    async fn read_log(&self) -> anyhow::Result<Option<usize>> {
        let sql = format!("select {COLUMNS} from events order by global_position");
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(self.source.pool());
        let mut count = 0;
        while rows.try_next().await?.is_some() {
            count += 1;
        }
        Ok(Some(count))
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

struct RawWriter {
    source: MySqlSource,
    plan: AppendPlan,
    note: String,
    stream: StreamId,
    version: i64,
}

#[async_trait]
impl Writer for RawWriter {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        if self.plan.streams == Streams::Fresh {
            self.stream = StreamId::new("Sales", "Order", Uuid::now_v7().to_string())?;
            self.version = 0;
        }
        let rows = rows(&self.stream, self.version, first_number, self.plan.events, &self.note);
        if self.plan.scope == Scope::Pool && MySqlSource::APPENDS_ALONE {
            insert(&mut *self.source.acquire().await?, &rows).await?;
        } else {
            let mut tx = self.source.begin().await?;
            if self.plan.scope == Scope::Transaction {
                MySqlSource::insert_order(&mut tx, &Uuid::now_v7().to_string()).await?;
            }
            insert(&mut tx, &rows).await?;
            self.source.commit(tx).await?;
        }
        self.version += rows.len() as i64;
        Ok(())
    }
}

async fn insert(conn: &mut MySqlConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let values = vec!["(?, ?, ?, ?, ?, ?, 'OrderPlaced', 1, ?, ?)"; rows.len()].join(", ");
    let sql = format!(
        "insert into events (bounded_context, aggregate_type, aggregate_id, aggregate_version, \
         slot, event_id, event_type, event_version, payload, created_at) values {values}"
    );
    let mut insert = sqlx::query(AssertSqlSafe(sql));
    for row in rows {
        insert = insert
            .bind(row.stream.bounded_context().to_owned())
            .bind(row.stream.aggregate_type().to_owned())
            .bind(row.stream.aggregate_id().to_owned())
            .bind(row.version)
            .bind(row.slot)
            .bind(row.id)
            .bind(row.payload.clone().into_bytes())
            .bind(row.created_at.naive_utc());
    }
    insert.execute(conn).await.map(drop)
}
