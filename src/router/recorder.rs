//! [`Recorder`]: what a session's [`Journal`] is here: observers and the store.

use std::sync::atomic::Ordering;

use super::{
    Local, QueuedCopy, Record, Router,
    keep::{Condition, Store},
    local::Observers,
    ports::DropReason,
};
use crate::{
    session::{Change, CloseReason, CommitSeq, Journal, Message, SessionNumber, Stored},
    types::{ClientId, QoS},
};

/// Tells observers and the store.
pub(super) struct Recorder<'a> {
    pub(super) observers: &'a mut Observers,
    pub(super) store: Option<&'a dyn Store>,
    /// When all that was recorded is durable.
    pub(super) stored: Stored,
}

/// The same while one message is delivered: that it is queued is recorded once, however many it is queued for.
pub(super) struct Copying<'a> {
    pub(super) recorder: Recorder<'a>,
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
    pub(super) fn new(recorder: Recorder<'a>, copies: &'a mut Vec<QueuedCopy>) -> Self {
        copies.clear();
        Self { recorder, first: None, copies }
    }

    /// All that are to have `message` have it: gives when that is durable.
    pub(super) fn finish(self, message: impl FnOnce() -> &'a Message) -> Stored {
        let Recorder { store, stored, .. } = self.recorder;
        match (store, self.first) {
            (Some(store), Some((first, _))) if !self.copies.is_empty() => {
                stored.and(store.append(Record::QueuedToo { message: message(), first, copies: self.copies }))
            }
            _ => stored,
        }
    }
}

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
