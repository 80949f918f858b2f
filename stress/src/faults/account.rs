//! Compares what was committed with what was handled and what was parked.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use super::evidence::{Evidence, Projected};
use super::ledger::Outcome;
use super::planter::PLANTED;
use crate::check::{Findings, Truth, Wanted, check, check_truth};
use crate::ledger::Committed;
use crate::sighting::{Sighting, SightingRow, Trail};
use crate::verdict::aggregates;

/// What a run proves.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) committed: u64,
    /// Handled or parked, by the projection that did so with the fewest.
    pub(super) seen: u64,
    pub(super) skipped: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
    /// By all projections together.
    pub(super) parked: u64,
    /// For all projections together.
    pub(super) planted: u64,
    /// What else is wrong.
    pub(super) wrong: Vec<String>,
}

impl Account {
    pub(super) fn of(evidence: &Evidence) -> anyhow::Result<Self> {
        let (planted, ordinary): (Vec<SightingRow>, Vec<SightingRow>) = evidence
            .events
            .iter()
            .cloned()
            .partition(|(_, aggregate_id, ..)| aggregate_id.starts_with(PLANTED));
        let truth = truth(ordinary)?;
        let mut account = Account {
            committed: count(evidence.events.len()),
            seen: u64::MAX,
            wrong: check_writers(evidence),
            ..Account::default()
        };
        account.add(check_truth(&truth));
        for projected in &evidence.projections {
            account.add_projection(&truth, &planted, projected)?;
        }
        Ok(account)
    }

    fn add_projection(
        &mut self,
        truth: &Truth,
        planted: &[SightingRow],
        projected: &Projected,
    ) -> anyhow::Result<()> {
        // A planted event that was handled is no event of an aggregate.
        let (handled, effects): (Vec<SightingRow>, Vec<SightingRow>) = projected
            .effects
            .iter()
            .cloned()
            .partition(|(_, aggregate_id, ..)| aggregate_id.starts_with(PLANTED));
        let findings = check(truth, &aggregates(&Sighting::of_rows(effects)?), Wanted::All);
        let positions: BTreeSet<i64> = planted.iter().map(|(.., position)| *position).collect();
        let letters: BTreeSet<i64> = projected.letters.iter().copied().collect();
        let parked = count(letters.len());
        self.add(findings);
        self.seen = self.seen.min(findings.seen + count(letters.intersection(&positions).count()));
        self.planted += count(positions.len());
        self.parked += parked;
        let name = &projected.name;
        let not_planted: Vec<_> = letters.difference(&positions).collect();
        if !not_planted.is_empty() {
            self.wrong.push(format!("{name}: parked without a reason: {not_planted:?}"));
        }
        let not_parked: Vec<_> = positions.difference(&letters).collect();
        if !not_parked.is_empty() {
            self.wrong.push(format!("{name}: planted and not parked: {not_parked:?}"));
        }
        if !handled.is_empty() {
            self.wrong.push(format!("{name}: planted and handled: {handled:?}"));
        }
        if findings.wrong > 0 {
            self.wrong.push(format!("{name}: {} effects of no event", findings.wrong));
        }
        Ok(())
    }

    fn add(&mut self, findings: Findings) {
        self.skipped += findings.skipped;
        self.duplicated += findings.duplicated;
        self.out_of_order += findings.stream_disorder;
    }

    pub(super) fn is_flawless(&self) -> bool {
        let flaws = self.skipped + self.duplicated + self.out_of_order;
        flaws == 0
            && self.committed == self.seen
            && self.parked == self.planted
            && self.wrong.is_empty()
    }
}

/// The line that says all.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { committed, seen, skipped, duplicated, out_of_order, parked, planted, .. } =
            self;
        write!(
            f,
            "committed={committed} seen={seen} skipped={skipped} duplicated={duplicated} \
             out_of_order={out_of_order} parked={parked} planted={planted}"
        )
    }
}

fn truth(events: Vec<SightingRow>) -> anyhow::Result<Truth> {
    let trail: Trail = Sighting::of_rows(events)?;
    let committed =
        |sighting: Sighting| (sighting.event_id, Committed { sighting, is_wanted_type: false });
    Ok(trail.into_iter().map(committed).collect::<HashMap<_, _>>())
}

/// Whether what is there is what the writers were told, whole transactions with their own rows.
fn check_writers(evidence: &Evidence) -> Vec<String> {
    let there: HashSet<Uuid> = evidence.events.iter().map(|(id, ..)| *id).collect();
    let own_rows: HashSet<Uuid> = evidence.own_rows.iter().copied().collect();
    let mut wrong = Vec::new();
    if there != own_rows {
        let odd = there.symmetric_difference(&own_rows).count();
        wrong.push(format!("{odd} events without the writer's own row, or rows without the event"));
    }
    let mut known = HashSet::new();
    for entry in &evidence.entries {
        known.extend(entry.events.iter().copied());
        let found = entry.events.iter().filter(|id| there.contains(id)).count();
        let is_right = match entry.outcome {
            Outcome::Committed => found == entry.events.len(),
            Outcome::RolledBack => found == 0,
            Outcome::Unknown => found == 0 || found == entry.events.len(),
        };
        if !is_right {
            let (outcome, all) = (entry.outcome, entry.events.len());
            wrong.push(format!("{outcome:?}: {found} of {all} events are there"));
        }
    }
    let unknown = there.difference(&known).count();
    if unknown > 0 {
        wrong.push(format!("{unknown} events that nobody has appended"));
    }
    wrong
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
