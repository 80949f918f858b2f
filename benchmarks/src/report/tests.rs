//! Files, merging, and a report that the tests of all parts use.

use super::*;
use crate::figure::{Environment, Figure, LIMIT, OURS};

pub(super) fn figure(
    measure: &str,
    setting: &str,
    contender: &str,
    unit: &str,
    value: f64,
) -> Figure {
    Figure {
        measure: measure.to_owned(),
        setting: setting.to_owned(),
        contender: contender.to_owned(),
        unit: unit.to_owned(),
        more_is_better: unit.ends_with("/s"),
        rounds: vec![value, value * 0.5, value * 2.0],
    }
}

/// A bit of everything.
pub(super) fn report() -> Report {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (paused, never, late) = ("8 writers that pause", "% never seen", "% only seen late");
    Report {
        database: "postgres".to_owned(),
        environment: Environment {
            taken_at: "2026-01-02 03:04 UTC".to_owned(),
            machine: "2 × a processor".to_owned(),
            server: "PostgreSQL 18".to_owned(),
            settings: pairs(&[("fsync", "on"), ("wal_level", "replica")]),
            libraries: pairs(&[(OURS, "0.1.0"), ("peer", "1.2.3")]),
            is_quick: false,
            command: "cargo xtask bench all --database postgres --peers".to_owned(),
        },
        figures: vec![
            figure("append", "1 event, 1 writer", OURS, "appends/s", 900.0),
            figure("append", "1 event, 1 writer", LIMIT, "appends/s", 1000.0),
            figure("append", "1 event, 1 writer", "peer", "appends/s", 450.0),
            figure("append", "1 event, 1 writer", "slow peer", "appends/s", 90.0),
            figure("append", "1 event, 8 writers", OURS, "appends/s", 2500.0),
            figure("append", "1 event, 8 writers", LIMIT, "appends/s", 2500.0),
            figure("latency", "p50, 100 events/s", OURS, "ms", 5.0),
            figure("latency", "p50, 100 events/s", "peer", "ms", 1000.0),
            figure("growth", "10000 events stored", OURS, "µs an append", 1.0),
            figure("growth", "1000000 events stored", OURS, "µs an append", 150.0),
            figure("memory", "1000 events", OURS, "MiB", 30.5),
            figure("lost events", paused, OURS, never, 0.0),
            figure("lost events", paused, OURS, late, 0.0),
            figure("lost events", paused, "peer", never, 12.5),
            figure("lost events", paused, "peer", late, 0.0),
        ],
    }
}

#[test]
fn a_ratio_above_one_is_better_whichever_way_the_unit_runs() {
    let rate = |value| figure("append", "1 event", OURS, "appends/s", value);
    assert!((rate(900.0).ratio(&rate(1000.0)) - 0.9).abs() < 1e-9);
    let time = |value| figure("latency", "p50", OURS, "ms", value);
    assert!((time(5.0).ratio(&time(1000.0)) - 200.0).abs() < 1e-9);
    let two = Figure { rounds: vec![4.0, 1.0], ..time(0.0) };
    assert!((two.median() - 2.5).abs() < 1e-9);
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("postgres.json");
    write_json(&report(), &path).unwrap();
    assert_eq!(read_json(&path).unwrap().figures, report().figures);
}

#[test]
fn a_run_of_some_measures_replaces_those_and_keeps_the_others() {
    let mut later = report();
    later.environment.taken_at = "2026-01-03 00:00 UTC".to_owned();
    later.environment.command = "cargo xtask bench all --database postgres".to_owned();
    later.environment.libraries.truncate(1);
    later.figures = vec![figure("append", "1 event, 1 writer", OURS, "appends/s", 950.0)];
    let merged = merge(report(), later.clone());
    let appends: Vec<_> = merged.figures.iter().filter(|f| f.measure == "append").collect();
    assert_eq!(appends, [&later.figures[0]]);
    assert_eq!(merged.figures.len(), 10);
    // Figures of the peer are left.
    assert_eq!(merged.environment.libraries, report().environment.libraries);
    assert_eq!(merged.environment.command, report().environment.command);
    assert_eq!(merged.environment.taken_at, "2026-01-02 03:04 UTC to 2026-01-03 00:00 UTC");

    let replaced = merge(report(), Report { figures: report().figures, ..later });
    assert_eq!(replaced.environment.taken_at, "2026-01-03 00:00 UTC");
}

#[test]
fn a_run_on_another_server_does_not_mix_with_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    keep(&report(), directory.path()).unwrap();
    let mut other = report();
    other.environment.server = "PostgreSQL 15".to_owned();
    other.figures.truncate(1);
    let path = keep(&other, directory.path()).unwrap();
    assert_eq!(read_json(&path).unwrap().figures, other.figures);
    let aside = directory.path().join("postgres.earlier.json");
    assert_eq!(read_json(&aside).unwrap().figures, report().figures);
}

#[test]
fn a_quick_run_leaves_the_figures_of_a_full_one_alone() {
    let directory = tempfile::tempdir().unwrap();
    let full = keep(&report(), directory.path()).unwrap();
    let mut quick = report();
    quick.environment.is_quick = true;
    assert_ne!(keep(&quick, directory.path()).unwrap(), full);
    assert!(!read_json(&full).unwrap().environment.is_quick);
}

#[test]
fn the_page_and_the_charts_it_shows_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let docs = directory.path().join("docs");
    keep(&report(), directory.path()).unwrap();
    fs::create_dir_all(docs.join("benchmarks")).unwrap();
    fs::write(docs.join("benchmarks/postgres-gone.svg"), "").unwrap();
    write_docs_into(directory.path(), &docs).unwrap();
    let page = fs::read_to_string(docs.join("benchmarks.md")).unwrap();
    let mut charts = 0;
    for entry in docs.join("benchmarks").read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert!(fs::read_to_string(&path).unwrap().contains("<svg"));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(page.contains(&format!("](benchmarks/{name})")), "{name}");
        charts += 1;
    }
    assert_eq!(page.matches(".svg)").count(), charts);
}

#[test]
fn a_quick_run_is_not_published() {
    let directory = tempfile::tempdir().unwrap();
    let mut quick = report();
    quick.environment.is_quick = true;
    write_json(&quick, &directory.path().join("postgres.json")).unwrap();
    let error = write_docs_into(directory.path(), &directory.path().join("docs")).unwrap_err();
    assert!(error.to_string().contains("is of a quick run"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = write_docs_into(empty.path(), &empty.path().join("docs")).unwrap_err();
    assert!(error.to_string().contains("run `cargo xtask bench` first"), "{error}");
}

#[test]
fn tables_fit_a_terminal_and_say_how_ours_compares() {
    let tables = table::tables(&report(), Some(120));
    assert!(tables.lines().all(|line| line.chars().count() <= 120), "{tables}");
    expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/golden.txt")]
        .assert_eq(&tables);
}

#[test]
fn many_settings_are_split_by_what_they_have_in_common() {
    let mut report = report();
    report.figures.clear();
    for streams in ["fresh streams", "hot streams"] {
        for writers in 1..=6 {
            let setting = format!("1 event, {writers} writers, {streams}, 150 B");
            report.figures.push(figure("append", &setting, OURS, "appends/s", 1.0));
        }
    }
    let panels = panel::panels(&report, "append");
    let names: Vec<_> = panels.iter().map(panel::Panel::name).collect();
    assert_eq!(names, ["append: fresh streams, 150 B", "append: hot streams, 150 B"]);
    assert_eq!(panels[1].rows[5].label, "1 event, 6 writers");
}

#[test]
fn many_libraries_become_rows_where_columns_do_not_fit() {
    let mut report = report();
    report.figures.clear();
    for index in 0..9 {
        let name = match index {
            0 => OURS.to_owned(),
            1 => LIMIT.to_owned(),
            _ => format!("library number-{index}"),
        };
        let value = 1_234_500.0 + f64::from(index);
        report.figures.push(figure("import", "30000 events, 150 B", &name, "events/s", value));
    }
    let tables = table::tables(&report, Some(80));
    assert!(tables.lines().all(|line| line.chars().count() <= 80), "{tables}");
    for index in 0..9 {
        assert!(tables.contains(&format!(" 1,234,50{index} ")), "{tables}");
    }
}
