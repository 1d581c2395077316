//! Wills (MQTT 3.1.1 section 3.1.2.5): published when their connections end, or when their delay is over
//! (`clients/leave`). If the disk is full, a Will waits for space and stays due even if its client reconnects.
//!
//! The store has the Will of each connected client, with its session or, if the session is not stored, by itself. If
//! the broker is killed, the Will is published at the next start.

use std::{
    collections::VecDeque,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    super::{
        Router, RouterThread,
        ports::{DropReason, Event, Record, RestoredSession, RestoredWill, WillLeft},
        sessions::{Access, SlotState},
        thread::Action,
    },
    sender::Publisher,
    steps::Leave,
};
use crate::{
    session::{CloseReason, Outgoing, SessionNumber, Stored, StoredWill},
    topic::TopicName,
    types::{ClientId, QoS, UserName},
};

/// Wills that wait for disk space.
#[derive(Default)]
pub(crate) struct Wills {
    due: Mutex<DueWills>,
    /// There are some: no other message may use free space before they do.
    wait: AtomicBool,
    /// The number of the last Will in the store, due with a session or by itself. Of two Wills of one client, the lower
    /// number is published first.
    last: AtomicU64,
}

/// The oldest first. Their size is limited to that of one session's queue.
#[derive(Default)]
struct DueWills {
    queue: VecDeque<DueWill>,
    bytes: usize,
}

struct DueWill {
    number: u64,
    client: ClientId,
    user: Option<UserName>,
    kept: WillKept,
    will: StoredWill,
}

/// A Will that is due, and its client.
pub(crate) struct LastWill {
    pub(crate) client: ClientId,
    pub(crate) user: Option<UserName>,
    /// The rights of the client.
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) kept: WillKept,
    pub(crate) will: StoredWill,
}

/// Where the store has a Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WillKept {
    /// The store does not have it.
    Not,
    /// With this session.
    With(SessionNumber),
    /// By itself, under this number.
    Alone(NonZeroU64),
}

impl WillKept {
    /// For a connection: `session` is the one that continues, `number` that of a Will by itself.
    pub(crate) fn of(session: Option<SessionNumber>, number: Option<NonZeroU64>) -> Self {
        number.map(Self::Alone).or(session.map(Self::With)).unwrap_or(Self::Not)
    }
}

impl LastWill {
    /// For the client of this session.
    pub(crate) fn of(state: &SlotState, kept: WillKept, will: StoredWill) -> Self {
        let (client, access) = (state.session.id().clone(), state.access.clone());
        let user = match &state.whose {
            // restored from before this process: the session's owner is the user
            Some(owner) if state.restored_unauthenticated => Some(owner.user.clone()),
            _ => access.as_deref().and_then(Access::user).map(UserName::from),
        };
        Self { client, user, access, kept, will }
    }
}

impl Wills {
    /// Does any Will wait? Needs no lock.
    pub(crate) fn wait(&self) -> bool {
        self.wait.load(Ordering::Acquire)
    }

    /// Have they reached this size, so that none may be added?
    fn are_full(&self, max_bytes: usize) -> bool {
        self.due.lock().bytes >= max_bytes
    }

    /// Adds a Will. `record` gets its number while the others are locked, so that its record precedes that of its
    /// publication.
    fn add(
        &self,
        client: &ClientId,
        user: Option<UserName>,
        kept: WillKept,
        will: StoredWill,
        record: impl FnOnce(u64, &StoredWill),
    ) {
        let mut due = self.due.lock();
        let number = self.next_number();
        record(number, &will);
        due.push(DueWill { number, client: client.clone(), user, kept, will });
        self.wait.store(true, Ordering::Release);
    }

    fn next_number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds Wills that waited before a restart, in order.
    fn restore(&self, wills: Vec<DueWill>) {
        self.wait.store(!wills.is_empty(), Ordering::Release);
        self.last.store(wills.last().map_or(0, |last| last.number), Ordering::Relaxed);
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

    /// Puts a Will back that could not be published.
    fn put_back(&self, due: DueWill) {
        self.due.lock().put_back(due);
    }
}

impl DueWills {
    fn push(&mut self, due: DueWill) {
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
    /// Approximate bytes of memory.
    fn size(&self) -> usize {
        size_of::<Self>() - size_of::<StoredWill>() + self.will.size()
    }
}

impl Router {
    /// Stores the Will of a connecting client without a stored session, unless publishing it would store nothing.
    /// Returns its number and when it is durable. If the disk is full, it is not stored.
    ///
    /// Call it before the connection can end.
    pub(crate) fn store_will(
        &self,
        local: &RouterThread,
        client: &ClientId,
        user: Option<&UserName>,
        will: &StoredWill,
    ) -> (Option<NonZeroU64>, Stored) {
        let may_be_kept = will.retain || will.message.qos() != QoS::AtMostOnce || local.limits.upgrade_outgoing_qos;
        if self.ports.store.is_none() || !may_be_kept || self.store_refuses(local).is_some() {
            return (None, Stored::Done);
        }
        let number = self.wills.next_number();
        let (client, user, will) = (client.clone(), user.cloned(), will.clone());
        (NonZeroU64::new(number), self.store(|| Record::WillKept { number, client, user, will }))
    }

    /// Would publishing this Will now store anything? Ask this when the store has the Will: later subscriptions have
    /// later records.
    pub(crate) fn will_is_awaited(&self, local: &mut RouterThread, topic: &TopicName, retain: bool) -> bool {
        retain || self.matching(local, topic, false).is_some_and(|matched| matched.is_kept())
    }

    /// Removes the record of a Will that is published or discarded.
    pub(crate) fn forget_will(&self, number: Option<NonZeroU64>) {
        if let Some(number) = number {
            // no task waits for it
            let _ = self.store(|| Record::WillGone { number: number.get() });
        }
    }

    /// A Will is due: publishes it, logs that it is not admitted, or lets it wait for space.
    ///
    /// Call it within a group of records, so that the publication is stored together with the end of the connection.
    pub(crate) fn publish_will(&self, local: &mut RouterThread, last: LastWill) {
        let LastWill { client, user, access, kept, will } = last;
        let outgoing = will.outgoing(local.observers.now).with_sender(&client, user.as_ref());
        let admitted = self.admit(local, Action::Will, Publisher { access, may: None }, &outgoing);
        if let Err(reason) = &admitted {
            tracing::info!(client = %client, %reason, "Will not published");
        }
        if matches!(admitted, Ok(true)) && !self.try_publish_will(local, &client, user.as_ref(), &will) {
            return self.postpone_will(local, &client, user, kept, will);
        }
        if let WillKept::Alone(number) = kept {
            self.forget_will(Some(number));
        }
    }

    /// Publishes up to `most` Wills that wait, as far as there is space. One thread calls it now and then. While Wills
    /// wait, the store refuses other messages that need space, so that subscribers do not see an older Will last.
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
                let published = self.try_publish_will(local, &due.client, due.user.as_ref(), &due.will);
                // stored together with its deliveries, so that it is published once even after a crash
                match due.kept {
                    WillKept::With(session) if published => {
                        let _ = self.store(|| Record::WillPublished { session, number: due.number });
                    }
                    WillKept::Alone(number) if published => self.forget_will(Some(number)),
                    _ => {}
                }
                published
            });
            if !published {
                return self.wills.put_back(due);
            }
        }
    }

    /// Restores Wills from the store: first those that were due or stored by themselves, then those of sessions whose
    /// clients were connected at the end of the process. [`publish_due_wills`](Self::publish_due_wills) publishes them.
    pub(crate) fn restore_wills(&self, sessions: &mut [RestoredSession], wills: Vec<RestoredWill>) {
        let user_of = |session: &RestoredSession| session.owner.as_ref().map(|owner| owner.user.clone());
        let mut due = Vec::new();
        for RestoredWill { number, client, user, will } in wills {
            let kept = WillKept::of(None, NonZeroU64::new(number));
            due.push(DueWill { number, client, user, kept, will });
        }
        for session in &mut *sessions {
            let (user, kept) = (user_of(session), WillKept::With(session.session));
            for (number, will) in session.due.drain(..) {
                due.push(DueWill { number, client: session.client.clone(), user: user.clone(), kept, will });
            }
        }
        due.sort_by_key(|due| due.number);
        self.wills.restore(due);
        for restored in sessions {
            // the others wait with their sessions
            if let Some(will) = restored.will.take_if(|will| will.delay().is_none()) {
                let (session, user) = (restored.session, user_of(restored));
                self.together(|| {
                    let _ = self.store(|| Record::Detached { session, will: WillLeft::Gone });
                    self.keep_will(&restored.client, user.clone(), WillKept::With(session), will.clone());
                });
            }
        }
    }

    /// `false`: there is no space for the deliveries, and no subscriber got it.
    fn try_publish_will(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        user: Option<&UserName>,
        will: &StoredWill,
    ) -> bool {
        let mut outgoing = will.outgoing(local.observers.now).with_sender(client, user);
        if local.limits.upgrade_outgoing_qos {
            outgoing = outgoing.offered_at(QoS::ExactlyOnce);
        }
        // with QoS 0 it would be delivered and not retained, and no one would know
        if will.retain
            && outgoing.qos == QoS::AtMostOnce
            && self.store_refuses(local) == Some(CloseReason::StoreFull)
            && !self.is_reserved_for(&outgoing)
        {
            return false;
        }
        // the client's right to publish it was checked when it became due
        let mut published = None;
        match self.publish_as(local, || Ok(Publisher::default()), &mut published, &outgoing, &mut Leave::nowhere()) {
            // a Will has no acknowledgement
            Ok(_) if published.is_some() => {
                let Outgoing { topic, payload: content, qos, retain, extras, .. } = outgoing;
                local.observers.traffic().was_will(qos, content.len());
                let (user, properties) = (user.map(UserName::as_str), extras.properties);
                local.observers.observe(&Event::Will { client, user, topic, qos, retain, content, properties });
            }
            // not admitted, which was logged
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
        user: Option<UserName>,
        kept: WillKept,
        will: StoredWill,
    ) {
        let (topic, payload) = (will.message.topic(), will.message.payload().len());
        if self.wills.are_full(local.limits.session.max_queued_bytes) {
            if let WillKept::Alone(number) = kept {
                self.forget_will(Some(number));
            }
            return local.observers.dropped(client, topic, payload, DropReason::WillsFull);
        }
        tracing::info!(client = %client, reason = "there is no room in data_dir", "Will not published yet");
        self.keep_will(client, user, kept, will);
    }

    fn keep_will(&self, client: &ClientId, user: Option<UserName>, kept: WillKept, will: StoredWill) {
        self.wills.add(client, user, kept, will, |number, will| {
            if let WillKept::With(session) = kept {
                let _ = self.store(|| Record::WillDue { session, number, will: will.clone() });
            }
        });
    }
}
