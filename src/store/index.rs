//! [`Index`]: all that is kept, in memory, owned by the writer. Ops change it; what they changed and what ended is noted,
//! so that a batch writes the outcome and not the way there (`emit` does).

use std::collections::VecDeque;

use hashbrown::{HashMap, HashTable};

use super::{
    homes::{Home, Homes, UNWRITTEN},
    op::Op,
    record::MAX_SENT,
    slab::Slab,
};
use crate::{
    session::{Message, StoredWill},
    types::{ClientId, PacketId, QoS, SubscriptionOptions},
};

pub(super) type Hasher = foldhash::fast::RandomState;

/// All that is kept.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) sessions: Slab<Session>,
    by_number: HashMap<u64, u32, Hasher>,
    pub(super) bodies: Slab<Body>,
    by_message: HashTable<u32>,
    /// Retained messages by topic.
    retained: HashTable<u32>,
    hasher: Hasher,
    /// What the next frame is to say. Each thing is in it once, by its flag; ends may be in it twice.
    pub(super) dirty: Vec<Dirty>,
    pub(super) homes: Homes,
    /// Bytes of the records of all that is kept.
    pub(super) live_bytes: u64,
    /// Sessions of which a client is connected.
    pub(super) connected: u64,
    /// The first numbers for sessions and messages to come.
    pub(super) next_session: u64,
    pub(super) next_message: u64,
}

/// What a frame is to say.
#[derive(Clone, Debug)]
pub(super) enum Dirty {
    Session(u32),
    Ended(u64),
    Subscribed(u32, Box<str>),
    Unsubscribed(u32, Box<str>),
    Body(u32),
    Entry(u32, u64),
    Done(u32, u64),
    Received(u32, PacketId),
    ReceiptReleased(u32, PacketId),
    Retained(u32),
    Cleared(Box<str>),
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) client: ClientId,
    pub(super) will: Option<StoredWill>,
    /// Milliseconds since 1970; `None`: the client is connected.
    pub(super) away_since: Option<u64>,
    pub(super) place: Place,
    /// Bytes of its record, now and where it was written.
    pub(super) cost: u32,
    pub(super) home_cost: u32,
    pub(super) subscriptions: HashMap<Box<str>, Subscription, Hasher>,
    /// By rising number. Those that are done go when they are in front, or when there are many.
    pub(super) entries: VecDeque<Entry>,
    done: usize,
    /// In the order in which they came.
    pub(super) received: VecDeque<Received>,
    pub(super) next_arrival: u64,
}

/// Where the latest record of a thing is, and whether the next frame is to have another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) home: Home,
    pub(super) dirty: bool,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) options: SubscriptionOptions,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) struct Received {
    pub(super) packet_id: PacketId,
    pub(super) arrival: u64,
    pub(super) place: Place,
}

/// A message that sessions are to be sent, or a retained one.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) message: Message,
    pub(super) home: Home,
    /// How many entries have it.
    refs: u32,
    pub(super) flags: BodyFlags,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyFlags {
    pub(super) dirty: bool,
    pub(super) retained: bool,
    /// The log has a retained message for its topic: this one or one before it.
    pub(super) topic_in_log: bool,
}

/// A message of a session: 24 bytes, as there are many.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// Its place in the order of sending, 0 before that; QoS, RETAIN and whether the next frame has it in the upper bits.
    bits: u64,
    /// Its message's slot.
    body: u32,
    pub(super) home: Home,
}

impl Entry {
    pub(super) fn new(number: u64, qos: QoS, retain: bool, sent: Option<u64>, body: Option<u32>) -> Self {
        let bits = (qos as u64) << QOS_SHIFT | if retain { RETAIN } else { 0 } | sent.unwrap_or(0) & MAX_SENT;
        Self { number, bits, body: body.unwrap_or(RELEASED), home: UNWRITTEN }
    }

    pub(super) fn qos(&self) -> QoS {
        QoS::from_bits((self.bits >> QOS_SHIFT & 3) as u8).unwrap_or_default()
    }

    pub(super) fn retain(&self) -> bool {
        self.bits & RETAIN != 0
    }

    pub(super) fn sent(&self) -> Option<u64> {
        Some(self.bits & MAX_SENT).filter(|&sent| sent != 0)
    }

    fn set_sent(&mut self, sent: u64) {
        self.bits = self.bits & !MAX_SENT | sent & MAX_SENT;
    }

    pub(super) fn body(&self) -> Option<u32> {
        Some(self.body).filter(|&body| body < DONE)
    }

    pub(super) fn is_done(&self) -> bool {
        self.body == DONE
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.bits & DIRTY != 0
    }

    pub(super) fn set_dirty(&mut self, dirty: bool) {
        self.bits = if dirty { self.bits | DIRTY } else { self.bits & !DIRTY };
    }
}

impl Session {
    pub(super) fn new(number: u64, client: ClientId, will: Option<StoredWill>, away_since: Option<u64>) -> Self {
        let mut session = Self {
            number,
            client,
            will,
            away_since,
            place: Place::default(),
            cost: 0,
            home_cost: 0,
            subscriptions: HashMap::default(),
            entries: VecDeque::new(),
            done: 0,
            received: VecDeque::new(),
            next_arrival: 0,
        };
        session.cost = session.record_cost();
        session
    }

    fn record_cost(&self) -> u32 {
        let will = self.will.as_ref().map_or(0, |will| will.message.size() + WILL_COST);
        u32::try_from(SESSION_COST + self.client.as_str().len() + will).unwrap_or(u32::MAX)
    }

    /// Where the entry with this number is, or would be.
    #[inline]
    pub(super) fn position(&self, number: u64) -> Result<usize, usize> {
        let Some(front) = self.entries.front() else { return Err(0) };
        // mostly there is no gap
        if let Some(guess) = number.checked_sub(front.number)
            && self.entries.get(guess as usize).is_some_and(|entry| entry.number == number)
        {
            return Ok(guess as usize);
        }
        if self.entries.back().is_some_and(|back| back.number < number) {
            return Err(self.entries.len());
        }
        self.entries.binary_search_by_key(&number, |entry| entry.number)
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let at = self.position(number).ok()?;
        Some(&mut self.entries[at]).filter(|entry| !entry.is_done())
    }

    #[inline]
    pub(super) fn entry(&self, number: u64) -> Option<&Entry> {
        let at = self.position(number).ok()?;
        Some(&self.entries[at]).filter(|entry| !entry.is_done())
    }

    /// Entries that are not done.
    pub(super) fn live_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_done())
    }

    pub(super) fn received_mut(&mut self, packet_id: PacketId) -> Option<&mut Received> {
        self.received.iter_mut().find(|received| received.packet_id == packet_id)
    }

    fn forget_done(&mut self) {
        while self.entries.front().is_some_and(Entry::is_done) {
            self.entries.pop_front();
            self.done -= 1;
        }
        // one that is never acknowledged does not keep all that come after it
        if self.done > 64 && self.done > self.entries.len() / 2 {
            self.entries.retain(|entry| !entry.is_done());
            self.done = 0;
        }
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries = VecDeque::new();
        }
    }
}

pub(super) fn subscription_cost(filter: &str) -> u64 {
    SUBSCRIPTION_COST + filter.len() as u64
}

pub(super) fn body_cost(message: &Message) -> u64 {
    BODY_COST + message.size() as u64
}

impl Index {
    /// Applies what happened, in its order; `now` in milliseconds since 1970. What it says of sessions and messages that
    /// are not known is passed over.
    pub(super) fn apply(&mut self, op: Op, now: u64) {
        match op {
            Op::Started { session, client, will } => {
                self.next_session = self.next_session.max(session + 1);
                if self.by_number.contains_key(&session) {
                    return self.attach(session, will);
                }
                let slot = self.insert_session(Session::new(session, client, will, None));
                self.mark_session(slot);
            }
            Op::Attached { session, will } => self.attach(session, will),
            Op::Detached { session } => {
                self.change_session(session, |session| {
                    session.will = None;
                    // one whose client was gone when the process ended has been away since then
                    session.away_since.get_or_insert(now);
                });
            }
            Op::Ended { session } => self.end_session(session),
            Op::Subscribed { session, filter, options } => self.subscribe(session, filter, options),
            Op::Unsubscribed { session, filter } => {
                let Some((slot, session)) = self.session(session) else { return };
                let Some(gone) = session.subscriptions.remove(&filter) else { return };
                let cost = subscription_cost(&filter);
                self.live_bytes -= cost;
                self.homes.leave(gone.place.home, cost);
                if gone.place.home != UNWRITTEN {
                    self.dirty.push(Dirty::Unsubscribed(slot, filter));
                }
            }
            Op::Queued { session, number, message, qos, retain, sent } => {
                self.queue(session, number, message, (qos, retain), sent);
            }
            Op::Sent { session, number, sent } => {
                self.change_entry(session, number, |entry| {
                    entry.set_sent(sent);
                    None
                });
            }
            Op::Released { session, number } => {
                let body = self.change_entry(session, number, |entry| {
                    let body = entry.body();
                    entry.body = RELEASED;
                    // what was never sent has no Packet Identifier to release
                    if entry.sent().is_none() {
                        entry.set_sent(1)
                    }
                    body
                });
                self.drop_ref(body);
            }
            Op::Completed { session, number } => self.complete(session, number),
            Op::Received { session, packet_id } => {
                let Some((slot, session)) = self.session(session) else { return };
                if session.received_mut(packet_id).is_some() {
                    return;
                }
                let place = Place { home: UNWRITTEN, dirty: true };
                session.received.push_back(Received { packet_id, arrival: session.next_arrival, place });
                session.next_arrival += 1;
                self.live_bytes += RECEIVED_COST;
                self.dirty.push(Dirty::Received(slot, packet_id));
            }
            Op::ReceiptReleased { session, packet_id } => {
                let Some((slot, session)) = self.session(session) else { return };
                let Some(at) = session.received.iter().position(|r| r.packet_id == packet_id) else { return };
                let Some(gone) = session.received.remove(at) else { return };
                self.live_bytes -= RECEIVED_COST;
                self.homes.leave(gone.place.home, RECEIVED_COST);
                if gone.place.home != UNWRITTEN {
                    self.dirty.push(Dirty::ReceiptReleased(slot, packet_id));
                }
            }
            Op::Retained { message } => {
                let body = self.body(message);
                self.retain(body);
            }
            Op::Cleared { topic } => self.clear_retained(topic),
        }
    }

    #[inline]
    fn session(&mut self, number: u64) -> Option<(u32, &mut Session)> {
        let slot = *self.by_number.get(&number)?;
        Some((slot, self.sessions.get_mut(slot)?))
    }

    pub(super) fn insert_session(&mut self, session: Session) -> u32 {
        let (number, cost) = (session.number, session.cost);
        self.connected += u64::from(session.away_since.is_none());
        self.live_bytes += u64::from(cost);
        let slot = self.sessions.insert(session);
        self.by_number.insert(number, slot);
        slot
    }

    /// The next frame has this session's record.
    pub(super) fn mark_session(&mut self, slot: u32) {
        if let Some(session) = self.sessions.get_mut(slot)
            && !session.place.dirty
        {
            session.place.dirty = true;
            self.dirty.push(Dirty::Session(slot));
        }
    }

    fn attach(&mut self, session: u64, will: Option<StoredWill>) {
        self.change_session(session, |session| {
            session.will = will;
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
        let Some(mut session) = self.sessions.remove(slot) else { return };
        self.connected -= u64::from(session.away_since.is_none());
        self.live_bytes -= u64::from(session.cost);
        self.homes.leave(session.place.home, u64::from(session.home_cost));
        for (filter, subscription) in &session.subscriptions {
            let cost = subscription_cost(filter);
            self.live_bytes -= cost;
            self.homes.leave(subscription.place.home, cost);
        }
        for received in &session.received {
            self.live_bytes -= RECEIVED_COST;
            self.homes.leave(received.place.home, RECEIVED_COST);
        }
        for entry in session.entries.drain(..).filter(|entry| !entry.is_done()) {
            self.live_bytes -= ENTRY_COST;
            self.homes.leave(entry.home, ENTRY_COST);
            self.drop_ref(entry.body());
        }
        if session.place.home != UNWRITTEN {
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
        let place = Place { home: UNWRITTEN, dirty: true };
        session.subscriptions.insert(filter.clone(), Subscription { options, place });
        self.live_bytes += subscription_cost(&filter);
        self.dirty.push(Dirty::Subscribed(slot, filter));
    }

    fn queue(&mut self, session: u64, number: u64, message: Message, how: (QoS, bool), sent: Option<u64>) {
        let Some(&slot) = self.by_number.get(&session) else { return };
        let body = self.body(message);
        let added = self.add_entry(slot, Entry::new(number, how.0, how.1, sent, Some(body)));
        if added && let Some(entry) = self.sessions.get_mut(slot).and_then(|session| session.entry_mut(number)) {
            entry.set_dirty(true);
            self.dirty.push(Dirty::Entry(slot, number));
        }
    }

    /// A number that is taken stays as it is: it is never given twice.
    pub(super) fn add_entry(&mut self, slot: u32, entry: Entry) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        let body = entry.body();
        let added = match session.position(entry.number) {
            Err(at) => {
                if at == session.entries.len() {
                    session.entries.push_back(entry)
                } else {
                    session.entries.insert(at, entry)
                }
                true
            }
            // the last message of the process before, done since, whose number came round
            Ok(at) if session.entries[at].is_done() => {
                session.entries[at] = entry;
                session.done -= 1;
                true
            }
            Ok(_) => false,
        };
        if added {
            self.live_bytes += ENTRY_COST;
        }
        if let Some(body) = body.and_then(|body| self.bodies.get_mut(body)) {
            body.refs += 1;
        }
        if !added {
            self.drop_ref(body);
        }
        added
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

    fn complete(&mut self, session: u64, number: u64) {
        let Some((slot, session)) = self.session(session) else { return };
        let Some(entry) = session.entry_mut(number) else { return };
        let (home, body) = (entry.home, entry.body());
        entry.body = DONE;
        session.done += 1;
        session.forget_done();
        self.live_bytes -= ENTRY_COST;
        self.homes.leave(home, ENTRY_COST);
        if home != UNWRITTEN {
            self.dirty.push(Dirty::Done(slot, number));
        }
        self.drop_ref(body);
    }

    // ---- messages ----

    /// The slot of a message, which is new or known.
    fn body(&mut self, message: Message) -> u32 {
        let number = message_number(&message);
        let hash = foldhash_of(&self.hasher, number);
        if let Some(&slot) = self.by_message.find(hash, |&slot| self.number_of(slot) == number) {
            return slot;
        }
        let slot = self.insert_body(message);
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.dirty = true;
        }
        self.dirty.push(Dirty::Body(slot));
        slot
    }

    pub(super) fn insert_body(&mut self, message: Message) -> u32 {
        let number = message_number(&message);
        self.next_message = self.next_message.max(number + 1);
        self.live_bytes += body_cost(&message);
        let slot = self.bodies.insert(Body { message, home: UNWRITTEN, refs: 0, flags: BodyFlags::default() });
        let (bodies, hasher) = (&self.bodies, &self.hasher);
        let hash = foldhash_of(hasher, number);
        let rehash = |&slot: &u32| foldhash_of(hasher, bodies.get(slot).map_or(0, |b| message_number(&b.message)));
        self.by_message.insert_unique(hash, slot, rehash);
        slot
    }

    fn number_of(&self, slot: u32) -> u64 {
        self.bodies.get(slot).map_or(0, |body| message_number(&body.message))
    }

    fn topic_of(&self, slot: u32) -> &str {
        self.bodies.get(slot).map_or("", |body| body.message.topic().as_str())
    }

    fn drop_ref(&mut self, slot: Option<u32>) {
        if let Some(slot) = slot
            && let Some(body) = self.bodies.get_mut(slot)
        {
            body.refs -= 1;
            self.forget_unused(slot);
        }
    }

    pub(super) fn forget_unused(&mut self, slot: u32) {
        let Some(body) = self.bodies.get(slot).filter(|body| body.refs == 0 && !body.flags.retained) else { return };
        let number = message_number(&body.message);
        let hash = foldhash_of(&self.hasher, number);
        if let Ok(found) = self.by_message.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        if let Some(gone) = self.bodies.remove(slot) {
            let cost = body_cost(&gone.message);
            self.live_bytes -= cost;
            self.homes.leave(gone.home, cost);
        }
    }

    /// The slot of a topic's retained message.
    pub(super) fn retained(&self, topic: &str) -> Option<u32> {
        let hash = foldhash_of(&self.hasher, topic);
        self.retained.find(hash, |&slot| self.topic_of(slot) == topic).copied()
    }

    /// Makes a message the retained one of its topic.
    pub(super) fn retain(&mut self, slot: u32) {
        let Some(message) = self.bodies.get(slot).map(|body| body.message.clone()) else { return };
        let topic = message.topic().as_str();
        let mut topic_in_log = false;
        if let Some(old) = self.retained(topic) {
            if old == slot {
                return;
            }
            topic_in_log = self.take_retained(old);
        }
        let (bodies, hasher) = (&self.bodies, &self.hasher);
        let rehash = |&slot: &u32| foldhash_of(hasher, bodies.get(slot).map_or("", |b| b.message.topic().as_str()));
        self.retained.insert_unique(foldhash_of(hasher, topic), slot, rehash);
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.retained = true;
            body.flags.topic_in_log = topic_in_log;
            if !body.flags.dirty {
                self.dirty.push(Dirty::Retained(slot));
            }
        }
    }

    /// The log has a message as the retained one of its topic.
    pub(super) fn restore_retained(&mut self, slot: u32) {
        self.retain(slot);
        // nothing is to be written for it
        self.dirty.pop_if(|dirty| matches!(dirty, Dirty::Retained(retained) if *retained == slot));
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.topic_in_log = true;
        }
    }

    /// Whether the log has a retained message for the topic.
    fn take_retained(&mut self, slot: u32) -> bool {
        let hash = foldhash_of(&self.hasher, self.topic_of(slot));
        if let Ok(found) = self.retained.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        let Some(body) = self.bodies.get_mut(slot) else { return false };
        let in_log = body.flags.topic_in_log;
        body.flags.retained = false;
        body.flags.topic_in_log = false;
        self.forget_unused(slot);
        in_log
    }

    fn clear_retained(&mut self, topic: Box<str>) {
        if let Some(slot) = self.retained(&topic)
            && self.take_retained(slot)
        {
            self.dirty.push(Dirty::Cleared(topic));
        }
    }
}

/// The number under which a message is kept.
#[inline]
pub(super) fn message_number(message: &Message) -> u64 {
    message.store_number().map_or(0, std::num::NonZeroU64::get)
}

#[inline]
fn foldhash_of(hasher: &Hasher, key: impl std::hash::Hash) -> u64 {
    use std::hash::BuildHasher;
    hasher.hash_one(key)
}

const QOS_SHIFT: u32 = 60;
const RETAIN: u64 = 1 << 62;
const DIRTY: u64 = 1 << 63;
/// In place of a message: PUBREC came for it.
const RELEASED: u32 = u32::MAX;
/// In place of a message: all is done.
const DONE: u32 = u32::MAX - 1;

/// Bytes of each kind of record beside its text, about: what "live" counts.
const SESSION_COST: usize = 14;
const WILL_COST: usize = 4;
const SUBSCRIPTION_COST: u64 = 6;
const BODY_COST: u64 = 10;
pub(super) const ENTRY_COST: u64 = 12;
pub(super) const RECEIVED_COST: u64 = 8;
