//! [`Plan`]: the contents of a `mosquitto.db` as items of a store. Nothing is written here.

use std::{collections::HashMap, fmt, num::NonZeroU32};

use super::{
    super::super::log::are_identifiers,
    chunks::{Chunk, DatabaseError, Entry, Message},
};
use crate::{
    codec::Properties,
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

/// The items to be written.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub sessions: Vec<Session<'a>>,
    /// Messages that are retained, or that a session refers to.
    pub bodies: Vec<Body<'a>>,
    pub left_out: LeftOut,
}

/// A message with its topic.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub message: &'a Message<'a>,
    pub topic: &'a TopicName,
    pub qos: QoS,
    pub retained: bool,
}

/// A session of a client that is away.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub client: &'a str,
    /// How long the client has been away, in milliseconds.
    pub away: u64,
    /// The session's expiry in seconds; `None`: it does not expire.
    pub lasts: Option<u32>,
    pub subscriptions: Vec<(&'a TopicFilter, SubscriptionOptions)>,
    pub deliveries: Vec<Delivery<'a>>,
    /// QoS 2 messages that arrived and are not released.
    pub received: Vec<PacketId>,
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    pub qos: QoS,
    pub retain: bool,
    /// Its place in the order of sending, from which its Packet Identifier follows.
    pub sent: Option<u64>,
    /// The index of its body; `None`: it is released or in receipt.
    pub body: Option<usize>,
    pub identifiers: &'a [u8],
}

/// Number of items that are not imported, by reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    expired: usize,
    qos_0: usize,
    unknown: usize,
    invalid: usize,
}

impl LeftOut {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expired, qos_0, unknown, invalid } = self;
        let all = [
            (expired, "that expired"),
            (qos_0, "of QoS 0 that waited for a client, which are not kept here"),
            (unknown, "whose message is missing"),
            (invalid, "that are not valid MQTT"),
        ];
        let told: Vec<_> =
            all.iter().filter(|(many, _)| **many > 0).map(|(many, what)| format!("{many} {what}")).collect();
        f.write_str(&told.join(", "))
    }
}

/// The time that is left until a message expires, in milliseconds; `None`: it does not expire. `expires` is in seconds
/// since 1970.
pub(super) fn left(expires: i64, now: u64) -> Option<u64> {
    (expires > 0).then(|| expires.unsigned_abs().saturating_mul(1000).saturating_sub(now))
}

impl<'a> Plan<'a> {
    /// `now`: milliseconds since 1970.
    pub fn of(chunks: &'a [Chunk<'a>], now: u64) -> Result<Self, DatabaseError> {
        let mut making = Making { now, ..Making::default() };
        for chunk in chunks {
            if let Chunk::Message(message) = chunk
                && making.messages.insert(message.id, message).is_some()
            {
                return Err(DatabaseError::Twice(message.id));
            }
        }
        chunks.iter().for_each(|chunk| making.session(chunk));
        chunks.iter().for_each(|chunk| making.subscription(chunk));
        chunks.iter().for_each(|chunk| making.rest(chunk));
        let released: Vec<_> = std::mem::take(&mut making.unreleased);
        released.into_iter().for_each(|body| making.publish(body));
        Ok(making.plan)
    }
}

#[derive(Default)]
struct Making<'a> {
    plan: Plan<'a>,
    now: u64,
    messages: HashMap<u64, &'a Message<'a>>,
    /// The index of the body of a message.
    bodies: HashMap<u64, usize>,
    /// The index of the session of a client; `None`: its session has ended.
    clients: HashMap<&'a str, Option<usize>>,
    /// QoS 2 messages that mosquitto publishes when they are released. dunlin publishes them when they arrive.
    unreleased: Vec<usize>,
}

impl<'a> Making<'a> {
    fn session(&mut self, chunk: &'a Chunk<'a>) {
        let Chunk::Client { client, ends, expiry } = *chunk else { return };
        if self.clients.contains_key(client) {
            return;
        }
        let lasts = (expiry != u32::MAX).then_some(expiry);
        let seconds = self.now / 1000;
        let is_over = ends > 0 && ends.unsigned_abs() <= seconds;
        if lasts == Some(0) || is_over {
            self.plan.left_out.expired += usize::from(is_over);
            self.clients.insert(client, None);
            return;
        }
        // without an end, the client was connected when the file was written
        let gone = lasts
            .filter(|_| ends > 0)
            .map_or(seconds, |lasts| ends.unsigned_abs() - u64::from(lasts).min(ends.unsigned_abs()));
        self.begin(client, seconds.saturating_sub(gone) * 1000, lasts);
    }

    fn begin(&mut self, client: &'a str, away: u64, lasts: Option<u32>) -> usize {
        let number = self.plan.sessions.len();
        let (subscriptions, deliveries, received) = Default::default();
        self.plan.sessions.push(Session { client, away, lasts, subscriptions, deliveries, received });
        self.clients.insert(client, Some(number));
        number
    }

    /// The session of a client. One that is not in the file begins now, as in mosquitto.
    fn session_of(&mut self, client: &'a str) -> Option<usize> {
        match self.clients.get(client) {
            Some(known) => *known,
            None => Some(self.begin(client, 0, None)),
        }
    }

    fn subscription(&mut self, chunk: &'a Chunk<'a>) {
        let Chunk::Subscription { client, filter, qos, options, identifier } = *chunk else { return };
        let Some(session) = self.session_of(client) else { return };
        match (TopicFilter::new(filter), QoS::from_bits(qos)) {
            (Ok(filter), Some(qos)) => {
                let options = SubscriptionOptions {
                    no_local: options & 4 != 0,
                    retain_as_published: options & 8 != 0,
                    identifier: NonZeroU32::new(identifier),
                    ..qos.into()
                };
                let subscriptions = &mut self.plan.sessions[session].subscriptions;
                subscriptions.retain(|(other, _)| *other != filter);
                subscriptions.push((filter, options));
            }
            _ => self.plan.left_out.invalid += 1,
        }
    }

    fn rest(&mut self, chunk: &'a Chunk<'a>) {
        match chunk {
            Chunk::Retained { message } => {
                if let Some(body) = self.body(*message) {
                    self.plan.bodies[body].retained = true;
                }
            }
            Chunk::Entry(entry) => self.entry(entry),
            Chunk::Message(_) | Chunk::Subscription { .. } | Chunk::Client { .. } => {}
        }
    }

    /// The index of the body of a message, if it has one.
    fn body(&mut self, id: u64) -> Option<usize> {
        if let Some(body) = self.bodies.get(&id) {
            return Some(*body);
        }
        let Some(message) = self.messages.get(&id).copied() else {
            self.plan.left_out.unknown += 1;
            return None;
        };
        if left(message.expires, self.now) == Some(0) {
            self.plan.left_out.expired += 1;
            return None;
        }
        let properties = Properties::of_stored(message.properties);
        let (Ok(topic), Some(qos), Some(_)) = (TopicName::new(message.topic), QoS::from_bits(message.qos), properties)
        else {
            self.plan.left_out.invalid += 1;
            return None;
        };
        let body = self.plan.bodies.len();
        self.plan.bodies.push(Body { message, topic, qos, retained: false });
        self.bodies.insert(id, body);
        Some(body)
    }

    fn entry(&mut self, entry: &'a Entry<'a>) {
        let Some(session) = self.session_of(entry.client) else { return };
        let Some(qos) = QoS::from_bits(entry.qos).filter(|_| are_identifiers(entry.properties)) else {
            self.plan.left_out.invalid += 1;
            return;
        };
        if qos == QoS::AtMostOnce {
            self.plan.left_out.qos_0 += 1;
            return;
        }
        match (entry.outgoing, entry.state) {
            // a PUBREC arrived: the message is not sent again
            (true, RESEND_PUBREL | WAIT_FOR_PUBCOMP) => self.deliver(session, entry, qos, None),
            (true, _) => {
                if let Some(body) = self.body(entry.message) {
                    self.deliver(session, entry, qos, Some(body));
                }
            }
            // a PUBREL arrived: only a PUBCOMP is due, which the client's next PUBREL asks for
            (false, RESEND_PUBCOMP) => {}
            (false, _) => {
                let body = self.body(entry.message);
                if let Some(packet_id) = PacketId::new(entry.packet_id)
                    && let Some(body) = body
                {
                    self.plan.sessions[session].received.push(packet_id);
                    self.unreleased.push(body);
                }
            }
        }
    }

    fn deliver(&mut self, session: usize, entry: &'a Entry<'a>, qos: QoS, body: Option<usize>) {
        let deliveries = &mut self.plan.sessions[session].deliveries;
        let is_sent = body.is_none() || matches!(entry.state, 2..=5);
        let last = deliveries.iter().rev().find_map(|delivery| delivery.sent).unwrap_or(0);
        let sent = PacketId::new(entry.packet_id).filter(|_| is_sent).map(|id| next_with(id, last));
        // a message without a Packet Identifier is queued
        if sent.is_none() && body.is_none() {
            self.plan.left_out.invalid += 1;
            return;
        }
        let identifiers = entry.properties;
        deliveries.push(Delivery { qos, retain: entry.retain, sent, body, identifiers });
    }

    /// Queues a QoS 2 message that mosquitto would publish when it is released, because dunlin publishes it when it
    /// arrives.
    fn publish(&mut self, body: usize) {
        let Body { message, topic, qos, .. } = self.plan.bodies[body];
        if message.retain {
            self.plan.bodies.iter_mut().for_each(|other| other.retained &= other.topic != topic);
            self.plan.bodies[body].retained = !message.payload.is_empty();
        }
        for session in &mut self.plan.sessions {
            let matching = session.subscriptions.iter().filter(|(filter, options)| {
                filter.matches(topic) && !(options.no_local && session.client == message.client)
            });
            let Some(options) = matching.map(|(_, options)| options).max_by_key(|options| options.qos) else {
                continue;
            };
            let qos = qos.min(options.qos);
            if qos != QoS::AtMostOnce {
                let retain = message.retain && options.retain_as_published;
                session.deliveries.push(Delivery { qos, retain, sent: None, body: Some(body), identifiers: &[] });
            }
        }
    }
}

/// The smallest place in the order of sending after `last` with the Packet Identifier `id`.
fn next_with(id: PacketId, last: u64) -> u64 {
    const IDENTIFIERS: u64 = 65_535;
    let first = u64::from(id.get());
    if first > last { first } else { first + (last - first) / IDENTIFIERS * IDENTIFIERS + IDENTIFIERS }
}

// the states of a message in mosquitto
const RESEND_PUBREL: u8 = 6;
const RESEND_PUBCOMP: u8 = 8;
const WAIT_FOR_PUBCOMP: u8 = 9;
