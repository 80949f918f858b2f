//! The time limits the server keeps for one transaction, and the values of before.
//!
//! They are variables of the session, which belongs to the application: each is made smaller, never
//! larger, its value is kept in a user variable of the same name, and the text that ends the
//! transaction puts it back.

use std::fmt::Write;
use std::time::Duration;

/// A variable of the session: its name, how many of its units a second has, whether 0 in it means
/// that there is no limit, and into how many parts the time is cut for it.
struct Limit {
    name: &'static str,
    units_a_second: u32,
    zero_is_none: bool,
    part: u32,
}

const fn seconds(name: &'static str, zero_is_none: bool) -> Limit {
    Limit { name, units_a_second: 1, zero_is_none, part: 1 }
}

/// Ends sooner than the time of the handler that waits: a lock is not the handler's fault.
const fn half(name: &'static str, zero_is_none: bool) -> Limit {
    Limit { part: 2, ..seconds(name, zero_is_none) }
}

/// The pause between two statements and the time of each:
/// <https://mariadb.com/kb/en/transaction-timeouts/> and
/// <https://mariadb.com/kb/en/aborting-statements/>.
const MARIADB: &[Limit] = &[
    seconds("idle_transaction_timeout", true),
    seconds("idle_write_transaction_timeout", true),
    seconds("idle_readonly_transaction_timeout", true),
    seconds("max_statement_time", true),
];

/// MySQL has no limit for a transaction's pauses, but for a session's, and it limits the time of
/// selects only: <https://dev.mysql.com/doc/refman/8.0/en/server-system-variables.html>.
const MYSQL: &[Limit] = &[
    seconds("wait_timeout", false),
    Limit { name: "max_execution_time", units_a_second: 1000, zero_is_none: true, part: 1 },
];

/// Waits for rows and for tables.
const BOTH: &[Limit] = &[half("innodb_lock_wait_timeout", false), half("lock_wait_timeout", true)];

/// Sets the limits for the transaction that is about to begin.
pub(crate) fn set(time_max: Duration) -> String {
    each(|limit| {
        let Limit { name, .. } = limit;
        let value = limit.value(time_max);
        let unlimited =
            if limit.zero_is_none { format!("@@{name} = 0 or ") } else { String::new() };
        format!(
            "@es_{name} = @@{name}, {name} = if({unlimited}@@{name} > {value}, {value}, @@{name})"
        )
    })
}

/// Puts back what [`set`] has found.
pub(crate) fn put_back() -> String {
    each(|Limit { name, .. }| format!("{name} = @es_{name}"))
}

/// Both servers read the text, each the comment that is for it.
fn each(assignments: impl Fn(&Limit) -> String) -> String {
    let list = |limits: &[Limit]| {
        limits.iter().fold(String::new(), |mut list, limit| {
            let _ = write!(list, ", {}", assignments(limit));
            list
        })
    };
    let both = list(BOTH);
    let both = both.trim_start_matches(", ");
    format!("set {both}/*M! {}*//*!80000 {}*/", list(MARIADB), list(MYSQL))
}

impl Limit {
    /// At least one unit, for 0 is no limit.
    fn value(&self, time_max: Duration) -> u128 {
        let millis = time_max.as_millis().saturating_mul(self.units_a_second.into());
        millis
            .div_ceil(1000 * u128::from(self.part))
            .clamp(1, u128::from(self.units_a_second) * DAY_SECONDS)
    }
}

/// More than that is no limit that anybody waits for, and every variable can hold it.
const DAY_SECONDS: u128 = 24 * 60 * 60;
