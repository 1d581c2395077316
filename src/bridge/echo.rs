//! [`Echo`]: the last messages that were sent to a broker without No Local and without support for bridges, so that
//! they are dropped when they come back. Bounded in number and age.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// The last messages that were sent.
#[derive(Default)]
pub(super) struct Echo {
    sent: VecDeque<(u64, Instant)>,
    counts: HashMap<u64, u32>,
    random: RandomState,
}

/// Messages that are remembered, at most.
const MOST: usize = 10_000;
/// For how long.
const AGE: Duration = Duration::from_secs(60);

impl Echo {
    /// A message was sent.
    pub(super) fn sent(&mut self, topic: &str, payload: &[u8], now: Instant) {
        while self.sent.len() >= MOST || self.sent.front().is_some_and(|(_, at)| now - *at > AGE) {
            let Some((oldest, _)) = self.sent.pop_front() else { break };
            self.forget(oldest);
        }
        let mark = self.random.hash_one((topic, payload));
        self.sent.push_back((mark, now));
        *self.counts.entry(mark).or_default() += 1;
    }

    /// A message came. `true`: it is one of those, each of which comes back once.
    pub(super) fn came(&mut self, topic: &str, payload: &[u8]) -> bool {
        let mark = self.random.hash_one((topic, payload));
        let known = self.counts.contains_key(&mark);
        if known {
            self.forget(mark);
        }
        known
    }

    fn forget(&mut self, mark: u64) {
        if let Some(count) = self.counts.get_mut(&mark) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_recognised_once_and_for_a_limited_time() {
        let (mut echo, start) = (Echo::default(), crate::clock::Clock::system().now());
        echo.sent("a", b"1", start);
        echo.sent("a", b"1", start);
        assert!(!echo.came("a", b"2") && !echo.came("b", b"1"));
        assert!(echo.came("a", b"1") && echo.came("a", b"1") && !echo.came("a", b"1"));
        echo.sent("a", b"3", start);
        echo.sent("a", b"4", start + AGE * 2);
        assert!(!echo.came("a", b"3") && echo.came("a", b"4"));
        for n in 0..3 * MOST as u64 {
            echo.sent("a", &n.to_be_bytes(), start + AGE * 2);
        }
        assert!(echo.sent.len() <= MOST && echo.counts.len() <= MOST);
    }
}
