//! The common part of the soaks: their duration, and the check that memory does not grow after the warm-up.

use std::{
    env,
    time::{Duration, Instant},
};

/// The end: in an hour, or after `DUNLIN_SOAK_SECONDS`.
pub fn until() -> Instant {
    let seconds = env::var("DUNLIN_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3_600);
    Instant::now() + Duration::from_secs(seconds)
}

/// Something that may not grow after the warm-up, by more than a tenth and a margin.
pub struct Ceiling {
    what: &'static str,
    margin_kib: u64,
    highest: u64,
}

impl Ceiling {
    /// What noise may add, in KiB.
    pub fn new(what: &'static str, margin_kib: u64) -> Self {
        Self { what, margin_kib, highest: 0 }
    }

    /// As it is in this round, in KiB; `false`: it grew.
    pub fn holds(&mut self, warming_up: bool, kib: u64) -> bool {
        if warming_up {
            self.highest = self.highest.max(kib);
            return true;
        }
        let most = self.highest + self.highest / 10 + self.margin_kib;
        if kib > most {
            println!("{} grew: {} KiB after the warm-up, {kib} KiB now", self.what, self.highest);
        }
        kib <= most
    }

    /// How it went.
    pub fn say(&self, last: u64) {
        println!("{} did not grow: at most {} KiB after the warm-up, {last} KiB at the end", self.what, self.highest);
    }
}
