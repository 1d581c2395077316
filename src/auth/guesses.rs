//! [`Guesses`]: delays for wrong keys over HTTP, as wrong passwords have them. A key is random, so that a right one is
//! never held up by wrong ones: comparing it costs nothing.

use std::{net::IpAddr, time::Duration};

use parking_lot::Mutex;

use super::throttle::{Throttle, Whose, group};
use crate::clock::Clock;

/// The user and address of failed logins.
#[derive(Default)]
pub struct Guesses {
    throttle: Mutex<Throttle>,
    clock: Clock,
}

impl Guesses {
    /// Nothing yet; delays are by this clock.
    pub fn new(clock: Clock) -> Self {
        Self { throttle: Mutex::default(), clock }
    }

    /// A wrong key arrived from this address: returns the delay of its refusal. `None`: too many refusals are delayed
    /// already, and this one is sent at once. `first`: `auth.failed_login_delay`.
    pub fn wrong(&self, from: IpAddr, first: Duration) -> Option<Duration> {
        let (whose, now) = (Whose { address: group(from), user: None }, self.clock.now());
        let mut throttle = self.throttle.lock();
        throttle.may(whose, first, now).ok()?;
        throttle.begin(whose, first, now);
        Some(throttle.fail(whose, first, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;

    #[test]
    fn failed_logins_are_first_free_then_delayed_then_refused() {
        let clock = TestClock::new();
        let guesses = Guesses::new(clock.clock());
        let first = Duration::from_millis(250);
        let here = IpAddr::from([192, 0, 2, 1]);
        let delays: Vec<_> = std::iter::from_fn(|| guesses.wrong(here, first)).map(|delay| delay.as_millis()).collect();
        // the clock advances a little by itself
        assert_eq!(delays[..3], [0; 3]);
        assert!(delays[3..].iter().all(|delay| *delay > 200) && delays.len() >= 16, "{delays:?}");
        assert_eq!(guesses.wrong([192, 0, 2, 2].into(), first), Some(Duration::ZERO), "another address");
        clock.turn(first);
        assert!(guesses.wrong(here, first).is_some());
    }
}
