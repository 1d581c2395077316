//! Returns freed memory to the system. glibc's allocator keeps freed memory in its arenas until `malloc_trim` is
//! called, which takes some milliseconds. A thread of its own calls it after a burst of traffic.

use std::time::{Duration, Instant};

/// Decides when freed memory is returned.
#[derive(Debug)]
pub(super) struct Trimmer {
    looked: Instant,
    work: u64,
    /// Work since memory was last returned.
    untrimmed: u64,
}

/// How often to check whether there is little work: memory is returned within a minute after a burst.
const EVERY: Duration = Duration::from_secs(20);
/// The same if the process has almost reached its memory limit.
const EVERY_UNDER_PRESSURE: Duration = Duration::from_secs(5);
/// Less work than this in that time is little: a thousand packets a second.
const LITTLE: u64 = 20_000;
/// After less work than this there is nothing to return.
const WORTH: u64 = 5_000;

impl Trimmer {
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, work: 0, untrimmed: 0 }
    }

    /// Is it time? `work`: packets and KiB since the start.
    pub(super) fn is_due(&mut self, work: u64, is_under_pressure: bool, now: Instant) -> bool {
        if now < self.looked + if is_under_pressure { EVERY_UNDER_PRESSURE } else { EVERY } {
            return false;
        }
        let done = work.saturating_sub(self.work);
        (self.looked, self.work) = (now, work);
        self.untrimmed += done;
        let is_due = is_under_pressure || self.untrimmed >= WORTH && done < LITTLE;
        if is_due {
            self.untrimmed = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_trimmed_after_a_busy_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut trimmer = Trimmer::new(start);
        let table = [
            (10, 1_000_000, false, false),
            (20, 1_000_000, false, false),
            (30, 1_000_001, false, false),
            (40, 1_000_002, false, true),
            (60, 1_000_100, false, false),
            (80, 1_004_999, false, false),
            (100, 1_005_002, false, true),
            (104, 1_005_002, true, false),
            (105, 1_500_000, true, true),
            (125, 1_500_000, false, false),
        ];
        for (seconds, work, is_under_pressure, expected) in table {
            assert_eq!(trimmer.is_due(work, is_under_pressure, at(seconds)), expected, "after {seconds} s");
        }
    }
}
