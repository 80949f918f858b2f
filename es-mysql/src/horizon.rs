//! How far the log can be read: what the announcements of the appenders prove.
//!
//! A position that is drawn and not yet committed must not be passed. InnoDB has no lock that
//! ends with a transaction and that others can see, so every append announces itself in its own
//! connection's row, before it draws positions, with a position below all it will draw. Comparing
//! the newest version of each row (READ UNCOMMITTED) with the newest committed one (READ
//! COMMITTED) tells which transactions are open.
//!
//! Let `e` be an event at or below the horizon whose transaction `T` commits after the horizon was
//! computed. `T` was open all the while. Its announcement of `e` came before `e`'s position was
//! drawn, and that was before the end of the log was read; so the uncommitted rows, read after
//! the end, held an announcement of `T`:
//!
//! - that of `e`: it differed from the committed row, and its low position is below `e`;
//! - a later one, which has overwritten that of `e`: then the insert of `e` was finished, and `e`
//!   stands in the uncommitted events, below which the horizon ends (see [`Scan`]). For a row that
//!   `T` itself made, the position it was made with does as well;
//! - an older one, after a rollback to a savepoint: that has undone `e`, too.
//!
//! Each contradicts the assumption. An append that announces itself later draws positions beyond
//! the end that was read, because the counter only grows.
//!
//! The end goes back where the last events of the log are deleted. Through where somebody knows the
//! log to be complete (the caller, or a projection's checkpoint) it stays complete, as long as the
//! counter shows that those positions were drawn: see [`Poll::is_tail_missing`]. The counter alone
//! proves nothing, for after a crash it may give numbers again that no row was committed with.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use es::{Horizon, HorizonHolder, Position, StoreError};
use sqlx::mysql::MySqlRow;

use crate::record::{number, value};

/// How long a connection may not append before its announcement can be removed. As
/// `unused_appenders.sql` says.
const UNUSED_AFTER: Duration = Duration::from_hours(1);

/// A row of the appenders' table.
#[derive(Debug, Clone)]
struct Announcement {
    connection: i64,
    seq: i64,
    low: Position,
    first_low: Position,
    age: Duration,
}

/// What one run of `horizon.sql` saw.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    /// The last position, committed or not.
    end: Position,
    /// The last committed position, read last.
    committed_end: Position,
    uncommitted: Vec<Announcement>,
    committed: HashMap<i64, Announcement>,
    /// The last position the counter has given, as far as the server says.
    last_drawn: Position,
}

/// Positions beyond this were not drawn by appends: there are four billion more.
const POSITION_MAX: i64 = i64::MAX - (1 << 32);

/// What the announcements say.
#[derive(Debug)]
pub(crate) struct Outlook {
    /// Nothing an open transaction has announced lies at or below this.
    position: Position,
    end: Position,
    /// The open transactions, the longest first.
    open: Vec<Announcement>,
    /// Positions that have to be looked at, too.
    pub(crate) scan: Option<Scan>,
}

/// A stretch of positions in which an open transaction may have events that it no longer
/// announces, because it has appended again: they stand among the uncommitted events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// After this position.
    pub(crate) after: Position,
    /// Through this position.
    pub(crate) through: Position,
}

impl Poll {
    /// Reads the rows of `horizon.sql`.
    pub(crate) fn from_rows(rows: &[MySqlRow]) -> Result<Poll, StoreError> {
        let mut poll = Poll::default();
        for row in rows {
            let part: i64 = value(row, 0)?;
            match part {
                1 => poll.uncommitted.push(announcement(row)?),
                2 => {
                    let announcement = announcement(row)?;
                    poll.committed.insert(announcement.connection, announcement);
                }
                _ => {
                    refuse_replica(row, 3)?;
                    (poll.committed_end, poll.end) = (number(row, 1)?, number(row, 2)?);
                    refuse_largest(poll.committed_end)?;
                    let last_drawn: Option<i64> = value(row, 4)?;
                    poll.last_drawn = Position::try_from(last_drawn.unwrap_or(0))
                        .map_err(|drawn| StoreError::corrupt(format!("a counter of {drawn}")))?;
                }
            }
        }
        Ok(poll)
    }

    /// Whether positions beyond the last committed one were drawn: they are not committed yet,
    /// were rolled back, or deleted.
    pub(crate) fn is_tail_missing(&self) -> bool {
        self.last_drawn > self.committed_end
    }

    /// Whether the log ends before `known`, which has been drawn, so that what is missing was
    /// deleted.
    pub(crate) fn ends_before(&self, known: Position) -> bool {
        self.committed_end < known && known <= self.last_drawn
    }

    /// How many announcements could be removed.
    pub(crate) fn unused(&self) -> usize {
        self.committed.values().filter(|announcement| announcement.age >= UNUSED_AFTER).count()
    }

    /// What is certain, for a caller who knows the log to be complete through `known`.
    pub(crate) fn outlook(self, known: Position) -> Outlook {
        let Poll { end, committed_end, uncommitted, committed, .. } = self;
        let mut position = end.min(committed_end);
        let mut scan_after: Option<Position> = None;
        let mut open = Vec::new();
        for announced in uncommitted {
            match committed.get(&announced.connection) {
                Some(committed) if committed.seq == announced.seq => continue,
                // The transaction's only append, so far.
                Some(committed) if committed.seq.checked_add(1) == Some(announced.seq) => {
                    position = position.min(announced.low);
                }
                // Earlier appends have drawn positions above what the connection had announced
                // when it last committed.
                Some(committed) => {
                    position = position.min(announced.low);
                    let after = scan_after.unwrap_or(committed.low).min(committed.low);
                    scan_after = Some(after);
                }
                // The transaction has made the row.
                None => position = position.min(announced.first_low),
            }
            open.push(announced);
        }
        open.sort_by_key(|announcement| std::cmp::Reverse(announcement.age));
        let scan = scan_after
            .map(|after| Scan { after: after.max(known), through: position })
            .filter(|scan| scan.after < scan.through);
        Outlook { position, end: end.max(committed_end), open, scan }
    }
}

impl Outlook {
    /// The horizon, given through where a scan found nothing that is not committed, and through
    /// where the log is complete although it ends before.
    pub(crate) fn horizon(self, scanned_through: Position, complete_through: Position) -> Horizon {
        let position = self.position.min(scanned_through).max(complete_through);
        let end = self.end.max(complete_through);
        let held_by =
            if position < end { self.open.iter().map(holder).collect() } else { Vec::new() };
        Horizon::new(position, end).with_held_by(held_by)
    }
}

/// How far one answer to a scan goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// Everything up to here is committed, and beyond it something is not.
    EndsAt(Position),
    /// The answer was cut short: the scan goes on.
    GoesOn(Scan),
}

impl Scan {
    /// Looks at an answer: the newest rows, which were read first, and the newest committed ones,
    /// `limit` of each at most.
    pub(crate) fn look(
        self,
        newest: &[Position],
        committed: &BTreeSet<Position>,
        limit: usize,
    ) -> Scanned {
        let covered = |count: usize, last: Option<&Position>| match last {
            Some(last) if count >= limit => *last,
            _ => self.through,
        };
        let covered = covered(newest.len(), newest.last())
            .min(covered(committed.len(), committed.last()))
            .min(self.through);
        let is_open = |position: &&Position| **position <= covered && !committed.contains(position);
        match newest.iter().find(is_open) {
            Some(open) => Scanned::EndsAt(open.previous()),
            None if covered < self.through => Scanned::GoesOn(Scan { after: covered, ..self }),
            None => Scanned::EndsAt(self.through),
        }
    }

    /// As [`look`](Scan::look), at the rows of `uncommitted.sql`.
    pub(crate) fn look_at_rows(
        self,
        rows: &[MySqlRow],
        limit: usize,
    ) -> Result<Scanned, StoreError> {
        let (mut newest, mut committed) = (Vec::new(), BTreeSet::new());
        for row in rows {
            let (part, position): (i64, Position) = (value(row, 0)?, number(row, 1)?);
            if part == 1 {
                newest.push(position);
            } else {
                committed.insert(position);
            }
        }
        Ok(self.look(&newest, &committed, limit))
    }
}

/// A position that somebody has given to an event by hand would leave appends none, and readers a
/// hole of as many positions as there are.
fn refuse_largest(position: Position) -> Result<(), StoreError> {
    if position.get() <= POSITION_MAX {
        return Ok(());
    }
    Err(StoreError::corrupt(format!(
        "an event at position {position}, which no append has drawn and after which none can be: \
         somebody has inserted it with a position of its own, so delete it, and set the table's \
         auto_increment to the position after the last event that was appended"
    )))
}

fn announcement(row: &MySqlRow) -> Result<Announcement, StoreError> {
    let age: i64 = value(row, 5)?;
    Ok(Announcement {
        connection: value(row, 1)?,
        seq: value(row, 2)?,
        low: number(row, 3)?,
        first_low: number(row, 4)?,
        age: Duration::from_micros(u64::try_from(age).unwrap_or(0)),
    })
}

fn holder(announcement: &Announcement) -> HorizonHolder {
    let mut holder = HorizonHolder::new(format!("connection {}", announcement.connection));
    holder.open_for = Some(announcement.age);
    holder
}

/// How far the server of a read can see: the first row of `read_window.sql`.
pub(crate) fn visible(row: &MySqlRow) -> Result<Position, StoreError> {
    refuse_replica(row, 1)?;
    number(row, 0)
}

fn refuse_replica(row: &MySqlRow, column: usize) -> Result<(), StoreError> {
    let read_only: &str = value(row, column)?;
    if matches!(read_only, "0" | "OFF") {
        return Ok(());
    }
    let reason = "the server is read-only, as replicas are, which do not know who is appending \
                  on the primary: read the log on the primary";
    // A primary may be read-only for a while, and a failover makes a primary of a replica.
    Err(StoreError::Unavailable { source: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4;

    fn positions(numbers: &[u32]) -> Vec<Position> {
        numbers.iter().copied().map(Position::from).collect()
    }

    fn look(newest: &[u32], committed: &[u32], through: u32) -> Scanned {
        let committed = positions(committed).into_iter().collect();
        let scan = Scan { after: Position::from(10), through: through.into() };
        scan.look(&positions(newest), &committed, LIMIT)
    }

    #[test]
    fn a_scan_ends_before_the_first_position_that_is_not_committed() {
        assert_eq!(look(&[11, 12, 14], &[11, 14], 20), Scanned::EndsAt(11.into()));
        assert_eq!(look(&[11, 13], &[11, 13], 20), Scanned::EndsAt(20.into()));
        assert_eq!(look(&[], &[], 20), Scanned::EndsAt(20.into()));
        // Committed after the newest rows were read.
        assert_eq!(look(&[13], &[11, 13], 20), Scanned::EndsAt(20.into()));
    }

    #[test]
    fn a_scan_that_is_cut_short_goes_on_where_both_answers_end() {
        let goes_on =
            |after: u32| Scanned::GoesOn(Scan { after: after.into(), through: 20.into() });
        assert_eq!(look(&[11, 12, 13, 14], &[11, 12, 13, 14], 20), goes_on(14));
        assert_eq!(look(&[12, 13, 14, 15], &[11, 12, 13, 14], 20), goes_on(14));
        assert_eq!(look(&[11, 12, 13, 15], &[11, 13], 20), Scanned::EndsAt(11.into()));
        assert_eq!(look(&[11, 12, 13, 14], &[11, 12, 13, 14], 14), Scanned::EndsAt(14.into()));
    }

    fn announced(connection: i64, seq: i64, low: u32) -> Announcement {
        let low = Position::from(low);
        Announcement { connection, seq, low, first_low: low, age: Duration::ZERO }
    }

    fn outlook(uncommitted: &[Announcement], committed: &[Announcement], known: u32) -> Outlook {
        let poll = Poll {
            end: 30.into(),
            committed_end: 29.into(),
            uncommitted: uncommitted.to_vec(),
            committed: committed.iter().map(|row| (row.connection, row.clone())).collect(),
            last_drawn: 30.into(),
        };
        poll.outlook(known.into())
    }

    #[test]
    fn an_announcement_that_is_committed_holds_nothing() {
        let seen = outlook(&[announced(1, 7, 20)], &[announced(1, 7, 20)], 0);
        assert_eq!((seen.position, seen.scan, seen.open.len()), (29.into(), None, 0));
    }

    #[test]
    fn an_only_append_holds_what_it_announced() {
        let seen = outlook(&[announced(1, 8, 20)], &[announced(1, 7, 3)], 0);
        assert_eq!((seen.position, seen.scan), (20.into(), None));
        let seen = outlook(&[announced(1, 1, 20)], &[], 0);
        assert_eq!((seen.position, seen.scan), (20.into(), None));
    }

    #[test]
    fn a_row_made_by_the_transaction_holds_what_it_was_made_with() {
        let made = Announcement { first_low: 15.into(), ..announced(1, 3, 20) };
        let seen = outlook(&[made], &[], 0);
        assert_eq!((seen.position, seen.scan), (15.into(), None));
    }

    #[test]
    fn later_appends_of_a_transaction_have_the_earlier_ones_looked_for() {
        let (open, before) = (announced(1, 9, 20), announced(1, 7, 3));
        let scan = |after: u32| Some(Scan { after: after.into(), through: 20.into() });
        let committed = std::slice::from_ref(&before);
        assert_eq!(outlook(std::slice::from_ref(&open), committed, 0).scan, scan(3));
        assert_eq!(outlook(std::slice::from_ref(&open), committed, 12).scan, scan(12));
        assert_eq!(outlook(&[open], committed, 20).scan, None, "all of it is known");
    }
}
