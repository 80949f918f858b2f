//! What a run prints.

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::check::Findings;
use crate::tally::Tally;
use crate::verdict::Verdict;

const HEADER: [&str; 8] = [
    "reader",
    "wanted",
    "seen",
    "skipped",
    "duplicated",
    "log out of order",
    "stream out of order",
    "wrong",
];

/// Prints everything; the verdict is the last line. `choices` repeat the run.
pub(crate) fn print(verdict: &Verdict, tally: &Tally, choices: &str) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
    for (name, findings) in &verdict.readers {
        add(&mut table, name, findings);
    }
    add(&mut table, "naive reader", &verdict.naive);
    println!("{table}");
    println!(
        "commits={} rollbacks={} conflicts={} retryables={} prepared={} savepoint_rollbacks={} \
         outcomes_looked_up={} kills={} rivals={}",
        tally.commits.get(),
        tally.rollbacks.get(),
        tally.conflicts.get(),
        tally.retryables.get(),
        tally.prepared.get(),
        tally.savepoint_rollbacks.get(),
        tally.looked_up.get(),
        tally.kills.get(),
        tally.rivals.get()
    );
    println!("naive reader skipped={} of {}", verdict.naive.skipped, verdict.committed);
    println!("{choices}");
    let total = verdict.total();
    println!(
        "committed={} seen={} skipped={} duplicated={} out_of_order={}",
        verdict.committed,
        verdict.seen,
        total.skipped,
        total.duplicated,
        total.log_disorder + total.stream_disorder
    );
}

fn add(table: &mut Table, name: &str, findings: &Findings) {
    let Findings { wanted, seen, skipped, duplicated, log_disorder, stream_disorder, wrong } =
        *findings;
    let numbers = [wanted, seen, skipped, duplicated, log_disorder, stream_disorder, wrong];
    let numbers =
        numbers.into_iter().map(|number| Cell::new(number).set_alignment(CellAlignment::Right));
    table.add_row([Cell::new(name)].into_iter().chain(numbers));
}
