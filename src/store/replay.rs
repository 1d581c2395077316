//! [`Replay`]: from the records of a log, in their order, to an [`Index`]. A record may come before what it refers to, as
//! cleaning moves each on its own: what refers to what is looked at when all are there.

use hashbrown::HashMap;

use super::{
    bodies::{body_cost, message_number},
    homes::Home,
    index::{Hasher, Index},
    record::{EntryState, LogRecord},
    session::{ENTRY_COST, Entry, Place, RECEIVED_COST, Received, Session, Subscription, subscription_cost},
};
use crate::{
    session::{Message, StoredWill},
    types::{ClientId, PacketId, SubscriptionOptions},
};

type Map<K, V> = HashMap<K, V, Hasher>;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Replay {
    sessions: Map<u64, Known>,
    bodies: Map<u64, (Message, Home)>,
    retained: Map<Box<str>, u64>,
    next_session: u64,
    next_message: u64,
}

/// What is known of a session, whose own record may be still to come.
#[derive(Debug, Default)]
struct Known {
    head: Option<(ClientId, Option<u64>, Option<StoredWill>, Home)>,
    subscriptions: Map<Box<str>, (SubscriptionOptions, Home)>,
    entries: Map<u64, (EntryState, Home)>,
    received: Map<PacketId, (u64, Home)>,
}

/// Something that the log refers to and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dangling {
    /// A session of which there is a part and not whose it is.
    Session {
        /// Its number.
        session: u64,
        /// Its messages, which are lost with it.
        messages: usize,
        /// Its subscriptions.
        subscriptions: usize,
    },
    /// A session's message without topic and payload.
    Message {
        /// Of which client.
        client: String,
        /// The message's number.
        message: u64,
    },
    /// A retained message without payload.
    Retained {
        /// Its topic.
        topic: String,
    },
}

impl Replay {
    /// No number below these is given again.
    pub(super) fn floors(&mut self, next_session: u64, next_message: u64) {
        self.next_session = self.next_session.max(next_session);
        self.next_message = self.next_message.max(next_message);
    }

    /// The next record of the log, in the segment `home`.
    pub(super) fn apply(&mut self, record: &LogRecord<'_>, home: Home) {
        match *record {
            LogRecord::Session { session, client, away_since, will } => {
                let will = will.map(|will| StoredWill {
                    message: Message::new(will.topic, will.payload, will.qos),
                    retain: will.retain,
                });
                self.session(session).head = Some((ClientId::from(client), away_since, will, home));
            }
            LogRecord::Ended { session } => {
                self.floors(session + 1, 0);
                self.sessions.remove(&session);
            }
            LogRecord::Subscribed { session, filter, options } => {
                self.session(session).subscriptions.insert(filter.as_str().into(), (options, home));
            }
            LogRecord::Unsubscribed { session, filter } => {
                self.session(session).subscriptions.remove(filter.as_str());
            }
            LogRecord::Body { message, qos, retained, topic, payload } => {
                self.floors(0, message + 1);
                let body = Message::new(topic, payload, qos);
                if let Some(number) = std::num::NonZeroU64::new(message) {
                    body.set_store_number(number);
                }
                self.bodies.insert(message, (body, home));
                if retained {
                    self.retain(topic.as_str(), message);
                }
            }
            LogRecord::Entry { session, number, entry } => {
                if let Some(message) = entry.message {
                    self.floors(0, message + 1);
                }
                self.session(session).entries.insert(number, (entry, home));
            }
            LogRecord::Done { session, number } => {
                self.session(session).entries.remove(&number);
            }
            LogRecord::Received { session, packet_id, arrival } => {
                self.session(session).received.insert(packet_id, (arrival, home));
            }
            LogRecord::ReceiptReleased { session, packet_id } => {
                self.session(session).received.remove(&packet_id);
            }
            LogRecord::Retained { message, topic } => {
                self.floors(0, message + 1);
                self.retain(topic.as_str(), message);
            }
            LogRecord::Cleared { topic } => {
                self.retained.remove(topic.as_str());
            }
        }
    }

    fn session(&mut self, session: u64) -> &mut Known {
        self.floors(session + 1, 0);
        self.sessions.entry(session).or_default()
    }

    fn retain(&mut self, topic: &str, message: u64) {
        match self.retained.get_mut(topic) {
            Some(place) => *place = message,
            None => {
                self.retained.insert(topic.into(), message);
            }
        }
    }

    /// All records were there. `last_time` is when the last of them was written: clients that were connected then have been
    /// away since. What refers to nothing is left out, and told.
    pub(super) fn finish(mut self, segments: std::ops::RangeInclusive<Home>, last_time: u64) -> (Index, Vec<Dangling>) {
        let mut dangling = Vec::new();
        let mut index = Index::default();
        (index.next_session, index.next_message) = (self.next_session.max(1), self.next_message.max(1));
        segments.for_each(|id| index.homes.push(id));

        let mut slots: Map<u64, u32> = Map::default();
        for (number, known) in std::mem::take(&mut self.sessions) {
            let Some((client, away_since, will, home)) = known.head else {
                let (messages, subscriptions) = (known.entries.len(), known.subscriptions.len());
                if messages + subscriptions + known.received.len() > 0 {
                    dangling.push(Dangling::Session { session: number, messages, subscriptions });
                }
                continue;
            };
            let mut session = Session::new(number, client, will, Some(away_since.unwrap_or(last_time)));
            session.place.home = home;
            session.home_cost = session.cost;
            index.homes.enter(home, session.cost.into());
            for (filter, (options, home)) in known.subscriptions {
                let cost = subscription_cost(&filter);
                index.homes.enter(home, cost);
                index.live_bytes += cost;
                session.subscriptions.insert(filter, Subscription { options, place: Place { home, dirty: false } });
            }
            let mut received: Vec<_> = known.received.into_iter().collect();
            received.sort_unstable_by_key(|(_, (arrival, _))| *arrival);
            for (packet_id, (arrival, home)) in received {
                index.homes.enter(home, RECEIVED_COST);
                index.live_bytes += RECEIVED_COST;
                session.next_arrival = arrival.saturating_add(1);
                session.received.push_back(Received { packet_id, arrival, place: Place { home, dirty: false } });
            }
            let mut entries: Vec<_> = known.entries.into_iter().collect();
            entries.sort_unstable_by_key(|(number, _)| *number);
            session.entries.reserve(entries.len());
            let slot = index.insert_session(session);
            if away_since.is_none() {
                // the log is to say since when it is, or it would be since the end of this process
                index.mark_session(slot);
            }
            for (number, (state, home)) in entries {
                let body = match state.message {
                    None => None,
                    Some(message) => {
                        let Some(body) = self.body(&mut index, &mut slots, message) else {
                            let client = index.sessions.get(slot).map_or_else(String::new, |s| s.client.to_string());
                            dangling.push(Dangling::Message { client, message });
                            continue;
                        };
                        Some(body)
                    }
                };
                let mut entry = Entry::new(number, state.qos, state.retain, state.sent, body);
                entry.home = home;
                index.homes.enter(home, ENTRY_COST);
                index.add_entry(slot, entry);
            }
        }
        for (topic, message) in std::mem::take(&mut self.retained) {
            match self.body(&mut index, &mut slots, message) {
                Some(body) => index.restore_retained(body),
                None => dangling.push(Dangling::Retained { topic: topic.into() }),
            }
        }
        (index, dangling)
    }

    /// The slot of a message that something refers to.
    fn body(&mut self, index: &mut Index, slots: &mut Map<u64, u32>, message: u64) -> Option<u32> {
        if let Some(&slot) = slots.get(&message) {
            return Some(slot);
        }
        let (body, home) = self.bodies.remove(&message)?;
        debug_assert_eq!(message_number(&body), message, "it was given its number when it was read");
        index.homes.enter(home, body_cost(&body));
        let slot = index.insert_body(body);
        if let Some(body) = index.bodies.get_mut(slot) {
            body.home = home;
        }
        slots.insert(message, slot);
        Some(slot)
    }
}
