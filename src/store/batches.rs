//! [`Batches`]: the batch that collects, those that are on their way to the disk, and who waits to take the next one. Knows
//! no locks, and does not look at the clock.
//!
//! One thread takes a batch as soon as something in it is waited for, and the next one when that is on the disk. Where an
//! fsync takes long, and each of two that overlap tells whether it failed, others take a batch meanwhile if there is enough
//! for one: then the disk has several at once, and what is acknowledged first is still what came first.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use super::op::Op;

/// Batches, in their order: those on their way, then the one that collects.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) ops: Vec<Op>,
    /// The number of the batch that collects.
    pub(super) number: u64,
    bytes: usize,
    /// Somebody waits for it, or may.
    pub(super) wanted: bool,
    /// Those that were taken, until each and all before it are durable.
    taken: VecDeque<Taken>,
    taken_bytes: usize,
    /// The last frame of those that are durable.
    synced: u64,
    /// One fsync may begin while another is on its way.
    overlaps: bool,
    /// It is worth it.
    is_slow: bool,
    pub(super) turns: Turns,
    /// When there is something else to do than to write batches.
    pub(super) until: Option<Instant>,
    pub(super) closing: bool,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    bytes: usize,
    /// The frame with which it is durable, once it is.
    frame: Option<u64>,
}

/// What the threads that write do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    /// Write, or look after the log.
    pub(super) active: usize,
    /// Wait, and one of them will look by itself soon.
    pub(super) lingering: usize,
    /// Wait until a batch is due, or there is something to look after.
    pub(super) keepers: usize,
    /// Wait until a batch is due while another is on its way.
    pub(super) others: usize,
    /// One that waits was woken, and has not looked yet.
    pub(super) woken: bool,
}

/// Whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Keeper,
    Other,
}

impl Batches {
    pub(super) fn new() -> Self {
        Self {
            ops: Vec::new(),
            number: 1,
            bytes: 0,
            wanted: false,
            taken: VecDeque::new(),
            taken_bytes: 0,
            synced: 0,
            overlaps: false,
            is_slow: false,
            turns: Turns::default(),
            until: None,
            closing: false,
        }
    }

    /// Bytes of memory that wait to become durable, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.taken_bytes
    }

    /// Adds to the batch that collects.
    #[inline]
    pub(super) fn push(&mut self, op: Op) {
        // these two are what nobody waits for
        self.wanted |= !matches!(op, Op::Completed { .. } | Op::Sent { .. });
        self.bytes += op.size();
        self.ops.push(op);
    }

    /// Is the batch that collects to be taken by a thread that has `waited`, or by one that comes from the batch before?
    pub(super) fn is_due(&self, waited: bool) -> bool {
        if self.turns.active == 0 {
            return self.wanted || self.closing || self.bytes >= ENOUGH;
        }
        self.overlaps && self.is_slow && self.wanted && (!waited || self.bytes >= OVERLAPPING)
    }

    /// Is a thread that waits to be woken? Once.
    #[inline]
    pub(super) fn wakes(&mut self) -> Option<Wake> {
        let Turns { active, lingering, keepers, others, woken } = self.turns;
        if woken {
            return None;
        }
        let wake = match () {
            () if self.is_due(true) => {
                if active > 0 && others > 0 {
                    Wake::Other
                } else {
                    Wake::Keeper
                }
            }
            // where nobody looks by itself soon, somebody begins to
            () if active == 0 && lingering == 0 && !self.ops.is_empty() => Wake::Keeper,
            () => return None,
        };
        if wake == Wake::Keeper && keepers == 0 {
            return None;
        }
        self.turns.woken = true;
        Some(wake)
    }

    /// The batch that collected, into `ops`, which is empty; gives its number. `overlaps`: the next one may be taken while this
    /// one is on its way.
    pub(super) fn take(&mut self, ops: &mut Vec<Op>, overlaps: bool) -> u64 {
        std::mem::swap(&mut self.ops, ops);
        let (number, bytes) = (self.number, std::mem::take(&mut self.bytes));
        if !ops.is_empty() {
            self.number += 1;
            self.taken.push_back(Taken { number, bytes, frame: None });
            self.taken_bytes += bytes;
        }
        self.wanted = false;
        self.overlaps = overlaps;
        number
    }

    /// These batches are on the disk, with the frames up to this one, by an fsync, if any, that took so long. Gives the last batch that
    /// is durable now: with all before it, as one whose fsync fails must not be passed.
    pub(super) fn complete(&mut self, numbers: Range<u64>, frame: u64, took: Option<Duration>) -> Option<u64> {
        self.is_slow = took.map_or(self.is_slow, |took| took >= SLOW);
        for taken in self.taken.iter_mut().filter(|taken| numbers.contains(&taken.number)) {
            taken.frame = Some(frame);
        }
        let mut last = None;
        while let Some(&Taken { number, bytes, frame: Some(frame) }) = self.taken.front() {
            self.taken.pop_front();
            self.taken_bytes -= bytes;
            self.synced = frame;
            last = Some(number);
        }
        last
    }

    /// The last frame that is known to be on the disk, with all before it.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }
}

/// Bytes of a batch that is taken without anybody waiting for it.
const ENOUGH: usize = 256 << 10;
/// Bytes of a batch that is taken while another is on its way.
const OVERLAPPING: usize = 128 << 10;
/// What an fsync takes where batches that overlap are more than the trouble: below that, each is mostly work of this machine.
const SLOW: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn op(bytes: usize) -> Op {
        Op::Cleared { topic: "t".repeat(bytes).into() }
    }

    fn lazy() -> Op {
        Op::Completed { session: 1, number: 1 }
    }

    fn take(batches: &mut Batches, overlaps: bool) -> u64 {
        batches.take(&mut Vec::new(), overlaps)
    }

    #[test]
    fn a_batch_is_due_when_somebody_waits_for_it_or_it_is_large() {
        let mut batches = Batches::new();
        assert!(!batches.is_due(true));
        batches.push(lazy());
        assert!(!batches.is_due(true));
        batches.wanted = true;
        assert!(batches.is_due(true));
        assert_eq!(take(&mut batches, false), 1);
        assert!(!batches.is_due(true));
        while !batches.is_due(true) {
            batches.push(lazy());
        }
        assert!((ENOUGH..ENOUGH + 1000).contains(&batches.bytes), "{}", batches.bytes);
    }

    #[test]
    fn a_batch_is_due_beside_another_where_the_disk_is_slow_and_tells_them_apart() {
        for (slow, overlaps) in [(false, true), (true, false), (true, true)] {
            let both = slow && overlaps;
            let mut batches = Batches::new();
            batches.push(op(1));
            let first = take(&mut batches, overlaps);
            let took = if slow { SLOW } else { SLOW / 2 };
            assert_eq!(batches.complete(first..first + 1, 1, Some(took)), Some(first));
            batches.turns.active = 1;
            batches.push(op(1));
            // whoever comes from a batch takes what there is, others what is worth it
            assert_eq!((batches.is_due(false), batches.is_due(true)), (both, false));
            batches.push(op(OVERLAPPING));
            assert_eq!((batches.is_due(false), batches.is_due(true)), (both, both));
            // one that had nothing to write says nothing of the disk
            let second = take(&mut batches, overlaps);
            assert_eq!(batches.complete(second..second + 1, 1, None), Some(second));
            batches.push(op(OVERLAPPING));
            assert_eq!(batches.is_due(true), both);
        }
    }

    #[test]
    fn batches_are_durable_in_their_order() {
        let mut batches = Batches::new();
        for n in 1..=4 {
            batches.push(op(n));
            assert_eq!(take(&mut batches, true), n as u64);
        }
        let bytes = batches.bytes();
        assert_eq!(batches.complete(2..4, 20, None), None);
        assert_eq!((batches.bytes(), batches.synced()), (bytes, 0));
        assert_eq!(batches.complete(1..2, 10, None), Some(3));
        assert_eq!((batches.bytes(), batches.synced()), (op(4).size(), 20));
        assert_eq!(batches.complete(4..5, 30, None), Some(4));
        assert_eq!((batches.bytes(), batches.synced()), (0, 30));
        // one that was empty has no number
        assert_eq!(take(&mut batches, true), 5);
        assert_eq!(batches.complete(5..5, 31, None), None);
        batches.push(op(1));
        assert_eq!(take(&mut batches, true), 5);
    }

    #[test]
    fn one_thread_is_woken_for_what_is_due_and_one_looks_soon_at_what_is_not() {
        let mut batches = Batches::new();
        batches.turns = Turns { keepers: 1, others: 1, ..Turns::default() };
        assert_eq!(batches.wakes(), None);
        batches.push(lazy());
        assert_eq!((batches.wakes(), batches.wakes()), (Some(Wake::Keeper), None));
        batches.turns = Turns { keepers: 1, lingering: 1, ..Turns::default() };
        assert_eq!(batches.wakes(), None);
        batches.push(op(1));
        assert_eq!((batches.wakes(), batches.wakes()), (Some(Wake::Keeper), None));
        // it is on its way by itself
        batches.turns = Turns { active: 1, others: 1, ..Turns::default() };
        assert_eq!(batches.wakes(), None);
        (batches.overlaps, batches.is_slow) = (true, true);
        batches.push(op(OVERLAPPING));
        assert_eq!((batches.wakes(), batches.wakes()), (Some(Wake::Other), None));
        batches.turns = Turns { active: 1, keepers: 1, ..Turns::default() };
        assert_eq!(batches.wakes(), Some(Wake::Keeper));
    }
}
