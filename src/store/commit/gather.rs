//! [`Gather`]: clients for whom a batch became durable mostly come again at once, each with its next message. Clients
//! that came meanwhile wait for them, for three quarters of the time that a batch takes, so that all are in one batch.
//! Without that, where clients wait for each acknowledgement, two halves of them take turns, each behind the fsync of
//! the other. Where they did not come, the next batches wait for nobody. Knows no locks and no clock.

use std::time::{Duration, Instant};

/// Whom the batch that collects waits for.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// How many records all of them have, and until when they are waited for.
    waits: Option<(usize, Instant)>,
    /// How many times in a row they did not come.
    misses: u32,
    /// Batches to come that wait for nobody.
    pause: u32,
}

impl Gather {
    /// A batch of `done` records became durable, in so long; `came` records are in the one that collects.
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

    /// Does the batch that collects, with `came` records by now, wait for others?
    #[inline]
    pub(crate) fn waits(&self, came: usize) -> bool {
        self.waits.is_some_and(|(all, _)| came < all)
    }

    /// Until when.
    #[inline]
    pub(crate) fn until(&self) -> Option<Instant> {
        self.waits.map(|(_, until)| until)
    }

    /// The batch is taken, with `came` records, or clients that have not come by now are not waited for.
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

/// An fsync that takes less is not worth it.
const SHORTEST: Duration = Duration::from_micros(50);
/// However slow the disk is.
const LONGEST: Duration = Duration::from_millis(2);
/// The pause is twice as long after each miss, so many times.
const MOST_MISSES: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn those_that_came_wait_for_those_that_are_to_come_again() {
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
    fn nobody_waits_for_one_or_where_an_fsync_takes_next_to_nothing() {
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
