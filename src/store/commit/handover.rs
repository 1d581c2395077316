//! [`Handover`]: the state that appending threads share with the store's threads. A thread appends a [`Record`] to the
//! batch that collects and goes on. The writer takes the batch and writes it while the next one collects. When it is
//! durable, the tasks that wait for it are woken.
//!
//! Records that no task waits for, such as a subscriber's acknowledgement of a message that is written, go with the
//! next batch, or when they are [`LINGER`] old or large. So messages that arrive one by one take one fsync each, and
//! not two.
//!
//! The order of its locks is in "Locks" of `ARCHITECTURE.md`.

use std::{
    num::NonZeroU64,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    task::Waker,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use tokio::sync::watch;

use super::{
    super::log::Failure,
    batches::{Batch, Batches, Fsync, Gone},
    bell::Bell,
    contents::Contents,
    statistics::Statistics,
};
use crate::{
    clock::{Clock, Stopwatch},
    router::{Condition, QueuedCopy, Record},
    session::{CommitSeq, Message, Stored},
};

/// Shared by appending threads and the store's threads.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) clock: Clock,
    groups: RwLock<()>,
    pub(super) pending: Mutex<Batches>,
    /// The writer waits on it.
    pub(super) wake: Bell,
    done: AtomicU64,
    state: AtomicU8,
    not_durable: AtomicUsize,
    /// Held messages were acknowledged and may complete.
    may_settle: AtomicBool,
    max_not_durable: usize,
    next_message: AtomicU64,
    waiters: Mutex<Vec<(CommitSeq, Waker)>>,
    pub(crate) failure: watch::Sender<Option<Failure>>,
    pub(crate) statistics: Arc<Statistics>,
}

impl Handover {
    pub(crate) fn new(next_message: u64, max_not_durable: usize, statistics: Arc<Statistics>, clock: Clock) -> Self {
        Self {
            clock,
            groups: RwLock::new(()),
            pending: Mutex::new(Batches::new()),
            wake: Bell::default(),
            done: AtomicU64::new(0),
            state: AtomicU8::new(READY),
            not_durable: AtomicUsize::new(0),
            may_settle: AtomicBool::new(false),
            max_not_durable,
            next_message: AtomicU64::new(next_message.max(1)),
            waiters: Mutex::default(),
            failure: watch::Sender::new(None),
            statistics,
        }
    }

    #[inline]
    pub(crate) fn append(&self, record: Record) -> Stored {
        let mut pending = self.pending.lock();
        if let Record::Queued { message, .. } | Record::Retained { message, .. } = &record {
            self.name(message);
        }
        let gone = pending.push(record, || self.clock.now());
        self.appended(pending, gone)
    }

    pub(crate) fn append_copies(&self, message: &Message, first: &QueuedCopy, others: &[QueuedCopy]) -> Stored {
        let mut pending = self.pending.lock();
        let mut gone = Gone::new();
        if !pending.add_copies(first, others) {
            debug_assert!(false, "no batch is taken within a group: the first copy is in the one that collects");
            self.name(message);
            for &copy in others {
                let record = Record::Queued { message: message.clone(), copy, identifiers: None, sent: None };
                gone.extend(pending.push(record, || self.clock.now()));
            }
        }
        self.appended(pending, gone)
    }

    /// Call after an append. `gone`: records that need no write any more.
    #[inline]
    fn appended(&self, mut pending: MutexGuard<'_, Batches>, gone: Gone) -> Stored {
        // changed with `pending` locked alone
        self.not_durable.store(pending.bytes(), Ordering::Relaxed);
        if pending.may_settle() {
            self.may_settle.store(true, Ordering::Relaxed);
        }
        let (number, wakes) = (pending.number, pending.wakes());
        drop(pending);
        drop(gone);
        self.wake(wakes);
        Stored::By(CommitSeq(number))
    }

    pub(crate) fn together(&self, append: &mut dyn FnMut()) {
        // a group begins without locks and is not nested: a thread that waits for the writer here blocks no other
        // thread
        let _group = self.groups.read();
        append();
    }

    pub(crate) fn done(&self) -> CommitSeq {
        CommitSeq(self.done.load(Ordering::Acquire))
    }

    pub(crate) fn wake_when_done(&self, commit: CommitSeq, waker: &Waker) {
        let mut waiters = self.waiters.lock();
        let condition = self.condition();
        if commit <= self.done() || condition == Condition::Failed {
            drop(waiters);
            return waker.wake_by_ref();
        }
        // a task that asks twice for the same commit is woken once
        let asked = waiters.iter().rev().take(16).any(|(other, known)| *other == commit && known.will_wake(waker));
        if !asked {
            waiters.push((commit, waker.clone()));
        }
        drop(waiters);
        if condition == Condition::Stuck {
            waker.wake_by_ref();
        }
        self.want(commit);
    }

    /// A task waits for this commit: if its batch still collects, it is due.
    fn want(&self, commit: CommitSeq) {
        let mut pending = self.pending.lock();
        pending.want(commit.0);
        let wakes = pending.wakes();
        drop(pending);
        self.wake(wakes);
    }

    /// Completes held messages that were acknowledged. Adds the wakers of the tasks that wait for them to `wakes`.
    #[inline]
    pub(crate) fn settle(&self, wakes: &mut Vec<Waker>) {
        if self.may_settle.load(Ordering::Relaxed) {
            let done = self.settle_pending(&mut self.pending.lock());
            wakes.extend(done.into_iter().flat_map(|done| self.ready(done)));
        }
    }

    pub(super) fn settle_pending(&self, pending: &mut Batches) -> Option<CommitSeq> {
        self.may_settle.store(false, Ordering::Relaxed);
        if self.has_failed() {
            return None;
        }
        let last = pending.settle()?;
        Some(self.note_done(pending, last))
    }

    /// Marks all batches up to this number as done.
    fn note_done(&self, pending: &Batches, last: u64) -> CommitSeq {
        self.not_durable.store(pending.bytes(), Ordering::Relaxed);
        self.done.store(last, Ordering::Release);
        CommitSeq(last)
    }

    /// The wakers of tasks whose batch is done.
    pub(super) fn ready(&self, done: CommitSeq) -> Vec<Waker> {
        self.waiters.lock().extract_if(.., |(commit, _)| *commit <= done).map(|(_, waker)| waker).collect()
    }

    /// Asks the writer to write the pending records, and to end.
    pub(crate) fn close(&self) {
        self.pending.lock().closing = true;
        self.wake.ring();
    }

    /// Does the writer answer before that much time has passed? Blocks until it has, or the time has passed.
    pub(crate) fn writer_answers(&self, within: Duration) -> bool {
        let (answer, answered) = mpsc::channel();
        self.wake.ask(answer);
        // a writer that is about to wait has checked the callers, or waits until the bell rings
        drop(self.pending.lock());
        self.wake.ring();
        answered.recv_timeout(within).is_ok()
    }

    fn wake(&self, wakes: bool) {
        if wakes {
            self.wake.ring();
        }
    }

    /// Gives a message a number if it has none.
    #[inline]
    fn name(&self, message: &Message) {
        if message.store_number().is_none()
            && let Some(number) = NonZeroU64::new(self.next_message.fetch_add(1, Ordering::Relaxed))
        {
            message.set_store_number(number);
        }
    }

    #[inline]
    pub(crate) fn condition(&self) -> Condition {
        match self.state.load(Ordering::Acquire) {
            FAILED => Condition::Failed,
            STUCK => Condition::Stuck,
            FULL => Condition::Full,
            _ if self.is_behind() => Condition::Busy,
            _ => Condition::Ready,
        }
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.not_durable.load(Ordering::Relaxed) > self.max_not_durable
    }

    /// Is every record durable?
    pub(crate) fn is_idle(&self) -> bool {
        let pending = self.pending.lock();
        pending.is_empty() && pending.none_on_the_way()
    }

    /// The number of the batch that collects.
    pub(crate) fn collecting(&self) -> u64 {
        self.pending.lock().number
    }

    /// Should the writer continue while a batch is being synced?
    pub(crate) fn overlaps(&self) -> bool {
        self.pending.lock().overlaps()
    }

    /// Moves the batch that collected into `contents`, which is empty. `may_overlap`: the next batch may be taken while
    /// this one is on its way.
    pub(crate) fn take(&self, contents: &mut Contents, may_overlap: bool) -> Batch {
        self.wake.answer();
        let _no_group = self.between_groups();
        let mut pending = self.pending.lock();
        let number = pending.take(contents, may_overlap, self.clock.now());
        // the writer ends when all batches are durable
        let closing = pending.closing && pending.none_on_the_way();
        Batch { number, synced: pending.synced(), closing }
    }

    /// Moves the batch that collected into `contents`, which is empty, while an earlier one waits for space on the
    /// disk. Returns its number.
    pub(crate) fn take_anyway(&self, contents: &mut Contents) -> u64 {
        let _no_group = self.between_groups();
        self.pending.lock().take_anyway(contents, self.clock.now())
    }

    /// While the guard is held no thread is within a group.
    fn between_groups(&self) -> RwLockWriteGuard<'_, ()> {
        // a group takes a microsecond: a writer that sleeps until its end would block all others until it runs again
        let waiting = Stopwatch::start();
        while waiting.took() < PATIENCE {
            if let Some(guard) = self.groups.try_write() {
                return guard;
            }
            std::hint::spin_loop();
        }
        self.groups.write()
    }

    /// Waits until the batches before this one are durable. `false`: one has failed.
    pub(crate) fn wait_for_those_before(&self, number: u64) -> bool {
        let mut pending = self.pending.lock();
        while !self.has_failed() && pending.first_on_the_way().is_some_and(|first| first < number) {
            self.wake.wait_for(&mut pending, LINGER);
        }
        !self.has_failed()
    }

    /// Waits until `until`, or until it closes or fails.
    pub(crate) fn wait_for_room(&self, until: Instant) -> bool {
        let mut pending = self.pending.lock();
        while !pending.closing && !self.has_failed() {
            if self.clock.now() >= until {
                return false;
            }
            self.wake.wait_until(&self.clock, &mut pending, until);
        }
        true
    }

    /// Marks these batches as durable, unless one has failed before.
    pub(crate) fn complete(&self, numbers: Range<u64>, fsync: Option<Fsync>) {
        let mut pending = self.pending.lock();
        if self.has_failed() {
            return;
        }
        let Some(last) = pending.complete(numbers, fsync, self.clock.now()) else { return };
        let done = self.note_done(&pending, last);
        let wakes = pending.wakes();
        drop(pending);
        self.wake(wakes);
        self.ready(done).into_iter().for_each(Waker::wake);
    }

    /// Has the store failed? Then it writes nothing any more.
    pub(super) fn has_failed(&self) -> bool {
        self.state.load(Ordering::Acquire) == FAILED
    }

    /// Notes whether the disk is full. After a failure the state stays as it is.
    pub(crate) fn set_full(&self, full: bool) {
        self.set_state(if full { FULL } else { READY });
    }

    /// Notes that accepted messages wait for space on the disk.
    pub(crate) fn set_stuck(&self) {
        self.set_state(STUCK);
    }

    fn set_state(&self, to: u8) {
        let changes = |from| (from != to && from != FAILED).then_some(to);
        let Ok(from) = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, changes) else { return };
        if from == READY {
            tracing::error!("data_dir: the disk is full, messages that must be stored are refused");
        }
        if to == READY {
            tracing::info!("data_dir: the disk has room again");
        }
        if to == STUCK {
            tracing::error!("data_dir: accepted messages cannot be written, their clients are disconnected");
            // their wakers stay: the batches are not done
            let all: Vec<_> = self.waiters.lock().iter().map(|(_, waker)| waker.clone()).collect();
            all.into_iter().for_each(|waker| waker.wake());
        }
    }

    pub(crate) fn fail(&self, failure: Failure) {
        let is_first = self.failure.send_if_modified(|place| {
            let is_first = place.is_none();
            place.get_or_insert_with(|| failure.clone());
            is_first
        });
        // under the lock: no batch completes after it, and the writer sees it
        let pending = self.pending.lock();
        self.state.store(FAILED, Ordering::Release);
        drop(pending);
        self.wake.ring();
        if is_first {
            tracing::error!(reason = %failure, "data_dir failed");
        }
        let all = std::mem::take(&mut *self.waiters.lock());
        all.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

const READY: u8 = 0;
const FULL: u8 = 1;
const STUCK: u8 = 2;
const FAILED: u8 = 3;
/// How long records that no task waits for may stay unwritten.
pub(super) const LINGER: Duration = Duration::from_millis(10);
/// How long the writer spins for a moment between groups before it blocks new ones.
const PATIENCE: Duration = Duration::from_micros(50);
