//! [`Recorder`]: what a session's [`Journal`] is here: observers and the store. [`Copying`]: the same for one message that many
//! get.

use std::sync::atomic::Ordering;

use super::{
    Local, QueuedCopy, Record, Router,
    keep::{Condition, Store},
    local::Observers,
    ports::DropReason,
};
use crate::{
    session::{Change, CloseReason, CommitSeq, Journal, Message, Outgoing, SessionNumber, Stored},
    types::{ClientId, QoS},
};

/// Tells observers and the store.
pub(super) struct Recorder<'a> {
    pub(super) observers: &'a mut Observers,
    pub(super) store: Option<&'a dyn Store>,
    /// When all that was recorded is durable.
    pub(super) stored: Stored,
}

/// The same while one message is delivered, within a store's group: that it is queued is recorded for the first session, and
/// once for all others.
pub(super) struct Copying<'a> {
    pub(super) recorder: Recorder<'a>,
    outgoing: &'a Outgoing<'a>,
    /// The first of them, and when it is durable, and all with it.
    first: Option<(QueuedCopy, Stored)>,
    /// The others.
    copies: &'a mut Vec<QueuedCopy>,
}

impl Journal for Recorder<'_> {
    #[inline]
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS) {
        self.observers.sent(client, message, qos);
    }

    fn dropped(&mut self, client: &ClientId, message: &Message) {
        self.observers.dropped(client, message.topic(), message.payload().len(), DropReason::QueueFull);
    }

    fn changed(&mut self, session: SessionNumber, change: Change<'_>) -> Stored {
        let stored = self.store.map_or(Stored::Done, |store| store.append(Record::Changed { session, change }));
        self.stored = self.stored.and(stored);
        stored
    }

    fn done(&self) -> CommitSeq {
        self.store.map_or(CommitSeq(u64::MAX), |store| store.done())
    }
}

impl Journal for Copying<'_> {
    #[inline]
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS) {
        self.recorder.sent(client, message, qos);
    }

    fn dropped(&mut self, client: &ClientId, message: &Message) {
        self.recorder.dropped(client, message);
    }

    #[inline]
    fn changed(&mut self, session: SessionNumber, change: Change<'_>) -> Stored {
        let Change::Queued { number, qos, retain, sent: None, .. } = change else {
            return self.recorder.changed(session, change);
        };
        let copy = QueuedCopy { session, number, qos, retain };
        if let Some((_, stored)) = self.first {
            self.copies.push(copy);
            return stored;
        }
        let stored = self.recorder.changed(session, change);
        self.first = Some((copy, stored));
        stored
    }

    fn done(&self) -> CommitSeq {
        self.recorder.done()
    }
}

impl<'a> Copying<'a> {
    /// `copies` is empty, and is so afterwards.
    pub(super) fn new(recorder: Recorder<'a>, outgoing: &'a Outgoing<'a>, copies: &'a mut Vec<QueuedCopy>) -> Self {
        Self { recorder, outgoing, first: None, copies }
    }

    /// All that are to have the message have it: gives when that is durable.
    pub(super) fn finish(mut self) -> Stored {
        self.record_copies();
        self.recorder.stored
    }

    fn record_copies(&mut self) {
        if let (Some(store), Some((first, _))) = (self.recorder.store, self.first)
            && !self.copies.is_empty()
        {
            let message = self.outgoing.message();
            let stored = store.append(Record::QueuedToo { message, first, copies: self.copies });
            self.recorder.stored = self.recorder.stored.and(stored);
            self.copies.clear();
            self.copies.shrink_to(MOST_KEPT);
        }
    }
}

/// Where a plug-in panics before all have the message, those that have it keep it.
impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.record_copies();
    }
}

/// Copies for which room is kept from one message to the next.
const MOST_KEPT: usize = 4096;

impl Router {
    /// Who is told what becomes of messages.
    #[inline]
    pub(super) fn recorder<'a>(&'a self, observers: &'a mut Observers) -> Recorder<'a> {
        Recorder { observers, store: self.ports.store.as_deref(), stored: Stored::Done }
    }

    /// Hands a record to the store.
    pub(super) fn store(&self, record: Record<'_>) -> Stored {
        self.ports.store.as_ref().map_or(Stored::Done, |store| store.append(record))
    }

    /// Runs `f`, whose records are kept together or not at all. Not to be nested, nor with a slot locked.
    #[inline]
    pub(super) fn together<R>(&self, f: impl FnOnce() -> R) -> R {
        let Some(store) = &self.ports.store else { return f() };
        let (mut f, mut result) = (Some(f), None);
        store.together(&mut || result = f.take().map(|f| f()));
        result.expect("a store runs what it is given")
    }

    /// Why what the store would grow by is refused, if it is.
    pub(super) fn store_refuses(&self, local: &Local) -> Option<CloseReason> {
        match self.ports.store.as_ref()?.condition() {
            // Wills that wait for room come first: what is newer is not to be overtaken by them
            Condition::Ready | Condition::Busy => {
                let waits = self.wills_wait.load(Ordering::Acquire) && !local.publishes_wills;
                waits.then_some(CloseReason::StoreFull)
            }
            Condition::Full | Condition::Stuck => Some(CloseReason::StoreFull),
            Condition::Failed => Some(CloseReason::StoreFailed),
        }
    }
}
