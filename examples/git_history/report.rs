//! What a run prints.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::backend::Backend;
use crate::git_count::GitCount;
use crate::import::Imported;
use crate::project::Projected;
use crate::refused_paths::RefusedPaths;

/// How many of the most changed files are shown.
const FILES_MAX: u32 = 10;

/// How many differences are shown.
const DIFFERENCES_MAX: usize = 10;

/// Prints what was refused, the most changed files, throughput and lag.
pub(crate) async fn print<B: Backend>(
    backend: &B,
    imported: &Imported,
    projected: &Projected,
) -> anyhow::Result<()> {
    print_refused(&imported.refused);
    print_most_changed(backend).await?;
    print_throughput(imported, projected);
    print_lag(projected);
    Ok(())
}

/// Prints the differences and the last line.
pub(crate) fn print_verdict(git: &GitCount, differences: &[String]) {
    for difference in differences.iter().take(DIFFERENCES_MAX) {
        println!("difference: {difference}");
    }
    let (commits, events, count) = (git.commits.len(), git.events, differences.len());
    match count {
        0 => println!("verified: {commits} commits, {events} events, 0 differences"),
        _ => println!("NOT verified: {commits} commits, {events} events, {count} differences"),
    }
}

fn print_refused(refused: &RefusedPaths) {
    if refused.kinds().is_empty() {
        return;
    }
    let mut table = table(["left out: the path is", "changes", "for example"]);
    for (refusal, kind) in refused.kinds() {
        let shown: Vec<String> = kind.shown.iter().map(|path| show(path)).collect();
        table.add_row([text(refusal), number(kind.changes), text(shown.join("\n"))]);
    }
    println!("{table}");
}

async fn print_most_changed<B: Backend>(backend: &B) -> anyhow::Result<()> {
    let mut table = table(["file", "changes", "added", "deleted", "authors"]);
    for (file, authors) in backend.most_changed(FILES_MAX).await? {
        table.add_row([
            text(show(file.path.as_bytes())),
            number(file.changes),
            number(file.added),
            number(file.deleted),
            number(authors),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn print_throughput(imported: &Imported, projected: &Projected) {
    if imported.commits > 0 {
        println!(
            "appended {} commits with {} events in {:.1?}: {} commits/s, {} events/s",
            imported.commits,
            imported.events,
            imported.elapsed,
            per_second(imported.commits, imported.elapsed),
            per_second(imported.events, imported.elapsed)
        );
    }
    match usize::try_from(projected.events) {
        Ok(events @ 1..) => println!(
            "projected {events} events in {:.1?}: {} events/s",
            projected.elapsed,
            per_second(events, projected.elapsed)
        ),
        _ => println!("nothing was left to project"),
    }
}

fn print_lag(projected: &Projected) {
    let mut table = table(["partition", "checkpoint", "horizon", "lag"]);
    for lag in &projected.lag {
        table.add_row([
            text(lag.partition),
            number(lag.checkpoint),
            number(lag.horizon),
            number(lag.positions()),
        ]);
    }
    println!("{table}");
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

fn text(value: impl ToString) -> Cell {
    Cell::new(value)
}

fn number(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

/// A path as it can be printed: escaped where it is not plain text.
fn show(path: &[u8]) -> String {
    let path = match std::str::from_utf8(path) {
        Ok(path) if !path.chars().any(char::is_control) && path.trim() == path => path.to_owned(),
        Ok(path) => format!("{path:?}"),
        Err(_) => format!("\"{}\"", path.escape_ascii()),
    };
    shorten(path)
}

/// Keeps the end, which says more about a path than its beginning.
fn shorten(path: String) -> String {
    const CHARS_MAX: usize = 60;
    match path.chars().count().checked_sub(CHARS_MAX) {
        None | Some(0) => path,
        Some(too_many) => format!("…{}", path.chars().skip(too_many + 1).collect::<String>()),
    }
}

fn per_second(count: usize, elapsed: Duration) -> u128 {
    count as u128 * 1_000_000 / elapsed.as_micros().max(1)
}
