//! [`Recorder`]: the [`Journal`] of sessions: passes their changes to observers and the store. [`Coalescing`] merges
//! runs of records that no task waits for. [`Copies`]: the copies of one message for many sessions.

use std::time::Instant;

use super::{
    super::{
        QueuedCopy, Record, Router, RouterThread,
        ports::{Condition, DropReason, Event, Store},
    },
    counters::Counters,
    local::Observers,
    pressure::Refused,
};
use crate::{
    codec::{PacketType, ReasonCode},
    session::{
        Backlog, CloseReason, CommitSeq, Gone, Journal, Message, Outgoing, SessionChange, SessionNumber, Stored, Timed,
        Turn, Way, one_identifier,
    },
    types::{ClientId, QoS},
};

/// Reports to observers and the store.
pub(crate) struct Recorder<'a, 'c> {
    pub(crate) observers: &'a mut Observers,
    pub(crate) store: Option<&'a dyn Store>,
    pub(crate) counters: &'a Counters,
    /// When everything that was recorded is durable.
    pub(crate) stored: Stored,
    /// Set while a message is delivered that several sessions may queue.
    pub(crate) copies: Option<&'c mut Copies<'a>>,
}

/// Sessions that queue one message during its delivery within a group of records: the first is recorded separately, all
/// others together.
pub(crate) struct Copies<'a> {
    store: &'a dyn Store,
    outgoing: &'a Outgoing<'a>,
    /// The first one, and when it and everything with it is durable.
    first: Option<(QueuedCopy, Stored)>,
    others: &'a mut Vec<QueuedCopy>,
}

impl Recorder<'_, '_> {
    /// A message without a record so far may get one later: the result is not `Done`, so that a receipt is made.
    pub(crate) fn may_be_stored_later(&mut self) {
        if self.store.is_some() {
            self.stored = self.stored.and(Stored::By(CommitSeq::default()));
        }
    }
}

impl Journal for Recorder<'_, '_> {
    #[inline]
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS, by: Way) {
        self.observers.sent(client, message, qos, by);
    }

    fn sent_again(&mut self, packet: PacketType) {
        match packet {
            PacketType::Publish => self.observers.traffic().sent_again(),
            packet => self.observers.traffic().said(packet),
        }
    }

    fn dropped(&mut self, client: &ClientId, message: &Message, why: Gone) {
        let (topic, payload) = (message.topic(), message.payload().len());
        match why {
            Gone::QueueFull => {
                let reason = match self.queues_are_full() {
                    true if self.observers.refuses(Refused::Queueing) => DropReason::MemoryFull,
                    true => DropReason::QueuesFull,
                    false => DropReason::QueueFull,
                };
                self.observers.dropped(client, topic, payload, reason);
            }
            Gone::TooLarge => self.observers.dropped(client, topic, payload, DropReason::PacketTooLarge),
            // as its publisher requested, so it is not logged
            Gone::Expired => {
                self.observers.observe(&Event::Drop { client, topic, payload, reason: DropReason::Expired });
            }
        }
    }

    #[inline]
    fn follows(&self) -> bool {
        self.observers.follows()
    }

    fn acknowledged(&mut self, client: &ClientId, message: &Message, qos: QoS, reason: ReasonCode) {
        self.observers.acknowledged(client, message, qos, reason);
    }

    fn timed(&mut self, client: &ClientId, timed: &Timed, now: Instant) {
        let (queued, unacknowledged) = timed.times(now);
        let (topic, qos) = (timed.topic(), timed.qos);
        self.observers.observe(&Event::Timed { client, topic, qos, queued, unacknowledged });
    }

    fn changed(&mut self, session: SessionNumber, change: SessionChange<'_>) -> Stored {
        let Some(store) = self.store else { return Stored::Done };
        let record = || store.append(Record::of(session, change));
        let stored = match (change, &mut self.copies) {
            (SessionChange::Queued { number, qos, retain, shared, identifiers, sent: None, .. }, Some(copies)) => {
                let identifier = one_identifier(identifiers);
                match identifier.is_some() || identifiers.is_empty() {
                    true => copies.add(QueuedCopy { session, number, qos, retain, shared, identifier }, record),
                    // a copy has no space for several
                    false => record(),
                }
            }
            _ => record(),
        };
        self.stored = self.stored.and(stored);
        stored
    }

    fn done(&self) -> CommitSeq {
        self.store.map_or(CommitSeq(u64::MAX), |store| store.done())
    }

    fn moment(&self) -> Option<u32> {
        Some(self.observers.moment().number())
    }

    fn queues_are_full(&self) -> bool {
        // only the sum includes what other threads subtracted
        self.observers.queues_are_full() && self.counters.sum_up_queued()
    }

    #[inline]
    fn holds(&mut self, before: Backlog, now: Backlog) {
        self.observers.holds(before, now);
    }
}

/// A recorder for one locked session. It merges runs of records that no task waits for, and passes them on when it is
/// dropped at the latest.
pub(crate) struct Coalescing<'a> {
    pub(crate) recorder: Recorder<'a, 'a>,
    /// The runs of sent and of completed messages, which mostly alternate. A completed message cannot be sent later, so
    /// the order of the two runs does not matter.
    runs: [Option<(SessionNumber, SessionChange<'static>)>; 2],
}

impl Journal for Coalescing<'_> {
    #[inline]
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS, by: Way) {
        self.recorder.sent(client, message, qos, by);
    }

    fn sent_again(&mut self, packet: PacketType) {
        self.recorder.sent_again(packet);
    }

    fn dropped(&mut self, client: &ClientId, message: &Message, why: Gone) {
        self.recorder.dropped(client, message, why);
    }

    #[inline]
    fn follows(&self) -> bool {
        self.recorder.follows()
    }

    fn acknowledged(&mut self, client: &ClientId, message: &Message, qos: QoS, reason: ReasonCode) {
        self.recorder.acknowledged(client, message, qos, reason);
    }

    fn timed(&mut self, client: &ClientId, timed: &Timed, now: Instant) {
        self.recorder.timed(client, timed, now);
    }

    fn changed(&mut self, session: SessionNumber, change: SessionChange<'_>) -> Stored {
        self.tell();
        self.recorder.changed(session, change)
    }

    #[inline]
    fn coalesce(&mut self, session: SessionNumber, change: SessionChange<'static>) {
        let place = usize::from(!matches!(change, SessionChange::Sent { .. }));
        if let Some((whose, run)) = &mut self.runs[place] {
            if *whose == session && run.extend(&change) {
                return;
            }
            self.tell();
        }
        self.runs[place] = Some((session, change));
    }

    fn done(&self) -> CommitSeq {
        self.recorder.done()
    }

    fn moment(&self) -> Option<u32> {
        self.recorder.moment()
    }

    fn queues_are_full(&self) -> bool {
        self.recorder.queues_are_full()
    }

    #[inline]
    fn holds(&mut self, before: Backlog, now: Backlog) {
        self.recorder.holds(before, now);
    }
}

impl Coalescing<'_> {
    /// Passes the recorded changes to the store. Returns when all of them are durable.
    pub(crate) fn finish(&mut self) -> Stored {
        self.tell();
        self.recorder.stored
    }

    #[inline]
    fn tell(&mut self) {
        for place in &mut self.runs {
            if let Some((session, change)) = place.take() {
                let _ = self.recorder.changed(session, change);
            }
        }
    }
}

/// It is dropped before the session is unlocked.
impl Drop for Coalescing<'_> {
    #[inline]
    fn drop(&mut self) {
        self.tell();
    }
}

impl<'a> Copies<'a> {
    /// `others` is empty, and will be empty again.
    pub(crate) fn new(store: &'a dyn Store, outgoing: &'a Outgoing<'a>, others: &'a mut Vec<QueuedCopy>) -> Self {
        Self { store, outgoing, first: None, others }
    }

    /// Adds a copy, which `record` records if it is the first. Returns when it is durable.
    #[inline]
    fn add(&mut self, copy: QueuedCopy, record: impl FnOnce() -> Stored) -> Stored {
        match self.first {
            Some((_, stored)) => {
                self.others.push(copy);
                stored
            }
            None => {
                let stored = record();
                self.first = Some((copy, stored));
                stored
            }
        }
    }

    /// All sessions have the message: records the others. Returns when that is durable.
    pub(crate) fn finish(mut self) -> Stored {
        self.record()
    }

    fn record(&mut self) -> Stored {
        let Some((first, _)) = self.first.filter(|_| !self.others.is_empty()) else { return Stored::Done };
        let message = self.outgoing.message();
        let stored = self.store.append_copies(message, &first, self.others);
        self.others.clear();
        self.others.shrink_to(MOST_KEPT);
        stored
    }
}

/// If a plug-in panics before all sessions have the message, the copies so far are recorded.
impl Drop for Copies<'_> {
    fn drop(&mut self) {
        let _ = self.record();
    }
}

/// Capacity for copies that is kept from one message to the next.
const MOST_KEPT: usize = 4096;

impl Router {
    /// The recorder for this thread's observers and the store.
    #[inline]
    pub(crate) fn recorder<'a, 'c>(&'a self, observers: &'a mut Observers) -> Recorder<'a, 'c> {
        Recorder {
            observers,
            store: self.ports.store.as_deref(),
            counters: &self.counters,
            stored: Stored::Done,
            copies: None,
        }
    }

    /// For a locked session. The turn, and with it the recorder, is dropped before the session is unlocked.
    #[inline]
    pub(crate) fn turn<'a>(&'a self, local: &'a mut RouterThread) -> Turn<'a, Coalescing<'a>> {
        let RouterThread { limits, pool, observers, .. } = local;
        let now = observers.now;
        let journal = Coalescing { recorder: self.recorder(observers), runs: [None; 2] };
        Turn { now, limits: &limits.session, pool, journal }
    }

    /// Appends a record, if there is a store.
    pub(crate) fn store(&self, record: impl FnOnce() -> Record) -> Stored {
        self.ports.store.as_ref().map_or(Stored::Done, |store| store.append(record()))
    }

    /// Runs `f`, whose records form a group: they are stored together or not at all. Do not nest it, and do not call it
    /// with a slot locked.
    #[inline]
    pub(crate) fn together<R>(&self, f: impl FnOnce() -> R) -> R {
        let Some(store) = &self.ports.store else { return f() };
        let (mut f, mut result) = (Some(f), None);
        store.together(&mut || result = f.take().map(|f| f()));
        result.expect("a store runs what it is given")
    }

    /// Why records that need space are refused, if they are.
    pub(crate) fn store_refuses(&self, local: &RouterThread) -> Option<CloseReason> {
        match self.ports.store.as_ref()?.condition() {
            // Wills that wait for space must precede newer messages
            Condition::Ready | Condition::Busy => {
                let waits = self.wills.wait() && !local.publishes_wills;
                waits.then_some(CloseReason::StoreFull)
            }
            Condition::Full | Condition::Stuck => Some(CloseReason::StoreFull),
            Condition::Failed => Some(CloseReason::StoreFailed),
        }
    }
}
