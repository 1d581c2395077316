//! [`DecodeError`] and [`EncodeError`]: errors in received bytes, or in a packet to be written, with their texts. The
//! caller decides what to do.

use std::fmt;

use thiserror::Error;

use crate::topic::TopicError;

use super::{Carrier, PacketType, PropertyId, ReasonCode};

/// Why bytes are not a packet. The message names the violated normative statement of MQTT 3.1.1 (OASIS standard, 29
/// October 2014), or the section if it has no number; for fields that 3.1.1 does not have, of MQTT 5 (OASIS standard, 7
/// March 2019).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Control Packet type 0 or 15.
    #[error("packet type {0} is reserved (section 2.2.1) [MQTT-4.8.0-1]")]
    ReservedType(u8),
    /// The flags of the fixed header are not those of the packet type.
    #[error("{packet} has the flags {flags:#06b} in its fixed header [MQTT-2.2.2-2]")]
    HeaderFlags {
        /// The type of the packet.
        packet: PacketType,
        /// Bits 3 to 0 of the first byte.
        flags: u8,
    },
    /// PUBLISH with both QoS bits set.
    #[error("PUBLISH has QoS 3 [MQTT-3.3.1-4]")]
    PublishQos,
    /// PUBLISH with DUP and QoS 0.
    #[error("PUBLISH has DUP set and QoS 0 [MQTT-3.3.1-2]")]
    PublishDup,
    /// The fourth byte of the Remaining Length has its continuation bit set.
    #[error("Remaining Length has more than 4 bytes (section 2.2.3) [MQTT-4.8.0-1]")]
    RemainingLength,
    /// A packet of this type cannot be so short or so long.
    #[error("{packet} cannot have a Remaining Length of {length} [MQTT-4.8.0-1]")]
    PacketLength {
        /// The type of the packet.
        packet: PacketType,
        /// Its Remaining Length.
        length: usize,
    },
    /// The packet is larger than the receiver accepts.
    #[error("packet of {size} bytes is larger than the limit of {limit}")]
    PacketTooLarge {
        /// Bytes of the whole packet, its fixed header included.
        size: usize,
        /// The receiver's limit.
        limit: usize,
    },
    /// A packet that only servers send.
    #[error("a client may not send {0} (section 2.2.1) [MQTT-4.8.0-1]")]
    NotFromClient(PacketType),
    /// The packet ends before a field does.
    #[error("packet ends before the end of its {0} [MQTT-4.8.0-1]")]
    Truncated(Field),
    /// The packet has bytes after its last field.
    #[error("packet has {0} bytes after its last field [MQTT-4.8.0-1]")]
    TrailingBytes(usize),
    /// Text that is not well-formed UTF-8; surrogates are not.
    #[error("{0} is not well-formed UTF-8 [MQTT-1.5.3-1]")]
    IllFormedText(Field),
    /// U+0000 in text.
    #[error("{0} contains U+0000 [MQTT-1.5.3-2]")]
    NullInText(Field),
    /// An invalid Topic Name or Topic Filter.
    #[error("{field} {error}")]
    Topic {
        /// The field.
        field: Field,
        /// The reason.
        error: TopicError,
    },
    /// Packet Identifier 0.
    #[error("Packet Identifier is 0 [MQTT-2.3.1-1]")]
    PacketIdZero,
    /// CONNECT whose Protocol Name is neither `MQTT` nor `MQIsdp`.
    #[error("Protocol Name is neither `MQTT` nor `MQIsdp` [MQTT-3.1.2-1]")]
    ProtocolName,
    /// CONNECT with an unsupported version. The server answers with CONNACK and return code 1, as MQTT 3.1.1 demands,
    /// then closes.
    #[error("Protocol Level {0} is not supported [MQTT-3.1.2-2]")]
    UnsupportedLevel(u8),
    /// CONNECT with bit 0 of the Connect Flags set.
    #[error("CONNECT has its reserved flag set [MQTT-3.1.2-3]")]
    ConnectReservedFlag,
    /// CONNECT with a Will QoS and no Will Flag.
    #[error("CONNECT has Will QoS {0} without the Will Flag [MQTT-3.1.2-13] [MQTT-3.1.2-11]")]
    WillQosWithoutWill(u8),
    /// CONNECT with Will QoS 3.
    #[error("CONNECT has Will QoS 3 [MQTT-3.1.2-14]")]
    WillQos,
    /// CONNECT with Will Retain and no Will Flag.
    #[error("CONNECT has Will Retain without the Will Flag [MQTT-3.1.2-15] [MQTT-3.1.2-11]")]
    WillRetainWithoutWill,
    /// CONNECT with a Password and no User Name.
    #[error("CONNECT has the Password Flag without the User Name Flag [MQTT-3.1.2-22]")]
    PasswordWithoutUsername,
    /// CONNACK with a reserved bit set in its acknowledge flags.
    #[error("CONNACK has the acknowledge flags {0:#04x} (section 3.2.2.1) [MQTT-4.8.0-1]")]
    ConnackFlags(u8),
    /// CONNACK that refuses the connection and has Session Present set.
    #[error("CONNACK has Session Present with return code {0} [MQTT-3.2.2-4]")]
    SessionPresentInRefusal(u8),
    /// CONNACK with a reserved return code.
    #[error("CONNACK has the reserved return code {0} (section 3.2.2.3) [MQTT-4.8.0-1]")]
    ConnackCode(u8),
    /// SUBSCRIBE without a Topic Filter.
    #[error("SUBSCRIBE has no Topic Filter [MQTT-3.8.3-3]")]
    SubscribeEmpty,
    /// SUBSCRIBE that asks for QoS 3, or with a reserved bit set beside the QoS.
    #[error("SUBSCRIBE has the Requested QoS byte {0:#04x} [MQTT-3-8.3-4]")]
    RequestedQos(u8),
    /// SUBACK with a reserved return code.
    #[error("SUBACK has the reserved return code {0:#04x} [MQTT-3.9.3-2]")]
    SubackCode(u8),
    /// UNSUBSCRIBE without a Topic Filter.
    #[error("UNSUBSCRIBE has no Topic Filter [MQTT-3.10.3-2]")]
    UnsubscribeEmpty,
    /// A Variable Byte Integer of more than four bytes, or of more than its value needs.
    #[error("{0} is not a Variable Byte Integer in as few bytes as its value allows [MQTT-1.5.5-1]")]
    VariableByteInteger(Field),
    /// An unknown property, or one that this packet may not have.
    #[error("{carrier} may not have the property {id:#04x} (MQTT 5 section 2.2.2.2) [MQTT-4.13.1-1]")]
    PropertyNotAllowed {
        /// Its identifier.
        id: u8,
        /// The packet, or the Will.
        carrier: Carrier,
    },
    /// A property that may occur only once.
    #[error("the property {0} appears twice (MQTT 5 section 2.2.2.2) [MQTT-4.13.1-1]")]
    PropertyTwice(PropertyId),
    /// A property with a forbidden value.
    #[error("the property {id} has the value {value} (MQTT 5 section 2.2.2.2) [MQTT-4.13.1-1]")]
    PropertyOutOfRange {
        /// The property.
        id: PropertyId,
        /// Its value.
        value: u32,
    },
    /// PUBLISH of a client with a Subscription Identifier.
    #[error("PUBLISH of a client has a Subscription Identifier [MQTT-3.3.4-6]")]
    IdentifierFromClient,
    /// PUBLISH with neither Topic Name nor Topic Alias.
    #[error("PUBLISH has neither Topic Name nor Topic Alias (MQTT 5 section 3.3.2.1) [MQTT-4.13.1-1]")]
    NoTopic,
    /// Authentication Data without an Authentication Method.
    #[error("Authentication Data without Authentication Method (MQTT 5 section 3.1.2.11.10) [MQTT-4.13.1-1]")]
    DataWithoutMethod,
    /// AUTH without an Authentication Method.
    #[error("AUTH has no Authentication Method (MQTT 5 section 3.15.2.2.2) [MQTT-4.13.1-1]")]
    AuthWithoutMethod,
    /// An unknown Reason Code, or one that this packet may not have.
    #[error("{packet} has the Reason Code {code:#04x} (MQTT 5 section 2.4) [MQTT-4.13.1-1]")]
    Reason {
        /// The type of the packet.
        packet: PacketType,
        /// Its Reason Code.
        code: u8,
    },
    /// SUBSCRIBE with a reserved bit of the Subscription Options set.
    #[error("SUBSCRIBE has the Subscription Options {0:#04x} [MQTT-3.8.3-5]")]
    SubscriptionOptions(u8),
    /// SUBSCRIBE with Retain Handling 3.
    #[error("SUBSCRIBE has Retain Handling 3 (MQTT 5 section 3.8.3.1) [MQTT-4.13.1-1]")]
    RetainHandling,
    /// SUBSCRIBE with QoS 3.
    #[error("SUBSCRIBE has Maximum QoS 3 (MQTT 5 section 3.8.3.1) [MQTT-4.13.1-1]")]
    MaximumQos,
    /// SUBSCRIBE to a shared subscription with No Local.
    #[error("SUBSCRIBE has No Local for a shared subscription [MQTT-3.8.3-4]")]
    SharedNoLocal,
}

impl DecodeError {
    /// The Reason Code of MQTT 5 for this error.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::UnsupportedLevel(_) => ReasonCode::UnsupportedProtocolVersion,
            Self::PropertyOutOfRange { id: PropertyId::TopicAlias, .. } => ReasonCode::TopicAliasInvalid,
            Self::NotFromClient(_)
            | Self::ProtocolName
            | Self::SubscribeEmpty
            | Self::UnsubscribeEmpty
            | Self::PropertyTwice(_)
            | Self::PropertyOutOfRange { .. }
            | Self::IdentifierFromClient
            | Self::NoTopic
            | Self::DataWithoutMethod
            | Self::AuthWithoutMethod
            | Self::Reason { .. }
            | Self::RetainHandling
            | Self::MaximumQos
            | Self::SharedNoLocal => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }
}

/// Why a packet cannot be written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Longer than 65,535 bytes, the largest two-byte length (section 1.5.3).
    #[error("{0} is longer than 65,535 bytes")]
    FieldTooLong(Field),
    /// Longer than 268,435,455 bytes, the largest Remaining Length (section 2.2.3).
    #[error("packet has {0} bytes after its fixed header, more than 268,435,455")]
    PacketTooLarge(usize),
}

/// A field of a packet, by the name the specification gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// CONNECT (3.1.2.1).
    ProtocolName,
    /// CONNECT (3.1.2.2).
    ProtocolLevel,
    /// CONNECT (3.1.2.3).
    ConnectFlags,
    /// CONNECT (3.1.2.10).
    KeepAlive,
    /// CONNECT (3.1.3.1).
    ClientId,
    /// CONNECT (3.1.3.2).
    WillTopic,
    /// CONNECT (3.1.3.3).
    WillMessage,
    /// CONNECT (3.1.3.4).
    UserName,
    /// CONNECT (3.1.3.5).
    Password,
    /// CONNACK (3.2.2.1).
    AcknowledgeFlags,
    /// CONNACK (3.2.2.3).
    ReturnCode,
    /// PUBLISH (3.3.2.1).
    TopicName,
    /// All that are answered, and their answers (2.3.1).
    PacketId,
    /// SUBSCRIBE (3.8.3), UNSUBSCRIBE (3.10.3).
    TopicFilter,
    /// SUBSCRIBE (3.8.3).
    RequestedQos,
    /// MQTT 5 (2.2.2.1).
    PropertyLength,
    /// MQTT 5 (2.2.2.2).
    Properties,
    /// MQTT 5 (2.2.2.2).
    Property(PropertyId),
    /// MQTT 5 (2.4).
    ReasonCode,
    /// MQTT 5 (3.8.3.1).
    SubscriptionOptions,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Property(property) => return property.fmt(f),
            Self::ProtocolName => "Protocol Name",
            Self::ProtocolLevel => "Protocol Level",
            Self::ConnectFlags => "Connect Flags",
            Self::KeepAlive => "Keep Alive",
            Self::ClientId => "Client Identifier",
            Self::WillTopic => "Will Topic",
            Self::WillMessage => "Will Message",
            Self::UserName => "User Name",
            Self::Password => "Password",
            Self::AcknowledgeFlags => "acknowledge flags",
            Self::ReturnCode => "return code",
            Self::TopicName => "Topic Name",
            Self::PacketId => "Packet Identifier",
            Self::TopicFilter => "Topic Filter",
            Self::RequestedQos => "Requested QoS",
            Self::PropertyLength => "Property Length",
            Self::Properties => "properties",
            Self::ReasonCode => "Reason Code",
            Self::SubscriptionOptions => "Subscription Options",
        })
    }
}
