//! The page `docs/benchmarks.md`.

use std::fmt::Write;

use super::chart;
use super::grid::{Grid, grids};
use super::panel::measures;
use crate::figure::{LIMIT, OURS, Report};

/// The measures, in the order of the page.
const MEASURES: [&str; 13] = [
    "append",
    "append steps",
    "import",
    "read stream",
    "catch-up read",
    "projection",
    "latency",
    "lost events",
    "idle",
    "partitions",
    "growth",
    "horizon",
    "memory",
];

/// The whole page. The same reports always give the same text.
pub(super) fn page(reports: &[Report]) -> String {
    let mut page = String::new();
    page.push_str(&head());
    for report in reports {
        page.push_str(&environment(report));
    }
    for measure in ordered_measures(reports) {
        page.push_str(&section(reports, measure));
    }
    page
}

fn head() -> String {
    format!(
        "<!-- written by `cargo xtask bench docs`, do not edit -->

# Benchmarks

Written by `cargo xtask bench docs` from what `cargo xtask bench` measured; do not edit.

## How to read it

- `{OURS}` is this one; `{LIMIT}` is the plainest statements of the database that store or read the
  same rows of the same table, without a library; the others are used as their documentation says.
- A figure is the median of its rounds. Where there are several, the contenders take turns in each.
- `of limit` and `of best peer` say how many times as good as the other `{OURS}` is, whichever way
  the unit runs: above 1 is better, below 1 is worse.
- `–` says that a library has no such thing, or that it was not measured.
- Server and clients share one machine, so a client's work takes from the server's. Compare figures
  with their neighbours, not with those of another machine.

"
    )
}

fn environment(report: &Report) -> String {
    let environment = &report.environment;
    let list = |pairs: &[(String, String)], between: &str| {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("`{name}`{between}{value}")).collect();
        pairs.join(", ")
    };
    let mut text = format!("## {}\n\n", title(&report.database));
    let lines = [
        ("Taken", environment.taken_at.clone()),
        ("Machine", environment.machine.clone()),
        ("Server", environment.server.clone()),
        ("Settings", list(&environment.settings, " = ")),
        ("Libraries", list(&environment.libraries, " ")),
        ("Repeat with", format!("`{}`", environment.command)),
    ];
    for (name, value) in lines {
        if !value.is_empty() {
            line(&mut text, &format!("- {name}: {value}"));
        }
    }
    text.push('\n');
    text
}

/// A measure, on each database that has it.
fn section(reports: &[Report], measure: &str) -> String {
    let mut text = format!("## Measure: {measure}\n\n");
    let explanation = explanation(measure);
    if !explanation.is_empty() {
        line(&mut text, explanation);
        text.push('\n');
    }
    for report in reports {
        for (index, (grid, panels)) in grids(report, measure).iter().enumerate() {
            if index == 0 {
                line(&mut text, &format!("### {measure}, {}\n", title(&report.database)));
            }
            text.push_str(&table(grid));
            for panel in panels {
                if let Some(name) = chart::file_name(&report.database, panel) {
                    let (title, directory) = (panel.name(), chart::DIRECTORY);
                    line(&mut text, &format!("![{title}]({directory}/{name})\n"));
                }
            }
        }
    }
    text
}

fn table(grid: &Grid) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut text = format!("**{}**\n\n", grid.title);
    line(&mut text, &row(&grid.header));
    line(&mut text, &format!("|---|{}", "---:|".repeat(grid.header.len() - 1)));
    for cells in &grid.rows {
        line(&mut text, &row(cells));
    }
    text.push('\n');
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes whatever is written");
}

fn ordered_measures(reports: &[Report]) -> Vec<&str> {
    let mut all: Vec<_> = reports.iter().flat_map(measures).collect();
    let place = |measure: &str| {
        MEASURES.iter().position(|known| *known == measure).unwrap_or(MEASURES.len())
    };
    all.sort_by_key(|measure| (place(measure), *measure));
    all.dedup();
    all
}

fn title(database: &str) -> &str {
    match database {
        "postgres" => "PostgreSQL",
        "mysql" => "MariaDB",
        "sqlite" => "SQLite",
        other => other,
    }
}

/// What a measure is, for the page; empty if it is not known.
fn explanation(measure: &str) -> &'static str {
    match measure {
        "append" => {
            "How many appends are committed in a second. Each writer appends one batch of events to \
             one stream at a time. With fresh streams each append begins a stream; with hot streams \
             a writer always appends to the same one. `pool` is an append by itself; `transaction \
             with a row` is one in the caller's transaction, which also inserts a row."
        }
        "append steps" => {
            "What the promises cost: the plain insert of `limit`, and what the library's statement \
             adds to it, each `limit + …` with all that those before it have. `conflict`: all \
             columns are set, the positions come back, and a version that another writer took is no \
             error that would end the caller's transaction; of several events the first is therefore \
             inserted by itself. `version`: the stream's version is looked up, so that no append \
             leaves a gap. `registration`: readers are told of positions that are about to appear, \
             so that none is skipped. The library also checks what it is given, and looks for taken \
             ids of several events."
        }
        "import" => {
            "How many events are stored in a second by the fastest way to store many streams. \
             Libraries without an import store a smaller part of the events, append by append."
        }
        "read stream" => "How many times in a second one stream is read, from its first event on.",
        "catch-up read" => {
            "How many events in a second a reader is given that begins at the start of the log. \
             Libraries without an import read a shorter log."
        }
        "projection" => {
            "How many events in a second a projection handles that begins at the start of the log, \
             its checkpoint committed: it does nothing, or upserts a row for each event, or upserts \
             the rows of a batch in one statement. `limit` is a loop that reads a page of 1,000 \
             rows and then does the work; it keeps no checkpoint, makes no events of the rows, and \
             does not read ahead."
        }
        "latency" => {
            "How long after its commit an event is given to a handler, while one writer appends \
             single events at a steady rate."
        }
        "idle" => "How many queries in a second projections send that have nothing to do.",
        "partitions" => {
            "How many bytes the server sends to workers that share a projection, for each event of \
             the log."
        }
        "growth" => "How long one append of one event takes when so many events are stored.",
        "horizon" => {
            "How long it takes to find up to where the log may be read while so many transactions \
             have appended and not ended."
        }
        "memory" => {
            "The most memory a process had that did nothing but run a projection through the log."
        }
        "lost events" => {
            "Writers pause for up to 20 ms between an append and its commit, so transactions commit \
             in another order than their events are numbered in; meanwhile a reader follows. Counted \
             are the events it never sees, and those it sees only once a transaction ends that has \
             nothing to do with events."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn every_measure_is_explained() {
        for measure in MEASURES {
            assert!(explanation(measure).ends_with('.'), "{measure}");
        }
    }

    #[test]
    fn the_page_has_everything() {
        let page = page(&[report()]);
        let environment = page.find("## PostgreSQL").unwrap();
        expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/golden.md")]
            .assert_eq(&page[environment..]);
    }
}
