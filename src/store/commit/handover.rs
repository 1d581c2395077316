//! [`Handover`]: what appenders and the store's threads share. A thread that appends leaves a [`Record`] with the batch
//! that collects and goes on; the writer takes the batch and writes it while the next one collects, and who waits for
//! it is woken when it is durable.
//!
//! What nobody waits for, such as that a subscriber acknowledged what was written, is written with the next batch, or
//! when it is [`LINGER`] old or large: where messages come one after the other, each takes one fsync and not two.
//!
//! The order of its locks is in the [table of the crate](crate#locks).

use std::{
    num::NonZeroU64,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use tokio::sync::watch;

use super::{
    super::log::Failure,
    batches::{Batch, Batches, Fsync, Gone, WriterIs},
    contents::Contents,
    statistics::Statistics,
};
use crate::{
    clock::{Clock, Stopwatch},
    router::{Condition, QueuedCopy, Record},
    session::{CommitSeq, Message, Stored},
};

/// What appenders and the store's threads share.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) clock: Clock,
    groups: RwLock<()>,
    pending: Mutex<Batches>,
    /// The writer waits on it.
    wake: Condvar,
    done: AtomicU64,
    state: AtomicU8,
    not_durable: AtomicUsize,
    /// Something was acknowledged before it was written, and may be done.
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
            wake: Condvar::new(),
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

    /// Something was appended, and this is not to be written any more.
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
        // a group begins with nothing locked and is not nested: who waits for the writer here keeps nobody else waiting
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
        // a task that asks again for the same is woken once
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

    /// Somebody waits for this commit: if it still collects, it is due.
    fn want(&self, commit: CommitSeq) {
        let mut pending = self.pending.lock();
        pending.want(commit.0);
        let wakes = pending.wakes();
        drop(pending);
        self.wake(wakes);
    }

    /// What was acknowledged before it was written is done: adds who waits for it to `wakes`.
    #[inline]
    pub(crate) fn settle(&self, wakes: &mut Vec<Waker>) {
        if self.may_settle.load(Ordering::Relaxed) {
            let done = self.settle_pending(&mut self.pending.lock());
            wakes.extend(done.into_iter().flat_map(|done| self.ready(done)));
        }
    }

    fn settle_pending(&self, pending: &mut Batches) -> Option<CommitSeq> {
        self.may_settle.store(false, Ordering::Relaxed);
        if self.has_failed() {
            return None;
        }
        let last = pending.settle()?;
        Some(self.note_done(pending, last))
    }

    /// All up to this number is done: to be woken is who waits for it.
    fn note_done(&self, pending: &Batches, last: u64) -> CommitSeq {
        self.not_durable.store(pending.bytes(), Ordering::Relaxed);
        self.done.store(last, Ordering::Release);
        CommitSeq(last)
    }

    /// Who waits for what is done.
    fn ready(&self, done: CommitSeq) -> Vec<Waker> {
        self.waiters.lock().extract_if(.., |(commit, _)| *commit <= done).map(|(_, waker)| waker).collect()
    }

    /// Asks the writer to write what waits, and to end.
    pub(crate) fn close(&self) {
        self.pending.lock().closing = true;
        self.wake.notify_all();
    }

    fn wake(&self, wakes: bool) {
        if wakes {
            self.wake.notify_one();
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

    /// The number of the batch that collects.
    pub(crate) fn collecting(&self) -> u64 {
        self.pending.lock().number
    }

    /// Is the writer to go on while a batch is on its way?
    pub(crate) fn overlaps(&self) -> bool {
        self.pending.lock().overlaps()
    }

    /// Waits until a batch is due, or until `until`. `false`: nothing is written any more.
    pub(crate) fn wait_for_batch(&self, until: Option<Instant>) -> bool {
        let mut pending = self.pending.lock();
        // as long as batch follows batch, what comes between needs to wake nobody
        let mut now = self.clock.now();
        let mut linger = Some(now + LINGER);
        let (mut number, mut flows) = (pending.number, false);
        while !self.has_failed() && !pending.is_due() {
            // where messages are held back one after the other, none needs to wake it
            let patrol = pending.held_until().or(flows.then(|| now + pending.hold_time()));
            // what else there is to do has time until all are there
            let gathers = pending.gathers_until();
            let until = until.filter(|_| gathers.is_none());
            let patrol = [patrol, gathers].into_iter().flatten().min();
            pending.writer = match (patrol, linger) {
                (Some(_), _) => WriterIs::Patrolling,
                (None, Some(_)) => WriterIs::Waiting,
                (None, None) => WriterIs::Idle,
            };
            match [patrol, linger, until].into_iter().flatten().min() {
                Some(next) => self.clock.wait_until(&self.wake, &mut pending, next),
                None => self.wake.wait(&mut pending),
            }
            pending.writer = WriterIs::Busy;
            now = self.clock.now();
            flows = pending.number != number;
            number = pending.number;
            // what is acknowledged is done, and woken where whoever was told so did not; what is not is due
            if let Some(done) = self.settle_pending(&mut pending) {
                MutexGuard::unlocked(&mut pending, || self.ready(done).into_iter().for_each(Waker::wake));
            }
            pending.end_hold(now);
            pending.end_gather(now);
            let lingers = !pending.contents.list.is_empty() && pending.none_on_the_way();
            let lingered = linger.is_some_and(|it| it <= now) && lingers;
            if lingered {
                pending.end_linger();
            }
            if lingered || until.is_some_and(|until| until <= now) {
                break;
            }
            linger = match linger {
                Some(linger) => Some(linger).filter(|&linger| now < linger),
                None => Some(now + LINGER).filter(|_| lingers),
            };
        }
        !self.has_failed()
    }

    /// The batch that collected, into `contents`, which is empty. `may_overlap`: the next one may be taken while this
    /// one is on its way.
    pub(crate) fn take(&self, contents: &mut Contents, may_overlap: bool) -> Batch {
        let _no_group = self.between_groups();
        let mut pending = self.pending.lock();
        let number = pending.take(contents, may_overlap, self.clock.now());
        // the end comes when all is durable
        let closing = pending.closing && pending.none_on_the_way();
        Batch { number, synced: pending.synced(), closing }
    }

    /// The batch that collected, into `contents`, which is empty, while others wait for room; gives its number.
    pub(crate) fn take_anyway(&self, contents: &mut Contents) -> u64 {
        let _no_group = self.between_groups();
        self.pending.lock().take_anyway(contents, self.clock.now())
    }

    /// While it is held nobody is within a group.
    fn between_groups(&self) -> RwLockWriteGuard<'_, ()> {
        // a group takes a microsecond; whoever waits for its end asleep has all others wait until it is awake again
        let waiting = Stopwatch::start();
        while waiting.took() < PATIENCE {
            if let Some(guard) = self.groups.try_write() {
                return guard;
            }
            std::hint::spin_loop();
        }
        self.groups.write()
    }

    /// Waits until the batches before this one are durable. `false`: one has failed, and they never will be.
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
            self.clock.wait_until(&self.wake, &mut pending, until);
        }
        true
    }

    /// These batches are where they have to be, by an fsync, if there was one. Nothing is once one has failed.
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

    /// Nothing is written any more.
    fn has_failed(&self) -> bool {
        self.state.load(Ordering::Acquire) == FAILED
    }

    /// Says whether there is room. Once it failed it says nothing else.
    pub(crate) fn set_full(&self, full: bool) {
        self.set_state(if full { FULL } else { READY });
    }

    /// Says that what was taken waits for room.
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
            // they go on waiting: what they wait for is not done
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
        // nothing completes after it, and the writer has looked, or will
        let pending = self.pending.lock();
        self.state.store(FAILED, Ordering::Release);
        drop(pending);
        self.wake.notify_all();
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
/// How long what nobody waits for stays unwritten.
const LINGER: Duration = Duration::from_millis(10);
/// How long the writer looks for a moment between groups before it makes one.
const PATIENCE: Duration = Duration::from_micros(50);
