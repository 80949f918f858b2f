//! A worker, run by a process of its own so that it can be killed and stopped.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::WorkerId;
use projection::{Processor, ProjectionOptions};
use tokio_util::sync::CancellationToken;

use super::{LEASE, PARTITIONS, POLL};
use crate::backend::Backend;
use crate::effects::Effects;
use crate::projector::cancel_when_input_ends;

/// What the process prints when it begins.
pub(super) const READY: &str = "ready";

/// Enough for all partitions, should it be alone.
const CONNECTIONS_MAX: u32 = 10;

/// Small, so that there are many commits for a kill to meet.
const BATCH_SIZE_MAX: NonZeroU32 = NonZeroU32::new(50).expect("it is not zero");

/// Works on the projection of a store until standard input ends.
pub(crate) async fn run<B: Backend>(url: &str, store: &str, id: &str) -> anyhow::Result<()> {
    let backend = B::open(url, store, CONNECTIONS_MAX).await?;
    let options = ProjectionOptions::default()
        .with_partitions(PARTITIONS[0])
        .with_batch_size_max(BATCH_SIZE_MAX)
        .with_poll_interval_max(Duration::from_millis(50));
    let worker = Processor::new(Arc::clone(backend.source()))
        .with_id(WorkerId::new(id)?)
        .with_lease(LEASE)
        .with_poll_interval(POLL)
        .with_projection_options(Effects::<B>::with_poison(), options);
    let shutdown = CancellationToken::new();
    cancel_when_input_ends(shutdown.clone());
    println!("{READY}");
    Ok(worker.run(shutdown).await?)
}
