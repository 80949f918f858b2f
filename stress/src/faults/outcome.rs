//! What came of a run: what it prints, and whether it is good.

use std::time::Duration;

use anyhow::bail;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::account::Account;
use super::counts::Counts;
use super::database::Fault;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(super) account: Account,
    pub(super) counts: Vec<(&'static str, u64)>,
    pub(super) complaints: Vec<String>,
    pub(super) takeovers: Vec<(Fault, Duration)>,
    /// How long one may take.
    pub(super) takeover_max: Duration,
    /// What was to happen at least once and did not.
    pub(super) missing: Vec<&'static str>,
}

/// How many complaints are printed.
const COMPLAINTS_MAX: usize = 30;

/// What handlers and drops do, beside the faults that are drawn.
const EXPECTED: [&str; 6] = [
    "dropped futures of operators",
    "dropped futures of workers",
    "dropped futures of writers",
    "processes ended by a handler",
    "workers dropped by a handler",
    "workers that left",
];

/// What of `faults` and of what handlers do has not happened.
pub(super) fn missing(counts: &Counts, faults: &[Fault]) -> Vec<&'static str> {
    let wanted = faults.iter().map(|fault| fault.name()).chain(EXPECTED);
    wanted.filter(|what| counts.get(what) == 0).collect()
}

impl Outcome {
    /// Prints everything, the account last, and fails if anything was found, or if nothing could
    /// have been. `choices` repeat the run.
    pub(crate) fn judge(&self, choices: &str) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(["what happened", "times"]);
        for (what, count) in &self.counts {
            let count = Cell::new(count).set_alignment(CellAlignment::Right);
            table.add_row([Cell::new(what), count]);
        }
        println!("{table}");
        let longest = self.takeovers.iter().map(|(_, took)| *took).max().unwrap_or_default();
        println!(
            "takeovers={} longest={:.2}s limit={:.2}s",
            self.takeovers.len(),
            longest.as_secs_f64(),
            self.takeover_max.as_secs_f64()
        );
        let wrong: Vec<_> = self.complaints.iter().chain(&self.account.wrong).collect();
        for complaint in wrong.iter().take(COMPLAINTS_MAX) {
            println!("WRONG: {complaint}");
        }
        if wrong.len() > COMPLAINTS_MAX {
            println!("WRONG: and {} more", wrong.len() - COMPLAINTS_MAX);
        }
        println!("{choices}");
        println!("{}", self.account);
        if !self.account.is_flawless() || !self.complaints.is_empty() {
            bail!("the library has not survived; the lines above say what went wrong");
        }
        if !self.missing.is_empty() {
            let missing = self.missing.join(", ");
            bail!("there were no {missing}: the stress proved too little, give it more time");
        }
        Ok(())
    }
}
