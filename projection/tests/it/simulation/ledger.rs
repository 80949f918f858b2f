//! What a projection has done and what was done to it, as rows in the order of their commits.

use std::collections::{BTreeMap, BTreeSet};

use es::memory::MemoryConnection;
use es::{Position, ProjectionName, StoreError, StreamId};

/// One row: written in the transaction that does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The handler was given the event.
    Begun(Position),
    /// The handler has come to its end, and was told that the event is new.
    Handled(Position),
    /// The handler has come to its end, and was told that the event is replayed.
    Replayed(Position),
    /// An operator reset the projection to here; what it had done after that is undone.
    ResetTo(Position),
    /// The reset left this dead letter alone.
    Kept(Position),
    /// An operator skipped the event.
    Skipped(Position),
    /// The projection was deleted with all it had done.
    Deleted,
}

/// More positions than a run draws.
const KIND: i64 = 1_000_000;

impl Entry {
    fn row(self) -> i64 {
        match self {
            Entry::Handled(position) => position.get(),
            Entry::ResetTo(position) => KIND + position.get(),
            Entry::Kept(position) => 2 * KIND + position.get(),
            Entry::Skipped(position) => 3 * KIND + position.get(),
            Entry::Deleted => 4 * KIND,
            Entry::Begun(position) => 5 * KIND + position.get(),
            Entry::Replayed(position) => 6 * KIND + position.get(),
        }
    }

    fn of(row: i64) -> Self {
        let position = Position::try_from(row % KIND).expect("a position");
        match row / KIND {
            0 => Entry::Handled(position),
            1 => Entry::ResetTo(position),
            2 => Entry::Kept(position),
            3 => Entry::Skipped(position),
            4 => Entry::Deleted,
            5 => Entry::Begun(position),
            _ => Entry::Replayed(position),
        }
    }

    /// Writes it in the connection's transaction.
    pub(super) fn write(
        self,
        conn: &mut MemoryConnection,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        conn.insert_row(projection.as_str(), self.row())
    }
}

pub(super) fn entries(conn: &mut MemoryConnection, projection: &ProjectionName) -> Vec<Entry> {
    let rows = conn.rows(projection.as_str()).expect("the rows");
    rows.into_iter().map(Entry::of).collect()
}

/// The events in position order.
pub(super) type Log = Vec<(StreamId, Position)>;

/// Goes through the entries and checks each: an event is handled to its end, once until it is
/// undone, after all events of its stream before it, and not if it was skipped; the second time, it
/// is called a replay. In the end all are accounted for.
pub(super) fn check(entries: &[Entry], log: &Log, what: &str) {
    let mut streams: BTreeMap<&StreamId, Vec<Position>> = BTreeMap::new();
    for (stream, position) in log {
        streams.entry(stream).or_default().push(*position);
    }
    let stream_of: BTreeMap<Position, &StreamId> =
        log.iter().map(|(stream, position)| (*position, stream)).collect();
    // What is done with, and whether by handling it.
    let mut done: BTreeMap<Position, bool> = BTreeMap::new();
    // What was handled, and perhaps undone.
    let mut known: BTreeSet<Position> = BTreeSet::new();
    for (number, entry) in entries.iter().enumerate() {
        match *entry {
            Entry::Begun(position) => {
                let next = entries.get(number + 1);
                let ended = [Entry::Handled(position), Entry::Replayed(position)];
                let is_ended = next.is_some_and(|next| ended.contains(next));
                assert!(is_ended, "{what}: {position} was not handled to its end");
            }
            Entry::Handled(position) | Entry::Replayed(position) => {
                let stream = stream_of.get(&position);
                let stream = stream.unwrap_or_else(|| panic!("{what}: {position} is no event"));
                for before in streams[stream].iter().take_while(|before| **before < position) {
                    let is_done = done.contains_key(before);
                    assert!(is_done, "{what}: {position} before {before} of {stream}");
                }
                let before = done.insert(position, true);
                assert_eq!(before, None, "{what}: {position} once, and not if it was skipped");
                let is_new = known.insert(position) || *entry == Entry::Replayed(position);
                assert!(is_new, "{what}: {position} is a replay, which its handler was not told");
            }
            Entry::ResetTo(to) => {
                done.retain(|position, _| *position <= to);
                let kept: BTreeSet<Position> = entries[number + 1..]
                    .iter()
                    .map_while(|entry| match entry {
                        Entry::Kept(position) => Some(*position),
                        _ => None,
                    })
                    .collect();
                // A partition that had not come so far has passed the rest.
                let passed = log.iter().map(|(_, position)| *position);
                for position in passed.filter(|position| *position <= to) {
                    if !kept.contains(&position) {
                        done.entry(position).or_insert(false);
                    }
                }
            }
            Entry::Kept(_) => {}
            Entry::Skipped(position) => {
                let before = done.insert(position, false);
                assert_eq!(before, None, "{what}: {position} was a dead letter");
            }
            Entry::Deleted => {
                done.clear();
                known.clear();
            }
        }
    }
    let left = log.iter().map(|(_, position)| *position).filter(|one| !done.contains_key(one));
    let left: Vec<Position> = left.collect();
    assert!(left.is_empty(), "{what}: never handled: {left:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let stream = |id: &str| StreamId::new("Test", "Thing", id).expect("a valid name");
        [("a", 1), ("b", 2), ("a", 3), ("a", 4)]
            .map(|(id, position)| (stream(id), Position::from(position)))
            .to_vec()
    }

    fn handled(positions: &[u32]) -> Vec<Entry> {
        ended(Entry::Handled, positions)
    }

    fn replayed(positions: &[u32]) -> Vec<Entry> {
        ended(Entry::Replayed, positions)
    }

    fn ended(end: fn(Position) -> Entry, positions: &[u32]) -> Vec<Entry> {
        let positions = positions.iter().copied().map(Position::from);
        positions.flat_map(|position| [Entry::Begun(position), end(position)]).collect()
    }

    #[test]
    fn rows_keep_what_they_say() {
        let at = Position::from(7);
        let handled = [Entry::Begun(at), Entry::Handled(at), Entry::Replayed(at)];
        let others = [Entry::ResetTo(at), Entry::Kept(at), Entry::Skipped(at), Entry::Deleted];
        for entry in handled.into_iter().chain(others) {
            assert_eq!(Entry::of(entry.row()), entry);
        }
    }

    #[test]
    fn what_is_right_passes() {
        check(&handled(&[2, 1, 3, 4]), &log(), "it");
        let mut reset = handled(&[1, 2, 3]);
        reset.push(Entry::ResetTo(Position::from(1)));
        reset.extend(replayed(&[3, 2]));
        reset.extend(handled(&[4]));
        check(&reset, &log(), "it");
        let mut skipped = handled(&[2]);
        skipped.push(Entry::Skipped(Position::from(1)));
        skipped.extend(handled(&[3, 4]));
        check(&skipped, &log(), "it");
        let mut forward = vec![Entry::ResetTo(Position::from(3)), Entry::Kept(Position::from(2))];
        forward.extend(handled(&[4, 2]));
        check(&forward, &log(), "it");
        let mut deleted = handled(&[1, 3]);
        deleted.push(Entry::Deleted);
        deleted.extend(handled(&[1, 2, 3, 4]));
        check(&deleted, &log(), "it");
    }

    #[test]
    #[should_panic(expected = "once")]
    fn a_repetition_does_not() {
        check(&handled(&[1, 2, 3, 3, 4]), &log(), "it");
    }

    #[test]
    #[should_panic(expected = "1 was not handled to its end")]
    fn half_an_event_does_not() {
        let mut half = vec![Entry::Begun(Position::from(1))];
        half.extend(handled(&[2]));
        check(&half, &log(), "it");
    }

    #[test]
    #[should_panic(expected = "2 is a replay")]
    fn a_replay_that_is_called_new_does_not() {
        let mut reset = handled(&[1, 2]);
        reset.push(Entry::ResetTo(Position::from(1)));
        reset.extend(handled(&[2]));
        check(&reset, &log(), "it");
    }

    #[test]
    #[should_panic(expected = "before 1")]
    fn another_order_does_not() {
        check(&handled(&[3, 1, 2, 4]), &log(), "it");
    }

    #[test]
    #[should_panic(expected = "never handled: [Position(2)]")]
    fn a_gap_does_not() {
        check(&handled(&[1, 3, 4]), &log(), "it");
    }
}
