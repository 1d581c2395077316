//! [`Session`]: the stored state of one session. Each part has the segment of its latest record.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use super::{
    super::log::{EntryState, MAX_SENT},
    segment_use::{SegmentId, UNWRITTEN},
};
use crate::{
    router::SessionOwner,
    session::{Identifiers, StoredWill},
    types::{ClientId, PacketId, QoS, SubscriptionOptions},
};

/// The hasher of all tables of the index.
#[cfg(not(test))]
pub(crate) type Hasher = foldhash::fast::RandomState;
/// A fixed seed, so that a test can be replayed.
#[cfg(test)]
pub(crate) type Hasher = foldhash::fast::FixedState;

/// The stored state of a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) client: ClientId,
    pub(crate) owner: Option<SessionOwner>,
    /// The Session Expiry Interval in seconds. `None`: the session does not expire.
    pub(crate) lasts: Option<u32>,
    pub(crate) will: Option<StoredWill>,
    /// The age of the log at which the Will falls due, in milliseconds; `None`: the client is connected, or the delay
    /// begins at the next start.
    pub(crate) will_due: Option<u64>,
    /// Wills that still have to be published, by number.
    pub(crate) due: BTreeMap<u64, DueWill>,
    /// The age of the log when the client left, in milliseconds. `None`: the client is connected.
    pub(crate) away_since: Option<u64>,
    pub(crate) place: Place,
    /// Bytes of its record: of the current state, and of the record in the log.
    pub(crate) cost: u32,
    pub(crate) written_cost: u32,
    pub(crate) subscriptions: HashMap<Box<str>, Subscription, Hasher>,
    /// By rising number. Done entries are removed when they are at the front, or when there are many of them.
    pub(crate) entries: VecDeque<Entry>,
    /// Number of done entries.
    done: usize,
    /// The Subscription Identifiers of entries, as properties on the wire, by number of the entry.
    identifiers: BTreeMap<u64, Identifiers>,
    /// Entries from this number on are written with the next frame if no frame has them.
    pub(crate) new_from: Option<u64>,
    /// Unreleased QoS 2 messages from the client, in the order of their arrival.
    pub(crate) received: VecDeque<Received>,
    pub(crate) next_arrival: u64,
    /// Topics of retained messages that are due to another broker; an empty one: all are due.
    pub(crate) retained_due: BTreeMap<Box<str>, Place>,
}

/// The segment of an item's latest record, and whether the next frame has a new one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    pub(crate) dirty: bool,
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) options: SubscriptionOptions,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: StoredWill,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) packet_id: PacketId,
    pub(crate) arrival: u64,
    pub(crate) place: Place,
}

/// A queued or in-flight message of a session: 24 bytes, because there are many.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// The place in the order of sending, 0 before it was sent. The upper bits are flags: Subscription Identifiers,
    /// shared subscription, QoS, RETAIN, dirty.
    bits: u64,
    /// The slot of its message.
    body: u32,
    pub(crate) segment: SegmentId,
}

impl Entry {
    /// `body` is the slot of its message.
    pub(crate) fn new(number: u64, state: EntryState<'_>, body: Option<u32>) -> Self {
        let EntryState { qos, retain, shared, sent, .. } = state;
        let flags = if retain { RETAIN } else { 0 } | if shared { SHARED } else { 0 };
        let bits = (qos as u64) << QOS_SHIFT | flags | sent.unwrap_or(0) & MAX_SENT;
        Self { number, bits, body: body.unwrap_or(RELEASED), segment: UNWRITTEN }
    }

    pub(crate) fn qos(&self) -> QoS {
        QoS::from_bits((self.bits >> QOS_SHIFT & 3) as u8).unwrap_or_default()
    }

    pub(crate) fn retain(&self) -> bool {
        self.bits & RETAIN != 0
    }

    pub(crate) fn shared(&self) -> bool {
        self.bits & SHARED != 0
    }

    pub(crate) fn sent(&self) -> Option<u64> {
        Some(self.bits & MAX_SENT).filter(|&sent| sent != 0)
    }

    pub(crate) fn set_sent(&mut self, sent: u64) {
        self.bits = self.bits & !MAX_SENT | sent & MAX_SENT;
    }

    pub(crate) fn body(&self) -> Option<u32> {
        Some(self.body).filter(|&body| body < DONE)
    }

    /// A PUBREC arrived. Returns the message, which this entry no longer refers to.
    pub(crate) fn release(&mut self) -> Option<u32> {
        let body = self.body();
        self.body = RELEASED;
        // a released entry needs a Packet Identifier; one that was never sent has none
        if self.sent().is_none() {
            self.set_sent(1);
        }
        body
    }

    fn has_identifiers(&self) -> bool {
        self.bits & IDENTIFIERS != 0
    }

    pub(crate) fn is_done(&self) -> bool {
        self.body == DONE
    }

    /// Will the next frame be the first with this entry?
    fn is_new(&self) -> bool {
        self.segment == UNWRITTEN && self.is_dirty() && !self.is_done()
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.bits & DIRTY != 0
    }

    pub(crate) fn set_dirty(&mut self, dirty: bool) {
        self.bits = if dirty { self.bits | DIRTY } else { self.bits & !DIRTY };
    }
}

impl Session {
    pub(crate) fn new(
        number: u64,
        client: ClientId,
        owner: Option<SessionOwner>,
        will: Option<StoredWill>,
        away_since: Option<u64>,
    ) -> Self {
        let mut session = Self {
            number,
            client,
            owner,
            lasts: None,
            will,
            will_due: None,
            due: BTreeMap::new(),
            away_since,
            place: Place::default(),
            cost: 0,
            written_cost: 0,
            subscriptions: HashMap::default(),
            entries: VecDeque::new(),
            done: 0,
            identifiers: BTreeMap::new(),
            new_from: None,
            received: VecDeque::new(),
            next_arrival: 0,
            retained_due: BTreeMap::new(),
        };
        session.cost = session.record_cost();
        session
    }

    pub(crate) fn record_cost(&self) -> u32 {
        let will = self.will.as_ref().map_or(0, |will| will_cost(will) + WILL_COST);
        let owner = self.owner.as_ref().map_or(0, |owner| owner.user.as_str().len() + OWNER_COST);
        u32::try_from(SESSION_COST + self.client.as_str().len() + will + owner).unwrap_or(u32::MAX)
    }

    /// The index of the entry with this number; `Err`: the index at which to insert it.
    #[inline]
    pub(crate) fn position(&self, number: u64) -> Result<usize, usize> {
        let Some(front) = self.entries.front() else { return Err(0) };
        let Some(guess) = number.checked_sub(front.number) else { return Err(0) };
        // mostly the numbers have no gap
        if self.entries.get(guess as usize).is_some_and(|entry| entry.number == number) {
            return Ok(guess as usize);
        }
        if self.entries.back().is_some_and(|back| back.number < number) {
            return Err(self.entries.len());
        }
        self.entries.binary_search_by_key(&number, |entry| entry.number)
    }

    #[inline]
    pub(crate) fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let at = self.position(number).ok()?;
        Some(&mut self.entries[at]).filter(|entry| !entry.is_done())
    }

    #[inline]
    pub(crate) fn entry(&self, number: u64) -> Option<&Entry> {
        let at = self.position(number).ok()?;
        Some(&self.entries[at]).filter(|entry| !entry.is_done())
    }

    /// The index of the first entry with this number or a higher one.
    pub(crate) fn begin(&self, number: u64) -> usize {
        self.position(number).unwrap_or_else(|at| at)
    }

    /// The entries that the next frame is the first to have.
    pub(crate) fn new_entries(&self) -> impl Iterator<Item = &Entry> {
        let begin = self.new_from.map_or(self.entries.len(), |from| self.begin(from));
        self.entries.range(begin..).filter(|entry| entry.is_new())
    }

    /// The same entries with the bytes of their records. After this call none is marked as new.
    pub(crate) fn take_new_entries(&mut self) -> impl Iterator<Item = (&mut Entry, u64)> {
        let begin = self.new_from.take().map_or(self.entries.len(), |from| self.begin(from));
        let identifiers = &self.identifiers;
        let new = self.entries.range_mut(begin..).filter(|entry| entry.is_new());
        new.map(|entry| {
            let cost = entry_cost(of_entry(identifiers, entry));
            (entry, cost)
        })
    }

    /// Inserts an entry with its Subscription Identifiers. `false`: the number is taken, and nothing changes.
    pub(crate) fn add_entry(&mut self, mut entry: Entry, identifiers: Identifiers) -> bool {
        let number = entry.number;
        if !identifiers.is_empty() {
            entry.bits |= IDENTIFIERS;
        }
        match self.position(entry.number) {
            Err(at) if at == self.entries.len() => self.entries.push_back(entry),
            Err(at) => self.entries.insert(at, entry),
            // the last number of the previous process is used again: its entry is done
            Ok(at) if self.entries[at].is_done() => {
                self.entries[at] = entry;
                self.done -= 1;
            }
            Ok(_) => return false,
        }
        if !identifiers.is_empty() {
            self.identifiers.insert(number, identifiers);
        }
        true
    }

    /// The Subscription Identifiers of an entry, as properties on the wire.
    #[inline]
    pub(crate) fn identifiers_of(&self, entry: &Entry) -> &[u8] {
        of_entry(&self.identifiers, entry)
    }

    /// Approximate bytes of the record of an entry.
    #[inline]
    pub(crate) fn cost_of(&self, entry: &Entry) -> u64 {
        entry_cost(of_entry(&self.identifiers, entry))
    }

    /// Ends an entry. Returns the segment of its record, the bytes of the record, and its message.
    pub(crate) fn complete(&mut self, number: u64) -> Option<(SegmentId, u64, Option<u32>)> {
        let cost = self.cost_of(self.entry(number)?);
        let entry = self.entry_mut(number)?;
        let gone = (entry.segment, cost, entry.body());
        entry.body = DONE;
        if entry.has_identifiers() {
            self.identifiers.remove(&number);
        }
        self.done += 1;
        self.forget_done();
        Some(gone)
    }

    /// Entries that are not done.
    pub(crate) fn live_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_done())
    }

    pub(crate) fn received_mut(&mut self, packet_id: PacketId) -> Option<&mut Received> {
        self.received.iter_mut().find(|received| received.packet_id == packet_id)
    }

    pub(crate) fn forget_done(&mut self) {
        while self.entries.front().is_some_and(Entry::is_done) {
            self.entries.pop_front();
            self.done -= 1;
        }
        // so that an old entry that stays unacknowledged does not keep the done entries behind it
        if self.done > 64 && self.done > self.entries.len() / 2 {
            self.entries.retain(|entry| !entry.is_done());
            self.done = 0;
        }
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries = VecDeque::new();
        }
    }
}

pub(crate) fn due_cost(will: &StoredWill) -> u64 {
    (DUE_COST + will_cost(will)) as u64
}

/// Approximate bytes of topic, payload and other content of a Will.
fn will_cost(will: &StoredWill) -> usize {
    let intervals = usize::from(will.delay > 0) + usize::from(will.expiry.is_some());
    will.message.size() + intervals * INTERVAL_COST
}

pub(crate) fn subscription_cost(filter: &str) -> u64 {
    SUBSCRIPTION_COST + filter.len() as u64
}

pub(crate) fn retained_due_cost(topic: &str) -> u64 {
    RETAINED_DUE_COST + topic.len() as u64
}

/// The Subscription Identifiers of one entry.
#[inline]
fn of_entry<'a>(all: &'a BTreeMap<u64, Identifiers>, entry: &Entry) -> &'a [u8] {
    match entry.has_identifiers() {
        true => all.get(&entry.number).map_or(&[], |identifiers| identifiers),
        false => &[],
    }
}

/// Approximate bytes of the record of an entry with these Subscription Identifiers.
#[inline]
pub(crate) fn entry_cost(identifiers: &[u8]) -> u64 {
    if identifiers.is_empty() { ENTRY_COST } else { ENTRY_COST + IDENTIFIERS_COST + identifiers.len() as u64 }
}

const IDENTIFIERS: u64 = 1 << 58;
const SHARED: u64 = 1 << 59;
const QOS_SHIFT: u32 = 60;
const RETAIN: u64 = 1 << 62;
const DIRTY: u64 = 1 << 63;
/// In place of the message's slot: a PUBREC arrived.
const RELEASED: u32 = u32::MAX;
/// In place of the message's slot: the entry is done.
const DONE: u32 = u32::MAX - 1;

/// Approximate bytes of each kind of record, without text. Live bytes are computed from these.
const SESSION_COST: usize = 14;
const WILL_COST: usize = 4;
const INTERVAL_COST: usize = 5;
const OWNER_COST: usize = 5;
const DUE_COST: usize = 9;
const SUBSCRIPTION_COST: u64 = 6;
const RETAINED_DUE_COST: u64 = 5;
pub(crate) const ENTRY_COST: u64 = 12;
const IDENTIFIERS_COST: u64 = 3;
pub(crate) const RECEIVED_COST: u64 = 8;
