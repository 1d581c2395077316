//! The client's side.

use std::collections::{BTreeMap, VecDeque};

use super::{
    super::*, Fate, Log, Number, TOPICS, Terms, any_qos, broker::answer, decode, number_of, payload, random::Random,
    topic_index,
};
use crate::codec::{PacketType, PropertyId};

/// A message of the client that is not completed.
struct Own {
    number: Number,
    topic: usize,
    qos: QoS,
    /// Assigned at its first sending.
    id: Option<PacketId>,
    released: bool,
    /// Its PUBLISH or PUBREL was sent on this connection.
    is_sent: bool,
    /// It was its PUBLISH: it takes a place of the server's Receive Maximum until it is completed.
    takes_a_place: bool,
}

#[derive(Default)]
pub(super) struct Client {
    pub(super) answers: VecDeque<Vec<u8>>,
    /// QoS 2 messages received and not released.
    unreleased: BTreeMap<PacketId, Number>,
    pub(super) received: Log,
    /// The topics of the broker's Topic Aliases.
    aliases: BTreeMap<u16, usize>,
    /// The topics of the client's aliases, from 1 on.
    own_aliases: Vec<Option<usize>>,
    receive_maximum: usize,
    own: VecDeque<Own>,
    sent: Vec<(Number, usize, QoS)>,
    last_id: u16,
    pub(super) by_alias: usize,
    pub(super) again: usize,
}

impl Client {
    pub(super) fn attach(&mut self, terms: &Terms) {
        self.receive_maximum = terms.server_receive_maximum.into();
        self.own_aliases = vec![None; terms.server_aliases.into()];
    }

    pub(super) fn detach(&mut self) {
        self.answers.clear();
        self.aliases.clear();
        for own in &mut self.own {
            (own.is_sent, own.takes_a_place) = (false, false);
        }
        // an unsent message of QoS 0 may be sent later; a sent one is gone
    }

    pub(super) fn publish_any(&mut self, random: &mut Random) {
        let (number, topic, qos) = (self.sent.len() as Number + 1, random.below(TOPICS.len()), any_qos(random));
        self.sent.push((number, topic, qos));
        let (id, released, is_sent, takes_a_place) = (None, false, false, false);
        self.own.push_back(Own { number, topic, qos, id, released, is_sent, takes_a_place });
    }

    /// The packets that the client sends by itself, in order, as far as the server's Receive Maximum allows.
    pub(super) fn due(&mut self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        let mut places = self.own.iter().filter(|own| own.takes_a_place).count();
        for own in self.own.iter_mut().filter(|own| !own.is_sent) {
            let mut packet = Vec::new();
            if let (true, Some(id)) = (own.released, own.id) {
                answer(&mut packet, PacketType::Pubrel, id, ReasonCode::Success);
            } else {
                if own.qos != QoS::AtMostOnce {
                    if places >= self.receive_maximum {
                        break;
                    }
                    places += 1;
                    own.takes_a_place = true;
                }
                let dup = own.id.is_some();
                if own.qos != QoS::AtMostOnce && own.id.is_none() {
                    self.last_id += 1;
                    own.id = PacketId::new(self.last_id);
                }
                publish(&mut packet, own, dup, &mut self.own_aliases, random);
            }
            own.is_sent = true;
            due.push(packet);
        }
        self.own.retain(|own| !(own.is_sent && own.qos == QoS::AtMostOnce));
        due
    }

    /// One packet arrives; its answer is due.
    pub(super) fn read(&mut self, frame: &[u8], terms: &Terms) {
        let mut out = Vec::new();
        match decode(frame) {
            Packet::Publish(publish) => self.take(&publish, terms, &mut out),
            Packet::Pubrel(ack) => {
                let known = self.unreleased.remove(&ack.packet_id).is_some();
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                answer(&mut out, PacketType::Pubcomp, ack.packet_id, reason);
            }
            Packet::Puback(ack) => self.own.retain(|own| own.id != Some(ack.packet_id)),
            Packet::Pubcomp(ack) => self.own.retain(|own| own.id != Some(ack.packet_id)),
            Packet::Pubrec(ack) if ack.reason.is_error() => self.own.retain(|own| own.id != Some(ack.packet_id)),
            Packet::Pubrec(ack) => {
                self.own.iter_mut().filter(|own| own.id == Some(ack.packet_id)).for_each(|own| own.released = true);
                answer(&mut out, PacketType::Pubrel, ack.packet_id, ReasonCode::Success);
            }
            Packet::Connack(_) => {}
            other => panic!("{other:?} to a client"),
        }
        if !out.is_empty() {
            self.answers.push_back(out);
        }
    }

    fn take(&mut self, publish: &Publish<'_>, terms: &Terms, out: &mut Vec<u8>) {
        let alias = publish.properties.short(PropertyId::TopicAlias);
        assert!(alias.is_none_or(|alias| (1..=terms.says.topic_alias_maximum).contains(&alias)), "[MQTT-3.1.2-26]");
        let topic = match (alias, publish.topic.as_str()) {
            (Some(alias), "") => {
                self.by_alias += 1;
                *self.aliases.get(&alias).expect("an alias that was given on this connection")
            }
            (_, topic) => topic_index(topic),
        };
        alias.inspect(|&alias| _ = self.aliases.insert(alias, topic));
        self.again += usize::from(publish.dup);
        let number = number_of(publish.payload);
        let (received, refused) = ((number, topic, publish.qos), refuses(number, publish.qos));
        let reason = if refused { ReasonCode::ImplementationSpecificError } else { ReasonCode::Success };
        match (publish.qos, publish.packet_id) {
            (QoS::ExactlyOnce, Some(id)) => {
                if !refused && self.unreleased.insert(id, number).is_none() {
                    self.received.push(received);
                }
                answer(out, PacketType::Pubrec, id, reason);
            }
            (_, id) => {
                self.received.extend((!refused).then_some(received));
                id.into_iter().for_each(|id| answer(out, PacketType::Puback, id, reason));
            }
        }
    }

    /// `fates`: of the messages to the client.
    pub(super) fn expect_idle(&self, fates: &[(Number, usize, QoS, Fate)]) {
        assert_eq!(self.own.len(), 0, "all that the client sent is acknowledged");
        // a message that is larger than the client accepts by now is never released
        let is_due = |number| fates.iter().any(|&(sent, .., fate)| sent == number && fate != Fate::DroppedLater);
        let unreleased: Vec<_> = self.unreleased.iter().filter(|&(_, &number)| is_due(number)).collect();
        assert_eq!(unreleased, [], "QoS 2 messages to the client are released");
    }

    pub(super) fn fates(&self) -> Vec<(Number, usize, QoS, Fate)> {
        let fate = |number| if super::broker::refuses(number) { Fate::Refused } else { Fate::Arrives };
        self.sent.iter().map(|&(number, topic, qos)| (number, topic, qos, fate(number))).collect()
    }
}

fn publish(out: &mut Vec<u8>, own: &Own, dup: bool, aliases: &mut [Option<usize>], random: &mut Random) {
    let (mut properties, mut topic) = (PropertiesBuf::default(), TOPICS[own.topic]);
    if !aliases.is_empty() && !random.once_in(3) {
        let at = random.below(aliases.len());
        properties.number(PropertyId::TopicAlias, at as u32 + 1);
        if aliases[at] == Some(own.topic) && random.once_in(2) {
            topic = "";
        }
        aliases[at] = Some(own.topic);
    }
    let publish = Publish {
        dup,
        qos: own.qos,
        retain: false,
        topic: TopicName::from_valid(topic),
        packet_id: own.id,
        payload: &payload(own.number, 0),
        properties: properties.as_properties(),
    };
    codec::encode::encode(ProtocolVersion::V5, &Packet::Publish(publish), out).expect("a packet");
}

/// Messages that the client refuses.
pub(super) fn refuses(number: Number, qos: QoS) -> bool {
    number % 8 == 5 && qos != QoS::AtMostOnce
}
