//! [`Gather`]: the group-commit wait. Clients that wait for each PUBACK send their next message right after a batch is
//! durable. The next batch waits for them for at most ¾ of a batch's duration (2 ms), so that all of them share one
//! fsync instead of splitting into two groups that take turns. If they do not send in time, the next batches do not
//! wait. It has no locks and no clock.

use std::time::{Duration, Instant};

/// The wait of the batch that collects.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// Number of records that the batch waits for, and the end of the wait.
    waits: Option<(usize, Instant)>,
    /// Misses in a row: waits in which too few records arrived.
    misses: u32,
    /// Number of next batches that do not wait.
    pause: u32,
}

impl Gather {
    /// A batch of `done` records became durable in this time. The batch that collects has `came` records.
    pub(crate) fn begin(&mut self, done: usize, came: usize, took: Duration, now: Instant) {
        self.waits = None;
        let all = done + came;
        if all < 2 || took < SHORTEST {
            return;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        self.waits = Some((all, now + (took * 3 / 4).min(LONGEST)));
    }

    /// Does the batch that collects, with `came` records, wait for more?
    #[inline]
    pub(crate) fn waits(&self, came: usize) -> bool {
        self.waits.is_some_and(|(all, _)| came < all)
    }

    /// When the wait ends.
    #[inline]
    pub(crate) fn until(&self) -> Option<Instant> {
        self.waits.map(|(_, until)| until)
    }

    /// The wait ends, with `came` records: the batch is taken, or time is up.
    pub(crate) fn end(&mut self, came: usize) {
        let Some((all, _)) = self.waits.take() else { return };
        if came >= all - all / 8 {
            self.misses = 0;
        } else {
            self.misses = (self.misses + 1).min(MOST_MISSES);
            self.pause = 1 << self.misses;
        }
    }
}

/// Shorter fsyncs are not worth a wait.
const SHORTEST: Duration = Duration::from_micros(50);
/// The longest wait, however slow the disk is.
const LONGEST: Duration = Duration::from_millis(2);
/// The pause doubles with each miss in a row, at most this many times.
const MOST_MISSES: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn arrived_clients_wait_for_the_clients_that_are_expected_again() {
        let (mut gather, now) = (Gather::default(), Instant::now());
        assert!(!gather.waits(0));
        gather.begin(8, 6, MS, now);
        assert!(gather.waits(6) && gather.waits(13) && !gather.waits(14));
        assert_eq!(gather.until(), Some(now + MS * 3 / 4));
        gather.end(14);
        assert!(!gather.waits(0) && gather.until().is_none());
        // but not for long
        gather.begin(14, 0, 100 * MS, now);
        assert_eq!(gather.until(), Some(now + LONGEST));
    }

    #[test]
    fn there_is_no_wait_for_one_client_or_with_a_fast_fsync() {
        let (mut gather, now) = (Gather::default(), Instant::now());
        for (done, came, took) in [(1, 0, MS), (0, 1, MS), (0, 0, MS), (8, 8, SHORTEST / 2)] {
            gather.begin(8, 8, MS, now);
            gather.begin(done, came, took, now);
            assert!(!gather.waits(0), "{done}, {came}, {took:?}");
        }
    }

    #[test]
    fn each_miss_makes_the_pause_longer() {
        let (mut gather, now) = (Gather::default(), Instant::now());
        for n in 1..=MOST_MISSES + 2 {
            gather.begin(8, 8, MS, now);
            assert!(gather.waits(8), "{n}");
            gather.end(13);
            for pause in 0..2_u32.pow(n.min(MOST_MISSES)) {
                gather.begin(8, 8, MS, now);
                assert!(!gather.waits(8), "{n}, {pause}");
                gather.end(8);
            }
        }
        // almost all of them are enough
        gather.begin(8, 8, MS, now);
        gather.end(14);
        gather.begin(8, 8, MS, now);
        assert!(gather.waits(8));
    }
}
