//! [`Batches`]: the batch that collects, those that are on their way to the disk, and when the next one is taken. Knows
//! no locks and no clock.
//!
//! A batch is taken as soon as something in it is waited for, and the next one when that is on the disk. Where an fsync
//! takes long, and each of two that overlap tells whether it failed, the next is taken meanwhile if there is enough in
//! it: then the disk has several at once, and what is acknowledged first is still what came first.
//!
//! Those for whom a batch became durable mostly come again at once: the next one [waits for them](Gather) for a moment.
//!
//! Messages that connected clients were sent are [held back](Hold) for a moment first, if nothing else collects: where
//! the clients acknowledge them meanwhile, the batch is done without the disk.

use std::{
    collections::VecDeque,
    mem,
    ops::Range,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{
    contents::{Contents, size_of_record},
    gather::Gather,
    hold::{Hold, MessageKey},
};
use crate::{
    router::{QueuedCopy, Record},
    session::SessionNumber,
    types::QoS,
};

/// Records that are not to be written any more, to be dropped with nothing locked.
pub(crate) type Gone = SmallVec<[Record; 1]>;

/// Batches, in their order: those on their way, then the one that collects.
#[derive(Debug)]
pub(crate) struct Batches {
    pub(crate) contents: Contents,
    /// The number of the batch that collects; of its last part, where messages are held back.
    pub(crate) number: u64,
    bytes: usize,
    /// Somebody waits for it, or may, and it is not held back.
    wanted: bool,
    /// Records in it that have to be written whatever is acknowledged, and that somebody waits for, or may.
    written: usize,
    /// Something in it is what nobody waits for: that a message was acknowledged that is written.
    lazy: bool,
    hold: Hold,
    gather: Gather,
    /// Those that were taken, until each and all before it are durable.
    taken: VecDeque<Taken>,
    taken_bytes: usize,
    /// The last frame of those that are durable.
    synced: u64,
    /// One fsync may begin while another is on its way.
    may_overlap: bool,
    /// It is worth it when so many fsyncs in a row were slow: a thread that waits for a core makes one look so.
    slow: u8,
    /// One became durable since the last was taken.
    completed: bool,
    pub(crate) writer: WriterIs,
    pub(crate) closing: bool,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    bytes: usize,
    written: usize,
    began: Instant,
    /// The last frame that its fsync brought to the disk, once it did; 0: it needed none.
    done: Option<u64>,
}

/// What was taken to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    /// The last frame that is known to be on the disk.
    pub(crate) synced: u64,
    pub(crate) closing: bool,
}

/// An fsync that was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fsync {
    /// The last frame that is on the disk by it.
    pub(crate) frame: u64,
    pub(crate) took: Duration,
}

/// What the writer has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriterIs {
    /// Nothing: it looks by itself.
    Busy,
    /// That a batch is due: it looks by itself at what is held back, and at what waits for others.
    Patrolling,
    /// That a batch is due.
    Waiting,
    /// That there is something.
    Idle,
}

impl Batches {
    pub(crate) fn new() -> Self {
        Self {
            contents: Contents::default(),
            number: 1,
            bytes: 0,
            wanted: false,
            written: 0,
            lazy: false,
            hold: Hold::default(),
            gather: Gather::default(),
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
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.taken_bytes
    }

    /// Adds to the batch that collects, or takes from it what is acknowledged, and gives that.
    #[inline]
    pub(crate) fn push(&mut self, record: Record, now: impl FnOnce() -> Instant) -> Gone {
        match record {
            // these two are what nobody waits for
            Record::Completed { session, number, count } if !self.hold.is_empty() => {
                return self.acknowledge(session, number..number + u64::from(count));
            }
            Record::Completed { .. } => {
                self.lazy = true;
                self.add(record);
            }
            Record::Sent { .. } => {
                self.written += 1;
                // what is acknowledged behind it gains nothing
                self.wanted |= !self.hold.is_empty();
                self.add(record);
            }
            Record::Queued {
                copy: QueuedCopy { session, number, qos: QoS::AtLeastOnce, .. }, sent: Some(_), ..
            } if !self.wanted && self.written == 0 && self.hold.is_on() => {
                let size = size_of_record(&record);
                match self.hold.add(MessageKey { session, number }, record, self.number, now) {
                    Ok(part) => {
                        self.number = part;
                        self.bytes += size;
                    }
                    Err(record) => self.add_written(record),
                }
            }
            _ => self.add_written(record),
        }
        Gone::new()
    }

    fn add_written(&mut self, record: Record) {
        self.wanted = true;
        self.written += 1;
        self.add(record);
    }

    fn add(&mut self, record: Record) {
        self.bytes += size_of_record(&record);
        self.contents.list.push(record);
    }

    /// A client acknowledged these messages: takes out those that are held back, and adds that of the others.
    fn acknowledge(&mut self, session: SessionNumber, numbers: Range<u64>) -> Gone {
        let mut gone = Gone::new();
        let mut written: Option<Range<u64>> = None;
        for number in numbers {
            if let Some(record) = self.hold.acknowledge(MessageKey { session, number }) {
                self.bytes -= size_of_record(&record);
                gone.push(record);
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

    fn add_completed(&mut self, session: SessionNumber, numbers: Option<Range<u64>>) {
        let Some(Range { start: number, end }) = numbers else { return };
        self.lazy = true;
        // no more than one record said
        let count = u32::try_from(end - number).unwrap_or(u32::MAX);
        self.add(Record::Completed { session, number, count });
    }

    /// Adds to the record of `first` the other copies of its message. `false`: it is not in the batch that collects.
    pub(crate) fn add_copies(&mut self, first: &QueuedCopy, others: &[QueuedCopy]) -> bool {
        let found = self.contents.add_copies(first, others);
        if found {
            self.bytes += size_of_val(others);
        }
        found
    }

    /// Nothing collects.
    fn is_empty(&self) -> bool {
        self.hold.is_empty() && self.contents.list.is_empty()
    }

    /// Somebody waits for the batch with this number.
    pub(crate) fn want(&mut self, number: u64) {
        let collects = number >= self.hold.first().unwrap_or(self.number) && !self.is_empty();
        // what is held back is looked at in time
        self.wanted |= collects && (self.written > 0 || self.hold.is_empty());
    }

    /// Until when what collects is held back, if nothing else makes it due: what is acknowledged is to be settled then
    /// at the latest, and what is not is due.
    #[inline]
    pub(crate) fn held_until(&self) -> Option<Instant> {
        if self.wanted {
            return None;
        }
        // what waits for a batch that is on its way is settled with that
        self.hold.until(!self.may_settle())
    }

    /// How long what collects would be held back.
    pub(crate) fn hold_time(&self) -> Duration {
        self.hold.time()
    }

    /// What has been held back until now is due.
    pub(crate) fn end_hold(&mut self, now: Instant) {
        if !self.wanted && self.hold.until(true).is_some_and(|until| until <= now) {
            self.hold.end(now);
            self.wanted = true;
        }
    }

    /// Until when what collects waits for more.
    pub(crate) fn gathers_until(&self) -> Option<Instant> {
        self.gather.until()
    }

    /// What collects waits for more until now.
    pub(crate) fn end_gather(&mut self, now: Instant) {
        if self.gather.until().is_some_and(|until| until <= now) {
            self.gather.end(self.written);
        }
    }

    /// What nobody waits for has waited for long enough.
    pub(crate) fn end_linger(&mut self) {
        self.wanted |= self.lazy;
    }

    /// Is there something that was acknowledged before it was written, and may be done?
    #[inline]
    pub(crate) fn may_settle(&self) -> bool {
        self.hold.is_ready() && self.written == 0 && self.taken.is_empty()
    }

    /// What was acknowledged before it was written is done: gives the last number for which that is so.
    pub(crate) fn settle(&mut self) -> Option<u64> {
        if !self.may_settle() {
            return None;
        }
        let last = self.hold.take_ready()?;
        self.number = self.number.max(last + 1);
        if self.hold.is_empty() {
            // what is left is what nobody waits for
            self.wanted &= !self.contents.list.is_empty();
        }
        Some(last)
    }

    /// Is the batch that collects to be taken?
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        match self.taken.len() {
            0 => self.wanted && !self.gathers() || self.closing || self.bytes >= self.enough(),
            MOST_ON_THE_WAY.. => false,
            _ => self.overlaps() && self.wanted && (self.completed || self.bytes >= OVERLAPPING),
        }
    }

    /// Does what collects wait for those who are to come again? What is enough to be written beside a batch does not.
    #[inline]
    fn gathers(&self) -> bool {
        self.bytes < OVERLAPPING && self.gather.waits(self.written)
    }

    /// Bytes of a batch that is taken without anybody waiting for it.
    #[inline]
    fn enough(&self) -> usize {
        if self.hold.is_empty() { ENOUGH } else { ENOUGH_HELD }
    }

    /// Is the writer to go on while a batch is on its way?
    pub(crate) fn overlaps(&self) -> bool {
        self.may_overlap && self.slow == SLOW_ON_END
    }

    /// Is the writer to be woken? Once.
    #[inline]
    pub(crate) fn wakes(&mut self) -> bool {
        let wakes = match self.writer {
            WriterIs::Busy => false,
            WriterIs::Patrolling => self.is_due(),
            // where it waits for others, the writer has to know until when
            WriterIs::Waiting => self.is_due() || self.held_until().is_some() || self.taken.is_empty() && self.wanted,
            WriterIs::Idle => {
                self.is_due() || self.held_until().is_some() || self.taken.is_empty() && !self.contents.list.is_empty()
            }
        };
        if wakes {
            self.writer = WriterIs::Busy;
        }
        wakes
    }

    /// The batch that collected, into `contents`, which is empty; gives its number. Nothing, while others are on their
    /// way or it is held back, and it is not due. `may_overlap`: the next one may be taken while this one is on its
    /// way.
    pub(crate) fn take(&mut self, contents: &mut Contents, may_overlap: bool, now: Instant) -> u64 {
        if !(self.is_due() || self.taken.is_empty() && self.hold.is_empty() && self.gather.until().is_none()) {
            return self.number;
        }
        self.may_overlap = may_overlap;
        self.take_anyway(contents, now)
    }

    /// The same, whatever is on its way: with what waits for room.
    pub(crate) fn take_anyway(&mut self, contents: &mut Contents, now: Instant) -> u64 {
        if self.is_empty() {
            return self.number;
        }
        mem::swap(&mut self.contents, contents);
        self.hold.take(&mut contents.held, now);
        self.begin_next(now)
    }

    /// The batch that collected is on its way.
    pub(crate) fn begin_next(&mut self, now: Instant) -> u64 {
        let (number, bytes, written) = (self.number, mem::take(&mut self.bytes), mem::take(&mut self.written));
        self.number += 1;
        self.taken.push_back(Taken { number, bytes, written, began: now, done: None });
        self.gather.end(written);
        self.taken_bytes += bytes;
        self.wanted = false;
        self.lazy = false;
        self.completed = false;
        number
    }

    /// Has all that was taken become durable?
    pub(crate) fn none_on_the_way(&self) -> bool {
        self.taken.is_empty()
    }

    /// The first batch that was taken and is not durable.
    pub(crate) fn first_on_the_way(&self) -> Option<u64> {
        self.taken.front().map(|taken| taken.number)
    }

    /// These batches are where they have to be, by an fsync, if there was one. Gives the last batch that is durable
    /// now: with all before it, as one whose fsync fails must not be passed; and what was acknowledged meanwhile.
    pub(crate) fn complete(&mut self, numbers: Range<u64>, fsync: Option<Fsync>, now: Instant) -> Option<u64> {
        if let Some(fsync) = fsync {
            self.slow = if fsync.took >= SLOW { (self.slow + 1).min(SLOW_ON_END) } else { 0 };
        }
        for taken in self.taken.iter_mut().filter(|taken| numbers.contains(&taken.number)) {
            taken.done = Some(fsync.map_or(0, |fsync| fsync.frame));
        }
        let (mut last, mut durable, mut took) = (None, 0, Duration::ZERO);
        while let Some(&Taken { number, bytes, written, began, done: Some(frame) }) = self.taken.front() {
            self.taken.pop_front();
            self.taken_bytes -= bytes;
            // one that had nothing to write says nothing of what others wrote
            self.synced = self.synced.max(frame);
            self.completed = true;
            durable += written;
            took = now - began;
            last = Some(number);
            if frame > 0 {
                self.hold.note_batch(now - began, now);
            }
        }
        if fsync.is_some() && self.taken.is_empty() {
            self.gather.begin(durable, self.written, took, now);
        }
        self.settle().or(last)
    }

    /// The last frame that is known to be on the disk, with all before it.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }
}

/// Batches that are on their way at once.
pub(crate) const MOST_ON_THE_WAY: usize = 3;
/// Bytes of a batch that is taken without anybody waiting for it.
const ENOUGH: usize = 256 << 10;
/// The same, while messages are held back.
const ENOUGH_HELD: usize = 4 << 20;
/// Bytes of a batch that is taken while another is on its way.
const OVERLAPPING: usize = 128 << 10;
/// What an fsync takes where batches that overlap are more than the trouble: below that, each is mostly work of this
/// machine.
const SLOW: Duration = Duration::from_micros(500);
/// So many fsyncs that are slow, one after the other, are the disk.
const SLOW_ON_END: u8 = 4;

#[cfg(test)]
mod tests;
