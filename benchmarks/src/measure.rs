//! The measures: each takes the contenders through the same work, round by round in turn.

pub(crate) mod append;
pub(crate) mod growth;
pub(crate) mod horizon;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod lost;
pub(crate) mod memory;
pub(crate) mod partitions;
pub(crate) mod project;
pub(crate) mod read;
pub(crate) mod steps;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;

use crate::contender::{AppendPlan, Contender, Scope, Streams, Writer};
use crate::figure::Figure;

/// The payload most measures use, in bytes.
pub(crate) const SMALL: usize = 150;

/// The other payload.
pub(crate) const LARGE: usize = 2000;

/// How many of the contenders are ours and the limit; the peers come behind them.
pub(crate) const OWN: usize = 2;

/// What a measure works with.
pub(crate) struct Bench {
    /// Ours first, the limit second, then the peers.
    pub(crate) contenders: Vec<Box<dyn Contender>>,
    /// Whether everything is cut short.
    pub(crate) is_quick: bool,
    /// How often each figure is taken.
    pub(crate) rounds: usize,
    /// What was measured so far.
    pub(crate) figures: Vec<Figure>,
}

/// How often each writer appends before the clock runs: as often as PostgreSQL plans a statement
/// before it may keep the plan.
const WARM_UP_APPENDS: usize = 5;

/// What a figure is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) measure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
}

impl Kind {
    pub(crate) const fn more(measure: &'static str, unit: &'static str) -> Kind {
        Kind { measure, unit, more_is_better: true }
    }

    pub(crate) const fn less(measure: &'static str, unit: &'static str) -> Kind {
        Kind { measure, unit, more_is_better: false }
    }
}

impl Bench {
    /// One of two values: the first in a quick run.
    pub(crate) fn quick_or<T>(&self, quick: T, full: T) -> T {
        if self.is_quick { quick } else { full }
    }

    /// How long the writers of one round append.
    pub(crate) fn append_time(&self) -> Duration {
        self.quick_or(Duration::from_millis(300), Duration::from_millis(700))
    }

    /// Adds a round to a figure.
    pub(crate) fn record(&mut self, kind: Kind, setting: &str, contender: &str, value: f64) {
        let is_it = |figure: &&mut Figure| {
            figure.measure == kind.measure
                && figure.setting == setting
                && figure.contender == contender
                && figure.unit == kind.unit
        };
        if let Some(figure) = self.figures.iter_mut().find(is_it) {
            figure.rounds.push(value);
            return;
        }
        self.figures.push(Figure {
            measure: kind.measure.to_owned(),
            setting: setting.to_owned(),
            contender: contender.to_owned(),
            unit: kind.unit.to_owned(),
            more_is_better: kind.more_is_better,
            rounds: vec![value],
        });
    }

    /// The contenders in an order that begins with another one each round, so that none always
    /// has the quiet moment.
    pub(crate) fn turn(&self, round: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.contenders.len();
        (0..count).map(move |index| (index + round) % count)
    }

    /// Waits: what a large import left for the server to write and to clean up must not weigh on
    /// what is measured next.
    pub(crate) async fn settle(&self) {
        let pause = self.quick_or(Duration::from_secs(1), Duration::from_secs(20));
        tokio::time::sleep(pause).await;
    }

    /// Lets every contender begin with empty tables.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        for contender in &self.contenders {
            contender.prepare().await?;
        }
        Ok(())
    }
}

/// Tells the terminal what is being measured.
pub(crate) fn announce(what: &str) {
    eprintln!("── {what}");
}

/// A plan for single events in fresh streams.
pub(crate) fn one_event() -> AppendPlan {
    AppendPlan { events: 1, payload_bytes: SMALL, streams: Streams::Fresh, scope: Scope::Pool }
}

/// So many writers of a contender, or `None` where it has none for the plan.
pub(crate) async fn writers_of(
    contender: &dyn Contender,
    plan: AppendPlan,
    count: usize,
) -> anyhow::Result<Option<Vec<Box<dyn Writer>>>> {
    let mut writers = Vec::with_capacity(count);
    for index in 0..count {
        let Some(writer) = contender.writer(index, plan).await? else { return Ok(None) };
        writers.push(writer);
    }
    Ok(Some(writers))
}

/// Appends so many events at a time, from all writers at once, for so long; gives how many appends
/// there were and how long it took.
pub(crate) async fn write_all(
    writers: Vec<Box<dyn Writer>>,
    events: usize,
    duration: Duration,
) -> anyhow::Result<(u64, Duration)> {
    let start = Arc::new(Barrier::new(writers.len() + 1));
    let run = |mut writer: Box<dyn Writer>, start: Arc<Barrier>| async move {
        let warmed_up = warm_up(&mut *writer).await;
        // A writer that fails must not let the others wait.
        start.wait().await;
        warmed_up?;
        let deadline = Instant::now() + duration;
        let mut appends = 0_u64;
        while Instant::now() < deadline {
            writer.append(appends * events as u64).await?;
            appends += 1;
        }
        anyhow::Ok(appends)
    };
    let run = |writer| tokio::spawn(run(writer, Arc::clone(&start)));
    let tasks: Vec<_> = writers.into_iter().map(run).collect();
    start.wait().await;
    let started = Instant::now();
    let mut appends = 0;
    for task in tasks {
        appends += task.await??;
    }
    Ok((appends, started.elapsed()))
}

/// Makes connections and lets statements be planned.
async fn warm_up(writer: &mut dyn Writer) -> anyhow::Result<()> {
    for _ in 0..WARM_UP_APPENDS {
        writer.append(0).await?;
    }
    Ok(())
}
