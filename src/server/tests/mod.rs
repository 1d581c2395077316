//! The whole broker under one seed: clients, connections, router, and the store's writer over a simulated disk, on one
//! thread, with one random number generator and a clock that the test advances. Checks the README's promises together,
//! through take-overs, stalls, power cuts and restarts.
//!
//! | module | owns |
//! |---|---|
//! | `world` | one history: the order of turns; time; crashes; rests, in which every due message must arrive |
//! | `acts` | the random actions of clients |
//! | `client` | the client's side of the protocol |
//! | `hearing` | how a client checks and answers received packets |
//! | `session` | the expected state of a session |
//! | `promises` | messages, retained values, and the expectations about them |
//! | `wills` | the same for Wills |
//!
//! A history that fails prints its seed. `DUNLIN_SEED=17 cargo test --lib whole_broker` plays it again, and prints its
//! events.

mod acts;
mod client;
mod hearing;
mod promises;
mod session;
mod wills;
mod world;

use std::{
    env,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use world::{Tally, World};

/// Seeds of histories that found faults of the broker or of the expectations.
const FOUND: [u64; 4] = [2_521, 3_439, 3_488, 1_001_293];
/// Histories of each part; the parts run in parallel.
const HISTORIES: u64 = 1_000;

#[test]
fn whole_broker_under_one_seed_first_part() {
    run(0..HISTORIES);
}

#[test]
fn whole_broker_under_one_seed_second_part() {
    run(1_000_000..1_000_000 + HISTORIES);
}

#[test]
fn histories_that_found_faults_pass() {
    for seed in FOUND {
        World::run(seed, false);
    }
}

#[test]
fn a_history_is_the_same_each_time() {
    for seed in 0..5 {
        let [first, second] = [0; 2].map(|_| World::run(seed, false));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Plays the histories with these seeds; or the one in the environment, and prints its events.
fn run(seeds: Range<u64>) {
    if let Some(seed) = number("DUNLIN_SEED") {
        World::run(seed, true);
        return;
    }
    // mutations of the code are found by time, not by number: see tests/mutations
    let seeds = match number("DUNLIN_HISTORIES") {
        Some(histories) => seeds.start..seeds.start + histories,
        None if env::var_os("DUNLIN_LONG").is_some() => seeds.start..seeds.start + 50 * HISTORIES,
        None => seeds,
    };
    let mut all = Tally::default();
    for seed in seeds.clone() {
        match catch_unwind(AssertUnwindSafe(|| World::run(seed, false))) {
            Ok(tally) => all.add(&tally),
            Err(fault) => {
                eprintln!("seed {seed} fails: DUNLIN_SEED={seed} cargo test --lib whole_broker_under_one_seed_first");
                resume_unwind(fault);
            }
        }
    }
    eprintln!("{all:?}");
    all.is_enough(seeds.end - seeds.start);
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

const SECOND: Duration = Duration::from_secs(1);
