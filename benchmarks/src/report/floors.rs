//! What a run must not fall below: recorded ratios and values.

use std::fmt;

use serde::Deserialize;

use super::grid::{number, ratio};
use crate::figure::{Figure, OURS, Report};

/// Stands for no other contender: the value itself is bounded.
const SELF: &str = "self";

/// One bound of one figure of ours.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Floor {
    database: String,
    measure: String,
    setting: String,
    /// Where a measure has several.
    unit: Option<String>,
    /// Whose figure ours is divided by, or [`SELF`].
    than: String,
    #[serde(flatten)]
    bound: Bound,
}

/// The worst that is allowed: a ratio, or for [`SELF`] a value in the figure's unit.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bound {
    Floor(f64),
    Ceiling(f64),
}

/// What came of a check.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) violations: Vec<Violation>,
    /// How many bounds are kept.
    pub(super) kept: usize,
    /// How many have no figure in the report.
    pub(super) skipped: usize,
}

/// A bound that is not kept.
#[derive(Debug, PartialEq)]
pub(super) struct Violation {
    floor: Floor,
    value: f64,
    unit: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Floor { measure, setting, than, bound, .. } = &self.floor;
        let is_self = than == SELF;
        let text = |value: f64| if is_self { number(value) } else { ratio(value) };
        let (what, name, bound) = match *bound {
            Bound::Floor(floor) => ("below its floor", "floor", floor),
            Bound::Ceiling(ceiling) => ("above its ceiling", "ceiling", ceiling),
        };
        let of = if is_self { self.unit.clone() } else { format!("of {than}") };
        let (value, bound) = (text(self.value), text(bound));
        write!(f, "{what}: {measure}, {setting}: {value} {of}, {name} {bound}")
    }
}

/// The bounds of `floors.json`.
pub(super) fn recorded() -> anyhow::Result<Vec<Floor>> {
    Ok(serde_json::from_str(include_str!("../../floors.json"))?)
}

/// Holds a report against the bounds of its database.
pub(super) fn check(report: &Report, floors: &[Floor]) -> Outcome {
    let mut outcome = Outcome::default();
    for floor in floors.iter().filter(|floor| floor.database == report.database) {
        let Some((value, unit)) = value(report, floor) else {
            outcome.skipped += 1;
            continue;
        };
        // What is not a number keeps no bound.
        let is_kept = match floor.bound {
            Bound::Floor(floor) => value >= floor,
            Bound::Ceiling(ceiling) => value <= ceiling,
        };
        if is_kept {
            outcome.kept += 1;
        } else {
            outcome.violations.push(Violation { floor: floor.clone(), value, unit });
        }
    }
    outcome
}

fn value(report: &Report, floor: &Floor) -> Option<(f64, String)> {
    let find = |contender: &str| {
        report.figures.iter().find(|figure| is_of(figure, floor) && figure.contender == contender)
    };
    let ours = find(OURS)?;
    if floor.than == SELF {
        return Some((ours.median(), ours.unit.clone()));
    }
    Some((ours.ratio(find(&floor.than)?), ours.unit.clone()))
}

fn is_of(figure: &Figure, floor: &Floor) -> bool {
    figure.measure == floor.measure
        && figure.setting == floor.setting
        && floor.unit.as_ref().is_none_or(|unit| *unit == figure.unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn floors(json: &str) -> Vec<Floor> {
        serde_json::from_str(json).unwrap()
    }

    fn checked(json: &str) -> (Vec<String>, usize, usize) {
        let outcome = check(&report(), &floors(json));
        let violations = outcome.violations.iter().map(ToString::to_string).collect();
        (violations, outcome.kept, outcome.skipped)
    }

    #[test]
    fn the_recorded_floors_can_be_read() {
        recorded().unwrap();
    }

    #[test]
    fn a_ratio_below_its_floor_is_told() {
        let (violations, kept, skipped) = checked(
            r#"[{"database": "postgres", "measure": "append", "setting": "1 event, 1 writer",
                 "than": "limit", "floor": 0.95},
                {"database": "postgres", "measure": "append", "setting": "1 event, 1 writer",
                 "than": "limit", "floor": 0.9}]"#,
        );
        let told = "below its floor: append, 1 event, 1 writer: 0.90 of limit, floor 0.95";
        assert_eq!((violations, kept, skipped), (vec![told.to_owned()], 1, 0));
    }

    #[test]
    fn a_value_above_its_ceiling_is_told() {
        let (violations, ..) = checked(
            r#"[{"database": "postgres", "measure": "latency", "setting": "p50, 100 events/s",
                 "than": "self", "ceiling": 4}]"#,
        );
        assert_eq!(
            violations,
            ["above its ceiling: latency, p50, 100 events/s: 5.00 ms, ceiling 4.00"]
        );
    }

    #[test]
    fn a_floor_without_a_figure_is_skipped_and_that_of_another_database_is_none() {
        let (violations, kept, skipped) = checked(
            r#"[{"database": "postgres", "measure": "idle", "setting": "8 projections",
                 "than": "self", "ceiling": 10},
                {"database": "mysql", "measure": "append", "setting": "1 event, 1 writer",
                 "than": "limit", "floor": 0.95}]"#,
        );
        assert_eq!((violations.len(), kept, skipped), (0, 0, 1));
    }

    #[test]
    fn what_is_not_a_number_keeps_no_floor() {
        let mut report = report();
        report.figures[0].rounds.clear();
        let floors = floors(
            r#"[{"database": "postgres", "measure": "append", "setting": "1 event, 1 writer",
                 "than": "limit", "floor": 0.1}]"#,
        );
        assert_eq!(check(&report, &floors).violations.len(), 1);
    }
}
