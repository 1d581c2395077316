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

/// Of the tables of all that is kept.
#[cfg(not(test))]
pub(crate) type Hasher = foldhash::fast::RandomState;
/// What a test plays under a seed is the same each time.
#[cfg(test)]
pub(crate) type Hasher = foldhash::fast::FixedState;

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) client: ClientId,
    pub(crate) owner: Option<SessionOwner>,
    /// How many seconds it lasts while its client is away; `None`: until its client ends it.
    pub(crate) lasts: Option<u32>,
    pub(crate) will: Option<StoredWill>,
    /// The age of the log at which the Will falls due, in milliseconds; `None`: the client is connected, or the delay
    /// begins at the next start.
    pub(crate) will_due: Option<u64>,
    /// Wills that are still to be published, by their numbers.
    pub(crate) due: BTreeMap<u64, DueWill>,
    /// Milliseconds since the log began; `None`: the client is connected.
    pub(crate) away_since: Option<u64>,
    pub(crate) place: Place,
    /// Bytes of its record, now and where it was written.
    pub(crate) cost: u32,
    pub(crate) written_cost: u32,
    pub(crate) subscriptions: HashMap<Box<str>, Subscription, Hasher>,
    /// By rising number. Those that are done go when they are in front, or when there are many.
    pub(crate) entries: VecDeque<Entry>,
    /// How many of them are done.
    done: usize,
    /// Subscription Identifiers, as properties on the wire, of entries that have some, by their numbers.
    identifiers: BTreeMap<u64, Identifiers>,
    /// Those that no frame has are noted from this number on.
    pub(crate) new_from: Option<u64>,
    /// In the order in which they came.
    pub(crate) received: VecDeque<Received>,
    pub(crate) next_arrival: u64,
}

/// Where the latest record of a thing is, and whether the next frame is to have another.
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

/// A message of a session: 24 bytes, as there are many.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// Its place in the order of sending, 0 before that; in the upper bits whether it has Subscription Identifiers,
    /// whether it came through a shared subscription, QoS, RETAIN and whether the next frame has it.
    bits: u64,
    /// Its message's slot.
    body: u32,
    pub(crate) segment: SegmentId,
}

impl Entry {
    /// `state` says what it is but for its message, which has this slot.
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

    /// PUBREC came; gives the message, which may be forgotten.
    pub(crate) fn release(&mut self) -> Option<u32> {
        let body = self.body();
        self.body = RELEASED;
        // what was never sent has no Packet Identifier to release
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

    /// Is the next frame the first to have it?
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
        };
        session.cost = session.record_cost();
        session
    }

    pub(crate) fn record_cost(&self) -> u32 {
        let will = self.will.as_ref().map_or(0, |will| will_cost(will) + WILL_COST);
        let owner = self.owner.as_ref().map_or(0, |owner| owner.user.as_str().len() + OWNER_COST);
        u32::try_from(SESSION_COST + self.client.as_str().len() + will + owner).unwrap_or(u32::MAX)
    }

    /// Where the entry with this number is, or would be.
    #[inline]
    pub(crate) fn position(&self, number: u64) -> Result<usize, usize> {
        let Some(front) = self.entries.front() else { return Err(0) };
        let Some(guess) = number.checked_sub(front.number) else { return Err(0) };
        // mostly there is no gap
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

    /// Where the entries from this number on begin.
    pub(crate) fn begin(&self, number: u64) -> usize {
        self.position(number).unwrap_or_else(|at| at)
    }

    /// Those that no frame has, of the noted ones.
    pub(crate) fn new_entries(&self) -> impl Iterator<Item = &Entry> {
        let begin = self.new_from.map_or(self.entries.len(), |from| self.begin(from));
        self.entries.range(begin..).filter(|entry| entry.is_new())
    }

    /// The same with what their records cost, to note that a frame has them: none is noted any more.
    pub(crate) fn take_new_entries(&mut self) -> impl Iterator<Item = (&mut Entry, u64)> {
        let begin = self.new_from.take().map_or(self.entries.len(), |from| self.begin(from));
        let identifiers = &self.identifiers;
        let new = self.entries.range_mut(begin..).filter(|entry| entry.is_new());
        new.map(|entry| {
            let cost = entry_cost(of_entry(identifiers, entry));
            (entry, cost)
        })
    }

    /// Puts an entry in its place, with its Subscription Identifiers. A number that is taken stays as it is: it is
    /// never given twice.
    pub(crate) fn add_entry(&mut self, mut entry: Entry, identifiers: Identifiers) -> bool {
        let number = entry.number;
        if !identifiers.is_empty() {
            entry.bits |= IDENTIFIERS;
        }
        match self.position(entry.number) {
            Err(at) if at == self.entries.len() => self.entries.push_back(entry),
            Err(at) => self.entries.insert(at, entry),
            // the last message of the process before, done since, whose number came round
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

    /// Bytes of the record of an entry, about.
    #[inline]
    pub(crate) fn cost_of(&self, entry: &Entry) -> u64 {
        entry_cost(of_entry(&self.identifiers, entry))
    }

    /// Ends an entry; gives where its record is, what that costs, and its message.
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

pub(crate) fn due_cost(will: &StoredWill) -> u64 {
    (DUE_COST + will_cost(will)) as u64
}

/// Bytes of topic, payload and what else a Will has of its own, about.
fn will_cost(will: &StoredWill) -> usize {
    let intervals = usize::from(will.delay > 0) + usize::from(will.expiry.is_some());
    will.message.size() + intervals * INTERVAL_COST
}

pub(crate) fn subscription_cost(filter: &str) -> u64 {
    SUBSCRIPTION_COST + filter.len() as u64
}

/// Of all that a session has, those of an entry.
#[inline]
fn of_entry<'a>(all: &'a BTreeMap<u64, Identifiers>, entry: &Entry) -> &'a [u8] {
    match entry.has_identifiers() {
        true => all.get(&entry.number).map_or(&[], |identifiers| identifiers),
        false => &[],
    }
}

/// Bytes of the record of an entry with these Subscription Identifiers, about.
#[inline]
pub(crate) fn entry_cost(identifiers: &[u8]) -> u64 {
    if identifiers.is_empty() { ENTRY_COST } else { ENTRY_COST + IDENTIFIERS_COST + identifiers.len() as u64 }
}

const IDENTIFIERS: u64 = 1 << 58;
const SHARED: u64 = 1 << 59;
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
const INTERVAL_COST: usize = 5;
const OWNER_COST: usize = 5;
const DUE_COST: usize = 9;
const SUBSCRIPTION_COST: u64 = 6;
pub(crate) const ENTRY_COST: u64 = 12;
const IDENTIFIERS_COST: u64 = 3;
pub(crate) const RECEIVED_COST: u64 = 8;
