//! [`Sampler`]: of which messages it is measured how long they take: of one in 64 on each thread, and of the first.
//! Another one is timed until its subscribers acknowledge it, ten times a second.

use std::time::{Duration, Instant};

/// Measured is one in so many.
const ONE_IN: u64 = 64;

/// From one message that is timed until its acknowledgements to the next.
const TIMED_EVERY: Duration = Duration::from_millis(100);

/// Which messages are measured.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    /// Messages before the next timed one.
    left: u64,
    taken: usize,
    /// When the next message may be timed.
    next: Option<Instant>,
    /// Among the subscribers of a message, the first of those for which the next one is timed.
    from: usize,
}

impl Sampler {
    /// How many were measured.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Is a message of this turn timed?
    #[inline]
    pub(crate) fn times(&mut self, now: Instant) -> bool {
        let due = self.next.is_none_or(|next| now >= next);
        if due {
            self.next = Some(now + TIMED_EVERY);
        }
        due
    }

    /// The first of the next `count` subscribers.
    pub(crate) fn next_turn(&mut self, count: usize) -> usize {
        let from = self.from;
        self.from = from.wrapping_add(count);
        from
    }

    /// Is one of these messages of a turn timed?
    #[inline]
    pub(crate) fn takes(&mut self, messages: u64) -> bool {
        match self.left.checked_sub(messages) {
            Some(left) => {
                self.left = left;
                false
            }
            None => {
                let beyond = messages - self.left - 1;
                self.left = ONE_IN - 1 - beyond % ONE_IN;
                self.taken = self.taken.wrapping_add(1);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_are_timed() {
        let (mut sampler, now) = (Sampler::default(), Instant::now());
        let timed = (0..500).filter(|ms| sampler.times(now + Duration::from_millis(*ms))).count();
        assert_eq!(timed, 5);
    }

    #[test]
    fn one_in_64_messages_is_timed_and_at_most_one_a_turn() {
        let mut sampler = Sampler::default();
        let taken: Vec<_> = (0..200).filter(|_| sampler.takes(1)).collect();
        assert_eq!(taken, [0, 64, 128, 192]);
        assert!(!sampler.takes(0));
        let mut sampler = Sampler::default();
        assert!(sampler.takes(1_000));
        let next = (1_000..).find(|_| sampler.takes(1));
        assert_eq!(next, Some(1_024));
    }
}
