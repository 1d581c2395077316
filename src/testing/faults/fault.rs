//! [`Fault`]: when, and what.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::super::{
    packets::{Direction, packet_type},
    span::Span,
};
use crate::{codec::PacketType, topic::TopicFilter};

/// A fault, as a test sets it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The packets that it is for: all, if this says nothing.
    #[serde(default)]
    pub when: When,
    /// What happens to them.
    #[serde(rename = "do")]
    pub does: Does,
    /// Chance is decided by this: the same packets meet the same.
    #[serde(default)]
    pub seed: u64,
    /// A name, which the list of faults shows.
    #[serde(default)]
    pub name: Option<String>,
}

/// Which packets a fault is for. What is not said is any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Those of this client; with `*` at the end, of all whose identifiers begin with what is before it.
    pub client: Option<String>,
    /// Those of this user.
    pub user: Option<String>,
    /// PUBLISH with a topic that this Topic Filter matches.
    pub topic: Option<String>,
    /// Those of this type: `"PUBACK"`.
    #[serde(deserialize_with = "packet")]
    pub packet: Option<PacketType>,
    /// Those that go this way.
    pub direction: Option<Direction>,
    /// The one of this number, the first being 1, of those that all of the above is true for.
    pub nth: Option<u64>,
    /// One of so many.
    pub every: Option<u64>,
    /// Of each with this probability.
    pub probability: Option<f64>,
    /// So often, then no more.
    pub times: Option<u64>,
    /// From so long after it was set, by the clock of the broker.
    pub after: Option<Span>,
    /// For so long from then on.
    #[serde(rename = "for")]
    pub lasts: Option<Span>,
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// It is lost.
    Drop,
    /// It comes later, and what is behind it too.
    Delay(Span),
    /// It comes twice.
    Duplicate,
    /// One byte behind its fixed header is another.
    Corrupt,
    /// So many bytes of it come, then the connection ends.
    Truncate(usize),
    /// The connection ends in its place.
    Close,
    /// The same, by a TCP reset.
    Reset,
    /// From now on nothing is read or written, and nobody is told.
    #[serde(alias = "half-open")]
    HalfOpen,
    /// From now on the client gets so many bytes a second.
    Stall(u64),
    /// A CONNECT is answered with this code, and the connection ends.
    Refuse(u8),
    /// The connection is reset before anything is read of it.
    #[serde(alias = "refuse-tcp")]
    RefuseTcp,
    /// A packet that acknowledges has this Reason Code; one of a client that is to be acknowledged does not reach the
    /// broker, and is answered with it.
    ReasonCode(u8),
    /// It comes behind the next one.
    Reorder,
    /// The client gets DISCONNECT with this Reason Code (MQTT 5), and the connection ends.
    Disconnect(u8),
    /// The same with 0x9C and this Server Reference.
    Redirect(String),
    /// The CONNACK says that the broker takes so many messages at once (MQTT 5).
    ReceiveMaximum(u16),
}

fn packet<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PacketType>, D::Error> {
    let name = String::deserialize(deserializer)?;
    packet_type(&name)
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{name:?} is not a type of packets, such as \"PUBACK\"")))
}

impl Fault {
    /// A fault of these packets.
    pub fn new(does: Does, when: When) -> Self {
        Self { when, does, seed: 0, name: None }
    }

    /// What is wrong with it?
    pub(super) fn check(&self) -> Result<(), String> {
        let When { topic, nth, every, probability, packet, .. } = &self.when;
        if let Some(topic) = topic {
            TopicFilter::new(topic).map_err(|error| format!("topic: {error}"))?;
            if packet.is_some_and(|packet| packet != PacketType::Publish) {
                return Err("topic: only PUBLISH has one".into());
            }
        }
        if probability.is_some_and(|probability| !(0.0..=1.0).contains(&probability)) {
            return Err("probability: a number from 0 to 1".into());
        }
        if *nth == Some(0) || *every == Some(0) {
            return Err("nth and every begin with 1".into());
        }
        match &self.does {
            Does::Delay(span) if span.0 > Duration::from_secs(3600) => Err("delay: 1h is the most".into()),
            Does::Stall(0) => Err("stall: 1 byte a second is the least; see half_open".into()),
            Does::Refuse(0) => Err("refuse: 0 is no refusal".into()),
            Does::ReceiveMaximum(0) => Err("receive_maximum: 1 is the least".into()),
            Does::RefuseTcp if self.when.is_of_packets() => {
                Err("refuse_tcp: there is no packet yet; only times, every, nth, probability, after and for".into())
            }
            _ => Ok(()),
        }
    }
}

impl When {
    /// Does it say something of packets?
    fn is_of_packets(&self) -> bool {
        let Self { client, user, topic, packet, direction, .. } = self;
        client.is_some() || user.is_some() || topic.is_some() || packet.is_some() || direction.is_some()
    }

    /// Is it of one client, or of a topic?
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

    /// May it happen to such a packet at all?
    pub(super) fn is_for(&self, packet: PacketType, direction: Direction) -> bool {
        use PacketType::{
            Connack, Connect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Subscribe, Unsuback, Unsubscribe,
        };
        match self {
            Self::Refuse(_) => packet == Connect,
            Self::RefuseTcp => false,
            Self::ReceiveMaximum(_) => packet == Connack,
            Self::ReasonCode(_) => match direction {
                Direction::ToClient => {
                    [Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, PacketType::Disconnect]
                        .contains(&packet)
                }
                Direction::ToServer => [Publish, Pubrel, Subscribe, Unsubscribe].contains(&packet),
            },
            _ => true,
        }
    }
}
