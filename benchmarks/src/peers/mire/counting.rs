//! A projection of mire that does the measured work and counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use es_postgres::PgSource;
use mire::{HandledEvent, TransactionalBatchEventHandler};
use sqlx::PgConnection;
use tokio::sync::mpsc::UnboundedSender;

use super::{Order, OrderEvent};
use crate::backend::Backend;
use crate::contender::{Seen, Work};

/// A projection that does the measured work and counts.
pub(super) struct Counting {
    work: Work,
    seen: Option<UnboundedSender<Seen>>,
    /// How many events were handled, committed or not.
    pub(super) handled: Arc<AtomicU64>,
}

impl Counting {
    pub(super) fn new(work: Work, seen: Option<UnboundedSender<Seen>>) -> Self {
        Counting { work, seen, handled: Arc::default() }
    }
}

impl TransactionalBatchEventHandler for Counting {
    type Aggregate = Order;

    async fn handle_batch(
        &self,
        events: Vec<HandledEvent<OrderEvent>>,
        conn: &mut PgConnection,
    ) -> anyhow::Result<()> {
        match self.work {
            Work::Nothing => {}
            Work::UpsertEach => {
                for event in &events {
                    PgSource::upsert(conn, event.stream_id()).await?;
                }
            }
            Work::UpsertBatch => {
                let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
                for event in &events {
                    *counts.entry(event.stream_id()).or_default() += 1;
                }
                let counts = counts.into_iter().map(|(id, count)| (id.to_owned(), count));
                PgSource::upsert_many(conn, &counts.collect::<Vec<_>>()).await?;
            }
        }
        if let Some(seen) = &self.seen {
            for event in &events {
                let OrderEvent::Placed { n, .. } = event.event;
                seen.send(Seen { number: n, at: Instant::now() })?;
            }
        }
        self.handled.fetch_add(events.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
