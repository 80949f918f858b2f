//! One event store under stress, and what was committed to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use es::{EventSource, EventStore, Horizon, Position};
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::ledger::Ledger;

/// How long the log may stay held when all writers have ended.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// One event store under stress.
pub(crate) struct Store<B> {
    pub(crate) name: String,
    pub(crate) backend: Arc<B>,
    pub(crate) ledger: Ledger,
}

impl<B: Backend> Store<B> {
    pub(crate) async fn open(
        url: &str,
        name: String,
        connections_max: u32,
    ) -> anyhow::Result<Self> {
        let backend = Arc::new(B::open(url, &name, connections_max).await?);
        Ok(Store { name, backend, ledger: Ledger::new() })
    }

    /// The horizon when nobody writes any more: the end of the log.
    pub(crate) async fn settled(&self) -> anyhow::Result<Position> {
        let source = self.backend.source();
        let mut conn = source.acquire().await?;
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let horizon = source.store().horizon(&mut conn, Position::START).await?;
            let Horizon { position, end, held_by, .. } = horizon;
            if position == end {
                return Ok(end);
            }
            if Instant::now() >= deadline {
                bail!(
                    "{}: all writers have ended, but the horizon stays at {position}, below the \
                     end of the log at {end}, held by {held_by:?}",
                    self.name
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}
