//! [`Pressure`]: the memory of all queues and of the process compared with their limits, and what is refused as a
//! result.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// What is refused when the process nears its memory limit. Each value includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Refused {
    Nothing,
    /// New connections, and retained messages of new topics.
    Newcomers,
    /// Subscriptions too.
    Subscriptions,
    /// Messages for queues too.
    Queueing,
}

/// The percentage of the limit from which each is refused.
const STEPS: [(u64, Refused); 3] = [(100, Refused::Queueing), (95, Refused::Subscriptions), (90, Refused::Newcomers)];

/// A refusal ends this many percent below, so that the state does not change all the time.
const SLACK: u64 = 2;

/// The memory limits that all threads check.
#[derive(Debug)]
pub(crate) struct Pressure {
    refused: AtomicU8,
    /// The limit of all queues, and their memory at the last sum.
    most_queued: AtomicUsize,
    queued: AtomicUsize,
    were_full: AtomicBool,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            refused: AtomicU8::new(Refused::Nothing as u8),
            most_queued: AtomicUsize::new(usize::MAX),
            queued: AtomicUsize::new(0),
            were_full: AtomicBool::new(false),
        }
    }
}

impl Pressure {
    /// Is this refused because of the memory limit?
    #[inline]
    pub(crate) fn refuses(&self, what: Refused) -> bool {
        self.refused.load(Ordering::Relaxed) >= what as u8
    }

    /// Have all queues reached their limit? `added`: by this thread since the last sum.
    #[inline]
    pub(crate) fn queues_are_full(&self, added: usize) -> bool {
        let queued = self.queued.load(Ordering::Relaxed).wrapping_add(added).cast_signed();
        self.refuses(Refused::Queueing)
            || queued >= 0 && queued.cast_unsigned() > self.most_queued.load(Ordering::Relaxed)
    }

    pub(crate) fn set_most_queued(&self, most: usize) {
        self.most_queued.store(most, Ordering::Relaxed);
    }

    /// Sets the memory of all queues.
    pub(crate) fn set_queued(&self, queued: usize) {
        self.queued.store(queued, Ordering::Relaxed);
    }

    /// For the log: were the queues full at the last call, and are they now?
    pub(crate) fn queues_were_full(&self) -> (bool, bool) {
        let are = self.queued.load(Ordering::Relaxed) > self.most_queued.load(Ordering::Relaxed);
        (self.were_full.swap(are, Ordering::Relaxed), are)
    }

    /// Sets the memory of the process. Returns what was refused, and what is refused now.
    pub(crate) fn set_memory(&self, resident: u64, most: u64) -> (Refused, Refused) {
        let before = from(self.refused.load(Ordering::Relaxed));
        let [begins, stays] = [0, SLACK].map(|slack| refused(resident, most, slack));
        let now = begins.max(stays.min(before));
        self.refused.store(now as u8, Ordering::Relaxed);
        (before, now)
    }
}

/// What is refused at this memory, if each step is `slack` percent lower.
fn refused(resident: u64, most: u64, slack: u64) -> Refused {
    let is_over = |percent: u64| u128::from(resident) * 100 >= u128::from(most) * u128::from(percent - slack);
    STEPS.into_iter().find(|(percent, _)| is_over(*percent)).map_or(Refused::Nothing, |(_, refused)| refused)
}

fn from(refused: u8) -> Refused {
    STEPS.into_iter().map(|(_, step)| step).find(|step| *step as u8 == refused).unwrap_or(Refused::Nothing)
}

impl Refused {
    /// For the log.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Newcomers => "new connections, new retained topics",
            Self::Subscriptions => "new connections, new retained topics, new subscriptions",
            Self::Queueing => "new connections, new retained topics, new subscriptions, queued messages",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_memory_pressure_has_a_hysteresis() {
        let pressure = Pressure::default();
        let table = [
            (0, Refused::Nothing),
            (899, Refused::Nothing),
            (900, Refused::Newcomers),
            (885, Refused::Newcomers),
            (879, Refused::Nothing),
            (885, Refused::Nothing),
            (949, Refused::Newcomers),
            (950, Refused::Subscriptions),
            (1_000, Refused::Queueing),
            (990, Refused::Queueing),
            (979, Refused::Subscriptions),
            (929, Refused::Newcomers),
            (2_000, Refused::Queueing),
            (100, Refused::Nothing),
        ];
        for (resident, expected) in table {
            pressure.set_memory(resident, 1_000);
            let steps = [Refused::Newcomers, Refused::Subscriptions, Refused::Queueing];
            assert_eq!(steps.map(|step| pressure.refuses(step)), steps.map(|step| step <= expected), "{resident}");
        }
        pressure.set_memory(u64::MAX - 1, u64::MAX);
        assert!(pressure.refuses(Refused::Subscriptions));
    }

    #[test]
    fn a_thread_s_own_additions_count_towards_full_queues() {
        let pressure = Pressure::default();
        assert!(!pressure.queues_are_full(1 << 40));
        pressure.set_most_queued(100);
        pressure.set_queued(90);
        assert_eq!(pressure.queues_were_full(), (false, false));
        assert_eq!([10, 11, 0_usize.wrapping_sub(50)].map(|n| pressure.queues_are_full(n)), [false, true, false]);
        pressure.set_queued(101);
        assert_eq!(pressure.queues_were_full(), (false, true));
        assert!(!pressure.queues_are_full(0_usize.wrapping_sub(102)), "others took it away");
        pressure.set_queued(0);
        assert_eq!(pressure.queues_were_full(), (true, false));
    }
}
