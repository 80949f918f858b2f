//! Appends to a table that has grown.

use std::time::{Duration, Instant};

use super::{Bench, Kind, SMALL, announce, one_event};
use crate::contender::Contender;

const GROWTH: Kind = Kind::less("growth", "µs an append");
const SHARE: Kind = Kind::less("growth", "of the time in the smallest table");

/// Events in each stream that was there before.
const STREAM_LENGTH: usize = 100;

/// How many events are imported in one transaction.
const STEP: usize = 500_000;

/// Measures the time of one append, of ours alone, at growing numbers of events.
pub(crate) async fn growth(bench: &mut Bench, ours: &dyn Contender) -> anyhow::Result<()> {
    let sizes: &[usize] =
        if bench.is_quick { &[10_000, 100_000] } else { &[10_000, 1_000_000, 10_000_000] };
    let duration = bench.quick_or(Duration::from_millis(500), Duration::from_secs(3));
    ours.prepare().await?;
    let (mut stored, mut smallest) = (0, None);
    for &size in sizes {
        announce(&format!("growth: {size} events"));
        while stored < size {
            let end = size.min(stored + STEP);
            ours.fill(stored / STREAM_LENGTH..end / STREAM_LENGTH, STREAM_LENGTH, SMALL).await?;
            stored = end;
        }
        bench.settle().await;
        let (setting, mut rounds) = (format!("{size} events stored"), Vec::new());
        for _ in 0..bench.rounds {
            let Some(mut writer) = ours.writer(0, one_event()).await? else { return Ok(()) };
            writer.append(0).await?;
            let mut times = Vec::new();
            let started = Instant::now();
            while started.elapsed() < duration {
                let began = Instant::now();
                writer.append(1).await?;
                times.push(began.elapsed());
            }
            times.sort_unstable();
            let median = times[times.len() / 2].as_secs_f64() * 1e6;
            bench.record(GROWTH, &setting, ours.name(), median);
            rounds.push(median);
        }
        rounds.sort_by(f64::total_cmp);
        let median = rounds[rounds.len() / 2];
        let smallest = *smallest.get_or_insert(median);
        bench.record(SHARE, &setting, ours.name(), median / smallest);
    }
    Ok(())
}
