//! Tables as text, before a terminal or a page shows them.

use super::panel::{Panel, panels};
use crate::figure::{Figure, LIMIT, OURS, Report};

/// The measure whose table has a row for each contender.
pub(super) const LOST: &str = "lost events";

/// Stands where there is no figure.
const NOTHING: &str = "–";

/// A table: each row begins with its label, as the header does with that of the labels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) title: String,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Grid {
    /// The same with what were columns as rows.
    pub(super) fn transposed(&self) -> Grid {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let column = |index: usize| lines().map(|line| line[index].clone()).collect();
        let rows = (1..self.header.len()).map(column).collect();
        Grid { title: self.title.clone(), header: column(0), rows }
    }
}

/// The tables of a measure, each with the panels it shows.
pub(super) fn grids<'a>(report: &'a Report, measure: &str) -> Vec<(Grid, Vec<Panel<'a>>)> {
    let panels = panels(report, measure);
    if panels.is_empty() {
        return Vec::new();
    }
    if measure == LOST {
        return vec![(by_contender(&panels), panels)];
    }
    panels.into_iter().map(|panel| (by_setting(&panel), vec![panel])).collect()
}

/// A row for each setting, a column for each contender, and how ours compares.
fn by_setting(panel: &Panel<'_>) -> Grid {
    let contenders = panel.contenders();
    let has = |is_there: &dyn Fn(&super::panel::Row<'_>) -> bool| {
        contenders.contains(&OURS) && panel.rows.iter().any(is_there)
    };
    let has_limit = has(&|row| row.of(LIMIT).is_some());
    let has_peer = has(&|row| row.best_peer().is_some());
    let mut header = vec!["setting".to_owned()];
    header.extend(contenders.iter().map(|&contender| contender.to_owned()));
    header.extend(has_limit.then(|| "of limit".to_owned()));
    header.extend(has_peer.then(|| "of best peer".to_owned()));
    let rows = panel.rows.iter().map(|row| {
        let ours = row.of(OURS);
        let mut cells = vec![row.label.clone()];
        cells.extend(contenders.iter().map(|contender| cell(row.of(contender))));
        cells.extend(has_limit.then(|| ratio_cell(ours, row.of(LIMIT))));
        cells.extend(has_peer.then(|| ratio_cell(ours, row.best_peer())));
        cells
    });
    let title = format!("{} ({})", panel.name(), panel.unit_remark());
    Grid { title, header, rows: rows.collect() }
}

/// A row for each contender, a column for each setting and unit.
fn by_contender(panels: &[Panel<'_>]) -> Grid {
    let settings: Vec<_> =
        panels.iter().flat_map(|panel| panel.rows.iter().map(move |row| (panel, row))).collect();
    let first = settings.first().map(|(_, row)| row.label.clone());
    let common = first.filter(|first| settings.iter().all(|(_, row)| row.label == *first));
    let heading = |(panel, row): &(&Panel<'_>, &super::panel::Row<'_>)| match &common {
        Some(_) => panel.unit.to_owned(),
        None => format!("{}: {}", row.label, panel.unit),
    };
    let mut header = vec!["library".to_owned()];
    header.extend(settings.iter().map(heading));
    let figures = settings.iter().flat_map(|(_, row)| row.figures.iter().copied());
    let rows = super::panel::contenders(figures).into_iter().map(|contender| {
        let mut cells = vec![contender.to_owned()];
        cells.extend(settings.iter().map(|(_, row)| cell(row.of(contender))));
        cells
    });
    let rows = rows.collect();
    let title = common.map_or_else(|| LOST.to_owned(), |common| format!("{LOST}: {common}"));
    Grid { title, header, rows }
}

fn cell(figure: Option<&Figure>) -> String {
    figure.map_or_else(|| NOTHING.to_owned(), |figure| number(figure.median()))
}

fn ratio_cell(ours: Option<&Figure>, other: Option<&Figure>) -> String {
    match (ours, other) {
        (Some(ours), Some(other)) if ours.ratio(other).is_finite() => ratio(ours.ratio(other)),
        _ => NOTHING.to_owned(),
    }
}

/// A ratio with two digits behind the point.
pub(super) fn ratio(ratio: f64) -> String {
    if ratio >= 100.0 { number(ratio) } else { format!("{ratio:.2}") }
}

/// A value with the digits that mean something: three, or all before the point.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        NOTHING.to_owned()
    } else if size >= 99.95 {
        grouped(&format!("{value:.0}"))
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.9995 {
        format!("{value:.2}")
    } else if size >= 0.0005 {
        format!("{value:.3}")
    } else if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.1e}")
    }
}

/// Digits with a comma at every thousand.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, char) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(char);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_that_mean_something() {
        let cases = [
            (1_234_567.8, "1,234,568"),
            (999.6, "1,000"),
            (100.0, "100"),
            (99.94, "99.9"),
            (12.345, "12.3"),
            (1.234, "1.23"),
            (0.1234, "0.123"),
            (0.00012, "1.2e-4"),
            (0.0, "0"),
            (-1234.0, "-1,234"),
            (-123.0, "-123"),
            (f64::NAN, NOTHING),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
