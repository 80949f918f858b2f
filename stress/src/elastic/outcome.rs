//! What came of a run: what it prints, and whether it is good.

use std::sync::Arc;

use anyhow::bail;

use super::letters::Letters;
use super::population::Population;
use super::rescaling::Change;
use super::takeovers::Takeovers;
use super::watcher::INTERVAL;
use super::{LEASE, PARTITIONS, POLL, SLACK, Seconds};
use crate::report;
use crate::run::Observed;
use crate::tally::Tally;
use crate::verdict::Verdict;

/// What came of a run.
pub(crate) struct Outcome {
    pub(super) observed: Observed,
    pub(super) population: Arc<Population>,
    pub(super) takeovers: Takeovers,
    pub(super) changes: Vec<Change>,
    pub(super) letters: Letters,
}

impl Outcome {
    /// Prints everything, the verdict last, and fails if anything was found, or if nothing could
    /// have been. `choices` repeat the run.
    pub(crate) fn judge(&self, tally: &Tally, choices: &str) -> anyhow::Result<()> {
        let verdict = Verdict::of_projection(&self.observed)?;
        report::print_readers(&verdict);
        println!("{}", report::transactions(tally));
        self.print_workers();
        println!("{choices}");
        report::print_last_line(&verdict);
        verdict.judge(true)?;
        self.judge_takeovers()?;
        self.judge_scope()
    }

    fn print_workers(&self) {
        let Population { joins, leaves, kills, pauses, .. } = &*self.population;
        let Takeovers { measured, disturbed, stolen, .. } = &self.takeovers;
        println!(
            "joins={} leaves={} kills={} pauses={} stolen_while_paused={stolen}",
            joins.get(),
            leaves.get(),
            kills.get(),
            pauses.get()
        );
        let longest =
            self.takeovers.longest().map_or("none".to_owned(), |it| Seconds(it).to_string());
        println!(
            "takeovers={} longest={longest} lease={} poll={} looked_every={} unmeasured={disturbed}",
            measured.len(),
            Seconds(LEASE),
            Seconds(POLL),
            Seconds(INTERVAL)
        );
        let Letters { handled, failed, most } = self.letters;
        println!("dead_letters_handled={handled} failed_again={failed} most_at_once={most}");
        let changes = self
            .changes
            .iter()
            .map(|Change { from, to, took }| format!("{from}->{to} in {}", Seconds(*took)));
        println!("rescales={} ({})", self.changes.len(), changes.collect::<Vec<_>>().join(", "));
    }

    /// Fails if somebody's partitions were without an owner for too long.
    fn judge_takeovers(&self) -> anyhow::Result<()> {
        let limit = LEASE + POLL + SLACK;
        match self.takeovers.longest() {
            Some(longest) if longest > limit => bail!(
                "a takeover took {}, longer than a lease, a poll and {} for the machine",
                Seconds(longest),
                Seconds(SLACK)
            ),
            _ => Ok(()),
        }
    }

    /// Fails if what was to happen did not happen.
    fn judge_scope(&self) -> anyhow::Result<()> {
        let Takeovers { measured, stolen, .. } = &self.takeovers;
        let missing = [
            (measured.is_empty(), "no partition of a killed worker was taken over"),
            (*stolen == 0, "no partition was taken from a worker that was stopped"),
            (self.letters.handled == 0, "no event was parked"),
            (self.changes.len() + 1 < PARTITIONS.len(), "the projection was not rescaled"),
        ];
        match missing.iter().find(|(is_missing, _)| *is_missing) {
            Some((_, what)) => bail!("{what}, so the stress proved nothing: give it more time"),
            None => Ok(()),
        }
    }
}
