//! What processors cost that have nothing to do.

use std::sync::Arc;
use std::time::Duration;

use es::Partition;
use es_postgres::PgSource;
use projection::Processor;
use tokio_util::sync::CancellationToken;

use super::{Bench, Kind, announce};
use crate::backend::Backend;
use crate::contender::Work;
use crate::figure::OURS;
use crate::ours::{Counting, Ours};

const IDLE: Kind = Kind::less("idle", "queries/s");

/// Counts the transactions of the server while processes wait for events; a query outside a
/// transaction is one.
pub(crate) async fn idle(bench: &mut Bench, ours: &Ours<PgSource>) -> anyhow::Result<()> {
    let seconds = bench.quick_or(4, 20);
    for projections in [1, 8] {
        announce(&format!("idle: {projections} projections"));
        ours.source.reset().await?;
        let source = Arc::new(ours.source.clone());
        let mut processor = Processor::new(source).with_assigned([Partition::ALL]);
        for _ in 0..projections {
            let projection = Counting::<PgSource>::new(Work::Nothing, None)?;
            processor = processor.with_projection(projection);
        }
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { processor.run(stop).await }
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = transactions(&ours.source).await?;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let after = transactions(&ours.source).await?;
        stop.cancel();
        running.await??;
        let rate = (after - before) as f64 / seconds as f64;
        bench.record(IDLE, &format!("{projections} projections in one process"), OURS, rate);
    }
    Ok(())
}

async fn transactions(source: &PgSource) -> anyhow::Result<i64> {
    // Sessions report what they have done with a delay of up to a second when they are idle.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let count = sqlx::query_scalar(
        "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
    );
    Ok(count.fetch_one(source.pool()).await?)
}
