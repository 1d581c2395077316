//! The whole broker under one seed: clients, connections, router, and the store's writer over a simulated disk, on one
//! thread, under one random number generator and a clock that the test turns. What the README promises is checked
//! together: through take-overs, stalls, power cuts and restarts.
//!
//! | module | owns |
//! |---|---|
//! | `world` | one history: who has a turn next; time; crashes; rests, in which all that is due has to come |
//! | `acts` | what clients do by chance |
//! | `client` | a client's end of the protocol |
//! | `hearing` | what a client does with what it is sent |
//! | `session` | what a client knows of its session |
//! | `promises` | messages, retained values, and what must and must not become of them |
//! | `wills` | the same of Wills |
//!
//! A history that fails says its seed. `DUNLIN_SEED=17 cargo test --lib whole_broker` plays that one again, and tells
//! what happens in it.

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

/// Histories that found faults, of the broker or of what is expected of it.
const FOUND: [u64; 4] = [2_521, 3_439, 3_488, 1_001_293];
/// Histories of each of the parts, which run side by side.
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

/// Plays the histories with these seeds; or the one that the environment names, to be looked at.
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
