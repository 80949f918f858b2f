//! Looks at the rows of the partitions all the time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use es::adapter::ProjectionStore;
use es::{EventSource, PartitionState, ProjectionName, StoreError, WorkerId};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::population::Population;
use super::takeovers::Takeovers;
use crate::backend::Backend;
use crate::effects::EFFECTS;

/// How often it looks.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);

/// How many looks in a row may fail because the database is busy or the connection was lost.
const SETBACKS_MAX: u32 = 20;

/// What the watcher saw last.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// When it began to look.
    pub(super) at: Instant,
    /// The dead whose partitions nobody has taken yet.
    pub(super) missed: HashSet<WorkerId>,
}

impl Seen {
    /// Nothing yet.
    pub(super) fn nothing() -> Self {
        Seen { at: Instant::now(), missed: HashSet::new() }
    }
}

/// Watches the partitions and tells `seen`, until it is over.
pub(super) async fn run<B: Backend>(
    backend: Arc<B>,
    population: Arc<Population>,
    seen: watch::Sender<Seen>,
    over: CancellationToken,
) -> anyhow::Result<Takeovers> {
    let (mut takeovers, mut setbacks) = (Takeovers::default(), 0);
    while !over.is_cancelled() {
        let (at, census) = (Instant::now(), population.census());
        match partitions(&*backend, &EFFECTS).await {
            Ok(partitions) => {
                setbacks = 0;
                takeovers.observe(Instant::now(), &census, &partitions);
                seen.send_replace(Seen { at, missed: takeovers.missed() });
            }
            Err(error) if error.is_retryable() && setbacks < SETBACKS_MAX => setbacks += 1,
            Err(error) => return Err(error.into()),
        }
        sleep(INTERVAL).await;
    }
    Ok(takeovers)
}

/// The partitions as they are.
pub(super) async fn partitions<B: Backend>(
    backend: &B,
    name: &ProjectionName,
) -> Result<Vec<PartitionState>, StoreError> {
    let source = backend.source();
    let mut conn = source.acquire().await?;
    source.store().partitions(&mut conn, name).await
}
