//! [`Batches`]: the batch that collects, those that are on their way to the disk, and when the next one is taken. Knows no
//! locks and no clock.
//!
//! A batch is taken as soon as something in it is waited for, and the next one when that is on the disk. Where an fsync takes
//! long, and each of two that overlap tells whether it failed, the next is taken meanwhile if there is enough in it: then
//! the disk has several at once, and what is acknowledged first is still what came first.
//!
//! Messages that connected clients were sent are [held back](Hold) for a moment first, if nothing else collects: where the
//! clients acknowledge them meanwhile, the batch is done without the disk.

use std::{
    collections::VecDeque,
    mem,
    ops::Range,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{
    hold::Hold,
    op::{Op, Ops},
};
use crate::{router::QueuedCopy, types::QoS};

/// Ops that are not to be written any more: to be dropped with nothing locked.
pub(super) type Gone = SmallVec<[Op; 1]>;

/// Batches, in their order: those on their way, then the one that collects.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) ops: Ops,
    /// The number of the batch that collects; of its last part, where messages are held back.
    pub(super) number: u64,
    bytes: usize,
    /// Somebody waits for it, or may, and it is not held back.
    wanted: bool,
    /// Records in it that have to be written whatever is acknowledged, and that somebody waits for, or may.
    written: usize,
    /// Something in it is what nobody waits for: that a message was acknowledged that is written.
    lazy: bool,
    hold: Hold,
    /// Those that were taken, until each and all before it are durable.
    taken: VecDeque<Taken>,
    taken_bytes: usize,
    /// The last frame of those that are durable.
    synced: u64,
    /// One fsync may begin while another is on its way.
    may_overlap: bool,
    /// It is worth it when so many fsyncs on end were slow: a thread that waits for a core makes one look so.
    slow: u8,
    /// One became durable since the last was taken.
    completed: bool,
    pub(super) writer: WriterIs,
    pub(super) closing: bool,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    bytes: usize,
    began: Instant,
    /// The last frame that its fsync brought to the disk, once it did; 0: it needed none.
    done: Option<u64>,
}

/// An fsync that was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fsync {
    /// The last frame that is on the disk by it.
    pub(super) frame: u64,
    pub(super) took: Duration,
}

/// What the writer has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterIs {
    /// Nothing: it looks by itself.
    Busy,
    /// That a batch is due: it looks by itself at what is held back.
    Patrolling,
    /// That a batch is due.
    Waiting,
    /// That there is something.
    Idle,
}

impl Batches {
    pub(super) fn new() -> Self {
        Self {
            ops: Ops::default(),
            number: 1,
            bytes: 0,
            wanted: false,
            written: 0,
            lazy: false,
            hold: Hold::default(),
            taken: VecDeque::new(),
            taken_bytes: 0,
            synced: 0,
            may_overlap: false,
            slow: 0,
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

    /// Adds to the batch that collects, or takes from it what is acknowledged, and gives that.
    #[inline]
    pub(super) fn push(&mut self, op: Op, now: impl FnOnce() -> Instant) -> Gone {
        match op {
            // these two are what nobody waits for
            Op::Completed { session, number, count } if !self.hold.is_empty() => {
                return self.acknowledge(session, number..number + u64::from(count));
            }
            Op::Completed { .. } => self.lazy = true,
            Op::Sent { .. } => {
                self.written += 1;
                // what is acknowledged behind it gains nothing
                self.wanted |= !self.hold.is_empty();
            }
            Op::Queued { copy: QueuedCopy { session, number, qos: QoS::AtLeastOnce, .. }, sent: Some(_), .. }
                if !self.wanted && self.written == 0 && self.hold.is_on() =>
            {
                let size = op.size();
                match self.hold.add((session.0.get(), number), op, self.number, now) {
                    Ok(part) => {
                        self.number = part;
                        self.bytes += size;
                    }
                    Err(op) => self.add_written(op),
                }
                return Gone::new();
            }
            _ => {
                self.add_written(op);
                return Gone::new();
            }
        }
        self.add(op);
        Gone::new()
    }

    fn add_written(&mut self, op: Op) {
        self.wanted = true;
        self.written += 1;
        self.add(op);
    }

    fn add(&mut self, op: Op) {
        self.bytes += op.size();
        self.ops.list.push(op);
    }

    /// A client acknowledged these messages: takes out those that are held back, and adds that of the others.
    fn acknowledge(&mut self, session: u64, numbers: Range<u64>) -> Gone {
        let mut gone = Gone::new();
        let mut written: Option<Range<u64>> = None;
        for number in numbers {
            if let Some(op) = self.hold.acknowledge((session, number)) {
                self.bytes -= op.size();
                gone.push(op);
                continue;
            }
            match &mut written {
                Some(written) if written.end == number => written.end += 1,
                _ => {
                    let before = written.replace(number..number + 1);
                    self.add_completed(session, before);
                }
            }
        }
        self.add_completed(session, written);
        gone
    }

    fn add_completed(&mut self, session: u64, numbers: Option<Range<u64>>) {
        let Some(Range { start: number, end }) = numbers else { return };
        self.lazy = true;
        // no more than one op said
        let count = u32::try_from(end - number).unwrap_or(u32::MAX);
        self.add(Op::Completed { session, number, count });
    }

    /// Adds to the op of `first` the other copies of its message. `false`: it is not in the batch that collects.
    pub(super) fn queue_too(&mut self, first: &QueuedCopy, others: &[QueuedCopy]) -> bool {
        let found = self.ops.queue_too(first, others);
        if found {
            self.bytes += size_of_val(others);
        }
        found
    }

    /// Nothing collects.
    fn is_empty(&self) -> bool {
        self.hold.is_empty() && self.ops.list.is_empty()
    }

    /// Somebody waits for the batch with this number.
    pub(super) fn want(&mut self, number: u64) {
        let collects = number >= self.hold.first().unwrap_or(self.number) && !self.is_empty();
        // what is held back is looked at in time
        self.wanted |= collects && (self.written > 0 || self.hold.is_empty());
    }

    /// Until when what collects is held back, if nothing else makes it due: what is acknowledged is to be settled then at the
    /// latest, and what is not is due.
    #[inline]
    pub(super) fn held_until(&self) -> Option<Instant> {
        if self.wanted {
            return None;
        }
        // what waits for a batch that is on its way is settled with that
        self.hold.until(!self.may_settle())
    }

    /// How long what collects would be held back.
    pub(super) fn hold_time(&self) -> Duration {
        self.hold.time()
    }

    /// What has been held back until now is due.
    pub(super) fn end_hold(&mut self, now: Instant) {
        if !self.wanted && self.hold.until(true).is_some_and(|until| until <= now) {
            self.hold.end(now);
            self.wanted = true;
        }
    }

    /// What nobody waits for has waited for long enough.
    pub(super) fn end_linger(&mut self) {
        self.wanted |= self.lazy;
    }

    /// Is there something that was acknowledged before it was written, and may be done?
    #[inline]
    pub(super) fn may_settle(&self) -> bool {
        self.hold.is_ready() && self.written == 0 && self.taken.is_empty()
    }

    /// What was acknowledged before it was written is done: gives the last number for which that is so.
    pub(super) fn settle(&mut self) -> Option<u64> {
        if !self.may_settle() {
            return None;
        }
        let last = self.hold.take_ready()?;
        self.number = self.number.max(last + 1);
        if self.hold.is_empty() {
            // what is left is what nobody waits for
            self.wanted &= !self.ops.list.is_empty();
        }
        Some(last)
    }

    /// Is the batch that collects to be taken?
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        match self.taken.len() {
            0 => self.wanted || self.closing || self.bytes >= self.enough(),
            MOST_ON_THE_WAY.. => false,
            _ => self.overlaps() && self.wanted && (self.completed || self.bytes >= OVERLAPPING),
        }
    }

    /// Bytes of a batch that is taken without anybody waiting for it.
    #[inline]
    fn enough(&self) -> usize {
        if self.hold.is_empty() { ENOUGH } else { ENOUGH_HELD }
    }

    /// Is the writer to go on while a batch is on its way?
    pub(super) fn overlaps(&self) -> bool {
        self.may_overlap && self.slow == SLOW_ON_END
    }

    /// Is the writer to be woken? Once.
    #[inline]
    pub(super) fn wakes(&mut self) -> bool {
        let wakes = match self.writer {
            WriterIs::Busy => false,
            WriterIs::Patrolling => self.is_due(),
            WriterIs::Waiting => self.is_due() || self.held_until().is_some(),
            WriterIs::Idle => {
                self.is_due() || self.held_until().is_some() || self.taken.is_empty() && !self.ops.list.is_empty()
            }
        };
        if wakes {
            self.writer = WriterIs::Busy;
        }
        wakes
    }

    /// The batch that collected, into `ops`, which is empty; gives its number. Nothing, while others are on their way or it is
    /// held back, and it is not due. `may_overlap`: the next one may be taken while this one is on its way.
    pub(super) fn take(&mut self, ops: &mut Ops, may_overlap: bool, now: Instant) -> u64 {
        if !(self.is_due() || self.taken.is_empty() && self.hold.is_empty()) {
            return self.number;
        }
        self.may_overlap = may_overlap;
        self.take_anyway(ops, now)
    }

    /// The same, whatever is on its way: with what waits for room.
    pub(super) fn take_anyway(&mut self, ops: &mut Ops, now: Instant) -> u64 {
        if self.is_empty() {
            return self.number;
        }
        mem::swap(&mut self.ops, ops);
        self.hold.take(&mut ops.held, now);
        self.begin_next(now)
    }

    /// The batch that collected is on its way.
    pub(super) fn begin_next(&mut self, now: Instant) -> u64 {
        let (number, bytes) = (self.number, mem::take(&mut self.bytes));
        self.written = 0;
        self.number += 1;
        self.taken.push_back(Taken { number, bytes, began: now, done: None });
        self.taken_bytes += bytes;
        self.wanted = false;
        self.lazy = false;
        self.completed = false;
        number
    }

    /// Has all that was taken become durable?
    pub(super) fn none_on_the_way(&self) -> bool {
        self.taken.is_empty()
    }

    /// The first batch that was taken and is not durable.
    pub(super) fn first_on_the_way(&self) -> Option<u64> {
        self.taken.front().map(|taken| taken.number)
    }

    /// These batches are where they have to be, by an fsync, if there was one. Gives the last batch that is durable now: with all
    /// before it, as one whose fsync fails must not be passed; and what was acknowledged meanwhile.
    pub(super) fn complete(&mut self, numbers: Range<u64>, fsync: Option<Fsync>, now: Instant) -> Option<u64> {
        if let Some(fsync) = fsync {
            self.slow = if fsync.took >= SLOW { (self.slow + 1).min(SLOW_ON_END) } else { 0 };
        }
        for taken in self.taken.iter_mut().filter(|taken| numbers.contains(&taken.number)) {
            taken.done = Some(fsync.map_or(0, |fsync| fsync.frame));
        }
        let mut last = None;
        while let Some(&Taken { number, bytes, began, done: Some(frame) }) = self.taken.front() {
            self.taken.pop_front();
            self.taken_bytes -= bytes;
            // one that had nothing to write says nothing of what others wrote
            self.synced = self.synced.max(frame);
            self.completed = true;
            last = Some(number);
            if frame > 0 {
                self.hold.note_batch(now - began, now);
            }
        }
        self.settle().or(last)
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
/// The same, while messages are held back.
const ENOUGH_HELD: usize = 4 << 20;
/// Bytes of a batch that is taken while another is on its way.
const OVERLAPPING: usize = 128 << 10;
/// What an fsync takes where batches that overlap are more than the trouble: below that, each is mostly work of this machine.
const SLOW: Duration = Duration::from_micros(500);
/// So many fsyncs that are slow, one after the other, are the disk.
const SLOW_ON_END: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn op(bytes: usize) -> Op {
        Op::Cleared { topic: "t".repeat(bytes).into() }
    }

    fn lazy() -> Op {
        Op::Completed { session: 1, number: 1, count: 1 }
    }

    fn push(batches: &mut Batches, op: Op) {
        batches.push(op, || unreachable!("nothing is held back"));
    }

    fn complete(batches: &mut Batches, numbers: Range<u64>, fsync: Option<Fsync>) -> Option<u64> {
        batches.complete(numbers, fsync, Instant::now())
    }

    /// The number of the batch that is taken, if one is.
    fn take(batches: &mut Batches, may_overlap: bool) -> Option<u64> {
        let mut ops = Ops::default();
        let number = batches.take(&mut ops, may_overlap, Instant::now());
        (!ops.is_empty()).then_some(number)
    }

    fn fsync(frame: u64, took: Duration) -> Option<Fsync> {
        Some(Fsync { frame, took })
    }

    #[test]
    fn a_batch_is_due_when_somebody_waits_for_it_or_it_is_large() {
        let mut batches = Batches::new();
        assert!(!batches.is_due());
        push(&mut batches, lazy());
        assert!(!batches.is_due());
        batches.want(1);
        assert!(batches.is_due());
        assert_eq!(take(&mut batches, false), Some(1));
        assert_eq!(complete(&mut batches, 1..2, None), Some(1));
        assert!(!batches.is_due());
        while !batches.is_due() {
            push(&mut batches, lazy());
        }
        assert!((ENOUGH..ENOUGH + 1000).contains(&batches.bytes), "{}", batches.bytes);
    }

    #[test]
    fn a_batch_is_taken_beside_another_where_the_disk_is_slow_and_tells_them_apart() {
        for (slow, may_overlap) in [(false, true), (true, false), (true, true)] {
            let overlaps = slow && may_overlap;
            let mut batches = Batches::new();
            batches.slow = SLOW_ON_END - 1;
            push(&mut batches, op(1));
            assert_eq!(take(&mut batches, may_overlap), Some(1));
            let took = if slow { SLOW } else { SLOW / 2 };
            assert_eq!(complete(&mut batches, 1..2, fsync(1, took)), Some(1));
            assert_eq!(batches.overlaps(), overlaps);
            push(&mut batches, op(1));
            assert_eq!(take(&mut batches, may_overlap), Some(2));
            push(&mut batches, op(1));
            assert_eq!((batches.is_due(), take(&mut batches, may_overlap)), (false, None));
            push(&mut batches, op(OVERLAPPING));
            assert_eq!(batches.is_due(), overlaps);
            assert_eq!(take(&mut batches, may_overlap), overlaps.then_some(3));
        }
    }

    #[test]
    fn what_came_while_a_batch_was_on_its_way_is_taken_when_that_is_durable() {
        let mut batches = Batches::new();
        batches.slow = SLOW_ON_END;
        for number in 1..=2 {
            push(&mut batches, op(OVERLAPPING));
            assert_eq!(take(&mut batches, true), Some(number));
        }
        push(&mut batches, op(1));
        assert!(!batches.is_due());
        // one that had nothing to write says nothing of the disk
        assert_eq!(complete(&mut batches, 1..2, None), Some(1));
        assert!(batches.is_due());
        assert_eq!(take(&mut batches, true), Some(3));
        push(&mut batches, op(1));
        assert!(!batches.is_due());
    }

    #[test]
    fn no_more_are_on_their_way_than_may_be() {
        let mut batches = Batches::new();
        batches.slow = SLOW_ON_END;
        for number in 1..=MOST_ON_THE_WAY {
            push(&mut batches, op(OVERLAPPING));
            assert_eq!(take(&mut batches, true), Some(number as u64));
        }
        push(&mut batches, op(ENOUGH));
        assert_eq!((batches.is_due(), take(&mut batches, true)), (false, None));
        assert_eq!(complete(&mut batches, 1..2, fsync(1, SLOW)), Some(1));
        assert_eq!(take(&mut batches, true), Some(4));
    }

    #[test]
    fn batches_are_durable_in_their_order() {
        let mut batches = Batches::new();
        batches.slow = SLOW_ON_END;
        for number in 1..=3 {
            push(&mut batches, op(OVERLAPPING * number as usize));
            assert_eq!(take(&mut batches, true), Some(number));
        }
        let bytes = batches.bytes();
        assert_eq!(complete(&mut batches, 2..3, fsync(20, SLOW)), None);
        assert_eq!((batches.bytes(), batches.synced()), (bytes, 0));
        assert_eq!(complete(&mut batches, 1..2, fsync(10, SLOW)), Some(2));
        assert_eq!((batches.bytes(), batches.synced()), (op(3 * OVERLAPPING).size(), 20));
        assert_eq!(complete(&mut batches, 3..4, fsync(30, SLOW)), Some(3));
        assert_eq!((batches.bytes(), batches.synced()), (0, 30));
        // an empty one is none
        assert_eq!(take(&mut batches, true), None);
        assert_eq!(complete(&mut batches, 4..4, None), None);
        push(&mut batches, op(1));
        assert_eq!(take(&mut batches, true), Some(4));
    }

    #[test]
    fn a_batch_without_a_frame_brings_no_frame_to_the_disk() {
        let mut batches = Batches::new();
        for (fsync, synced) in [(fsync(7, SLOW), 7), (None, 7), (fsync(9, SLOW), 9)] {
            push(&mut batches, op(1));
            let number = take(&mut batches, true).unwrap();
            assert_eq!(complete(&mut batches, number..number + 1, fsync), Some(number));
            assert_eq!(batches.synced(), synced);
        }
    }

    #[test]
    fn the_writer_is_woken_once_for_what_is_due_and_looks_soon_at_what_is_not() {
        let mut batches = Batches::new();
        push(&mut batches, op(1));
        assert!(!batches.wakes());
        batches.writer = WriterIs::Waiting;
        assert!(batches.wakes() && !batches.wakes());
        assert_eq!(take(&mut batches, false), Some(1));
        push(&mut batches, lazy());
        batches.writer = WriterIs::Idle;
        // a batch is on its way
        assert!(!batches.wakes());
        assert_eq!(complete(&mut batches, 1..2, None), Some(1));
        assert!(batches.wakes() && !batches.wakes());
        batches.writer = WriterIs::Waiting;
        assert!(!batches.wakes());
        batches.closing = true;
        assert!(batches.wakes());
    }
}
