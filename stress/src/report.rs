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
    print_readers(verdict);
    println!(
        "{} prepared={} savepoint_rollbacks={} outcomes_looked_up={} kills={} rivals={}",
        transactions(tally),
        tally.prepared.get(),
        tally.savepoint_rollbacks.get(),
        tally.looked_up.get(),
        tally.kills.get(),
        tally.rivals.get()
    );
    if let Some(naive) = verdict.naive {
        println!("naive reader skipped={} of {}", naive.skipped, verdict.committed);
    }
    println!("{choices}");
    print_last_line(verdict);
}

/// A table of what each reader saw.
pub(crate) fn print_readers(verdict: &Verdict) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
    for (name, findings) in &verdict.readers {
        add(&mut table, name, findings);
    }
    if let Some(naive) = &verdict.naive {
        add(&mut table, "naive reader", naive);
    }
    println!("{table}");
}

/// How the writers' transactions ended.
pub(crate) fn transactions(tally: &Tally) -> String {
    format!(
        "commits={} rollbacks={} conflicts={} retryables={}",
        tally.commits.get(),
        tally.rollbacks.get(),
        tally.conflicts.get(),
        tally.retryables.get()
    )
}

/// The line that says all.
pub(crate) fn print_last_line(verdict: &Verdict) {
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
