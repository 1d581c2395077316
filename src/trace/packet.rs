//! [`Looked`]: a decoded packet, [`Seen`] one that outlives its bytes; [`Who`]: its connection.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    codec::{self, Cut, DecodeError, Packet, PacketType, PropertyId, SubackCode},
    types::{PacketId, ProtocolVersion, QoS},
};

/// Direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the broker to the client.
    ToClient,
    /// From the client to the broker.
    ToServer,
}

/// A decoded packet.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) packet: PacketType,
    pub(crate) direction: Direction,
    pub(crate) packet_id: Option<u16>,
    /// Topic of a PUBLISH.
    pub(crate) topic: Option<Box<str>>,
    pub(crate) qos: Option<QoS>,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) payload: Box<[u8]>,
    /// Reason Codes.
    pub(crate) codes: Vec<u8>,
    /// Number of filters of a SUBSCRIBE or UNSUBSCRIBE.
    pub(crate) filters: usize,
    /// Client Identifier of a CONNECT.
    pub(crate) client_id: Box<str>,
    pub(crate) keep_alive: u16,
    pub(crate) is_clean: bool,
    /// Of a CONNACK.
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: Option<u16>,
    /// Size in bytes.
    pub(crate) size: usize,
}

/// The connection of packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    pub(crate) client: Option<Box<str>>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) version: ProtocolVersion,
    /// Topic Aliases of each direction.
    to_client: HashMap<u16, Box<str>>,
    to_server: HashMap<u16, Box<str>>,
}

/// A decoded packet that borrows from its bytes.
pub(crate) struct Looked<'a> {
    pub(crate) packet: PacketType,
    /// The topic of a PUBLISH, with its Topic Alias resolved.
    pub(crate) topic: Option<Box<str>>,
    pub(crate) contents: Result<Packet<'a>, DecodeError>,
}

impl Direction {
    /// The opposite direction.
    pub(crate) fn reverse(self) -> Self {
        match self {
            Self::ToClient => Self::ToServer,
            Self::ToServer => Self::ToClient,
        }
    }

    /// Are packets of this type sent in this direction?
    pub(crate) fn has(self, packet: PacketType) -> bool {
        use PacketType::{Connack, Connect, Pingreq, Pingresp, Suback, Subscribe, Unsuback, Unsubscribe};
        match packet {
            Connect | Subscribe | Unsubscribe | Pingreq => self == Self::ToServer,
            Connack | Suback | Unsuback | Pingresp => self == Self::ToClient,
            _ => true,
        }
    }
}

impl Who {
    /// A connection whose CONNECT was handled before.
    pub(crate) fn new(client: &str, user: Option<&str>, version: ProtocolVersion) -> Self {
        let client = (!client.is_empty()).then(|| client.into());
        Self { client, user: user.map(Into::into), version, ..Self::default() }
    }

    /// Decodes a complete packet; `None`: its type is unknown. Remembers the client's names and Topic Aliases.
    pub(crate) fn see(&mut self, bytes: &[u8], direction: Direction) -> Option<Seen> {
        let Looked { packet, topic, contents } = self.look(bytes, direction)?;
        let (qos, dup, retain) = match packet {
            PacketType::Publish => (QoS::from_bits(bytes[0] >> 1 & 3), bytes[0] & 8 != 0, bytes[0] & 1 != 0),
            _ => (None, false, false),
        };
        let mut seen = Seen {
            packet,
            direction,
            packet_id: None,
            topic,
            qos,
            dup,
            retain,
            payload: Box::default(),
            codes: Vec::new(),
            filters: 0,
            client_id: Box::default(),
            keep_alive: 0,
            is_clean: false,
            session_present: false,
            receive_maximum: None,
            size: bytes.len(),
        };
        // of a malformed packet only the type is known
        if let Ok(contents) = contents {
            seen.fill(self.version, &contents);
        }
        Some(seen)
    }

    /// [`see`](Self::see), without a copy of the contents.
    pub(crate) fn look<'a>(&mut self, bytes: &'a [u8], direction: Direction) -> Option<Looked<'a>> {
        let packet = TYPES.into_iter().find(|packet| *packet as u8 == bytes[0] >> 4)?;
        let contents = match codec::frame(self.version, bytes, usize::MAX) {
            Ok(Cut::Frame(frame)) => codec::decode(self.version, frame),
            Ok(Cut::Need(_)) => return None,
            Err(error) => Err(error),
        };
        let topic = contents.as_ref().ok().and_then(|contents| self.hear(contents, direction));
        Some(Looked { packet, topic, contents })
    }

    /// Remembers names and Topic Aliases. Returns the topic of a PUBLISH.
    fn hear(&mut self, contents: &Packet<'_>, direction: Direction) -> Option<Box<str>> {
        match contents {
            Packet::Connect(connect) => {
                self.version = connect.version;
                self.client = (!connect.client_id.is_empty()).then(|| connect.client_id.into());
                self.user = connect.username.map(Into::into);
                None
            }
            Packet::Connack(connack) => {
                if let Some(assigned) = connack.properties.text(PropertyId::AssignedClientIdentifier) {
                    self.client = Some(assigned.into());
                }
                None
            }
            Packet::Publish(publish) => {
                let alias = publish.properties.short(PropertyId::TopicAlias);
                self.topic_of(direction, publish.topic.as_str(), alias)
            }
            _ => None,
        }
    }

    /// Adds a Topic Alias.
    pub(crate) fn knows(&mut self, direction: Direction, alias: u16, topic: &str) {
        self.topic_of(direction, topic, Some(alias));
    }

    fn topic_of(&mut self, direction: Direction, topic: &str, alias: Option<u16>) -> Option<Box<str>> {
        let aliases = match direction {
            Direction::ToClient => &mut self.to_client,
            Direction::ToServer => &mut self.to_server,
        };
        match (topic, alias) {
            ("", alias) => aliases.get(&alias?).cloned(),
            (topic, alias) => {
                let topic: Box<str> = topic.into();
                if let Some(alias) = alias {
                    aliases.insert(alias, topic.clone());
                }
                Some(topic)
            }
        }
    }
}

impl Seen {
    fn fill(&mut self, version: ProtocolVersion, contents: &Packet<'_>) {
        let number = |id: PacketId| Some(id.get());
        match contents {
            Packet::Connect(connect) => {
                (self.keep_alive, self.is_clean) = (connect.keep_alive, connect.clean_session);
                self.client_id = connect.client_id.into();
            }
            Packet::Connack(connack) => {
                self.session_present = connack.session_present;
                self.receive_maximum = connack.properties.short(PropertyId::ReceiveMaximum);
                self.codes.push(match version {
                    ProtocolVersion::V5 => connack.reason as u8,
                    _ => connack.reason.connect_return_code().unwrap_or_default(),
                });
            }
            Packet::Publish(publish) => {
                self.packet_id = publish.packet_id.and_then(number);
                self.payload = publish.payload.into();
            }
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                self.packet_id = number(ack.packet_id);
                self.codes.push(ack.reason as u8);
            }
            Packet::Subscribe(subscribe) => {
                (self.packet_id, self.filters) = (number(subscribe.packet_id), subscribe.filters.len());
            }
            Packet::Unsubscribe(unsubscribe) => {
                (self.packet_id, self.filters) = (number(unsubscribe.packet_id), unsubscribe.filters.len());
            }
            Packet::Suback(suback) => {
                self.packet_id = number(suback.packet_id);
                self.codes.extend(suback.codes.iter().map(suback_code));
            }
            Packet::Unsuback(unsuback) => {
                self.packet_id = number(unsuback.packet_id);
                self.codes
                    .extend(unsuback.codes.iter().filter(|_| version == ProtocolVersion::V5).map(|code| *code as u8));
            }
            Packet::Disconnect(disconnect) => self.codes.push(disconnect.reason as u8),
            Packet::Auth(auth) => self.codes.push(auth.reason as u8),
            Packet::Pingreq | Packet::Pingresp => {}
        }
    }

    /// As JSON, without the payload.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({ "packet": self.packet.to_string(), "direction": self.direction, "size": self.size });
        if let Some(id) = self.packet_id {
            shown["packet_id"] = id.into();
        }
        if let Some(topic) = &self.topic {
            shown["topic"] = json!(topic);
            shown["qos"] = json!(self.qos.map(|qos| qos as u8));
            shown["dup"] = self.dup.into();
            shown["retain"] = self.retain.into();
        }
        match &self.codes[..] {
            [] => {}
            [code] => shown["reason_code"] = json!(code),
            codes => shown["reason_codes"] = json!(codes),
        }
        shown
    }
}

/// A code of SUBACK as it is sent.
pub(super) fn suback_code(code: &SubackCode) -> u8 {
    match code {
        SubackCode::Granted(qos) => *qos as u8,
        SubackCode::Failure(reason) => *reason as u8,
    }
}

/// All types.
pub(crate) const TYPES: [PacketType; 15] = [
    PacketType::Connect,
    PacketType::Connack,
    PacketType::Publish,
    PacketType::Puback,
    PacketType::Pubrec,
    PacketType::Pubrel,
    PacketType::Pubcomp,
    PacketType::Subscribe,
    PacketType::Suback,
    PacketType::Unsubscribe,
    PacketType::Unsuback,
    PacketType::Pingreq,
    PacketType::Pingresp,
    PacketType::Disconnect,
    PacketType::Auth,
];

/// The type with this name.
pub(crate) fn packet_type(name: &str) -> Option<PacketType> {
    TYPES.into_iter().find(|packet| packet.to_string().eq_ignore_ascii_case(name))
}
