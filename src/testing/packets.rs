//! [`Seen`]: a decoded packet, for faults and the journal; [`Who`]: its connection.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    codec::{self, Cut, Packet, PacketType, PropertyId},
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
pub(super) struct Seen {
    pub(super) packet: PacketType,
    pub(super) direction: Direction,
    pub(super) packet_id: Option<u16>,
    /// Topic of a PUBLISH.
    pub(super) topic: Option<Box<str>>,
    pub(super) qos: Option<QoS>,
    pub(super) dup: bool,
    pub(super) retain: bool,
    pub(super) payload: Box<[u8]>,
    /// Reason Codes.
    pub(super) codes: Vec<u8>,
    /// Number of filters of a SUBSCRIBE or UNSUBSCRIBE.
    pub(super) filters: usize,
    /// Client Identifier of a CONNECT.
    pub(super) client_id: Box<str>,
    pub(super) keep_alive: u16,
    pub(super) is_clean: bool,
    /// Of a CONNACK.
    pub(super) session_present: bool,
    pub(super) receive_maximum: Option<u16>,
    /// Size in bytes.
    pub(super) size: usize,
}

/// The connection of packets.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) client: Option<Box<str>>,
    pub(super) user: Option<Box<str>>,
    pub(super) version: ProtocolVersion,
    /// Topic Aliases of each direction.
    to_client: HashMap<u16, Box<str>>,
    to_server: HashMap<u16, Box<str>>,
}

impl Who {
    /// Decodes a complete packet; `None`: its type is unknown. Remembers the client's names and Topic Aliases.
    pub(super) fn see(&mut self, bytes: &[u8], direction: Direction) -> Option<Seen> {
        let packet = TYPES.into_iter().find(|packet| *packet as u8 == bytes[0] >> 4)?;
        let (qos, dup, retain) = match packet {
            PacketType::Publish => (QoS::from_bits(bytes[0] >> 1 & 3), bytes[0] & 8 != 0, bytes[0] & 1 != 0),
            _ => (None, false, false),
        };
        let mut seen = Seen {
            packet,
            direction,
            packet_id: None,
            topic: None,
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
        if let Ok(Cut::Frame(frame)) = codec::frame(self.version, bytes, usize::MAX)
            && let Ok(decoded) = codec::decode(self.version, frame)
        {
            self.fill(&mut seen, &decoded);
        }
        Some(seen)
    }

    fn fill(&mut self, seen: &mut Seen, decoded: &Packet<'_>) {
        let number = |id: PacketId| Some(id.get());
        match decoded {
            Packet::Connect(connect) => {
                (seen.keep_alive, seen.is_clean) = (connect.keep_alive, connect.clean_session);
                seen.client_id = connect.client_id.into();
                self.version = connect.version;
                self.client = (!connect.client_id.is_empty()).then(|| connect.client_id.into());
                self.user = connect.username.map(Into::into);
            }
            Packet::Connack(connack) => {
                seen.session_present = connack.session_present;
                seen.receive_maximum = connack.properties.short(PropertyId::ReceiveMaximum);
                if let Some(assigned) = connack.properties.text(PropertyId::AssignedClientIdentifier) {
                    self.client = Some(assigned.into());
                }
                seen.codes.push(match self.version {
                    ProtocolVersion::V5 => connack.reason as u8,
                    _ => connack.reason.connect_return_code().unwrap_or_default(),
                });
            }
            Packet::Publish(publish) => {
                seen.packet_id = publish.packet_id.and_then(number);
                seen.payload = publish.payload.into();
                seen.topic = self.topic_of(
                    seen.direction,
                    publish.topic.as_str(),
                    publish.properties.short(PropertyId::TopicAlias),
                );
            }
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                seen.packet_id = number(ack.packet_id);
                seen.codes.push(ack.reason as u8);
            }
            Packet::Subscribe(subscribe) => {
                (seen.packet_id, seen.filters) = (number(subscribe.packet_id), subscribe.filters.len());
            }
            Packet::Unsubscribe(unsubscribe) => {
                (seen.packet_id, seen.filters) = (number(unsubscribe.packet_id), unsubscribe.filters.len());
            }
            Packet::Suback(suback) => seen.packet_id = number(suback.packet_id),
            Packet::Unsuback(unsuback) => seen.packet_id = number(unsuback.packet_id),
            Packet::Disconnect(disconnect) => seen.codes.push(disconnect.reason as u8),
            Packet::Auth(auth) => seen.codes.push(auth.reason as u8),
            Packet::Pingreq | Packet::Pingresp => {}
        }
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
    /// As JSON, without the payload.
    pub(super) fn shown(&self) -> Value {
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

/// All types with their names in the specification.
const TYPES: [PacketType; 15] = [
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
pub(super) fn packet_type(name: &str) -> Option<PacketType> {
    TYPES.into_iter().find(|packet| packet.to_string().eq_ignore_ascii_case(name))
}
