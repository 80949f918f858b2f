//! What one transaction will do: every random choice of a writer, drawn before it begins.

use std::time::Duration;

use fastrand::Rng;

use crate::aggregate::Aggregate;

/// The types of the events; the filtered reader wants those of [`WANTED_TYPES`].
pub(crate) const EVENT_TYPES: [&str; 4] = ["Opened", "Moved", "Noted", "Closed"];

/// The types of events the filtered reader wants.
pub(crate) const WANTED_TYPES: [&str; 2] = ["Moved", "Closed"];

const PAUSE_MAX: Duration = Duration::from_millis(5);

/// One transaction.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// Whether the caller writes a row of its own first, so that the transaction has an id before
    /// it appends.
    pub(crate) row_first: bool,
    pub(crate) steps: Vec<Step>,
    /// Whether a conflict ends the transaction; otherwise it goes on with the next step.
    pub(crate) conflict_ends: bool,
    pub(crate) pause: Duration,
    pub(crate) end: End,
}

/// One append.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) pause: Duration,
    pub(crate) aggregate: Aggregate,
    pub(crate) expected: Expected,
    pub(crate) event_types: Vec<&'static str>,
    /// Whether it is done behind a savepoint and undone.
    pub(crate) undone: bool,
}

/// What version of the stream the writer expects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expected {
    Any,
    /// The last version that a writer of this program committed.
    Known,
    /// What the store says in this transaction.
    Asked,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    Commit,
    Rollback,
    /// It is prepared, and committed from another connection after a pause.
    Prepare {
        pause: Duration,
    },
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..rng.u8(1..=3) {
            steps.push(Step::draw(rng));
            let Some(undone) = steps.last().filter(|step| step.undone) else {
                continue;
            };
            // What was undone is often done again, in the same stream.
            let aggregate = undone.aggregate;
            if rng.bool() {
                steps.push(Step { aggregate, undone: false, ..Step::draw(rng) });
            }
        }
        Plan {
            row_first: percent(rng, 30),
            steps,
            conflict_ends: rng.bool(),
            pause: pause(rng),
            end: End::draw(rng),
        }
    }
}

impl Step {
    fn draw(rng: &mut Rng) -> Self {
        let count = rng.usize(1..=4);
        Step {
            pause: pause(rng),
            aggregate: Aggregate::draw(rng),
            expected: Expected::draw(rng),
            event_types: (0..count).map(|_| EVENT_TYPES[rng.usize(..EVENT_TYPES.len())]).collect(),
            undone: percent(rng, 15),
        }
    }
}

impl Expected {
    fn draw(rng: &mut Rng) -> Self {
        match rng.u8(0..4) {
            0 => Expected::Known,
            1 => Expected::Asked,
            _ => Expected::Any,
        }
    }
}

impl End {
    fn draw(rng: &mut Rng) -> Self {
        match rng.u8(0..100) {
            0..10 => End::Rollback,
            10..14 => End::Prepare { pause: Duration::from_millis(rng.u64(0..=50)) },
            _ => End::Commit,
        }
    }
}

fn percent(rng: &mut Rng, chance: u8) -> bool {
    rng.u8(0..100) < chance
}

/// None at all, or up to the longest.
fn pause(rng: &mut Rng) -> Duration {
    if percent(rng, 30) { Duration::ZERO } else { PAUSE_MAX.mul_f64(rng.f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_choices() {
        let plans = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..100).map(|_| Plan::draw(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(plans(7), plans(7));
        assert_ne!(plans(7), plans(8));
    }
}
