//! Bar charts, as SVG.

mod plot;

use self::plot::{Bar, Group, Plot};
use super::grid::{number, ratio};
use super::panel::{Panel, Row, contenders, measures, panels};
use crate::figure::{Figure, OURS, Report};

/// Where the charts are, beside the page.
pub(super) const DIRECTORY: &str = "benchmarks";

/// From which factor between the shortest and the longest bar on each group has a scale of its own.
const SPAN_MAX: f64 = 100.0;

/// How many times as long as that of ours a bar is drawn at most, in a group with its own scale.
const RATIO_MAX: f64 = 10.0;

/// The charts of a report, each under the name of its file.
pub(super) fn charts(report: &Report) -> anyhow::Result<Vec<(String, String)>> {
    let everyone = contenders(report.figures.iter());
    let mut charts = Vec::new();
    for measure in measures(report) {
        for panel in panels(report, measure) {
            if let Some(name) = file_name(&report.database, &panel) {
                charts.push((name, plot::draw(&plot_of(&panel), &everyone)?));
            }
        }
    }
    Ok(charts)
}

/// The file of a panel's chart; none where there is nothing to compare.
pub(super) fn file_name(database: &str, panel: &Panel<'_>) -> Option<String> {
    if panel.contenders().len() < 2 && panel.rows.len() < 2 {
        return None;
    }
    let mut name = format!("{database} {}", panel.name());
    if panel.has_other_units {
        name.push(' ');
        name.push_str(panel.unit);
    }
    Some(format!("{}.svg", slug(&name)))
}

/// Lowercase letters, digits and single dashes.
fn slug(name: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { ' ' };
    let plain: String = name.to_lowercase().chars().map(plain).collect();
    plain.split_whitespace().collect::<Vec<_>>().join("-")
}

fn plot_of<'a>(panel: &Panel<'a>) -> Plot<'a> {
    let contenders = panel.contenders();
    let is_relative = is_relative(panel);
    let group = |row: &Row<'a>| {
        let ours = row.of(OURS).filter(|_| is_relative).map(Figure::median);
        let bar = |&contender: &&'a str| {
            let value = row.of(contender)?.median();
            let (length, label) = match ours {
                Some(ours) => {
                    (value / ours, format!("{} ({})", ratio(value / ours), number(value)))
                }
                None => (value, number(value)),
            };
            value.is_finite().then_some(Bar { contender, length, label })
        };
        Group { label: row.label.clone(), bars: contenders.iter().filter_map(bar).collect() }
    };
    let groups: Vec<_> = panel.rows.iter().map(group).collect();
    let lengths = groups.iter().flat_map(|group| group.bars.iter().map(|bar| bar.length));
    let longest = lengths.fold(0.0, f64::max);
    let longest_drawn = if is_relative { longest.min(RATIO_MAX) } else { longest };
    let mut remark = panel.unit_remark();
    if is_relative {
        remark = format!("{remark}; each setting relative to {OURS}, in brackets the value");
        if longest > longest_drawn {
            remark = format!("{remark}; bars are cut at {RATIO_MAX}");
        }
    }
    Plot { title: panel.name(), remark, groups, longest: longest_drawn }
}

/// Whether some bars would be too short to see, and each group has one of ours to be relative to.
fn is_relative(panel: &Panel<'_>) -> bool {
    let has_base = |row: &Row<'_>| {
        row.figures.len() > 1 && row.of(OURS).is_some_and(|ours| ours.median() > 0.0)
    };
    let values = panel.rows.iter().flat_map(|row| row.figures.iter().map(|figure| figure.median()));
    let positive: Vec<_> = values.filter(|value| *value > 0.0).collect();
    let least = positive.iter().copied().fold(f64::INFINITY, f64::min);
    let most = positive.iter().copied().fold(0.0, f64::max);
    most > least * SPAN_MAX && panel.rows.iter().all(has_base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_chart_is_an_svg_with_everyone_in_it() {
        let charts = charts(&report()).unwrap();
        let names: Vec<_> = charts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "postgres-append.svg",
                "postgres-latency.svg",
                "postgres-growth.svg",
                "postgres-lost-events-never-seen.svg",
                "postgres-lost-events-only-seen-late.svg",
            ]
        );
        for text in ["<svg", "</svg>", "this library", "limit", "peer", "1,000", "appends/s"] {
            assert!(charts[0].1.contains(text), "{text}");
        }
    }

    #[test]
    fn values_far_apart_are_shown_relative_to_ours() {
        let report = report();
        let latency = &panels(&report, "latency")[0];
        let plot = plot_of(latency);
        assert!(plot.remark.contains("each setting relative to this library"), "{}", plot.remark);
        assert!(plot.remark.ends_with("bars are cut at 10"), "{}", plot.remark);
        let labels: Vec<_> = plot.groups[0].bars.iter().map(|bar| bar.label.as_str()).collect();
        assert_eq!(labels, ["1.00 (5.00)", "200 (1,000)"]);
        assert!(!plot_of(&panels(&report, "append")[0]).remark.contains("relative"));
    }

    #[test]
    fn values_of_ours_alone_are_not_relative_to_themselves() {
        let report = report();
        assert!(!is_relative(&panels(&report, "growth")[0]));
    }

    #[test]
    fn a_single_figure_has_no_chart() {
        let report = report();
        assert_eq!(file_name("postgres", &panels(&report, "memory")[0]), None);
    }

    #[test]
    fn a_slug_is_fit_for_a_file() {
        assert_eq!(slug("mysql append: hot streams, 150 B"), "mysql-append-hot-streams-150-b");
    }
}
