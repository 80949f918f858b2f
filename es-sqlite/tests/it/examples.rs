//! The programs in `examples/`, run as a reader runs them.

use std::process::Command;

use tempfile::TempDir;

/// On a file of its own.
fn printed_by(example: &str) -> String {
    let directory = TempDir::new().expect("a temporary directory");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--example", example, "--"])
        .arg(directory.path().join("orders.db"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_quickstart_runs() {
    assert_eq!(printed_by("quickstart"), "revenue: 4200\n");
}

#[test]
fn an_append_commits_or_is_undone_with_its_row() {
    let printed = printed_by("sqlite_append");
    let expected = [
        "order-1: appended as version 1",
        "order-2: appended as version 1",
        "order-1: 1 rows, 1 events",
        "order-2: 0 rows, 0 events",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_conflict_leaves_the_transaction_usable_and_is_decided_again() {
    let printed = printed_by("sqlite_conflict");
    let expected = [
        "seen at version 1, but it is at 2",
        "shipped as version 3",
        "seen at version 1, but it is at 3",
        "not shipped: it is on its way already",
        "conflicts noted: 2",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_projection_goes_on_where_its_checkpoint_is() {
    let printed = printed_by("sqlite_projection");
    let expected = ["1 orders, revenue 4200", "2 orders, revenue 5000"];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn two_processes_share_the_partitions_until_one_is_killed() {
    let printed = printed_by("sqlite_worker");
    let expected = [
        "the partitions are worked on by ada, ada, bob, bob",
        "the partitions are worked on by ada, ada, ada, ada",
        "100 orders handled once",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_was_written_is_read_or_the_wait_has_an_end() {
    let printed = printed_by("sqlite_read_your_writes");
    let expected = [
        "order-1 is placed, revenue 4200",
        "order-2 is placed, revenue 5000",
        "order-3 is placed, revenue follows",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_log_is_imported_once_and_keeps_its_order_and_times() {
    let printed = printed_by("sqlite_import");
    let expected = [
        "3 events imported",
        "not imported again: event id 0196f3a8-0000-7000-8000-000000000001 is taken: leave out what \
         was imported before",
        "order-1 version 1: OrderPlaced at 2025-05-21 09:00:00 UTC",
        "order-1 version 2: OrderPaid at 2025-05-21 09:05:00 UTC",
        "order-2 version 1: OrderPlaced at 2025-05-21 09:00:01 UTC",
        "1 import noted",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_dead_letter_waits_with_its_stream_until_the_bug_is_mended() {
    let printed = printed_by("sqlite_dead_letters");
    let expected = [
        "revenue 800",
        "order-1, 2 attempts: the payload of event 1 (OrderPlaced) does not decode as the type asked \
         for: invalid type: string \"4200\", expected i64 at line 1 column 6",
        "order-1, 0 attempts: waits for the one before it",
        "Handled(2), revenue 5300",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}
