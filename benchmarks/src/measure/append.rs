//! Appends: one, ten and a hundred events, by one, eight and thirty-two writers; and imports.

use std::time::Instant;

use super::{Bench, Kind, LARGE, OWN, SMALL, announce, write_all, writers_of};
use crate::contender::{AppendPlan, Scope, Streams};

const APPEND: Kind = Kind::more("append", "appends/s");
const IMPORT: Kind = Kind::more("import", "events/s");

/// Events in each stream of an import.
const STREAM_LENGTH: usize = 10;

/// Measures every combination that says something new.
pub(crate) async fn append(bench: &mut Bench) -> anyhow::Result<()> {
    bench.prepare().await?;
    for (plan, writers) in plans(bench.is_quick) {
        let setting = setting(plan, writers);
        announce(&format!("append: {setting}"));
        for round in 0..bench.rounds {
            for index in bench.turn(round) {
                let contender = &bench.contenders[index];
                let name = contender.name();
                if let Some(writers) = writers_of(&**contender, plan, writers).await? {
                    let (appends, taken) =
                        write_all(writers, plan.events, bench.append_time()).await?;
                    bench.record(APPEND, &setting, name, appends as f64 / taken.as_secs_f64());
                }
            }
        }
    }
    Ok(())
}

fn plans(is_quick: bool) -> Vec<(AppendPlan, usize)> {
    let events: &[usize] = if is_quick { &[1, 10] } else { &[1, 10, 100] };
    let writers: &[usize] = if is_quick { &[1, 8] } else { &[1, 8, 32] };
    let mut plans = Vec::new();
    for scope in [Scope::Pool, Scope::Transaction] {
        for streams in [Streams::Fresh, Streams::Hot] {
            for &events in events {
                for &writers in writers {
                    let is_said = !is_quick || streams == Streams::Fresh || events == 1;
                    if is_said {
                        let payload_bytes = SMALL;
                        plans.push((AppendPlan { events, payload_bytes, streams, scope }, writers));
                    }
                }
            }
        }
    }
    let (payload_bytes, streams, scope) = (LARGE, Streams::Fresh, Scope::Pool);
    let large = |events| (AppendPlan { events, payload_bytes, streams, scope }, 8);
    plans.extend(events.iter().copied().map(large));
    plans
}

/// The plan in words.
pub(super) fn setting(plan: AppendPlan, writers: usize) -> String {
    let AppendPlan { events, payload_bytes, .. } = plan;
    let streams = match plan.streams {
        Streams::Fresh => "fresh streams",
        Streams::Hot => "hot streams",
    };
    let scope = match plan.scope {
        Scope::Pool => "pool",
        Scope::Transaction => "transaction with a row",
    };
    let (plural, many) = (plural(events), plural(writers));
    format!("{events} event{plural}, {writers} writer{many}, {streams}, {scope}, {payload_bytes} B")
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Measures the import of many events of many streams.
pub(crate) async fn import(bench: &mut Bench) -> anyhow::Result<()> {
    let events = bench.quick_or(30_000, 1_000_000);
    let rounds = bench.quick_or(2, 3);
    let setting = format!("{events} events, {} streams, {SMALL} B", events / STREAM_LENGTH);
    announce(&format!("import: {setting}"));
    for round in 0..rounds {
        for index in bench.turn(round) {
            let contender = &bench.contenders[index];
            let name = contender.name();
            let is_bulk = index < OWN;
            // The peers have no import: a part of it tells their rate.
            let count = if is_bulk { events } else { events.min(20_000) };
            contender.prepare().await?;
            let started = Instant::now();
            contender.fill(0..count / STREAM_LENGTH, STREAM_LENGTH, SMALL).await?;
            let rate = count as f64 / started.elapsed().as_secs_f64();
            bench.record(IMPORT, &setting, name, rate);
        }
    }
    bench.prepare().await
}
