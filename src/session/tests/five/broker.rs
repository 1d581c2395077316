//! The broker's side: the session, and the actions of router and connection.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::*, Fate, Log, Number, TOPICS, Terms, any_qos, decode, number_of, payload, random::Random, topic_index,
};
use crate::codec::{Ack, PacketType, Properties, PropertyId, PropertyValue, PublishProperties};

/// A message for the client.
struct Told {
    topic: usize,
    qos: QoS,
    payload: usize,
    properties: PropertiesBuf,
    expires: Option<Instant>,
    came: Instant,
    /// How often it was sent.
    times: usize,
    gone: Option<Gone>,
    /// It is not expected: the client was away, or did not read.
    lost: bool,
}

/// A store that makes changes durable later.
struct Kept {
    last: u64,
    done: u64,
    gone: Vec<(Number, Gone)>,
}

impl Journal for Kept {
    fn sent(&mut self, _: &ClientId, _: &Message, _: QoS, _: Way) {}

    fn dropped(&mut self, _: &ClientId, message: &Message, why: Gone) {
        self.gone.push((number_of(message.payload()), why));
    }

    fn changed(&mut self, _: SessionNumber, _: SessionChange<'_>) -> Stored {
        self.last += 1;
        Stored::By(CommitSeq(self.last))
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(self.done)
    }
}

pub(super) struct Broker {
    session: Session,
    limits: SessionLimits,
    pool: BufPool,
    /// The last change, and the last durable one.
    last: u64,
    done: u64,
    blocked: usize,
    pub(super) terms: Terms,
    messages: BTreeMap<Number, Told>,
    /// PUBLISH packets of this connection without a final answer of the client.
    unanswered: BTreeSet<PacketId>,
    /// QoS 2 messages of the client that were published and not released.
    taken: BTreeSet<PacketId>,
    /// Their number when the client connected.
    taken_before: usize,
    pub(super) published: Log,
    /// Packets for the link.
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) full_windows: usize,
}

impl Broker {
    pub(super) fn new(limits: SessionLimits, is_kept: bool) -> Self {
        let number = is_kept.then_some(SessionNumber(std::num::NonZeroU64::MIN));
        let says = ClientSays::default();
        Self {
            session: Session::new("c".into(), Expiry::After(1_000), number),
            limits,
            pool: BufPool::default(),
            last: 0,
            done: 0,
            blocked: 0,
            terms: Terms { says, server_receive_maximum: u16::MAX, server_aliases: 0 },
            messages: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            taken: BTreeSet::new(),
            taken_before: 0,
            published: Vec::new(),
            sent: Vec::new(),
            full_windows: 0,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked > 0
    }

    /// Calls the session, and checks the reasons for which it drops messages.
    fn with<R>(&mut self, now: Instant, ask: impl FnOnce(&mut Session, &mut Turn<'_, Kept>) -> R) -> R {
        let journal = Kept { last: self.last, done: self.done, gone: Vec::new() };
        let mut turn = Turn { now, limits: &self.limits, pool: &mut self.pool, journal };
        let result = ask(&mut self.session, &mut turn);
        let Kept { last, gone, .. } = turn.journal;
        self.last = last;
        for (number, why) in gone {
            let most = self.terms.says.maximum_packet_size as usize;
            let told = self.messages.get_mut(&number).expect("a message that was delivered");
            match why {
                Gone::Expired => assert!(told.expires.is_some_and(|at| at <= now), "{number} is not over"),
                Gone::TooLarge => assert!(told.len() > most, "{number} has {} bytes of {most}", told.len()),
                Gone::QueueFull => assert_eq!(told.times, 0, "{number} was sent and did not wait"),
            }
            told.gone = Some(why);
        }
        result
    }

    /// A message for the client, from a publisher of either version.
    pub(super) fn deliver_any(&mut self, random: &mut Random, now: Instant) {
        let number = self.messages.len() as Number + 1;
        let (topic, qos) = (random.below(TOPICS.len()), any_qos(random));
        let padding = [0, random.below(30), 200, LARGE_PAYLOAD][[0, 0, 1, 1, 1, 1, 2, 3][random.below(8)]];
        let payload = payload(number, padding);
        let (mut properties, mut said) = (PropertiesBuf::default(), PropertiesBuf::default());
        let is_5 = !random.once_in(4);
        for n in 0..if is_5 { random.below(3) } else { 0 } {
            let pair = PropertyValue::Pair("same", if n == 1 { "2" } else { "1" });
            assert!(properties.push(PropertyId::UserProperty, pair) && said.push(PropertyId::UserProperty, pair));
        }
        let lasts = (is_5 && random.once_in(3)).then(|| random.below(6) as u32);
        let expires = lasts.and_then(|seconds| now.checked_add(std::time::Duration::from_secs(seconds.into())));
        lasts.inspect(|&seconds| _ = said.number(PropertyId::MessageExpiryInterval, seconds));
        let publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic: TopicName::new(TOPICS[topic]).expect("a topic"),
            packet_id: PacketId::new(9).filter(|_| qos != QoS::AtMostOnce),
            payload: &payload,
            properties: said.as_properties(),
        };
        let mut frame = Vec::new();
        let version = if is_5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
        codec::encode::encode(version, &Packet::Publish(publish), &mut frame).expect("a packet");
        let (from, size) = ("p".into(), payload.len());
        let extras = Extras { properties: properties.as_properties(), expires };
        let outgoing = match is_5 {
            true => Outgoing::from_publish_5(&from, &publish, extras, if random.once_in(2) { &frame } else { &[] }),
            false => Outgoing::from_publish(&from, &publish, &frame),
        };
        let properties = properties.clone();
        let told =
            Told { topic, qos, payload: size, properties, expires, came: now, times: 0, gone: None, lost: false };
        let length = told.len();
        self.messages.insert(number, told);
        let is_connected = self.is_connected();
        let delivery = self.with(now, |session, turn| session.deliver(&outgoing, How::from(qos), turn));
        let told = self.messages.get_mut(&number).expect("it was added");
        match delivery {
            Delivery::Sent | Delivery::SentFive => assert!(is_connected),
            Delivery::Queued => {}
            Delivery::Inside => panic!("its client is not within the process"),
            Delivery::OutboundFull | Delivery::NotConnected => {
                assert!(qos == QoS::AtMostOnce, "{number} is acknowledged");
                told.lost = true;
            }
            Delivery::TooLarge => {
                let most = self.terms.says.maximum_packet_size as usize;
                assert!(is_connected && length > most, "{number} has {length} bytes of {most}");
                told.gone = Some(Gone::TooLarge);
            }
        }
    }

    /// All recorded changes are durable.
    pub(super) fn commit(&mut self, now: Instant) {
        self.done = self.last;
        self.flush(now);
    }

    /// The socket accepts no more, with this many bytes unwritten; 0: it accepts everything.
    pub(super) fn block(&mut self, bytes: usize, now: Instant) {
        self.blocked = if self.is_connected() { bytes } else { 0 };
        self.flush(now);
    }

    /// The end of a turn.
    pub(super) fn flush(&mut self, now: Instant) {
        if !self.is_connected() {
            return;
        }
        self.session.set_writing(self.blocked);
        while self.blocked == 0 {
            self.with(now, |session, turn| session.fill(turn));
            let Some(out) = self.session.take_out() else { break };
            self.session.set_writing(0);
            let frames = frames_of(*out, ProtocolVersion::V5);
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                self.emitted(&frame, now);
                self.sent.push(frame);
            }
        }
    }

    /// Checks a packet that is being sent.
    fn emitted(&mut self, frame: &[u8], now: Instant) {
        let ClientSays { maximum_packet_size, receive_maximum, .. } = self.terms.says;
        assert!(frame.len() <= maximum_packet_size as usize, "{} bytes [MQTT-3.1.2-24]", frame.len());
        let Packet::Publish(publish) = decode(frame) else { return };
        let number = number_of(publish.payload);
        let told = self.messages.get_mut(&number).expect("a message that was delivered");
        assert_eq!((told.gone, told.lost), (None, false), "{number} was dropped");
        let again = told.times > 0;
        assert_eq!(publish.dup, again, "DUP of {number}, which was sent {} times", told.times);
        told.times += 1;
        // a message that was sent once is completed
        let is_over = told.expires.is_some_and(|at| at <= now && told.came < now);
        assert!(again || !is_over, "{number} is over [MQTT-3.3.2-5]");
        let left = told.expires.map(|at| at.saturating_duration_since(now));
        let left = left.map(|left| left.as_secs() as u32 + u32::from(left.subsec_nanos() > 0));
        assert_eq!(publish.properties.number(PropertyId::MessageExpiryInterval), left, "{number} [MQTT-3.3.2-6]");
        assert!(publish.properties.user().eq(told.properties.as_properties().user()), "{number} [MQTT-3.3.2-18]");
        if let Some(id) = publish.packet_id {
            assert!(self.unanswered.insert(id), "{id} is in flight already [MQTT-2.2.1-3]");
            let window = usize::from(receive_maximum).min(self.limits.max_inflight_out);
            assert!(self.unanswered.len() <= window, "{} in flight of {window} [MQTT-3.3.4-9]", self.unanswered.len());
            self.full_windows += usize::from(self.unanswered.len() == window);
        }
    }

    // ---- the client connects and disconnects ----

    pub(super) fn attach(&mut self, terms: &Terms, now: Instant) {
        self.terms = *terms;
        self.unanswered.clear();
        self.taken_before = self.taken.len();
        let mut told = PropertiesBuf::default();
        if terms.server_receive_maximum < u16::MAX {
            told.number(PropertyId::ReceiveMaximum, terms.server_receive_maximum.into());
        }
        if terms.server_aliases > 0 {
            told.number(PropertyId::TopicAliasMaximum, terms.server_aliases.into());
        }
        let welcome = Welcome { says: terms.says, ..Welcome::new(ProtocolVersion::V5, true, &told) };
        self.with(now, |session, turn| session.attach(&welcome, None, turn));
    }

    pub(super) fn detach(&mut self, now: Instant) {
        // unwritten output is lost, but the session counts it as sent
        if let Some(out) = self.session.take_out() {
            frames_of(*out, ProtocolVersion::V5).iter().for_each(|frame| self.emitted(frame, now));
        }
        self.with(now, |session, turn| session.detach(turn));
        self.blocked = 0;
        if !self.limits.queue_qos0 {
            let waits = |told: &&mut Told| told.qos == QoS::AtMostOnce && told.times == 0;
            self.messages.values_mut().filter(waits).for_each(|told| told.lost = true);
        }
    }

    // ---- packets of the client ----

    pub(super) fn read(&mut self, frame: &[u8], now: Instant) {
        let mut packet = decode(frame);
        let topic;
        match &mut packet {
            Packet::Publish(publish) => {
                let meant = self.with(now, |session, turn| session.resolve_alias(publish, turn));
                let meant = meant.expect("an alias that the client may use");
                topic = meant.unwrap_or_else(|| publish.topic.as_str().into());
                publish.topic = TopicName::from_valid(&topic);
            }
            Packet::Puback(ack) | Packet::Pubcomp(ack) => _ = self.unanswered.remove(&ack.packet_id),
            Packet::Pubrec(ack) if ack.reason.is_error() => _ = self.unanswered.remove(&ack.packet_id),
            _ => {}
        }
        let mut replies = Vec::new();
        let action = self.with(now, |session, turn| match session.handle_packet(packet, turn) {
            Ok(Action::Defer(publish)) => {
                let message = Message::new(publish.topic, publish.payload, publish.qos);
                let packet_id = publish.packet_id.expect("QoS 2");
                session.defer(Deferred { packet_id, retain: false, message, may: None }, turn).map(|()| Action::None)
            }
            other => other,
        });
        match action.expect("nothing that the client does is an error") {
            Action::Publish(publish) => {
                self.publish(
                    publish.topic.as_str(),
                    publish.payload,
                    publish.qos,
                    publish.packet_id,
                    now,
                    &mut replies,
                );
            }
            Action::Repeated(id) => {
                assert!(self.taken.contains(&id), "{id} is not one that was taken");
                answer(&mut replies, PacketType::Pubrec, id, ReasonCode::Success);
            }
            Action::Release(id, reason, _) => answer(&mut replies, PacketType::Pubrel, id, reason),
            Action::Complete(id, reason, _, next) => {
                assert_eq!(self.taken.remove(&id), reason == ReasonCode::Success, "{id} was taken");
                answer(&mut replies, PacketType::Pubcomp, id, reason);
                let mut next = next;
                while let Some(Deferred { packet_id, message, .. }) = next {
                    let topic = message.topic().as_str();
                    self.publish(topic, message.payload(), message.qos(), Some(packet_id), now, &mut replies);
                    next = self.session.next_deferred(&self.limits);
                }
            }
            _ => {}
        }
        self.session.append(&mut replies, &mut self.pool);
    }

    fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        id: Option<PacketId>,
        now: Instant,
        replies: &mut Vec<u8>,
    ) {
        let number = number_of(payload);
        let refused = refuses(number);
        if !refused {
            self.published.push((number, topic_index(topic), qos));
        }
        let Some(id) = id else { return };
        let reason = if refused { ReasonCode::NotAuthorized } else { ReasonCode::Success };
        if qos == QoS::AtLeastOnce {
            return answer(replies, PacketType::Puback, id, reason);
        }
        if refused {
            self.session.refuse(id);
        } else {
            let last = self.last;
            let stored = if self.session.number().is_some() { Stored::By(CommitSeq(last)) } else { Stored::Done };
            // no task waits for it
            let _ = self.with(now, |session, turn| session.received(id, stored, turn));
            self.taken.insert(id);
            // a client whose Receive Maximum is used up needs at least one place
            let window = self.limits.max_inflight_in.min(self.terms.server_receive_maximum.into());
            let window = window.max(self.taken_before + 1);
            assert!(self.taken.len() <= window, "{} taken of {window}", self.taken.len());
        }
        answer(replies, PacketType::Pubrec, id, reason);
    }

    // ---- the end ----

    pub(super) fn expect_idle(&self) {
        assert_eq!(backlog(&self.session), (0, 0), "room came back for all that waited");
        assert_eq!(self.taken, BTreeSet::new(), "QoS 2 messages of the client are released");
        assert_eq!(self.session.unreleased(), 0);
    }

    pub(super) fn fates(&self) -> Vec<(Number, usize, QoS, Fate)> {
        let fate = |(&number, told): (&Number, &Told)| {
            let fate = match told {
                Told { lost: true, .. } => Fate::Dropped,
                Told { gone: Some(_), times: 0, .. } => Fate::Dropped,
                _ if super::client::refuses(number, told.qos) => Fate::Refused,
                Told { gone: Some(_), .. } => Fate::DroppedLater,
                _ => Fate::Arrives,
            };
            (number, told.topic, told.qos, fate)
        };
        self.messages.iter().map(fate).collect()
    }

    /// The number of expired messages, and of messages that the client did not receive.
    pub(super) fn dropped(&self) -> (usize, usize) {
        let of = |why| self.messages.values().filter(|told| told.gone == Some(why)).count();
        (of(Gone::Expired), of(Gone::TooLarge))
    }
}

impl Told {
    /// Bytes of its PUBLISH, without a Topic Alias.
    fn len(&self) -> usize {
        let of_publisher = self.properties.as_properties();
        let expiry = self.expires.map(|_| 0);
        let properties = PublishProperties { of_publisher: of_publisher.as_bytes(), expiry, ..Default::default() };
        codec::publish_len_5(TOPICS[self.topic].len(), self.qos, &properties, self.payload)
    }
}

/// Messages of the client that may not be published.
pub(super) fn refuses(number: Number) -> bool {
    number % 7 == 3
}

pub(super) fn answer(out: &mut Vec<u8>, packet: PacketType, packet_id: PacketId, reason: ReasonCode) {
    codec::encode::ack_with(out, packet, &Ack { packet_id, reason, properties: Properties::default() });
}
