//! [`Replay`]: from the records of a log, in their order, to an [`Index`]. Compaction moves each record on its own, so
//! a record may precede the one it refers to: references are checked after the last record.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::super::{
    index::{
        DueWill, Entry, Hasher, Index, KeptWill, Origin, Place, RECEIVED_COST, Received, SegmentId, Session,
        Subscription, body_cost, due_cost, entry_cost, origin_cost, retained_due_cost, subscription_cost,
    },
    log::{self, Away, EntryState, LogRecord, Owner, Time, Will},
};
use crate::{
    router::{Publisher, SessionOwner},
    session::{Identifiers, Message, StoredWill},
    types::{ClientId, PacketId, SubscriptionOptions, UserName},
};

type Map<K, V> = HashMap<K, V, Hasher>;

/// The state of the replay.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    sessions: Map<u64, Known>,
    bodies: Map<u64, Body>,
    retained: Map<Box<str>, (u64, Option<Origin>)>,
    wills: BTreeMap<u64, KeptWill>,
    next_session: u64,
    next_message: u64,
}

/// A session. Its own record may follow later.
#[derive(Debug, Default)]
struct Known {
    head: Option<Head>,
    subscriptions: Map<Box<str>, (SubscriptionOptions, SegmentId)>,
    deliveries: Deliveries,
    due: BTreeMap<u64, (StoredWill, SegmentId)>,
    received: Map<PacketId, (u64, SegmentId)>,
    retained_due: BTreeMap<Box<str>, Place>,
}

#[derive(Debug)]
struct Head {
    client: ClientId,
    away: Option<Away>,
    will: Option<StoredWill>,
    will_due: Option<u64>,
    owner: Option<SessionOwner>,
    lasts: Option<u32>,
    segment: SegmentId,
}

/// A message that is not in the index yet.
#[derive(Debug)]
struct Body {
    message: Option<Message>,
    /// Subscription Identifiers, which earlier versions stored with the message.
    identifiers: Identifiers,
    expires: Option<u64>,
    segment: SegmentId,
    /// Bytes of its [`Origin`] in its record.
    extra: u32,
    slot: u32,
}

/// The deliveries of a session. Most records arrive by rising number, so sorting a list now and then costs less than a
/// map.
#[derive(Debug, Default)]
struct Deliveries {
    /// The first `sorted` ones are by number and not done; the others are in the order of the log.
    records: Vec<Delivery>,
    sorted: usize,
    /// Subscription Identifiers of deliveries, as properties on the wire, by number.
    identifiers: Map<u64, Identifiers>,
}

#[derive(Clone, Copy, Debug)]
struct Delivery {
    number: u64,
    /// `None`: done. Subscription Identifiers are not in it.
    state: Option<EntryState<'static>>,
    segment: SegmentId,
}

impl Deliveries {
    fn push(&mut self, number: u64, state: Option<EntryState<'_>>, segment: SegmentId) {
        match state.map_or(&[][..], |state| state.identifiers) {
            [] if self.identifiers.is_empty() => {}
            [] => _ = self.identifiers.remove(&number),
            some => _ = self.identifiers.insert(number, some.into()),
        }
        let state = state.map(|state| EntryState { identifiers: &[], ..state });
        // the unsorted part is at most as long as the sorted one, plus a constant
        if self.records.len() >= 2 * self.sorted + LEAST_UNSORTED {
            self.sort();
        }
        self.records.push(Delivery { number, state, segment });
    }

    /// Sorts by number, keeps the latest record of each delivery, and removes those that are done.
    fn sort(&mut self) {
        self.records.sort_by_key(|delivery| delivery.number);
        // the first of each run of equal numbers stays and gets the contents of the last
        self.records.dedup_by(|later, first| {
            let same = later.number == first.number;
            if same {
                *first = *later;
            }
            same
        });
        self.records.retain(|delivery| delivery.state.is_some());
        self.sorted = self.records.len();
    }
}

/// A reference in the log to something that is not in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dangling {
    /// A session with contents but without its own record.
    Session {
        /// Its number.
        session: u64,
        /// Number of its messages, which are lost.
        messages: usize,
        /// Number of its subscriptions.
        subscriptions: usize,
    },
    /// A message of a session without topic and payload.
    Message {
        /// The client of the session.
        client: String,
        /// The number of the message.
        message: u64,
    },
    /// A retained message without payload.
    Retained {
        /// Its topic.
        topic: String,
    },
}

impl Replay {
    /// Numbers below these are not given again.
    pub(crate) fn floors(&mut self, next_session: u64, next_message: u64) {
        self.next_session = self.next_session.max(next_session);
        self.next_message = self.next_message.max(next_message);
    }

    /// Applies the next record of the log, which is in this segment.
    pub(crate) fn apply(&mut self, record: &LogRecord<'_>, segment: SegmentId) {
        match *record {
            LogRecord::Session { session, client, away, will, owner, lasts, will_due } => {
                let (client, will, owner) = (client.into(), will.map(stored_will), owner.map(session_owner));
                self.session(session).head = Some(Head { client, away, will, will_due, owner, lasts, segment });
            }
            LogRecord::Ended { session } => {
                self.floors(session + 1, 0);
                self.sessions.remove(&session);
            }
            LogRecord::Subscribed { session, filter, options } => {
                self.session(session).subscriptions.insert(filter.as_str().into(), (options, segment));
            }
            LogRecord::Unsubscribed { session, filter } => {
                self.session(session).subscriptions.remove(filter.as_str());
            }
            LogRecord::Body { message, qos, retained, topic, payload, origin, extras } => {
                self.floors(0, message + 1);
                // dunlin never writes invalid properties: keep the message without them
                let (body, identifiers) =
                    Message::restored(topic, payload, qos, extras.properties, extras.expires.is_some())
                        .unwrap_or_else(|| (Message::new(topic, payload, qos), Identifiers::new()));
                if let Some(number) = std::num::NonZeroU64::new(message) {
                    body.set_store_number(number);
                }
                let origin = origin.map(self::origin);
                let extra = origin.as_ref().map_or(0, origin_cost);
                let (message_of, expires) = (Some(body), extras.expires);
                self.bodies
                    .insert(message, Body { message: message_of, identifiers, expires, segment, extra, slot: 0 });
                if retained {
                    self.retain(topic.as_str(), message, origin);
                }
            }
            LogRecord::Entry { session, number, entry } => {
                if let Some(message) = entry.message {
                    self.floors(0, message + 1);
                }
                self.session(session).deliveries.push(number, Some(entry), segment);
            }
            LogRecord::Done { session, number } => self.session(session).deliveries.push(number, None, segment),
            LogRecord::Received { session, packet_id, arrival } => {
                self.session(session).received.insert(packet_id, (arrival, segment));
            }
            LogRecord::ReceiptReleased { session, packet_id } => {
                self.session(session).received.remove(&packet_id);
            }
            LogRecord::RetainedDue { session, topic } => {
                self.session(session).retained_due.insert(topic.into(), Place { segment, dirty: false });
            }
            LogRecord::RetainedSent { session, topic } => {
                self.session(session).retained_due.remove(topic);
            }
            LogRecord::Retained { message, topic, origin } => {
                self.floors(0, message + 1);
                self.retain(topic.as_str(), message, origin.map(self::origin));
            }
            LogRecord::Cleared { topic } => {
                self.retained.remove(topic.as_str());
            }
            LogRecord::WillDue { session, number, will } => {
                self.session(session).due.insert(number, (stored_will(will), segment));
            }
            LogRecord::WillPublished { session, number } => {
                self.session(session).due.remove(&number);
            }
            LogRecord::WillKept { number, client, user, will } => {
                let (client, user, will) = (ClientId::from(client), user.map(UserName::from), stored_will(will));
                let place = Place { segment, dirty: false };
                self.wills.insert(number, KeptWill { client, user, will, place });
            }
            LogRecord::WillGone { number } => drop(self.wills.remove(&number)),
        }
    }

    fn session(&mut self, session: u64) -> &mut Known {
        self.floors(session + 1, 0);
        self.sessions.entry(session).or_default()
    }

    fn retain(&mut self, topic: &str, message: u64, origin: Option<Origin>) {
        match self.retained.get_mut(topic) {
            Some(place) => *place = (message, origin),
            None => {
                self.retained.insert(topic.into(), (message, origin));
            }
        }
    }

    /// Builds the index after the last record, which was written at `last`. Clients that were connected then have been
    /// away since; so have all clients of format 1, whose times are by a clock that may have been set. References to
    /// missing items are left out and returned.
    pub(crate) fn finish(
        mut self,
        segments: std::ops::RangeInclusive<SegmentId>,
        last: Time,
    ) -> (Index, Vec<Dangling>) {
        let mut dangling = Vec::new();
        let mut index = Index::default();
        (index.next_session, index.next_message) = (self.next_session.max(1), self.next_message.max(1));
        segments.for_each(|id| index.segment_use.push(id));

        for (number, mut known) in std::mem::take(&mut self.sessions) {
            known.deliveries.sort();
            let Some(Head { client, away, will, will_due, owner, lasts, segment }) = known.head else {
                let (messages, subscriptions) = (known.deliveries.records.len(), known.subscriptions.len());
                if messages + subscriptions + known.received.len() + known.due.len() > 0 {
                    dangling.push(Dangling::Session { session: number, messages, subscriptions });
                }
                continue;
            };
            let away_since = match away {
                Some(Away::Age(since)) => Some(since),
                Some(Away::Wall(_)) | None => None,
            };
            let mut session = Session::new(number, client, owner, will, Some(away_since.unwrap_or(last.age)));
            (session.lasts, session.will_due) = (lasts, will_due);
            session.place.segment = segment;
            session.written_cost = session.cost;
            index.segment_use.enter(segment, session.cost.into());
            for (filter, (options, segment)) in known.subscriptions {
                let cost = subscription_cost(&filter);
                index.segment_use.enter(segment, cost);
                index.live_bytes += cost;
                session.subscriptions.insert(filter, Subscription { options, place: Place { segment, dirty: false } });
            }
            for (number, (will, segment)) in known.due {
                let cost = due_cost(&will);
                index.segment_use.enter(segment, cost);
                index.live_bytes += cost;
                session.due.insert(number, DueWill { will, place: Place { segment, dirty: false } });
            }
            receipts(&mut index, &mut session, known.received);
            for (topic, place) in &known.retained_due {
                let cost = retained_due_cost(topic);
                index.segment_use.enter(place.segment, cost);
                index.live_bytes += cost;
            }
            session.retained_due = known.retained_due;
            session.entries.reserve(known.deliveries.records.len());
            let slot = index.insert_session(session);
            if away_since.is_none() {
                // otherwise the client would count as away only since the end of this process
                index.mark_session(slot);
            }
            self.add_deliveries(&mut index, slot, known.deliveries, &mut dangling);
        }
        for (number, kept) in std::mem::take(&mut self.wills) {
            index.segment_use.enter(kept.place.segment, kept.cost());
            index.insert_will(number, kept);
        }
        for (topic, (message, origin)) in std::mem::take(&mut self.retained) {
            match self.body(&mut index, message) {
                Some(body) => index.restore_retained(body, origin),
                None => dangling.push(Dangling::Retained { topic: topic.into() }),
            }
        }
        (index, dangling)
    }

    /// Adds the deliveries of a session, in order.
    fn add_deliveries(&mut self, index: &mut Index, slot: u32, all: Deliveries, dangling: &mut Vec<Dangling>) {
        let Deliveries { records, mut identifiers, .. } = all;
        for Delivery { number, state, segment } in records {
            let Some(state) = state else { continue };
            let body = match state.message {
                None => None,
                Some(message) => {
                    let Some(body) = self.body(index, message) else {
                        let client = index.sessions.get(slot).map_or_else(String::new, |s| s.client.to_string());
                        dangling.push(Dangling::Message { client, message });
                        continue;
                    };
                    Some(body)
                }
            };
            let mut entry = Entry::new(number, state, body);
            entry.segment = segment;
            let own = identifiers.remove(&number);
            let of_message = state.message.and_then(|message| self.bodies.get(&message));
            // an earlier version stored them with the message: write the delivery again, with them
            let moved = of_message.map(|body| body.identifiers.clone()).filter(|moved| !moved.is_empty());
            let is_moved = own.is_none() && moved.is_some();
            let identifiers = own.or(moved).unwrap_or_default();
            index.segment_use.enter(segment, entry_cost(&identifiers));
            index.add_entry(slot, entry, identifiers);
            if is_moved {
                index.mark_entry(slot, number);
            }
        }
    }

    /// The slot of a message that something refers to.
    fn body(&mut self, index: &mut Index, message: u64) -> Option<u32> {
        let body = self.bodies.get_mut(&message)?;
        if let Some(message) = body.message.take() {
            index.segment_use.enter(body.segment, body_cost(&message) + u64::from(body.extra));
            body.slot = index.insert_body(message, body.expires);
            if let Some(kept) = index.bodies.get_mut(body.slot) {
                (kept.segment, kept.written_extra) = (body.segment, body.extra);
            }
        }
        Some(body.slot)
    }
}

/// Adds the unreleased QoS 2 messages of a session, in order.
fn receipts(index: &mut Index, session: &mut Session, received: Map<PacketId, (u64, SegmentId)>) {
    let mut received: Vec<_> = received.into_iter().collect();
    received.sort_unstable_by_key(|(_, (arrival, _))| *arrival);
    for (packet_id, (arrival, segment)) in received {
        index.segment_use.enter(segment, RECEIVED_COST);
        index.live_bytes += RECEIVED_COST;
        session.next_arrival = arrival.saturating_add(1);
        session.received.push_back(Received { packet_id, arrival, place: Place { segment, dirty: false } });
    }
}

fn stored_will(will: Will<'_>) -> StoredWill {
    let Will { qos, retain, topic, payload, extras } = will;
    // like those of a message
    let message = Message::restored(topic, payload, qos, extras.properties, false)
        .map_or_else(|| Message::new(topic, payload, qos), |(message, _none)| message);
    StoredWill { message, retain, delay: extras.delay, expiry: extras.expiry }
}

fn session_owner(owner: Owner<'_>) -> SessionOwner {
    SessionOwner { user: owner.user.into(), login: owner.login }
}

fn origin(origin: log::Origin<'_>) -> Origin {
    let publisher = |client: &str| Publisher { client: client.into(), user: origin.user.map(UserName::from) };
    Origin { time: origin.time, publisher: origin.client.map(publisher) }
}

/// Least number of unsorted records before they are sorted.
const LEAST_UNSORTED: usize = 1024;
