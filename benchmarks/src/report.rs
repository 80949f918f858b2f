//! What becomes of a run: tables, a file, a page with charts, and the check against the floors.

mod chart;
mod floors;
mod grid;
mod markdown;
mod panel;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::figure::Report;

/// The databases, in the order of the page.
const DATABASES: [&str; 3] = ["postgres", "mysql", "sqlite"];

/// Where the page and its charts are, below the repository's root.
const DOCS: &str = "docs";

/// Prints the tables, keeps the figures in `directory`, and if asked fails when a floor is missed.
pub(crate) fn finish(
    report: &Report,
    directory: &Path,
    is_checked: bool,
) -> anyhow::Result<ExitCode> {
    print!("{}", table::tables(report, None));
    let path = keep(report, directory)?;
    eprintln!("the figures are in {}", path.display());
    if !is_checked {
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = floors::check(report, &floors::recorded()?);
    for violation in &outcome.violations {
        println!("{violation}");
    }
    let (kept, skipped) = (outcome.kept, outcome.skipped);
    eprintln!(
        "floors: {} missed, {kept} kept, {skipped} without a figure in this run",
        outcome.violations.len()
    );
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the page and its charts from the files of full runs in `directory`.
pub(crate) fn write_docs(directory: &Path) -> anyhow::Result<()> {
    write_docs_into(directory, Path::new(DOCS))
}

fn write_docs_into(directory: &Path, docs: &Path) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for database in DATABASES {
        let path = directory.join(format!("{database}.json"));
        if !path.exists() {
            continue;
        }
        let report = read_json(&path)?;
        if report.environment.is_quick {
            bail!(
                "{} is of a quick run, which is not published: run `cargo xtask bench --database \
                 {database}`",
                path.display()
            );
        }
        reports.push(report);
    }
    if reports.is_empty() {
        bail!("{} holds no full run: run `cargo xtask bench` first", directory.display());
    }
    let charts = docs.join(chart::DIRECTORY);
    remove_charts(&charts)?;
    fs::create_dir_all(&charts).with_context(|| format!("cannot create {}", charts.display()))?;
    for report in &reports {
        for (name, svg) in chart::charts(report)? {
            write(&charts.join(name), &svg)?;
        }
    }
    let page = docs.join("benchmarks.md");
    write(&page, &markdown::page(&reports))?;
    eprintln!("wrote {} and the charts in {}", page.display(), charts.display());
    Ok(())
}

/// Removes what earlier figures left, whose names may be others.
fn remove_charts(charts: &Path) -> anyhow::Result<()> {
    let Ok(entries) = charts.read_dir() else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Adds a run to the file of its database, and says which that is. Quick runs have a file of their
/// own, so that none replaces the figures of a full run.
fn keep(report: &Report, directory: &Path) -> anyhow::Result<PathBuf> {
    let suffix = if report.environment.is_quick { "-quick" } else { "" };
    let path = directory.join(format!("{}{suffix}.json", report.database));
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    if !path.exists() {
        write_json(report, &path)?;
        return Ok(path);
    }
    match read_json(&path) {
        Ok(earlier) if are_comparable(&earlier, report) => {
            write_json(&merge(earlier, report.clone()), &path)?;
        }
        Ok(_) | Err(_) => {
            let aside = path.with_extension("earlier.json");
            fs::rename(&path, &aside)
                .with_context(|| format!("cannot rename {}", path.display()))?;
            eprintln!(
                "{} cannot be compared with this run: it is {} now",
                path.display(),
                aside.display()
            );
            write_json(report, &path)?;
        }
    }
    Ok(path)
}

/// Whether the figures of both may stand in one table.
fn are_comparable(earlier: &Report, later: &Report) -> bool {
    let key = |report: &Report| {
        let environment = report.environment.clone();
        (environment.machine, environment.server, environment.settings, environment.is_quick)
    };
    earlier.database == later.database && key(earlier) == key(later)
}

/// What both have measured; where that is the same measure, what the later has.
fn merge(mut earlier: Report, mut later: Report) -> Report {
    let is_later = |measure: &str| later.figures.iter().any(|figure| figure.measure == measure);
    earlier.figures.retain(|figure| !is_later(&figure.measure));
    if earlier.figures.is_empty() {
        return later;
    }
    let is_used = |library: &str| earlier.figures.iter().any(|figure| figure.contender == library);
    let (earlier_environment, environment) = (earlier.environment, &mut later.environment);
    for (library, version) in earlier_environment.libraries {
        let is_known = environment.libraries.iter().any(|(known, _)| *known == library);
        if !is_known && is_used(&library) {
            environment.libraries.push((library, version));
            environment.command.clone_from(&earlier_environment.command);
        }
    }
    let taken_at = earlier_environment.taken_at;
    let first = taken_at.split(" to ").next().unwrap_or(&taken_at);
    if first != environment.taken_at {
        environment.taken_at = format!("{first} to {}", environment.taken_at);
    }
    earlier.figures.append(&mut later.figures);
    later.figures = earlier.figures;
    later
}

/// Writes a report to the file at `path`.
pub(crate) fn write_json(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_string_pretty(report)?;
    json.push('\n');
    write(path, &json)
}

/// Reads what [`write_json`] wrote.
pub(crate) fn read_json(path: &Path) -> anyhow::Result<Report> {
    let json =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&json)
        .with_context(|| format!("{} is not a report: remove it and run again", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
