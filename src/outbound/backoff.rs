//! [`Backoff`]: the wait before the next try, with decorrelated jitter: each wait is a random time between the shortest
//! wait and three times the last one, so that many clients do not reconnect at the same moment.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The wait before the next try.
#[derive(Debug)]
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    last: Duration,
    tries: u64,
    random: RandomState,
}

impl Backoff {
    /// With the shortest and the longest wait.
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        let longest = longest.max(shortest);
        Self { shortest, longest, last: shortest, tries: 0, random: RandomState::new() }
    }

    /// Returns the next wait.
    pub(crate) fn next(&mut self) -> Duration {
        self.tries += 1;
        let draw = self.random.hash_one(self.tries);
        self.last = between(self.shortest, self.last.saturating_mul(3), draw).min(self.longest);
        self.last
    }

    /// A try succeeded: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.last = self.shortest;
    }
}

/// A time between `low` and `high`, chosen by a random number.
fn between(low: Duration, high: Duration, draw: u64) -> Duration {
    let span = high.saturating_sub(low);
    low + span.mul_f64(draw as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_bounds_and_a_success_resets_them() {
        let [low, high] = [100, 5_000].map(Duration::from_millis);
        let mut backoff = Backoff::new(low, high);
        let waits: Vec<_> = (0..1_000).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (low..=high).contains(wait)));
        assert!(waits[0] <= low * 3, "{:?}", waits[0]);
        assert!(waits.contains(&high), "it never gets to its end");
        let mut different = waits.clone();
        different.dedup();
        assert!(different.len() > 300, "{} different waits", different.len());
        backoff.reset();
        assert!(backoff.next() <= low * 3);
    }

    #[test]
    fn equal_bounds_make_a_constant_wait() {
        let mut backoff = Backoff::new(Duration::from_secs(7), Duration::from_secs(3));
        assert!((0..10).all(|_| backoff.next() == Duration::from_secs(7)));
    }
}
