//! [`Index`]: the stored state, in memory, owned by the writer. Records change it. It notes what changed and what
//! ended, so that `emit` writes the final state of a batch and not each step.

use std::{collections::BTreeMap, iter, ops::Range, time::Instant};

use hashbrown::{HashMap, HashTable};

use super::{
    super::log::{EntryState, Time},
    body::{Body, Origin, RetainedSlot},
    segment_use::{SegmentUse, UNWRITTEN},
    session::{
        Entry, Hasher, Place, RECEIVED_COST, Received, Session, Subscription, due_cost, entry_cost, retained_due_cost,
        subscription_cost,
    },
    slab::Slab,
    will::KeptWill,
};
use crate::{
    router::{QueuedCopy, Record, SessionOwner, WillLeft},
    session::{Identifiers, Message, StoredWill, wire_of},
    types::{PacketId, SubscriptionOptions},
};

/// The stored state.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) sessions: Slab<Session>,
    by_number: HashMap<u64, u32, Hasher>,
    pub(crate) bodies: Slab<Body>,
    pub(crate) retained_by_topic: HashTable<RetainedSlot>,
    /// The time and the publisher of each retained message, by the message's slot.
    pub(crate) origins: HashMap<u32, Origin, Hasher>,
    /// Wills of connected clients without a stored session, by number.
    pub(crate) wills: BTreeMap<u64, KeptWill>,
    pub(crate) hasher: Hasher,
    /// The items that the next frame describes. A changed item is listed once (it has a flag); an end may be listed
    /// twice.
    pub(crate) dirty: Vec<Dirty>,
    pub(crate) segment_use: SegmentUse,
    /// Bytes of the latest records of all items.
    pub(crate) live_bytes: u64,
    /// Number of sessions with a connected client.
    pub(crate) connected: u64,
    /// When the store was opened, and the age of the log then in milliseconds. `None`: the log is only read.
    pub(crate) began: Option<(Instant, u64)>,
    /// The next free numbers of sessions and messages.
    pub(crate) next_session: u64,
    pub(crate) next_message: u64,
}

/// An item that the next frame describes.
#[derive(Clone, Debug)]
pub(crate) enum Dirty {
    Session(u32),
    Ended(u64),
    Subscribed(u32, Box<str>),
    Unsubscribed(u32, Box<str>),
    Body(u32),
    Entry(u32, u64),
    /// All entries of a session from its `new_from` on that no frame has yet.
    NewEntries(u32),
    Done(u32, u64),
    WillDue(u32, u64),
    WillPublished(u32, u64),
    WillKept(u64),
    WillGone(u64),
    Received(u32, PacketId),
    ReceiptReleased(u32, PacketId),
    RetainedDue(u32, Box<str>),
    RetainedSent(u32, Box<str>),
    Retained(u32),
    Cleared(Box<str>),
}

impl Index {
    /// Applies a record. A record about an unknown session or message has no effect. `others`: further copies of the
    /// message that the record queues.
    #[inline]
    pub(crate) fn apply(&mut self, record: Record, others: &[QueuedCopy], now: Time) {
        match record {
            Record::SessionStarted { session, client, owner, will } => {
                let session = session.0.get();
                self.next_session = self.next_session.max(session + 1);
                if self.by_number.contains_key(&session) {
                    return self.attach(session, owner, will);
                }
                let slot = self.insert_session(Session::new(session, client, owner.map(|owner| *owner), will, None));
                self.mark_session(slot);
            }
            Record::Lasts { session, seconds } => {
                self.change_session(session.0.get(), |session| session.lasts = seconds);
            }
            Record::Attached { session, owner, will } => self.attach(session.0.get(), owner, will),
            Record::Detached { session, will } => {
                let due = if let WillLeft::Until(at) = will { Some(self.age_at(at)) } else { None };
                self.change_session(session.0.get(), |session| {
                    session.will.take_if(|_| will == WillLeft::Gone);
                    session.will_due = due.filter(|_| session.will.is_some());
                    // if the client was gone when the process ended, it has been away since then
                    session.away_since.get_or_insert(now.age);
                });
            }
            Record::WillDue { session, number, will } => self.will_due(session.0.get(), number, will),
            Record::WillPublished { session, number } => self.will_published(session.0.get(), number),
            Record::WillKept { number, client, user, will } => self.will_kept(number, client, user, will),
            Record::WillGone { number } => self.will_gone(number),
            Record::SessionEnded { session } => self.end_session(session.0.get()),
            Record::Subscribed { session, filter, options } => self.subscribe(session.0.get(), filter, options),
            Record::Unsubscribed { session, filter } => {
                let Some((slot, session)) = self.session(session.0.get()) else { return };
                let Some(gone) = session.subscriptions.remove(&filter) else { return };
                let cost = subscription_cost(&filter);
                self.live_bytes -= cost;
                self.segment_use.leave(gone.place.segment, cost);
                if gone.place.segment != UNWRITTEN {
                    self.dirty.push(Dirty::Unsubscribed(slot, filter));
                }
            }
            Record::Queued { message, copy, identifiers, sent } => {
                let several = identifiers.map_or_else(Identifiers::new, |several| *several);
                let others = others.iter().map(|copy| (copy, Identifiers::new(), None));
                self.queue(message, iter::once((&copy, several, sent)).chain(others));
            }
            Record::Sent { session, number, sent, count } => {
                for n in 0..u64::from(count) {
                    self.change_entry(session.0.get(), number + n, |entry| {
                        entry.set_sent(sent + n);
                        None
                    });
                }
            }
            Record::Released { session, number } => {
                let body = self.change_entry(session.0.get(), number, Entry::release);
                self.drop_ref(body);
            }
            Record::Completed { session, number, count } => {
                self.complete(session.0.get(), number..number + u64::from(count))
            }
            Record::Received { session, packet_id } => {
                let Some((slot, session)) = self.session(session.0.get()) else { return };
                if session.received_mut(packet_id).is_some() {
                    return;
                }
                let place = Place { segment: UNWRITTEN, dirty: true };
                session.received.push_back(Received { packet_id, arrival: session.next_arrival, place });
                session.next_arrival += 1;
                self.live_bytes += RECEIVED_COST;
                self.dirty.push(Dirty::Received(slot, packet_id));
            }
            Record::ReceiptReleased { session, packet_id } => self.release_receipt(session.0.get(), packet_id),
            record @ (Record::RetainedDue { .. } | Record::RetainedSent { .. }) => self.change_due(record),
            Record::Retained { message, publisher } => {
                let body = self.body(message);
                self.retain(body, Some(Origin { time: now.wall, publisher }));
            }
            Record::RetainedCleared { topic } => self.clear_retained(topic),
        }
    }

    /// Is any session stored?
    pub(crate) fn has_sessions(&self) -> bool {
        !self.by_number.is_empty()
    }

    #[inline]
    pub(crate) fn session(&mut self, number: u64) -> Option<(u32, &mut Session)> {
        let slot = *self.by_number.get(&number)?;
        Some((slot, self.sessions.get_mut(slot)?))
    }

    pub(crate) fn insert_session(&mut self, session: Session) -> u32 {
        let (number, cost) = (session.number, session.cost);
        self.connected += u64::from(session.away_since.is_none());
        self.live_bytes += u64::from(cost);
        let slot = self.sessions.insert(session);
        self.by_number.insert(number, slot);
        slot
    }

    /// The next frame contains this session's record.
    pub(crate) fn mark_session(&mut self, slot: u32) {
        if let Some(session) = self.sessions.get_mut(slot)
            && !session.place.dirty
        {
            session.place.dirty = true;
            self.dirty.push(Dirty::Session(slot));
        }
    }

    fn attach(&mut self, session: u64, owner: Option<Box<SessionOwner>>, will: Option<StoredWill>) {
        self.change_session(session, |session| {
            session.owner = owner.map(|owner| *owner);
            (session.will, session.will_due) = (will, None);
            session.away_since = None;
        });
    }

    fn change_session(&mut self, number: u64, change: impl FnOnce(&mut Session)) {
        let Some((slot, session)) = self.session(number) else { return };
        let before = (u64::from(session.cost), u64::from(session.away_since.is_none()));
        change(session);
        session.cost = session.record_cost();
        let after = (u64::from(session.cost), u64::from(session.away_since.is_none()));
        self.live_bytes = self.live_bytes - before.0 + after.0;
        self.connected = self.connected - before.1 + after.1;
        self.mark_session(slot);
    }

    fn end_session(&mut self, number: u64) {
        let Some(slot) = self.by_number.remove(&number) else { return };
        let Some(session) = self.sessions.remove(slot) else { return };
        self.connected -= u64::from(session.away_since.is_none());
        self.live_bytes -= u64::from(session.cost);
        self.segment_use.leave(session.place.segment, u64::from(session.written_cost));
        for (filter, subscription) in &session.subscriptions {
            let cost = subscription_cost(filter);
            self.live_bytes -= cost;
            self.segment_use.leave(subscription.place.segment, cost);
        }
        for due in session.due.values() {
            let cost = due_cost(&due.will);
            self.live_bytes -= cost;
            self.segment_use.leave(due.place.segment, cost);
        }
        for received in &session.received {
            self.live_bytes -= RECEIVED_COST;
            self.segment_use.leave(received.place.segment, RECEIVED_COST);
        }
        for (topic, place) in &session.retained_due {
            let cost = retained_due_cost(topic);
            self.live_bytes -= cost;
            self.segment_use.leave(place.segment, cost);
        }
        for entry in session.live_entries() {
            let cost = session.cost_of(entry);
            self.live_bytes -= cost;
            self.segment_use.leave(entry.segment, cost);
            self.drop_ref(entry.body());
        }
        if session.place.segment != UNWRITTEN {
            self.dirty.push(Dirty::Ended(number));
        }
    }

    fn subscribe(&mut self, session: u64, filter: Box<str>, options: SubscriptionOptions) {
        let Some((slot, session)) = self.session(session) else { return };
        if let Some(old) = session.subscriptions.get_mut(&filter) {
            if old.options != options {
                old.options = options;
                if !old.place.dirty {
                    old.place.dirty = true;
                    self.dirty.push(Dirty::Subscribed(slot, filter));
                }
            }
            return;
        }
        let place = Place { segment: UNWRITTEN, dirty: true };
        session.subscriptions.insert(filter.clone(), Subscription { options, place });
        self.live_bytes += subscription_cost(&filter);
        self.dirty.push(Dirty::Subscribed(slot, filter));
    }

    fn change_due(&mut self, record: Record) {
        match record {
            Record::RetainedDue { session, topic } => self.retained_due(session.0.get(), topic),
            Record::RetainedSent { session, topic } => self.retained_sent(session.0.get(), topic),
            _ => {}
        }
    }

    fn retained_due(&mut self, session: u64, topic: Box<str>) {
        let Some((slot, session)) = self.session(session) else { return };
        if session.retained_due.contains_key(&topic) {
            return;
        }
        session.retained_due.insert(topic.clone(), Place { segment: UNWRITTEN, dirty: true });
        self.live_bytes += retained_due_cost(&topic);
        self.dirty.push(Dirty::RetainedDue(slot, topic));
    }

    fn retained_sent(&mut self, session: u64, topic: Box<str>) {
        let Some((slot, session)) = self.session(session) else { return };
        let Some(gone) = session.retained_due.remove(&topic) else { return };
        let cost = retained_due_cost(&topic);
        self.live_bytes -= cost;
        self.segment_use.leave(gone.segment, cost);
        if gone.segment != UNWRITTEN {
            self.dirty.push(Dirty::RetainedSent(slot, topic));
        }
    }

    fn release_receipt(&mut self, session: u64, packet_id: PacketId) {
        let Some((slot, session)) = self.session(session) else { return };
        let Some(at) = session.received.iter().position(|r| r.packet_id == packet_id) else { return };
        let Some(gone) = session.received.remove(at) else { return };
        self.live_bytes -= RECEIVED_COST;
        self.segment_use.leave(gone.place.segment, RECEIVED_COST);
        if gone.place.segment != UNWRITTEN {
            self.dirty.push(Dirty::ReceiptReleased(slot, packet_id));
        }
    }

    /// Queues copies of a message: each with its Subscription Identifiers if it has several, and its place in the order
    /// of sending if it was sent.
    fn queue<'a>(
        &mut self,
        message: Message,
        copies: impl Iterator<Item = (&'a QueuedCopy, Identifiers, Option<u64>)>,
    ) {
        let (mut message, mut body, mut refs) = (Some(message), 0, 0);
        for (&QueuedCopy { session, number, qos, retain, shared, identifier }, several, sent) in copies {
            let Some(&slot) = self.by_number.get(&session.0.get()) else { continue };
            if let Some(message) = message.take() {
                body = self.body(message);
            }
            let Some(session) = self.sessions.get_mut(slot) else { continue };
            let mut entry = Entry::new(
                number,
                EntryState { qos, retain, shared, sent, message: None, identifiers: &[] },
                Some(body),
            );
            entry.set_dirty(true);
            let identifiers = identifier.map_or(several, wire_of);
            let cost = entry_cost(&identifiers);
            if !session.add_entry(entry, identifiers) {
                continue;
            }
            self.live_bytes += cost;
            refs += 1;
            match session.new_from {
                Some(from) if from <= number => {}
                Some(_) => self.dirty.push(Dirty::Entry(slot, number)),
                None => {
                    session.new_from = Some(number);
                    self.dirty.push(Dirty::NewEntries(slot));
                }
            }
        }
        if message.is_none() {
            self.add_refs(body, refs);
        }
    }

    /// Adds an entry that was read from the log.
    pub(crate) fn add_entry(&mut self, slot: u32, entry: Entry, identifiers: Identifiers) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let (body, cost) = (entry.body(), entry_cost(&identifiers));
        let added = session.add_entry(entry, identifiers);
        if added {
            self.live_bytes += cost;
        }
        if let Some(body) = body {
            self.add_refs(body, u32::from(added));
        }
    }

    /// The next frame contains this entry's record.
    pub(crate) fn mark_entry(&mut self, slot: u32, number: u64) {
        if let Some(entry) = self.sessions.get_mut(slot).and_then(|session| session.entry_mut(number))
            && !entry.is_dirty()
        {
            entry.set_dirty(true);
            self.dirty.push(Dirty::Entry(slot, number));
        }
    }

    fn change_entry(
        &mut self,
        session: u64,
        number: u64,
        change: impl FnOnce(&mut Entry) -> Option<u32>,
    ) -> Option<u32> {
        let (slot, session) = self.session(session)?;
        let entry = session.entry_mut(number)?;
        let body = change(entry);
        if !entry.is_dirty() {
            entry.set_dirty(true);
            self.dirty.push(Dirty::Entry(slot, number));
        }
        body
    }

    fn complete(&mut self, session: u64, numbers: Range<u64>) {
        let Some(&slot) = self.by_number.get(&session) else { return };
        for number in numbers {
            let Some(session) = self.sessions.get_mut(slot) else { return };
            let Some((segment, cost, body)) = session.complete(number) else { continue };
            self.live_bytes -= cost;
            self.segment_use.leave(segment, cost);
            if segment != UNWRITTEN {
                self.dirty.push(Dirty::Done(slot, number));
            }
            self.drop_ref(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::tests::world::{copy, message, session_number},
            body::{body_cost, message_number},
        },
        *,
    };
    use crate::types::ClientId;

    #[test]
    fn a_message_is_queued_for_each_session_that_is_known() {
        for known in [vec![1, 2, 3], vec![2, 3], vec![3], vec![]] {
            let mut index = Index::default();
            for &session in &known {
                index.apply(
                    Record::SessionStarted {
                        session: session_number(session),
                        client: ClientId::from("c"),
                        owner: None,
                        will: None,
                    },
                    &[],
                    Time::default(),
                );
            }
            let message = message(7, "t", b"x");
            let [copy, too @ ..] = [1, 2, 3].map(|session| copy(session, 1));
            index.apply(Record::Queued { message, copy, identifiers: None, sent: None }, &too, Time::default());
            let entries: Vec<_> = index.sessions.iter().map(|(_, s)| s.entry(1).and_then(Entry::body)).collect();
            assert_eq!(entries, vec![known.first().map(|_| 0); known.len()]);
            assert_eq!(index.bodies.get(0).map_or(0, |body| body.refs as usize), known.len());
        }
    }

    #[test]
    fn a_removed_message_is_stored_anew_when_it_is_queued_again() {
        let mut index = Index::default();
        index.apply(
            Record::SessionStarted { session: session_number(1), client: ClientId::from("c"), owner: None, will: None },
            &[],
            Time::default(),
        );
        let queue = |index: &mut Index, message: &Message, number| {
            let message = message.clone();
            index.apply(
                Record::Queued { message, copy: copy(1, number), identifiers: None, sent: None },
                &[],
                Time::default(),
            );
        };
        let [once, other] = [7, 8].map(|number| message(number, "t", b"x"));
        queue(&mut index, &once, 1);
        index.apply(Record::Completed { session: session_number(1), number: 1, count: 1 }, &[], Time::default());
        // the next one has its place
        index.settle(0);
        queue(&mut index, &other, 2);
        assert_eq!(other.store_place(), once.store_place());
        queue(&mut index, &once, 3);
        queue(&mut index, &once, 4);
        let slots: Vec<_> = index.sessions.get(0).unwrap().entries.iter().map(|entry| entry.body().unwrap()).collect();
        let numbers = slots.iter().map(|&slot| message_number(&index.bodies.get(slot).unwrap().message));
        assert_eq!((numbers.collect::<Vec<_>>(), index.bodies.iter().count()), (vec![8, 7, 7], 2));
    }

    #[test]
    fn a_message_whose_first_copy_has_no_place_is_kept_for_the_others() {
        let mut index = Index::default();
        for session in [1, 2] {
            index.apply(
                Record::SessionStarted {
                    session: session_number(session),
                    client: ClientId::from("c"),
                    owner: None,
                    will: None,
                },
                &[],
                Time::default(),
            );
        }
        let mut queue = |number, others: &[QueuedCopy]| {
            let message = message(number, "t", b"x");
            index.apply(
                Record::Queued { message, copy: copy(1, 1), identifiers: None, sent: None },
                others,
                Time::default(),
            );
        };
        queue(7, &[]);
        queue(8, &[copy(2, 1)]);
        // no session has this one
        queue(9, &[copy(2, 1)]);
        let bodies = index.bodies.iter().map(|(_, body)| (message_number(&body.message), body.refs));
        assert_eq!(bodies.collect::<Vec<_>>(), [(7, 1), (8, 1)]);
        let slot = index.sessions.get(1).and_then(|session| session.entry(1)).and_then(Entry::body).unwrap();
        assert_eq!(index.bodies.get(slot).map(|body| message_number(&body.message)), Some(8));
        assert_eq!(
            index.live_bytes,
            index.sessions.iter().map(|(_, s)| u64::from(s.cost)).sum::<u64>()
                + 2 * (entry_cost(&[]) + body_cost(&message(7, "t", b"x")))
        );
    }

    #[test]
    fn a_new_session_coalesces_its_records_and_earlier_records_are_written_singly() {
        let mut index = Index::default();
        index.apply(
            Record::SessionStarted { session: session_number(1), client: ClientId::from("c"), owner: None, will: None },
            &[],
            Time::default(),
        );
        index.segment_use.push(1);
        index.settle(1);
        let mut queue = |number: u64| {
            let message = message(number, "t", b"x");
            index.apply(
                Record::Queued { message, copy: copy(1, number), identifiers: None, sent: None },
                &[],
                Time::default(),
            );
        };
        [5, 6, 3, 8, 7].into_iter().for_each(&mut queue);
        let noted = index.dirty.iter().filter(|dirty| !matches!(dirty, Dirty::Body(_)));
        let noted: Vec<_> = noted.map(|dirty| format!("{dirty:?}")).collect();
        assert_eq!(noted, ["NewEntries(0)", "Entry(0, 3)"]);
        assert_eq!(index.sessions.get(0).unwrap().new_from, Some(5));
        let mut bytes = Vec::new();
        assert_eq!(index.encode(&mut bytes).records, 10);
        index.settle(1);
        let entries = &index.sessions.get(0).unwrap().entries;
        assert!(entries.iter().all(|entry| entry.segment == 1 && !entry.is_dirty()));
        assert_eq!(entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [3, 5, 6, 7, 8]);
        // the next frame has the rest
        let live = index.segment_use.get(1).records;
        index.apply(Record::Completed { session: session_number(1), number: 6, count: 1 }, &[], Time::default());
        assert_eq!(index.segment_use.get(1).records, live - 2);
        assert_eq!(index.encode(&mut bytes).records, 1);
    }
}
