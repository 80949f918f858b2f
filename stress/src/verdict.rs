//! The verdict on a run: every reader's findings, in all stores together.

use std::collections::BTreeMap;

use anyhow::bail;
use es::Partition;

use crate::aggregate::Aggregate;
use crate::check::{Findings, Wanted, check, check_totals, check_truth};
use crate::projector;
use crate::reader::Role;
use crate::run::Observed;
use crate::sighting::Trail;

/// The verdict on a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) committed: u64,
    /// What must be flawless, with what each is called.
    pub(crate) readers: Vec<(&'static str, Findings)>,
    /// What skips events wherever transactions overlap, if it was part of the run.
    pub(crate) naive: Option<Findings>,
    /// How many of the committed events have been seen by every reader that wants all.
    pub(crate) seen: u64,
}

impl Verdict {
    pub(crate) fn of(observed: &[Observed]) -> anyhow::Result<Self> {
        let sum = |findings: &dyn Fn(&Observed) -> Findings| {
            let mut total = Findings::default();
            for store in observed {
                total += findings(store);
            }
            total
        };
        let read = |is_it: fn(Role) -> bool, wanted| {
            sum(&|store| check(&store.truth, &trails(store, is_it), wanted))
        };
        let wants_all = [
            ("unfiltered reader", read(|role| role == Role::Unfiltered, Wanted::All)),
            ("partitions", read(|role| matches!(role, Role::Partition(_)), Wanted::All)),
            (
                "projection, rows",
                sum(&|store| check(&store.truth, &partitions(&store.effects), Wanted::All)),
            ),
            ("projection, totals", sum(&|store| check_totals(&store.truth, &store.totals))),
        ];
        let mut readers = vec![
            ("writers", sum(&|store| check_truth(&store.truth))),
            ("filtered reader", read(|role| role == Role::Filtered, Wanted::Types)),
        ];
        let seen = wants_all.iter().map(|(_, findings)| findings.seen).min().unwrap_or(0);
        readers.extend(wants_all);
        let committed: usize = observed.iter().map(|store| store.truth.len()).sum();
        let naive = read(|role| role == Role::Naive, Wanted::All);
        Ok(Verdict { committed: u64::try_from(committed)?, readers, naive: Some(naive), seen })
    }

    /// The verdict on a run in which only a projection read, whose partitions did not stay the same:
    /// what stays in order is each aggregate.
    pub(crate) fn of_projection(observed: &Observed) -> anyhow::Result<Self> {
        let Observed { truth, effects, totals, .. } = observed;
        let rows = check(truth, &aggregates(effects), Wanted::All);
        let totals = check_totals(truth, totals);
        let readers = vec![
            ("writers", check_truth(truth)),
            ("projection, rows", rows),
            ("projection, totals", totals),
        ];
        let (committed, seen) = (u64::try_from(truth.len())?, rows.seen.min(totals.seen));
        Ok(Verdict { committed, readers, naive: None, seen })
    }

    /// The findings of all that must be flawless.
    pub(crate) fn total(&self) -> Findings {
        let mut total = Findings::default();
        for (_, findings) in &self.readers {
            total += *findings;
        }
        total
    }

    /// Fails if anything was found, or if nothing could have been.
    pub(crate) fn judge(&self, may_skip_nothing_naively: bool) -> anyhow::Result<()> {
        let total = self.total();
        let disorder = total.log_disorder + total.stream_disorder;
        if total.skipped + total.duplicated + disorder + total.wrong > 0 {
            bail!("the store or the projection has failed; the table says which reader saw it");
        }
        if self.committed == 0 {
            bail!("nothing was committed, so the stress proved nothing: give it more time");
        }
        let has_skipped = self.naive.is_none_or(|naive| naive.skipped > 0);
        if !has_skipped && !may_skip_nothing_naively {
            bail!(
                "the naive reader skipped nothing, so the stress proved nothing: give it more \
                 writers or more time"
            );
        }
        Ok(())
    }
}

fn trails(store: &Observed, is_it: fn(Role) -> bool) -> Vec<Trail> {
    let readings = store.readings.iter().filter(|(role, _)| is_it(*role));
    readings.map(|(_, trail)| trail.clone()).collect()
}

/// The projection's rows by partition: each partition has an order of its own.
fn partitions(effects: &Trail) -> Vec<Trail> {
    let partitions = Partition::split(projector::PARTITIONS);
    let of_partition = |partition: Partition| {
        let own = effects.iter().filter(|seen| partition.contains(seen.aggregate.slot()));
        own.copied().collect()
    };
    partitions.map(of_partition).collect()
}

/// The projection's rows by aggregate, whatever partition it was in.
pub(crate) fn aggregates(effects: &Trail) -> Vec<Trail> {
    let mut trails: BTreeMap<Aggregate, Trail> = BTreeMap::new();
    for seen in effects {
        trails.entry(seen.aggregate).or_default().push(*seen);
    }
    trails.into_values().collect()
}
