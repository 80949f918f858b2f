//! What was measured, as it is kept in a file.

use serde::{Deserialize, Serialize};

/// Everything one run on one database has measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// `postgres`, `mysql` or `sqlite`.
    pub(crate) database: String,
    /// When and on what it was run.
    pub(crate) environment: Environment,
    /// The figures, in the order in which they were taken.
    pub(crate) figures: Vec<Figure>,
}

/// When and on what a run was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// Date and time, UTC.
    pub(crate) taken_at: String,
    /// The processor, its number and the memory.
    pub(crate) machine: String,
    /// The server and its version.
    pub(crate) server: String,
    /// The server's settings that matter, name and value.
    pub(crate) settings: Vec<(String, String)>,
    /// The libraries compared, name and version.
    pub(crate) libraries: Vec<(String, String)>,
    /// Whether rounds were cut short.
    pub(crate) is_quick: bool,
    /// The command that repeats it.
    pub(crate) command: String,
}

/// One figure of one contender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured, such as `append`.
    pub(crate) measure: String,
    /// Under what conditions, such as `1 event, 8 writers, fresh streams, pool, 150 B`.
    pub(crate) setting: String,
    /// Whose it is; [`OURS`], [`LIMIT`] or a library.
    pub(crate) contender: String,
    /// In what it is measured, such as `appends/s`.
    pub(crate) unit: String,
    /// Whether more is better.
    pub(crate) more_is_better: bool,
    /// One value for each round.
    pub(crate) rounds: Vec<f64>,
}

/// Whose figures are the limit of the database.
pub(crate) const LIMIT: &str = "limit";

/// Whose figures are ours.
pub(crate) const OURS: &str = "this library";

impl Figure {
    /// The median of the rounds; not a number if there are none.
    pub(crate) fn median(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        match rounds.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => rounds[n / 2],
            n => f64::midpoint(rounds[n / 2 - 1], rounds[n / 2]),
        }
    }

    /// How many times as good it is as `other`: above 1 is better, whichever way the unit runs.
    pub(crate) fn ratio(&self, other: &Figure) -> f64 {
        if self.more_is_better {
            self.median() / other.median()
        } else {
            other.median() / self.median()
        }
    }
}
