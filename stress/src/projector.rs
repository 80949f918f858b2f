//! The projection, run by a process of its own so that it can be killed.

use std::io::Read;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::{Partition, PartitionCount};
use projection::{Processor, ProjectionOptions};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::effects::Effects;

/// How many partitions the projection has; one process drives all.
pub(crate) const PARTITIONS: PartitionCount = PartitionCount::of(2);

/// A worker holds one at a time.
const CONNECTIONS_MAX: u32 = 2;

/// Small, so that there are many commits for a kill to meet.
const BATCH_SIZE_MAX: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");

/// When the process is to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When its standard input ends: when the process that started it is gone.
    InputEnds,
    CaughtUp,
}

/// Projects the events of a store.
pub(crate) async fn run<B: Backend>(url: &str, store: &str, until: Until) -> anyhow::Result<()> {
    let backend = B::open(url, store, CONNECTIONS_MAX).await?;
    let options = ProjectionOptions::default()
        .with_batch_size_max(BATCH_SIZE_MAX)
        .with_poll_interval_max(Duration::from_millis(20));
    let processor = Processor::new(Arc::clone(backend.source()))
        .with_projection_options(Effects::<B>::new(), options)
        .with_assigned(Partition::split(PARTITIONS));
    let shutdown = CancellationToken::new();
    match until {
        Until::CaughtUp => processor.run_until_caught_up(shutdown).await?,
        Until::InputEnds => {
            cancel_when_input_ends(shutdown.clone());
            processor.run(shutdown).await?;
        }
    }
    Ok(())
}

/// Notices that the one that started this process is gone, or wants it to end.
///
/// On a thread, for reading the standard input cannot be cancelled and the end of the process must
/// not wait for it.
pub(crate) fn cancel_when_input_ends(shutdown: CancellationToken) {
    std::thread::spawn(move || {
        // Nothing is ever written to it. An error means the same as its end.
        let _ = std::io::stdin().read(&mut [0]);
        shutdown.cancel();
    });
}
