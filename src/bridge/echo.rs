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
    sent: Marks,
    /// Those that came back and were dropped: what is sent again of them is dropped, too.
    back: Marks,
    random: RandomState,
}

/// Marks of messages, each as often as it was noted.
#[derive(Default)]
struct Marks {
    noted: VecDeque<(u64, Instant)>,
    counts: HashMap<u64, u32>,
}

/// Messages that are remembered, at most.
const MOST: usize = 10_000;
/// For how long.
const AGE: Duration = Duration::from_secs(60);

impl Echo {
    /// A message was sent. One that is sent again comes back once all the same, if the other broker had not got it.
    pub(super) fn sent(&mut self, topic: &str, payload: &[u8], again: bool, now: Instant) {
        let mark = self.random.hash_one((topic, payload));
        if !(again && self.sent.has(mark)) {
            self.sent.note(mark, now);
        }
    }

    /// A message came; `again`: with DUP. `true`: it is one of those, each of which comes back once.
    pub(super) fn came(&mut self, topic: &str, payload: &[u8], again: bool, now: Instant) -> bool {
        let mark = self.random.hash_one((topic, payload));
        if again && self.back.has(mark) {
            return true;
        }
        let known = self.sent.forget(mark);
        if known {
            self.back.note(mark, now);
        }
        known
    }
}

impl Marks {
    fn note(&mut self, mark: u64, now: Instant) {
        while self.noted.len() >= MOST || self.noted.front().is_some_and(|(_, at)| now - *at > AGE) {
            let Some((oldest, _)) = self.noted.pop_front() else { break };
            self.forget(oldest);
        }
        self.noted.push_back((mark, now));
        *self.counts.entry(mark).or_default() += 1;
    }

    fn has(&self, mark: u64) -> bool {
        self.counts.contains_key(&mark)
    }

    /// `false`: it is not noted.
    fn forget(&mut self, mark: u64) -> bool {
        let Some(count) = self.counts.get_mut(&mark) else { return false };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&mark);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_recognised_once_and_for_a_limited_time() {
        let (mut echo, start) = (Echo::default(), crate::clock::Clock::system().now());
        let came = |echo: &mut Echo, topic: &str, payload: &[u8]| echo.came(topic, payload, false, start);
        echo.sent("a", b"1", false, start);
        echo.sent("a", b"1", false, start);
        assert!(!came(&mut echo, "a", b"2") && !came(&mut echo, "b", b"1"));
        assert!(came(&mut echo, "a", b"1") && came(&mut echo, "a", b"1") && !came(&mut echo, "a", b"1"));
        echo.sent("a", b"3", false, start);
        echo.sent("a", b"4", false, start + AGE * 2);
        assert!(!came(&mut echo, "a", b"3") && came(&mut echo, "a", b"4"));
        for n in 0..3 * MOST as u64 {
            echo.sent("a", &n.to_be_bytes(), false, start + AGE * 2);
        }
        assert!(echo.sent.noted.len() <= MOST && echo.sent.counts.len() <= MOST);
    }

    #[test]
    fn what_is_sent_again_comes_back_once_and_what_comes_back_again_is_dropped_again() {
        let (mut echo, start) = (Echo::default(), crate::clock::Clock::system().now());
        // the connection was lost before its acknowledgement
        echo.sent("a", b"1", false, start);
        echo.sent("a", b"1", true, start);
        assert!(echo.came("a", b"1", false, start));
        // the acknowledgement of that was lost
        assert!(echo.came("a", b"1", true, start));
        // a message of another client that is the same
        assert!(!echo.came("a", b"1", false, start));
        // one that was sent by an earlier process is not known, and is noted when it is sent again
        echo.sent("a", b"2", true, start);
        assert!(echo.came("a", b"2", false, start));
        // DUP alone makes none an echo
        assert!(!echo.came("a", b"3", true, start));
    }
}
