//! [`Client`]: the client's side of the protocol, and its own actions.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    promises::{FILTERS, Number, Promises, RETAINED, SHARED, TOPICS, fault},
    session::{Lasts, Session},
    wills::Fate,
};
use crate::{
    codec::{
        self, Ack, Connect, Disconnect, Packet, PropertiesBuf, PropertyId, Publish, ReasonCode, Subscribe, Unsubscribe,
        Will,
    },
    net::Line,
    topic::{TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, SubscriptionOptions},
};

pub(super) struct Client {
    pub(super) who: usize,
    pub(super) name: String,
    pub(super) version: ProtocolVersion,
    /// The lifetime of its next sessions.
    pub(super) lasts: Lasts,
    /// The QoS of each of its subscriptions.
    pub(super) qos: [QoS; FILTERS.len()],
    pub(super) connection: Option<Connection>,
    /// Connections that it has abandoned, the latest last.
    pub(super) old: Vec<Old>,
    /// Wills of connections that ended before the store had certainly recorded them.
    pub(super) wills_in_doubt: Vec<Number>,
    pub(super) session: Session,
    /// Its messages of QoS 1 and 2 that are not completed.
    pub(super) own: VecDeque<Own>,
    last_id: u16,
    /// QoS 2 messages that it received and that are not released.
    pub(super) receipts: BTreeMap<PacketId, Number>,
    /// An abandoned connection without a CONNACK may have begun another session than that of `own` and `receipts`.
    pub(super) is_unsure: bool,
}

pub(super) struct Own {
    pub(super) number: Number,
    pub(super) id: PacketId,
    pub(super) is_released: bool,
    pub(super) retain: bool,
    pub(super) clears: bool,
}

pub(super) struct Connection {
    pub(super) line: Line,
    pub(super) clean: bool,
    pub(super) lasts: Lasts,
    pub(super) will: Option<(Number, Duration)>,
    pub(super) keep_alive: u16,
    pub(super) accepted: bool,
    /// The beginning of its session is durable.
    pub(super) is_kept: bool,
    pub(super) began: Instant,
    /// It does not read.
    pub(super) stalls: bool,
    pub(super) outbox: Vec<u8>,
    pub(super) inbox: Vec<u8>,
    /// Acknowledgements that it has not sent.
    pub(super) acks: VecDeque<Vec<u8>>,
    /// SUBSCRIBEs and UNSUBSCRIBEs without an answer: the filter, and whether it is a SUBSCRIBE.
    pub(super) asked: BTreeMap<PacketId, (usize, bool)>,
    /// For each retained topic, the value that a new subscription received, and the number of values acknowledged
    /// before.
    pub(super) values: BTreeMap<&'static str, (usize, Option<Number>)>,
}

impl Connection {
    /// Was it silent for so long that the broker may end the connection because of its Keep Alive?
    fn may_be_silent(&self, now: Instant) -> bool {
        let silent = Duration::from_millis(1500) * u32::from(self.keep_alive);
        self.keep_alive > 0 && now >= self.began + silent
    }
}

/// A connection that its client has abandoned, until the broker has closed it.
pub(super) struct Old {
    pub(super) line: Line,
    pub(super) will: Option<Number>,
    accepted: bool,
    /// The client sent DISCONNECT, and waits until the broker has read it.
    pub(super) waits: bool,
}

/// The options of a CONNECT.
pub(super) struct Begins {
    pub(super) clean: bool,
    pub(super) keep_alive: u16,
    /// QoS and delay of its Will.
    pub(super) will: Option<(QoS, u32)>,
}

impl Client {
    pub(super) fn new(who: usize, version: ProtocolVersion, lasts: Lasts, qos: [QoS; FILTERS.len()]) -> Self {
        Self {
            who,
            name: format!("client-{who}"),
            version,
            lasts,
            qos,
            connection: None,
            old: Vec::new(),
            wills_in_doubt: Vec::new(),
            session: Session::none(0),
            own: VecDeque::new(),
            last_id: 0,
            receipts: BTreeMap::new(),
            is_unsure: false,
        }
    }

    /// Does it have a connection with a CONNACK?
    pub(super) fn is_accepted(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.accepted)
    }

    fn put(&mut self, packet: &Packet<'_>) {
        let Some(connection) = &mut self.connection else { return };
        codec::encode::encode(self.version, packet, &mut connection.outbox).expect("small packets");
    }

    fn next_id(&mut self) -> PacketId {
        loop {
            // few different ones, so that they are soon reused
            self.last_id = self.last_id % 12 + 1;
            let id = PacketId::new(self.last_id).expect("not 0");
            let asked = self.connection.as_ref().is_some_and(|connection| connection.asked.contains_key(&id));
            if !asked && self.own.iter().all(|own| own.id != id) {
                return id;
            }
        }
    }

    /// May it begin a connection? If two are not accepted yet, the broker may read the second CONNECT first.
    pub(super) fn may_connect(&self) -> bool {
        self.old.iter().all(|old| old.accepted) && self.connection.as_ref().is_none_or(|connection| connection.accepted)
    }

    /// Begins a connection; the present one is taken over.
    pub(super) fn connect(&mut self, line: Line, begins: Begins, promises: &mut Promises, now: Instant) {
        self.give_up(promises, now, false);
        for number in self.old.iter().filter(|old| old.waits).filter_map(|old| old.will) {
            // the broker may read the next CONNECT first
            promises.messages[number].fate = Some(Fate::Open);
        }
        let Begins { clean, keep_alive, will } = begins;
        // Session Present would not tell whether the session is the one that the client has state of
        let clean = clean || self.is_unsure && !(self.own.is_empty() && self.receipts.is_empty());
        let is_five = self.version == ProtocolVersion::V5;
        let lasts = match self.lasts {
            Lasts::WithConnection => Lasts::WithConnection,
            _ if clean && !is_five => Lasts::WithConnection,
            lasts => lasts,
        };
        let clean = clean || lasts == Lasts::WithConnection && !is_five;
        let delay = Duration::from_secs(will.filter(|_| is_five).map_or(0, |(_, delay)| delay).into());
        let topic = format!("w/{}", self.who);
        let number = will.map(|(qos, _)| {
            let number = promises.message(self.who, &topic, super::promises::WILLS, qos, now);
            promises.messages[number].fate = Some(Fate::Open);
            number
        });
        if clean {
            // the client drops its state, even if the broker never reads this
            self.session.forget();
            self.drop_state();
        }
        promises.resuming(self.who);
        let (mut properties, mut of_will) = (PropertiesBuf::default(), PropertiesBuf::default());
        if is_five {
            let seconds = match lasts {
                Lasts::WithConnection => 0,
                Lasts::Seconds(seconds) => seconds,
                Lasts::Forever => u32::MAX,
            };
            properties.number(PropertyId::SessionExpiryInterval, seconds);
            of_will.number(PropertyId::WillDelayInterval, delay.as_secs() as u32);
        }
        let payload = number.map(payload_of).unwrap_or_default();
        let will = number.map(|number| Will {
            topic: TopicName::new(&topic).expect("a topic"),
            payload: payload.as_bytes(),
            qos: promises.messages[number].qos,
            retain: false,
            properties: of_will.as_properties(),
        });
        self.connection = Some(Connection {
            line,
            clean,
            lasts,
            will: number.map(|number| (number, delay)),
            keep_alive,
            accepted: false,
            is_kept: false,
            began: now,
            stalls: false,
            outbox: Vec::new(),
            inbox: Vec::new(),
            acks: VecDeque::new(),
            asked: BTreeMap::new(),
            values: BTreeMap::new(),
        });
        let name = self.name.clone();
        self.put(&Packet::Connect(Box::new(Connect {
            version: self.version,
            bridge: false,
            clean_session: clean,
            keep_alive,
            client_id: &name,
            will,
            username: None,
            password: None,
            properties: properties.as_properties(),
        })));
    }

    /// Its connection has ended, or the client abandons it. `crashed`: the broker has ended.
    pub(super) fn give_up(&mut self, promises: &mut Promises, now: Instant, crashed: bool) {
        let Some(connection) = self.connection.take() else { return };
        for subscription in &mut self.session.subscriptions {
            subscription.asked = None;
        }
        if let Some((number, delay)) = connection.will {
            let is_kept = connection.is_kept || !crashed;
            if !connection.is_kept {
                self.wills_in_doubt.push(number);
            }
            match promises.messages[number].fate {
                Some(Fate::Armed) if is_kept => promises.lose_will(number, delay, connection.lasts, now),
                Some(Fate::Armed) => promises.messages[number].fate = Some(Fate::Open),
                _ => {}
            }
        }
        if connection.accepted {
            self.session.leaves(now, None);
            if connection.lasts == Lasts::WithConnection {
                // [MQTT-3.1.2-6]: no later session uses it
                self.drop_state();
            }
        } else {
            promises.not_answered(self.who);
            self.is_unsure |= !self.session.exists;
            if connection.clean {
                self.session.doubt();
            }
            // the broker may have begun it, and notice its end later
            self.session.possible = true;
            self.session.away = Some((self.session.away.map_or(now, |(earliest, _)| earliest), None));
            if connection.lasts != self.session.lasts {
                self.session.doubt();
                self.session.lasts = Lasts::Forever;
            }
        }
        let Connection { line, will, accepted, .. } = connection;
        self.old.push(Old { line, will: will.map(|(number, _)| number), accepted, waits: false });
    }

    /// Drops its in-flight messages.
    pub(super) fn drop_state(&mut self) {
        self.own.clear();
        self.receipts.clear();
        self.is_unsure = false;
    }

    /// Ends the connection without DISCONNECT.
    pub(super) fn hang_up(&mut self, promises: &mut Promises, now: Instant) {
        self.give_up(promises, now, false);
        if let Some(old) = self.old.last() {
            old.line.hang_up();
        }
    }

    /// Ends the connection with DISCONNECT, so that its Will is not published.
    pub(super) fn say_goodbye(&mut self, promises: &mut Promises, now: Instant) {
        self.put(&Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Default::default() }));
        self.pump(usize::MAX);
        if let Some(connection) = &self.connection
            && let Some((number, _)) = connection.will
        {
            // the broker may have ended the connection before
            let fate = if connection.may_be_silent(now) { Fate::Open } else { Fate::Goodbye };
            promises.messages[number].fate = Some(fate);
        }
        self.give_up(promises, now, false);
        if let Some(old) = self.old.last_mut() {
            old.waits = true;
        }
    }

    /// Sends at most this many queued bytes. `true`: there were some.
    pub(super) fn pump(&mut self, most: usize) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let part = most.min(connection.outbox.len());
        if part > 0 {
            connection.line.send(&connection.outbox[..part]);
            connection.outbox.drain(..part);
        }
        part > 0
    }

    pub(super) fn may_publish(&self) -> bool {
        self.is_accepted() && self.own.len() < 4
    }

    /// Publishes to one of the [`TOPICS`].
    pub(super) fn publish(
        &mut self,
        number: Number,
        topic: usize,
        expiry: Option<u32>,
        clears: bool,
        promises: &Promises,
    ) {
        let retain = TOPICS[topic].1 == RETAINED;
        if promises.messages[number].qos == QoS::AtMostOnce {
            return self.send_publish(number, None, (false, retain, clears), expiry, promises);
        }
        let id = self.next_id();
        self.own.push_back(Own { number, id, is_released: false, retain, clears });
        self.send_publish(number, Some(id), (false, retain, clears), expiry, promises);
    }

    fn send_publish(
        &mut self,
        number: Number,
        packet_id: Option<PacketId>,
        (dup, retain, clears): (bool, bool, bool),
        expiry: Option<u32>,
        promises: &Promises,
    ) {
        let message = &promises.messages[number];
        let mut properties = PropertiesBuf::default();
        if let Some(expiry) = expiry {
            properties.number(PropertyId::MessageExpiryInterval, expiry);
        }
        let payload = if clears { String::new() } else { payload_of(number) };
        self.put(&Packet::Publish(Publish {
            dup,
            qos: message.qos,
            retain,
            topic: TopicName::new(&message.topic).expect("a topic"),
            packet_id,
            payload: payload.as_bytes(),
            properties: properties.as_properties(),
        }));
    }

    /// After a reconnect: sends uncompleted messages again.
    pub(super) fn send_again(&mut self, promises: &mut Promises) {
        let all: Vec<_> =
            self.own.iter().map(|own| (own.number, own.id, own.is_released, own.retain, own.clears)).collect();
        for (number, id, is_released, retain, clears) in all {
            if is_released {
                self.put(&Packet::Pubrel(Ack::from(id)));
                continue;
            }
            promises.messages[number].sends += 1;
            let expiry = promises.messages[number].expiry;
            self.send_publish(number, Some(id), (true, retain, clears), expiry, promises);
        }
    }

    pub(super) fn subscribe(&mut self, filter: usize, promises: &mut Promises) {
        let (packet_id, asked) = (self.next_id(), promises.tick());
        let qos = self.qos[filter];
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let filters = vec![(TopicFilter::new(FILTERS[filter]).expect("a filter"), options)];
        self.put(&Packet::Subscribe(Subscribe { packet_id, filters, properties: Default::default() }));
        let subscription = &mut self.session.subscriptions[filter];
        if subscription.possible.is_none() {
            subscription.asked = Some(asked);
        }
        subscription.possible.get_or_insert(asked);
        let Some(connection) = &mut self.connection else { return };
        connection.asked.insert(packet_id, (filter, true));
        if filter == RETAINED {
            for (topic, _) in TOPICS.iter().filter(|(_, filter)| *filter == RETAINED) {
                connection.values.insert(topic, (promises.overwritten(topic), None));
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, filter: usize, promises: &Promises) {
        let packet_id = self.next_id();
        let filters = vec![TopicFilter::new(FILTERS[filter]).expect("a filter")];
        self.put(&Packet::Unsubscribe(Unsubscribe { packet_id, filters, properties: Default::default() }));
        self.session.subscriptions[filter].there = None;
        // retained messages on their way may be missing now
        if filter == RETAINED
            && let Some(connection) = &mut self.connection
        {
            connection.values.clear();
        }
        self.session.due.retain(|&number| promises.messages[number].filter != filter);
        if let Some(connection) = &mut self.connection {
            connection.asked.insert(packet_id, (filter, false));
        }
    }

    /// Is a SUBSCRIBE or UNSUBSCRIBE of this filter unanswered?
    pub(super) fn has_asked(&self, filter: usize) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.asked.values().any(|asked| asked.0 == filter))
    }

    /// Sends at most this many of its acknowledgements.
    pub(super) fn acknowledge(&mut self, most: usize) {
        let Some(connection) = &mut self.connection else { return };
        let most = most.min(connection.acks.len());
        for ack in connection.acks.drain(..most) {
            connection.outbox.extend(ack);
        }
    }

    /// Notices the connections that the broker has closed: the broker has noticed their end by now. `expected`: it may
    /// close any.
    pub(super) fn notice(&mut self, promises: &mut Promises, now: Instant, expected: bool) {
        if let Some(connection) = &self.connection
            && connection.line.is_closed()
        {
            if !expected && !connection.may_be_silent(now) {
                let said = self.connection.as_ref().map(|connection| connection.line.take(0));
                fault!("{} is disconnected for no reason: {said:02x?}", self.name);
            }
            self.give_up(promises, now, false);
        }
        let is_away = self.connection.is_none();
        let last = self.old.len().wrapping_sub(1);
        for old in self.old.iter().filter(|old| old.waits) {
            old.line.take(4096);
        }
        for (at, old) in self.old.iter().enumerate().filter(|(_, old)| old.line.is_closed()) {
            old.will.iter().for_each(|number| promises.noticed(*number, now));
            if at == last
                && is_away
                && let Some((_, latest @ None)) = &mut self.session.away
            {
                *latest = Some(now);
                if self.session.lasts == Lasts::WithConnection {
                    self.session.end();
                }
            }
        }
        self.old.retain(|old| !old.line.is_closed());
    }
}

/// The payload contains the number. Some are so long that a few of them fill the client's output buffer.
fn payload_of(number: Number) -> String {
    let width = [0, 0, 0, 100, 250][number % 5];
    format!("{number:0width$}")
}

/// Is it the filter of a shared subscription?
pub(super) fn is_shared(filter: usize) -> bool {
    filter == SHARED
}
