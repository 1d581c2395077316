//! [`Batches`]: the batch that collects records, the batches on their way to the disk, and when the next one is taken.
//! It has no locks and no clock.
//!
//! A batch is taken as soon as a task waits for it, and the next one after its fsync. On a slow disk batches overlap:
//! if the next one has enough records, it is written during the fsync of the one before. (The file system must report
//! the failure of each of two overlapping fsyncs.) Acknowledgements keep their order.
//!
//! After a batch the next one [waits](Gather) briefly for clients that were just acknowledged. Messages that were just
//! sent to connected subscribers are [held](Hold) first, unless the batch has other records: if the subscribers
//! acknowledge them meanwhile, the batch completes without a write.

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

/// Records that need no write any more. Drop them without a lock.
pub(crate) type Gone = SmallVec<[Record; 1]>;

/// Batches in order: those that are being written or synced, then the one that collects.
#[derive(Debug)]
pub(crate) struct Batches {
    pub(crate) contents: Contents,
    /// The number of the batch that collects; if messages are held, of its last part.
    pub(crate) number: u64,
    bytes: usize,
    /// The batch is taken when no other one is on its way: a task waits for it or may do so, and it is not held.
    due_when_idle: bool,
    /// Number of records that must be written even if every held message is acknowledged.
    written: usize,
    /// It has a record that no task waits for: the acknowledgement of a message that is written.
    lazy: bool,
    hold: Hold,
    gather: Gather,
    /// Batches that were taken and are not durable, or that follow one that is not.
    taken: VecDeque<Taken>,
    taken_bytes: usize,
    /// The last frame of the durable batches.
    synced: u64,
    /// One fsync may begin while another runs.
    may_overlap: bool,
    /// Slow fsyncs in a row. Batches overlap only after several: a single one may mean that the thread was not
    /// scheduled.
    slow: u8,
    /// A batch became durable since the last one was taken.
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
    /// Set when its fsync is done: the last frame that it covered, 0 if it needed none.
    done: Option<u64>,
}

/// A batch that was taken to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    /// The last frame that is known to be durable.
    pub(crate) synced: u64,
    pub(crate) closing: bool,
}

/// A completed fsync.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fsync {
    /// The last frame that it covered.
    pub(crate) frame: u64,
    pub(crate) took: Duration,
}

/// What an append means for the writer thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriterIs {
    /// Nothing to do: the writer looks by itself.
    Busy,
    /// A batch is due. (The writer looks by itself at held messages and at the group-commit wait.)
    Patrolling,
    /// A batch is due.
    Waiting,
    /// There are records.
    Idle,
}

impl Batches {
    pub(crate) fn new() -> Self {
        Self {
            contents: Contents::default(),
            number: 1,
            bytes: 0,
            due_when_idle: false,
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

    /// Approximate bytes of memory of records that are not durable.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.taken_bytes
    }

    /// Adds a record to the batch that collects. An acknowledgement of a held message removes and returns its record.
    #[inline]
    pub(crate) fn push(&mut self, record: Record, now: impl FnOnce() -> Instant) -> Gone {
        match record {
            // no task waits for these two
            Record::Completed { session, number, count } if !self.hold.is_empty() => {
                return self.acknowledge(session, number..number + u64::from(count));
            }
            Record::Completed { .. } => {
                self.lazy = true;
                self.add(record);
            }
            Record::Sent { .. } => {
                self.written += 1;
                // the message must be written now, so delaying others gains nothing
                self.due_when_idle |= !self.hold.is_empty();
                self.add(record);
            }
            Record::Queued {
                copy: QueuedCopy { session, number, qos: QoS::AtLeastOnce, .. }, sent: Some(_), ..
            } if !self.due_when_idle && self.written == 0 && self.hold.is_on() => {
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
        self.due_when_idle = true;
        self.written += 1;
        self.add(record);
    }

    fn add(&mut self, record: Record) {
        self.bytes += size_of_record(&record);
        self.contents.list.push(record);
    }

    /// A client acknowledged these messages: removes the held ones, and adds records for the others.
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
        // all of them count as one record
        let count = u32::try_from(end - number).unwrap_or(u32::MAX);
        self.add(Record::Completed { session, number, count });
    }

    /// Adds the other copies of a message to the record of its `first` copy. `false`: that is in an earlier batch.
    pub(crate) fn add_copies(&mut self, first: &QueuedCopy, others: &[QueuedCopy]) -> bool {
        let found = self.contents.add_copies(first, others);
        if found {
            self.bytes += size_of_val(others);
        }
        found
    }

    /// The batch that collects is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.hold.is_empty() && self.contents.list.is_empty()
    }

    /// A task waits for the batch with this number.
    pub(crate) fn want(&mut self, number: u64) {
        let collects = number >= self.hold.first().unwrap_or(self.number) && !self.is_empty();
        // held messages have their own timer
        self.due_when_idle |= collects && (self.written > 0 || self.hold.is_empty());
    }

    /// When the delay of held messages ends, unless another record makes the batch due before. At that time
    /// acknowledged messages are completed, and the others are due.
    #[inline]
    pub(crate) fn held_until(&self) -> Option<Instant> {
        if self.due_when_idle {
            return None;
        }
        // if a batch is on its way, its end completes them
        self.hold.until(!self.may_settle())
    }

    /// How long the batch that collects would be held.
    pub(crate) fn hold_time(&self) -> Duration {
        self.hold.time()
    }

    /// The delay is over: held messages are due.
    pub(crate) fn end_hold(&mut self, now: Instant) {
        if !self.due_when_idle && self.hold.until(true).is_some_and(|until| until <= now) {
            self.hold.end(now);
            self.due_when_idle = true;
        }
    }

    /// When the group-commit wait of the batch that collects ends.
    pub(crate) fn gathers_until(&self) -> Option<Instant> {
        self.gather.until()
    }

    /// The group-commit wait ends now.
    pub(crate) fn end_gather(&mut self, now: Instant) {
        if self.gather.until().is_some_and(|until| until <= now) {
            self.gather.end(self.written);
        }
    }

    /// Records that no task waits for have lingered long enough: they are due.
    pub(crate) fn end_linger(&mut self) {
        self.due_when_idle |= self.lazy;
    }

    /// May there be held messages that were acknowledged and can complete?
    #[inline]
    pub(crate) fn may_settle(&self) -> bool {
        self.hold.is_ready() && self.written == 0 && self.taken.is_empty()
    }

    /// Completes held messages that were acknowledged. Returns the last number that is done.
    pub(crate) fn settle(&mut self) -> Option<u64> {
        if !self.may_settle() {
            return None;
        }
        let last = self.hold.take_ready()?;
        self.number = self.number.max(last + 1);
        if self.hold.is_empty() {
            // no task waits for the records that are left
            self.due_when_idle &= !self.contents.list.is_empty();
        }
        Some(last)
    }

    /// Should the batch that collects be taken now?
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        match self.taken.len() {
            0 => self.due_when_idle && !self.gathers() || self.closing || self.bytes >= self.enough(),
            MOST_ON_THE_WAY.. => false,
            _ => self.overlaps() && self.due_when_idle && (self.completed || self.bytes >= OVERLAPPING),
        }
    }

    /// Is the batch in its group-commit wait? One that is large enough to overlap does not wait.
    #[inline]
    fn gathers(&self) -> bool {
        self.bytes < OVERLAPPING && self.gather.waits(self.written)
    }

    /// Bytes at which a batch is taken even if no task waits for it.
    #[inline]
    fn enough(&self) -> usize {
        if self.hold.is_empty() { ENOUGH } else { ENOUGH_HELD }
    }

    /// Should the writer continue while a batch is being synced?
    pub(crate) fn overlaps(&self) -> bool {
        self.may_overlap && self.slow == SLOW_IN_A_ROW
    }

    /// Must the writer be woken? `true` once.
    #[inline]
    pub(crate) fn wakes(&mut self) -> bool {
        let wakes = match self.writer {
            WriterIs::Busy => false,
            WriterIs::Patrolling => self.is_due(),
            // the writer has to know when the group-commit wait ends
            WriterIs::Waiting => {
                self.is_due() || self.held_until().is_some() || self.taken.is_empty() && self.due_when_idle
            }
            WriterIs::Idle => {
                self.is_due() || self.held_until().is_some() || self.taken.is_empty() && !self.contents.list.is_empty()
            }
        };
        if wakes {
            self.writer = WriterIs::Busy;
        }
        wakes
    }

    /// Moves the batch that collected into `contents`, which is empty, if it is due. Returns its number.
    /// `may_overlap`: the next batch may be taken while this one is on its way.
    pub(crate) fn take(&mut self, contents: &mut Contents, may_overlap: bool, now: Instant) -> u64 {
        if !(self.is_due() || self.taken.is_empty() && self.hold.is_empty() && self.gather.until().is_none()) {
            return self.number;
        }
        self.may_overlap = may_overlap;
        self.take_anyway(contents, now)
    }

    /// Takes it even if it is not due, while an earlier batch waits for space on the disk.
    pub(crate) fn take_anyway(&mut self, contents: &mut Contents, now: Instant) -> u64 {
        if self.is_empty() {
            return self.number;
        }
        mem::swap(&mut self.contents, contents);
        self.hold.take(&mut contents.held, now);
        self.begin_next(now)
    }

    /// The batch that collected is taken.
    pub(crate) fn begin_next(&mut self, now: Instant) -> u64 {
        let (number, bytes, written) = (self.number, mem::take(&mut self.bytes), mem::take(&mut self.written));
        self.number += 1;
        self.taken.push_back(Taken { number, bytes, written, began: now, done: None });
        self.gather.end(written);
        self.taken_bytes += bytes;
        self.due_when_idle = false;
        self.lazy = false;
        self.completed = false;
        number
    }

    /// Are all batches that were taken durable?
    pub(crate) fn none_on_the_way(&self) -> bool {
        self.taken.is_empty()
    }

    /// The first batch that was taken and is not durable.
    pub(crate) fn first_on_the_way(&self) -> Option<u64> {
        self.taken.front().map(|taken| taken.number)
    }

    /// Marks these batches as durable. Returns the last batch that is durable together with all before it (a failed
    /// fsync must stop the ones behind it), or was acknowledged meanwhile.
    pub(crate) fn complete(&mut self, numbers: Range<u64>, fsync: Option<Fsync>, now: Instant) -> Option<u64> {
        if let Some(fsync) = fsync {
            self.slow = if fsync.took >= SLOW { (self.slow + 1).min(SLOW_IN_A_ROW) } else { 0 };
        }
        for taken in self.taken.iter_mut().filter(|taken| numbers.contains(&taken.number)) {
            taken.done = Some(fsync.map_or(0, |fsync| fsync.frame));
        }
        let (mut last, mut durable, mut took) = (None, 0, Duration::ZERO);
        while let Some(&Taken { number, bytes, written, began, done: Some(frame) }) = self.taken.front() {
            self.taken.pop_front();
            self.taken_bytes -= bytes;
            // a batch with nothing to write proves nothing about the others
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

    /// The last frame that is known to be durable together with all before it.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }
}

/// Most batches on their way at once.
pub(crate) const MOST_ON_THE_WAY: usize = 3;
/// Bytes at which a batch is taken even if no task waits for it.
const ENOUGH: usize = 256 << 10;
/// The same while messages are held.
const ENOUGH_HELD: usize = 4 << 20;
/// Bytes at which a batch is taken while another is on its way.
const OVERLAPPING: usize = 128 << 10;
/// Duration of a slow fsync. With faster ones overlap gains nothing: most of their time is CPU work.
const SLOW: Duration = Duration::from_micros(500);
/// After this many slow fsyncs in a row the disk is slow.
const SLOW_IN_A_ROW: u8 = 4;

#[cfg(test)]
mod tests;
