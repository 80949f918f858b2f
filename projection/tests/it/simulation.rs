//! Workers in virtual time, with everything going wrong: pauses, crashes, clocks that jump,
//! handlers that fail, and operators who rescale in the middle.
//!
//! Each run has a seed, which the failure names. `ES_SIMULATION_SEEDS` says how many runs there are,
//! `ES_SEED` with which seed they begin.

mod chaos;
mod world;

use std::time::Duration;

use world::World;

/// How many runs there are unless the environment says otherwise.
const RUNS: u64 = 200;

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
    for seed in first..first + runs {
        println!("ES_SEED={seed}");
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(run(seed));
    }
}

async fn run(seed: u64) {
    // What the library draws is drawn from the same seed.
    fastrand::seed(seed);
    let mut world = World::new(seed);
    world.start_worker();
    // A day of virtual time is over at once if everybody waits for ever.
    let ended = tokio::time::timeout(Duration::from_hours(1), world.play()).await;
    ended.expect("it comes to an end");
}
