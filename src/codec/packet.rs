//! The packet types, between the codec and the other rooms. Text and payloads are borrowed from the decoded bytes.

use std::fmt;

use super::{Properties, ReasonCode};
use crate::{
    topic::{TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, SubscriptionOptions},
};

/// An MQTT Control Packet (MQTT 3.1.1 section 2.2.1).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// Client requests a connection (3.1).
    Connect(Box<Connect<'a>>),
    /// Connect acknowledgement (3.2).
    Connack(Connack<'a>),
    /// Publish message (3.3).
    Publish(Publish<'a>),
    /// Publish acknowledgement, QoS 1 (3.4).
    Puback(Ack<'a>),
    /// Publish received, QoS 2 step one (3.5).
    Pubrec(Ack<'a>),
    /// Publish release, QoS 2 step two (3.6).
    Pubrel(Ack<'a>),
    /// Publish complete, QoS 2 step three (3.7).
    Pubcomp(Ack<'a>),
    /// Subscribe request (3.8).
    Subscribe(Subscribe<'a>),
    /// Subscribe acknowledgement (3.9).
    Suback(Suback<'a>),
    /// Unsubscribe request (3.10).
    Unsubscribe(Unsubscribe<'a>),
    /// Unsubscribe acknowledgement (3.11).
    Unsuback(Unsuback<'a>),
    /// Ping request (3.12).
    Pingreq,
    /// Ping response (3.13).
    Pingresp,
    /// Disconnect notification (3.14).
    Disconnect(Disconnect<'a>),
    /// Authentication exchange (MQTT 5 section 3.15).
    Auth(Auth<'a>),
}

/// CONNECT (section 3.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// Protocol Name and Level.
    pub version: ProtocolVersion,
    /// The client is a bridge, which mosquitto's bridges report by bit 7 of the Protocol Level: it does not get its own
    /// messages back, and gets RETAIN as published.
    pub bridge: bool,
    /// Clean Session (Clean Start in MQTT 5).
    pub clean_session: bool,
    /// Keep Alive in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// Client Identifier; may be empty.
    pub client_id: &'a str,
    /// Will, if the Will Flag is set.
    pub will: Option<Will<'a>>,
    /// User Name, if its flag is set.
    pub username: Option<&'a str>,
    /// Password, if its flag is set.
    pub password: Option<&'a [u8]>,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// The bit of the Protocol Level of a bridge.
pub(super) const BRIDGE: u8 = 0x80;

/// The Will Message of a CONNECT (section 3.1.2.5).
#[derive(Clone, Debug, PartialEq)]
pub struct Will<'a> {
    /// Will Topic.
    pub topic: &'a TopicName,
    /// Will Message.
    pub payload: &'a [u8],
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// CONNACK (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Did the session exist before?
    pub session_present: bool,
    /// [`ReasonCode::Success`] if the client is accepted, otherwise the reason.
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

impl Connack<'_> {
    /// The client is accepted.
    pub fn accepted(session_present: bool) -> Self {
        Self { session_present, reason: ReasonCode::Success, properties: Properties::default() }
    }

    /// The client is refused.
    pub fn refused(reason: ReasonCode) -> Self {
        Self { session_present: false, reason, properties: Properties::default() }
    }
}

/// PUBLISH (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publish<'a> {
    /// May be a re-delivery.
    pub dup: bool,
    /// Quality of Service.
    pub qos: QoS,
    /// Keep this message for future subscribers.
    pub retain: bool,
    /// Topic Name; empty if the Topic Alias in `properties` replaces it (MQTT 5 section 3.3.2.3.4).
    pub topic: &'a TopicName,
    /// Packet Identifier, exactly if `qos` is above 0.
    pub packet_id: Option<PacketId>,
    /// Application Message.
    pub payload: &'a [u8],
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The Packet Identifier of the acknowledged packet.
    pub packet_id: PacketId,
    /// Reason Code of MQTT 5; [`ReasonCode::Success`] before.
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

impl From<PacketId> for Ack<'_> {
    fn from(packet_id: PacketId) -> Self {
        Self { packet_id, reason: ReasonCode::Success, properties: Properties::default() }
    }
}

/// SUBSCRIBE (section 3.8): at least one filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Packet Identifier.
    pub packet_id: PacketId,
    /// Topic Filters with their options, in order.
    pub filters: Vec<(&'a TopicFilter, SubscriptionOptions)>,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// SUBACK (section 3.9).
#[derive(Clone, Debug, PartialEq)]
pub struct Suback<'a> {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// An answer for each filter, in order.
    pub codes: Vec<SubackCode>,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// The answer to one Topic Filter of a SUBSCRIBE (section 3.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubackCode {
    /// The maximum QoS granted.
    Granted(QoS),
    /// Refused: 0x80 before MQTT 5.
    Failure(ReasonCode),
}

impl fmt::Display for SubackCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted(qos) => write!(f, "granted QoS {}", *qos as u8),
            Self::Failure(reason) => reason.fmt(f),
        }
    }
}

/// UNSUBSCRIBE (section 3.10): at least one filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Packet Identifier.
    pub packet_id: PacketId,
    /// Topic Filters, in order.
    pub filters: Vec<&'a TopicFilter>,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// UNSUBACK (section 3.11).
#[derive(Clone, Debug, PartialEq)]
pub struct Unsuback<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// An answer for each filter, in order; none before MQTT 5.
    pub codes: Vec<ReasonCode>,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// AUTH (MQTT 5 section 3.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// Authentication Method and Data, and other properties.
    pub properties: Properties<'a>,
}

/// DISCONNECT (section 3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Reason Code of MQTT 5; [`ReasonCode::Success`] before.
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: Properties<'a>,
}
