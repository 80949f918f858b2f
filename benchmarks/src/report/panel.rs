//! Figures that belong side by side: of one measure, in one unit, and few enough to look at.

use crate::figure::{Figure, LIMIT, OURS, Report};

/// How many settings of a measure are shown together; if there are more, they are split.
const SETTINGS_MAX: usize = 10;

/// How many parts of a setting say which row it is, once settings are split.
const LABEL_PARTS: usize = 2;

/// What one table or chart shows.
#[derive(Debug)]
pub(super) struct Panel<'a> {
    pub(super) measure: &'a str,
    /// What all its settings have in common, if the measure's settings were split.
    pub(super) common: Option<String>,
    pub(super) unit: &'a str,
    pub(super) more_is_better: bool,
    /// Whether the measure has other panels of the same settings in another unit.
    pub(super) has_other_units: bool,
    pub(super) rows: Vec<Row<'a>>,
}

/// The figures of one setting, by contender.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) label: String,
    pub(super) figures: Vec<&'a Figure>,
}

impl Row<'_> {
    /// What a contender has measured.
    pub(super) fn of(&self, contender: &str) -> Option<&Figure> {
        self.figures.iter().copied().find(|figure| figure.contender == contender)
    }

    /// The peer that does best.
    pub(super) fn best_peer(&self) -> Option<&Figure> {
        let peers = self.figures.iter().copied().filter(|figure| is_peer(&figure.contender));
        let value = |figure: &Figure| {
            if figure.more_is_better { figure.median() } else { -figure.median() }
        };
        peers
            .filter(|figure| figure.median().is_finite())
            .max_by(|one, other| value(one).total_cmp(&value(other)))
    }
}

impl<'a> Panel<'a> {
    /// Who has a figure in it: ours, the limit, then the others.
    pub(super) fn contenders(&self) -> Vec<&'a str> {
        contenders(self.rows.iter().flat_map(|row| row.figures.iter().copied()))
    }

    /// The measure, and what the settings have in common.
    pub(super) fn name(&self) -> String {
        match &self.common {
            Some(common) => format!("{}: {common}", self.measure),
            None => self.measure.to_owned(),
        }
    }

    /// The unit, and which way it runs.
    pub(super) fn unit_remark(&self) -> String {
        let direction = if self.more_is_better { "more" } else { "less" };
        format!("{}, {direction} is better", self.unit)
    }
}

/// The measures of a report, as they were taken.
pub(super) fn measures(report: &Report) -> Vec<&str> {
    distinct(report.figures.iter().map(|figure| figure.measure.as_str()))
}

/// Those who were compared in these figures: ours, the limit, then the others as they came.
pub(super) fn contenders<'a>(figures: impl Iterator<Item = &'a Figure>) -> Vec<&'a str> {
    let mut contenders = distinct(figures.map(|figure| figure.contender.as_str()));
    contenders.sort_by_key(|contender| match *contender {
        OURS => 0,
        LIMIT => 1,
        variant if !is_peer(variant) => 2,
        _ => 3,
    });
    contenders
}

/// The figures of one measure.
pub(super) fn panels<'a>(report: &'a Report, measure: &str) -> Vec<Panel<'a>> {
    let figures: Vec<_> =
        report.figures.iter().filter(|figure| figure.measure == measure).collect();
    let settings = distinct(figures.iter().map(|figure| figure.setting.as_str()));
    let is_split = settings.len() > SETTINGS_MAX;
    let has_other_units = distinct(figures.iter().map(|figure| figure.unit.as_str())).len() > 1;
    let mut panels: Vec<Panel<'a>> = Vec::new();
    for figure in figures {
        let (label, common) =
            if is_split { split(&figure.setting) } else { (figure.setting.clone(), None) };
        let is_its = |panel: &Panel<'_>| panel.common == common && panel.unit == figure.unit;
        let at = panels.iter().position(is_its).unwrap_or_else(|| {
            panels.push(Panel {
                measure: &figure.measure,
                common,
                unit: &figure.unit,
                more_is_better: figure.more_is_better,
                has_other_units,
                rows: Vec::new(),
            });
            panels.len() - 1
        });
        let rows = &mut panels[at].rows;
        match rows.iter_mut().find(|row| row.label == label) {
            Some(row) => row.figures.push(figure),
            None => rows.push(Row { label, figures: vec![figure] }),
        }
    }
    panels
}

/// Whether it is another library, not some form of ours or of the limit.
fn is_peer(contender: &str) -> bool {
    !contender.starts_with(OURS) && !contender.starts_with(LIMIT)
}

/// The first parts of a setting, which make its row, and the others, which make its panel.
fn split(setting: &str) -> (String, Option<String>) {
    let parts: Vec<_> = setting.split(", ").collect();
    if parts.len() <= LABEL_PARTS {
        return (setting.to_owned(), None);
    }
    let (label, common) = parts.split_at(LABEL_PARTS);
    (label.join(", "), Some(common.join(", ")))
}

/// Each once, as they came.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}
