//! [`Fault`]: a condition and an effect.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::{super::span::Span, rewrite};
use crate::{
    codec::PacketType,
    topic::TopicFilter,
    trace::{Direction, Seen, TYPES, packet_type},
    types::ProtocolVersion,
};

/// A fault, as a test sets it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The packets that it applies to; by default all.
    #[serde(default)]
    pub when: When,
    /// Its effect.
    #[serde(rename = "do")]
    pub does: Does,
    /// Seed of the random decisions: equal packets have equal results.
    #[serde(default)]
    pub seed: u64,
    /// A name, which the list of faults shows.
    #[serde(default)]
    pub name: Option<String>,
}

/// Selects packets. A missing field selects all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Packets of this client; with `*` at the end, of all clients with this prefix.
    pub client: Option<String>,
    /// Packets of this user.
    pub user: Option<String>,
    /// PUBLISH packets whose topic matches this Topic Filter.
    pub topic: Option<String>,
    /// Packets of this type: `"PUBACK"`.
    #[serde(deserialize_with = "packet")]
    pub packet: Option<PacketType>,
    /// Packets in this direction.
    pub direction: Option<Direction>,
    /// The n-th of the packets selected so far, from 1.
    pub nth: Option<u64>,
    /// Every n-th packet.
    pub every: Option<u64>,
    /// Each packet with this probability.
    pub probability: Option<f64>,
    /// At most this number of packets.
    pub times: Option<u64>,
    /// Begins this time after it was set, by the broker's clock.
    pub after: Option<Span>,
    /// Ends this time after its begin.
    #[serde(rename = "for")]
    pub lasts: Option<Span>,
}

/// Effect on a packet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// The packet is lost.
    Drop,
    /// The packet is delayed, and all after it.
    Delay(Span),
    /// The packet arrives twice.
    Duplicate,
    /// One byte after the fixed header is changed; packets without such a byte pass.
    Corrupt,
    /// Only this number of its bytes arrives, then the connection closes.
    Truncate(usize),
    /// The connection closes instead.
    Close,
    /// The connection is reset by TCP instead.
    Reset,
    /// From now on nothing is read or written, and neither end is told.
    #[serde(alias = "half-open")]
    HalfOpen,
    /// From now on the client receives this number of bytes a second.
    Stall(u64),
    /// A CONNECT is answered with this code, and the connection closes.
    Refuse(u8),
    /// The connection is reset before anything is read.
    #[serde(alias = "refuse-tcp")]
    RefuseTcp,
    /// An acknowledgement gets this Reason Code. A packet of a client that needs an acknowledgement does not reach the
    /// broker, and is answered with this code.
    ReasonCode(u8),
    /// The packet is sent after the next one.
    Reorder,
    /// The client receives DISCONNECT with this Reason Code (MQTT 5), and the connection closes. Packets before the
    /// CONNACK pass.
    Disconnect(u8),
    /// The same with Reason Code 0x9C and this Server Reference. Before the CONNACK, the client receives a CONNACK.
    Redirect(String),
    /// The CONNACK has this Receive Maximum (MQTT 5).
    ReceiveMaximum(u16),
}

fn packet<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PacketType>, D::Error> {
    let name = String::deserialize(deserializer)?;
    packet_type(&name)
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{name:?} is not a type of packets, such as \"PUBACK\"")))
}

impl Fault {
    /// A fault of the selected packets.
    pub fn new(does: Does, when: When) -> Self {
        Self { when, does, seed: 0, name: None }
    }

    /// Refuses combinations that make no sense.
    pub(super) fn check(&self) -> Result<(), String> {
        let When { topic, nth, every, probability, packet, .. } = &self.when;
        if let Some(topic) = topic {
            TopicFilter::new(topic).map_err(|error| format!("topic: {error}"))?;
            if packet.is_some_and(|packet| packet != PacketType::Publish) {
                return Err("topic: only PUBLISH has a topic".into());
            }
        }
        if probability.is_some_and(|probability| !(0.0..=1.0).contains(&probability)) {
            return Err("probability: a number from 0 to 1".into());
        }
        if *nth == Some(0) || *every == Some(0) {
            return Err("nth and every begin with 1".into());
        }
        match &self.does {
            Does::Delay(span) if span.0 > Duration::from_secs(3600) => Err("delay: at most 1h".into()),
            Does::Stall(0) => Err("stall: at least 1 byte a second; see half_open".into()),
            Does::Refuse(0) => Err("refuse: 0 is not a refusal".into()),
            Does::ReceiveMaximum(0) => Err("receive_maximum: 1 is the least".into()),
            Does::RefuseTcp if self.when.is_of_packets() => {
                Err("refuse_tcp: there is no packet yet; only times, every, nth, probability, after and for".into())
            }
            Does::RefuseTcp => Ok(()),
            does if self.when.cells().any(|(packet, direction)| does.is_for(packet, direction)) => Ok(()),
            does => Err(format!("{}: {}", does.name(), does.why_not(self.when.packet, self.when.direction))),
        }
    }
}

impl When {
    /// The packet types and directions that it selects and that exist.
    fn cells(&self) -> impl Iterator<Item = (PacketType, Direction)> {
        let all = TYPES.into_iter().flat_map(|packet| DIRECTIONS.map(|direction| (packet, direction)));
        let packet = if self.topic.is_some() { Some(PacketType::Publish) } else { self.packet };
        let direction = self.direction;
        all.filter(move |(of, to)| to.has(*of) && packet.is_none_or(|packet| packet == *of))
            .filter(move |(_, to)| direction.is_none_or(|direction| direction == *to))
    }

    /// Does the condition depend on a packet's content?
    fn is_of_packets(&self) -> bool {
        let Self { client, user, topic, packet, direction, .. } = self;
        client.is_some() || user.is_some() || topic.is_some() || packet.is_some() || direction.is_some()
    }

    /// Does it apply to one client or one topic only?
    pub(super) fn is_narrow(&self) -> bool {
        self.client.is_some() || self.topic.is_some()
    }
}

impl Does {
    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Delay(_) => "delay",
            Self::Duplicate => "duplicate",
            Self::Corrupt => "corrupt",
            Self::Truncate(_) => "truncate",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::HalfOpen => "half_open",
            Self::Stall(_) => "stall",
            Self::Refuse(_) => "refuse",
            Self::RefuseTcp => "refuse_tcp",
            Self::ReasonCode(_) => "reason_code",
            Self::Reorder => "reorder",
            Self::Disconnect(_) => "disconnect",
            Self::Redirect(_) => "redirect",
            Self::ReceiveMaximum(_) => "receive_maximum",
        }
    }

    /// Can it happen to packets of this type that are sent in this direction?
    pub(super) fn is_for(&self, packet: PacketType, direction: Direction) -> bool {
        use PacketType::{
            Auth, Connack, Connect, Pingreq, Pingresp, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Subscribe,
            Unsuback, Unsubscribe,
        };
        match self {
            Self::Refuse(_) => packet == Connect,
            Self::RefuseTcp => false,
            Self::ReceiveMaximum(_) => packet == Connack,
            Self::Corrupt => ![Pingreq, Pingresp].contains(&packet),
            Self::Disconnect(_) => ![Connect, Connack].contains(&packet),
            Self::ReasonCode(_) => match direction {
                Direction::ToClient => {
                    [Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, PacketType::Disconnect, Auth]
                        .contains(&packet)
                }
                Direction::ToServer => [Publish, Pubrec, Pubrel, Subscribe, Unsubscribe].contains(&packet),
            },
            _ => true,
        }
    }

    /// Why it can happen to none of the packets that are selected.
    fn why_not(&self, packet: Option<PacketType>, direction: Option<Direction>) -> String {
        let to = |direction| match direction {
            Direction::ToServer => "clients do not send it",
            Direction::ToClient => "the broker does not send it",
        };
        let never = packet.filter(|packet| direction.is_some_and(|direction| !direction.has(*packet)));
        if let (Some(packet), Some(direction)) = (never, direction) {
            return format!("{packet} has the other direction: {}", to(direction));
        }
        let packet = packet.map_or_else(|| "a packet in this direction".into(), |packet| packet.to_string());
        match self {
            Self::Refuse(_) => "only CONNECT can be refused".into(),
            Self::ReceiveMaximum(_) => "only CONNACK has a Receive Maximum of the broker".into(),
            Self::Corrupt => format!("{packet} has no byte after its fixed header"),
            Self::Disconnect(_) => format!("the broker sends no DISCONNECT in place of {packet}; see refuse"),
            Self::ReasonCode(_) if packet == "CONNECT" => "CONNECT is answered with a code by refuse".into(),
            _ => format!("{packet} has no Reason Code, and no answer that has one"),
        }
    }

    /// Does it change this packet? Otherwise it does not count as a hit. `greeted`: the client was accepted.
    pub(super) fn changes(&self, seen: &Seen, version: ProtocolVersion, greeted: bool) -> bool {
        /// Size of a packet without a byte after its fixed header.
        const EMPTY: usize = 2;
        match self {
            Self::ReceiveMaximum(_) => version == ProtocolVersion::V5,
            Self::Corrupt => seen.size > EMPTY,
            Self::Disconnect(_) => greeted,
            Self::ReasonCode(code) => match seen.direction {
                Direction::ToClient => rewrite::has_code(seen.packet, version),
                Direction::ToServer => rewrite::answer(seen, version, *code).is_some(),
            },
            _ => true,
        }
    }
}

/// Both directions.
const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
