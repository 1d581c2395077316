//! [`Batches`]: the batch that collects, those that are on their way to the disk, and when the next one is taken. Knows no
//! locks and no clock.
//!
//! A batch is taken as soon as something in it is waited for, and the next one when that is on the disk. Where an fsync takes
//! long, and each of two that overlap tells whether it failed, the next is taken meanwhile if there is enough in it: then
//! the disk has several at once, and what is acknowledged first is still what came first.

use std::{collections::VecDeque, ops::Range, time::Duration};

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
    may_overlap: bool,
    /// It is worth it.
    is_slow: bool,
    /// One became durable since the last was taken.
    completed: bool,
    pub(super) writer: WriterIs,
    pub(super) closing: bool,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    bytes: usize,
    /// The frame with which it is durable, once it is.
    frame: Option<u64>,
}

/// What the writer has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterIs {
    /// Nothing: it looks by itself.
    Busy,
    /// That a batch is due.
    Waiting,
    /// That there is something.
    Idle,
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
            may_overlap: false,
            is_slow: false,
            completed: false,
            writer: WriterIs::Busy,
            closing: false,
        }
    }

    /// Bytes of memory that wait to become durable, about.
    #[inline]
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

    /// Is the batch that collects to be taken?
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        match self.taken.len() {
            0 => self.wanted || self.closing || self.bytes >= ENOUGH,
            MOST_ON_THE_WAY.. => false,
            _ => self.overlaps() && self.wanted && (self.completed || self.bytes >= OVERLAPPING),
        }
    }

    /// Is the writer to go on while a batch is on its way?
    pub(super) fn overlaps(&self) -> bool {
        self.may_overlap && self.is_slow
    }

    /// Is the writer to be woken? Once.
    #[inline]
    pub(super) fn wakes(&mut self) -> bool {
        let wakes = match self.writer {
            WriterIs::Busy => false,
            WriterIs::Waiting => self.is_due(),
            WriterIs::Idle => self.is_due() || self.taken.is_empty() && !self.ops.is_empty(),
        };
        if wakes {
            self.writer = WriterIs::Busy;
        }
        wakes
    }

    /// The batch that collected, into `ops`, which is empty; gives its number. `may_overlap`: the next one may be taken while
    /// this one is on its way.
    pub(super) fn take(&mut self, ops: &mut Vec<Op>, may_overlap: bool) -> u64 {
        std::mem::swap(&mut self.ops, ops);
        let (number, bytes) = (self.number, std::mem::take(&mut self.bytes));
        if !ops.is_empty() {
            self.number += 1;
            self.taken.push_back(Taken { number, bytes, frame: None });
            self.taken_bytes += bytes;
        }
        self.wanted = false;
        self.completed = false;
        self.may_overlap = may_overlap;
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
            self.completed = true;
            last = Some(number);
        }
        last
    }

    /// The last frame that is known to be on the disk, with all before it.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }
}

/// Batches that are on their way at once.
pub(super) const MOST_ON_THE_WAY: usize = 3;
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
        assert!(!batches.is_due());
        batches.push(lazy());
        assert!(!batches.is_due());
        batches.wanted = true;
        assert!(batches.is_due());
        assert_eq!(take(&mut batches, false), 1);
        assert_eq!(batches.complete(1..2, 1, None), Some(1));
        assert!(!batches.is_due());
        while !batches.is_due() {
            batches.push(lazy());
        }
        assert!((ENOUGH..ENOUGH + 1000).contains(&batches.bytes), "{}", batches.bytes);
    }

    #[test]
    fn a_batch_is_due_beside_another_where_the_disk_is_slow_and_tells_them_apart() {
        for (slow, may_overlap) in [(false, true), (true, false), (true, true)] {
            let overlaps = slow && may_overlap;
            let mut batches = Batches::new();
            batches.push(op(1));
            let first = take(&mut batches, may_overlap);
            let took = if slow { SLOW } else { SLOW / 2 };
            assert_eq!(batches.complete(first..first + 1, 1, Some(took)), Some(first));
            assert_eq!(batches.overlaps(), overlaps);
            batches.push(op(1));
            let second = take(&mut batches, may_overlap);
            batches.push(op(1));
            assert!(!batches.is_due());
            batches.push(op(OVERLAPPING));
            assert_eq!(batches.is_due(), overlaps);
            let third = take(&mut batches, may_overlap);
            // one that had nothing to write says nothing of the disk
            assert_eq!(batches.complete(second..third, 1, None), Some(second));
            batches.push(op(1));
            // what came while that one was on its way
            assert_eq!(batches.is_due(), overlaps);
            while batches.taken.len() < MOST_ON_THE_WAY {
                take(&mut batches, may_overlap);
                batches.push(op(OVERLAPPING));
            }
            assert!(!batches.is_due());
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
    fn the_writer_is_woken_once_for_what_is_due_and_looks_soon_at_what_is_not() {
        let mut batches = Batches::new();
        batches.push(op(1));
        assert!(!batches.wakes());
        batches.writer = WriterIs::Waiting;
        assert!(batches.wakes() && !batches.wakes());
        let first = take(&mut batches, false);
        batches.push(lazy());
        batches.writer = WriterIs::Idle;
        // a batch is on its way
        assert!(!batches.wakes());
        assert_eq!(batches.complete(first..first + 1, 1, None), Some(first));
        assert!(batches.wakes() && !batches.wakes());
        batches.writer = WriterIs::Waiting;
        assert!(!batches.wakes());
        batches.closing = true;
        assert!(batches.wakes());
    }
}
