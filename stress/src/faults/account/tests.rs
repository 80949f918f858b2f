//! The account finds what it is there to find.

use super::*;
use crate::faults::ledger::Entry;

fn row(aggregate_id: &str, version: i64, position: u32) -> SightingRow {
    (Uuid::from_u128(position.into()), aggregate_id.to_owned(), version, position.into())
}

fn planted() -> String {
    format!("{PLANTED}1")
}

/// Two events of an aggregate in one transaction, and one that is to be parked.
fn flawless() -> Evidence {
    let (one, two) = (row("aggregate-1", 1, 1), row("aggregate-1", 2, 2));
    let events = vec![one.clone(), two.clone(), row(&planted(), 1, 3)];
    let ids: Vec<Uuid> = events.iter().map(|(id, ..)| *id).collect();
    let entry = |ids: &[Uuid]| Entry { events: ids.to_vec(), outcome: Outcome::Committed };
    let projected = |name: &str| Projected {
        name: name.to_owned(),
        effects: vec![one.clone(), two.clone()],
        letters: vec![3],
    };
    Evidence {
        events,
        own_rows: ids.clone(),
        entries: vec![entry(&ids[..2]), entry(&ids[2..])],
        projections: vec![projected("left"), projected("right")],
    }
}

fn changed(change: impl FnOnce(&mut Evidence)) -> Account {
    let mut evidence = flawless();
    change(&mut evidence);
    let account = Account::of(&evidence).expect("ours only");
    assert!(!account.is_flawless(), "{account}");
    account
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let account = Account::of(&flawless()).expect("ours only");
    assert!(account.is_flawless(), "{account:?}");
    let line = "committed=3 seen=3 skipped=0 duplicated=0 out_of_order=0 parked=2 planted=2";
    assert_eq!(account.to_string(), line);
}

#[test]
fn an_event_that_a_projection_skipped_is_found() {
    let account = changed(|evidence| {
        evidence.projections[1].effects.pop();
    });
    assert_eq!((account.committed, account.seen, account.skipped), (3, 2, 1));
}

#[test]
fn an_event_that_was_handled_twice_is_found() {
    let again = row("aggregate-1", 2, 2);
    assert_eq!(changed(|evidence| evidence.projections[0].effects.push(again)).duplicated, 1);
}

#[test]
fn events_in_another_order_are_found() {
    assert!(changed(|evidence| evidence.projections[0].effects.swap(0, 1)).out_of_order > 0);
}

#[test]
fn an_innocent_event_that_was_parked_is_found() {
    let account = changed(|evidence| {
        evidence.projections[0].effects.pop();
        evidence.projections[0].letters.push(2);
    });
    assert_eq!((account.seen, account.skipped, account.parked), (2, 1, 3));
    assert_eq!(account.wrong.len(), 1);
}

#[test]
fn a_planted_event_that_was_not_parked_is_found() {
    let account = changed(|evidence| evidence.projections[0].letters.clear());
    assert_eq!((account.seen, account.parked, account.planted), (2, 1, 2));
    let handled = changed(|evidence| evidence.projections[0].effects.push(row(&planted(), 1, 3)));
    assert_eq!(handled.wrong.len(), 1);
}

#[test]
fn an_append_that_was_lost_after_its_commit_is_found() {
    let account = changed(|evidence| {
        evidence
            .entries
            .push(Entry { events: vec![Uuid::from_u128(9)], outcome: Outcome::Committed });
    });
    assert_eq!(account.wrong.len(), 1);
}

#[test]
fn half_a_transaction_is_found() {
    let mut half = Entry { events: vec![Uuid::from_u128(9)], outcome: Outcome::Unknown };
    half.events.push(Uuid::from_u128(1));
    assert_eq!(changed(|evidence| evidence.entries.push(half)).wrong.len(), 1);
}

#[test]
fn an_event_without_its_writers_row_is_found() {
    let account = changed(|evidence| {
        evidence.own_rows.pop();
    });
    assert_eq!(account.wrong.len(), 1);
}
