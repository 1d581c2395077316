//! Wills (MQTT 3.1.1 section 3.1.2.5): published when their connections end. Where the store has no room for what that
//! sets off, a Will waits for room, with the store where its session is kept; it stays due when its client comes back.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use super::super::{
    Router, RouterThread,
    ports::{DropReason, Event, Record, RestoredSession},
    sessions::Access,
    thread::Action,
};
use crate::{
    session::{CloseReason, Outgoing, SessionNumber, StoredWill},
    types::{ClientId, QoS},
};

/// Wills that wait for room on the disk.
#[derive(Default)]
pub(crate) struct Wills {
    due: Mutex<DueWills>,
    /// There are some: what they need room for comes first.
    wait: AtomicBool,
}

/// The oldest first; all together as much as may be queued for one session.
#[derive(Default)]
struct DueWills {
    queue: VecDeque<DueWill>,
    bytes: usize,
    /// Of the last one.
    number: u64,
}

struct DueWill {
    /// Unique within its session; rises with each that becomes due while others wait.
    number: u64,
    client: ClientId,
    /// A store keeps it with this session.
    session: Option<SessionNumber>,
    will: StoredWill,
}

impl Wills {
    /// Does one wait? Needs no lock.
    pub(crate) fn wait(&self) -> bool {
        self.wait.load(Ordering::Acquire)
    }

    /// May none be added, as they have so many bytes?
    fn are_full(&self, max_bytes: usize) -> bool {
        self.due.lock().bytes >= max_bytes
    }

    /// One more waits. `record` is told its number with the others locked: before anything says that it was published.
    fn add(
        &self,
        client: &ClientId,
        session: Option<SessionNumber>,
        will: StoredWill,
        record: impl FnOnce(u64, &StoredWill),
    ) {
        let mut due = self.due.lock();
        let number = due.number + 1;
        record(number, &will);
        due.push(DueWill { number, client: client.clone(), session, will });
        self.wait.store(true, Ordering::Release);
    }

    /// Those that waited before a restart, in their order.
    fn restore(&self, wills: Vec<DueWill>) {
        self.wait.store(!wills.is_empty(), Ordering::Release);
        let mut due = self.due.lock();
        wills.into_iter().for_each(|will| due.push(will));
    }

    /// Takes the oldest.
    fn pop(&self) -> Option<DueWill> {
        let mut wills = self.due.lock();
        let due = wills.pop();
        self.wait.store(due.is_some(), Ordering::Release);
        due
    }

    /// It could not be published.
    fn put_back(&self, due: DueWill) {
        self.due.lock().put_back(due);
    }
}

impl DueWills {
    fn push(&mut self, due: DueWill) {
        self.number = self.number.max(due.number);
        self.bytes += due.size();
        self.queue.push_back(due);
    }

    fn pop(&mut self) -> Option<DueWill> {
        let due = self.queue.pop_front()?;
        self.bytes -= due.size();
        Some(due)
    }

    fn put_back(&mut self, due: DueWill) {
        self.bytes += due.size();
        self.queue.push_front(due);
    }
}

impl DueWill {
    /// Bytes of memory, about.
    fn size(&self) -> usize {
        size_of::<Self>() + self.will.message.size()
    }
}

impl Router {
    /// The Will of a client, with its rights, whose connection ended: it is published, or it is not admitted, which is
    /// said; or it waits for room. `session`: the number of its session, if a store keeps that.
    ///
    /// To be called within a store's group: what becomes of it is kept together with that its client is gone.
    pub(crate) fn publish_will(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        session: Option<SessionNumber>,
        access: Option<Arc<Access>>,
        will: StoredWill,
    ) {
        let outgoing = Outgoing::from(&will.message).with_sender(client);
        match self.admit(local, Action::Will, access, &outgoing) {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => return tracing::info!(client = %client, %reason, "Will not published"),
        }
        if !self.try_publish_will(local, client, &will) {
            self.postpone_will(local, client, session, will);
        }
    }

    /// Publishes the Wills that wait for room, if there is, but for those beyond `most`. To be called now and then, by
    /// one thread: until none waits, the store refuses what others need room for, so that nobody is shown an older Will
    /// last.
    pub fn publish_due_wills(&self, local: &mut RouterThread, most: usize) {
        if self.wills.wait() {
            local.publishes_wills = true;
            self.publish_waiting_wills(local, most);
            local.publishes_wills = false;
        }
    }

    fn publish_waiting_wills(&self, local: &mut RouterThread, most: usize) {
        for _ in 0..most {
            if self.store_refuses(local).is_some() {
                return;
            }
            let Some(due) = self.wills.pop() else { return };
            let published = self.together(|| {
                let published = self.try_publish_will(local, &due.client, &due.will);
                if let Some(session) = due.session.filter(|_| published) {
                    // kept with what it set off: after a crash it is published once
                    let _ = self.store(|| Record::WillPublished { session, number: due.number });
                }
                published
            });
            if !published {
                return self.wills.put_back(due);
            }
        }
    }

    /// Wills that a store kept with its sessions: those that were due, and behind them those of clients which were
    /// connected when the process ended. They are published by [`publish_due_wills`](Self::publish_due_wills).
    pub(crate) fn restore_wills(&self, sessions: &mut [RestoredSession]) {
        let mut due = Vec::new();
        for RestoredSession { session, client, due: waiting, .. } in &mut *sessions {
            for (number, will) in waiting.drain(..) {
                due.push(DueWill { number, client: client.clone(), session: Some(*session), will });
            }
        }
        due.sort_by_key(|due| due.number);
        self.wills.restore(due);
        for RestoredSession { session, client, will, .. } in sessions {
            if let Some(will) = will.take() {
                self.together(|| {
                    let _ = self.store(|| Record::Detached { session: *session });
                    self.keep_will(client, Some(*session), will);
                });
            }
        }
    }

    /// `false`: there is no room for what it sets off, and nobody got it.
    fn try_publish_will(&self, local: &mut RouterThread, client: &ClientId, will: &StoredWill) -> bool {
        let outgoing = Outgoing::from(&will.message).with_retain(will.retain).with_sender(client);
        // at QoS 0 a client's message would be delivered and not retained, and its client would not know either
        if will.retain && outgoing.qos == QoS::AtMostOnce && self.store_refuses(local) == Some(CloseReason::StoreFull) {
            return false;
        }
        // that its client may publish it was found when it became due
        let mut published = None;
        match self.publish_as(local, || Ok(None), &mut published, &outgoing) {
            // nobody waits for an acknowledgement of a Will
            Ok(_) if published.is_some() => local.observers.observe(&Event::Will { client, topic: outgoing.topic }),
            // not admitted, which was said
            Ok(_) => {}
            Err(CloseReason::StoreFull) => return false,
            Err(reason) => tracing::info!(client = %client, %reason, "Will not published"),
        }
        true
    }

    fn postpone_will(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        session: Option<SessionNumber>,
        will: StoredWill,
    ) {
        let (topic, payload) = (will.message.topic(), will.message.payload().len());
        if self.wills.are_full(local.limits.session.max_queued_bytes) {
            return local.observers.dropped(client, topic, payload, DropReason::WillsFull);
        }
        tracing::info!(client = %client, "Will not published yet: there is no room in data_dir");
        self.keep_will(client, session, will);
    }

    fn keep_will(&self, client: &ClientId, session: Option<SessionNumber>, will: StoredWill) {
        self.wills.add(client, session, will, |number, will| {
            if let Some(session) = session {
                let _ = self.store(|| Record::WillDue { session, number, will: will.clone() });
            }
        });
    }
}
