//! The check finds what it is there to find.

use super::*;

/// The event of `aggregate-{aggregate}` with this version and position.
fn sighting(aggregate: u16, version: i64, position: i64) -> Sighting {
    let aggregate = Aggregate::parse(&format!("aggregate-{aggregate}")).expect("a known one");
    let event_id = Uuid::from_u128(u128::try_from(position).expect("above 0"));
    Sighting { event_id, aggregate, version, position }
}

/// Three events of one aggregate around one of another; positions 2 and 4 are wanted by type.
fn log() -> Trail {
    vec![sighting(1, 1, 1), sighting(2, 1, 2), sighting(1, 2, 3), sighting(1, 3, 4)]
}

fn truth(trail: &[Sighting]) -> Truth {
    let committed = |sighting: &Sighting| {
        let is_wanted_type = sighting.position % 2 == 0;
        (sighting.event_id, Committed { sighting: *sighting, is_wanted_type })
    };
    trail.iter().map(committed).collect()
}

fn changed(change: impl FnOnce(&mut Trail)) -> Findings {
    let mut trail = log();
    change(&mut trail);
    check(&truth(&log()), &[trail], Wanted::All)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let all = Findings { wanted: 4, seen: 4, ..Findings::default() };
    assert_eq!(changed(|_| {}), all);
    assert_eq!(check_truth(&truth(&log())), all);

    let types: Trail = log().into_iter().filter(|seen| seen.position % 2 == 0).collect();
    let found = check(&truth(&log()), &[types], Wanted::Types);
    assert_eq!(found, Findings { wanted: 2, seen: 2, ..Findings::default() });
}

#[test]
fn partitions_are_in_order_each_by_itself() {
    let (one, other): (Trail, Trail) =
        log().into_iter().partition(|seen| seen.aggregate == sighting(1, 1, 1).aggregate);
    let found = check(&truth(&log()), &[one, other], Wanted::All);
    assert_eq!(found, Findings { wanted: 4, seen: 4, ..Findings::default() });
}

#[test]
fn a_skipped_event_is_found() {
    let found = changed(|trail| {
        trail.remove(1);
    });
    assert_eq!(found, Findings { wanted: 4, seen: 3, skipped: 1, ..Findings::default() });
    let found = changed(|trail| {
        trail.remove(2);
    });
    assert_eq!((found.skipped, found.stream_disorder), (1, 1));
}

#[test]
fn a_duplicated_event_is_found() {
    let found = changed(|trail| trail.push(sighting(1, 3, 4)));
    assert_eq!(found, Findings { wanted: 4, seen: 4, duplicated: 1, ..Findings::default() });
}

#[test]
fn disorder_is_found() {
    let found = changed(|trail| trail.swap(0, 1));
    assert_eq!((found.log_disorder, found.stream_disorder, found.skipped), (1, 0, 0));
    let found = changed(|trail| trail.swap(2, 3));
    assert_eq!((found.log_disorder, found.stream_disorder), (1, 2));
}

#[test]
fn an_event_nobody_committed_is_found() {
    let found = changed(|trail| trail.push(sighting(2, 2, 5)));
    assert_eq!(found, Findings { wanted: 4, seen: 4, wrong: 1, ..Findings::default() });
}

#[test]
fn a_stream_whose_positions_fall_is_found() {
    let log = [sighting(1, 2, 1), sighting(1, 1, 2)];
    assert_eq!(check_truth(&truth(&log)).stream_disorder, 2);
}

#[test]
fn wrong_totals_are_found() {
    let totals = |one, last, other| {
        let aggregate = |number| sighting(number, 1, 1).aggregate;
        let totals = [(aggregate(1), one, last), (aggregate(2), other, 1)];
        let found = check_totals(&truth(&log()), &totals);
        (found.skipped, found.duplicated, found.stream_disorder)
    };
    assert_eq!(totals(3, 3, 1), (0, 0, 0));
    assert_eq!(totals(2, 3, 2), (1, 1, 0));
    assert_eq!(totals(3, 2, 1), (0, 0, 1));
    assert_eq!(check_totals(&truth(&log()), &[]).skipped, 4);
}
