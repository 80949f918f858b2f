//! Projections that catch up with a long log.

use es::PartitionCount;

use super::read::fill;
use super::{Bench, Kind, SMALL, announce};
use crate::backend::Backend;
use crate::contender::{Contender, Work};
use crate::ours::Ours;

const PROJECT: Kind = Kind::more("projection", "events/s");

/// Measures a projection from the start of the log to its end, for each kind of work; ours also
/// in several partitions.
pub(crate) async fn project<B: Backend>(bench: &mut Bench, ours: &Ours<B>) -> anyhow::Result<()> {
    let events = bench.quick_or(20_000, 1_000_000);
    let partitioned = ours.with_partitions(PartitionCount::of(4));
    let rounds = bench.quick_or(2, 3);
    let mut counts = fill(bench, events).await?;
    let works = [
        (Work::Nothing, "no-op"),
        (Work::UpsertBatch, "an upsert a batch"),
        (Work::UpsertEach, "an upsert an event"),
    ];
    for (work, what) in works {
        let setting = format!("{what}, {SMALL} B");
        announce(&format!("projection: {setting}"));
        if work == Work::UpsertEach {
            // A round trip for each event takes its time: a shorter log tells the rate as well.
            counts = fill(bench, bench.quick_or(5_000, 50_000)).await?;
        }
        for round in 0..rounds {
            for index in bench.turn(round) {
                let contender = &bench.contenders[index];
                let name = contender.name();
                if let Some(taken) = contender.project(work, counts[index]).await? {
                    let rate = counts[index] as f64 / taken.as_secs_f64();
                    bench.record(PROJECT, &setting, name, rate);
                }
            }
            if let Some(taken) = partitioned.project(work, counts[0]).await? {
                let rate = counts[0] as f64 / taken.as_secs_f64();
                bench.record(PROJECT, &setting, partitioned.name(), rate);
            }
        }
    }
    Ok(())
}
