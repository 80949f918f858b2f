//! What is sent to workers that share a projection, beside what one alone is sent.

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context;
use es::{Partition, PartitionCount};
use es_postgres::PgSource;
use projection::Processor;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use super::{Bench, Kind, SMALL, announce};
use crate::backend::Backend;
use crate::contender::{Contender, Work};
use crate::figure::OURS;
use crate::ours::{Counting, Ours};
use crate::proxy::Proxy;

/// As many as the pool has.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");

const SHIPPED: Kind = Kind::less("partitions", "bytes an event, all workers");
const SHARE: Kind = Kind::less("partitions", "of what one worker is sent");

/// Counts the bytes the server sends to one worker and to eight.
pub(crate) async fn partitions(bench: &mut Bench, url: &str) -> anyhow::Result<()> {
    let events = bench.quick_or(20_000, 200_000);
    announce("partitions");
    let ours = Ours::<PgSource>::open(url, 4).await?;
    ours.prepare().await?;
    ours.fill(0..events / 10, 10, SMALL).await?;

    let options: PgConnectOptions = url.parse()?;
    let proxy = Proxy::start(options.get_port()).await?;
    let (before, after) =
        url.split_once(&format!(":{}", options.get_port())).context("the URL names no port")?;
    let source = Arc::new(PgSource::open(&format!("{before}:{}{after}", proxy.port), 16).await?);
    let mut alone = 0.0;
    for total in [1, 8] {
        let projection = Arc::new(Counting::<PgSource>::new(Work::Nothing, None)?);
        let processor = Processor::new(Arc::clone(&source))
            .with_projection(Arc::clone(&projection))
            .with_assigned(Partition::split(PartitionCount::of(total)))
            .with_connections_max(CONNECTIONS_MAX);
        proxy.take();
        processor.run_until_caught_up(CancellationToken::new()).await?;
        let bytes = proxy.take() as f64 / events as f64;
        anyhow::ensure!(projection.handled() == events as u64, "some events were not handled");
        if total == 1 {
            alone = bytes;
        }
        let plural = if total == 1 { "" } else { "s" };
        let setting = format!("{total} worker{plural}, {SMALL} B");
        bench.record(SHIPPED, &setting, OURS, bytes);
        if total > 1 {
            bench.record(SHARE, &setting, OURS, bytes / alone);
        }
    }
    Ok(())
}
