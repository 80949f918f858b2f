//! Workers in virtual time, with everything going wrong: pauses, crashes, clocks that jump, answers
//! that are lost, handlers that fail, hang, panic and kill their process; and operators who rescale,
//! reset, skip, retry, pause and delete in the middle.
//!
//! Each run has a seed, which the failure names. `ES_SIMULATION_SEEDS` says how many runs there are,
//! `ES_SEED` with which seed they begin.

mod chaos;
mod frail;
mod ledger;
mod operator;
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use world::World;

/// How many runs there are unless the environment says otherwise.
const RUNS: u64 = 100;

/// After this many that fail, the others say nothing new.
const FAILURES_MAX: usize = 50;

fn from_environment(variable: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().expect("a whole number"),
        Err(_) => otherwise(),
    }
}

#[test]
fn every_event_is_handled_once_and_in_order_whatever_happens() {
    let first = from_environment("ES_SEED", || fastrand::u64(..u64::MAX / 2));
    let runs = from_environment("ES_SIMULATION_SEEDS", || RUNS);
    println!("ES_SEED={first} ES_SIMULATION_SEEDS={runs}");
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let count = failed.lock().expect("no panic while it is held").len();
            if seed >= first + runs || count >= FAILURES_MAX {
                return;
            }
            if catch_unwind(|| run(seed)).is_err() {
                println!("failed with ES_SEED={seed}");
                failed.lock().expect("no panic while it is held").push(seed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("no panic while it was held");
    assert!(failed.is_empty(), "these seeds fail, each with ES_SEED=… alone: {failed:?}");
}

fn run(seed: u64) {
    // What the library draws is drawn from the same seed.
    fastrand::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true);
    runtime.build().expect("a runtime").block_on(async {
        let mut world = World::new(seed);
        world.start_worker();
        // A day of virtual time is over at once if everybody waits for ever.
        let ended = tokio::time::timeout(Duration::from_hours(1), world.play()).await;
        ended.expect("it comes to an end");
    });
}
