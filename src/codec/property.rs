//! [`PropertyId`]: the table of MQTT 5 properties: type, packets that may have it, and whether it may repeat (section
//! 2.2.2.2 there).

use std::fmt;

use super::PacketType;

/// A property (section 2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum PropertyId {
    PayloadFormatIndicator = 0x01,
    MessageExpiryInterval = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionIdentifier = 0x0B,
    SessionExpiryInterval = 0x11,
    AssignedClientIdentifier = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelayInterval = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1A,
    ServerReference = 0x1C,
    ReasonString = 0x1F,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQos = 0x24,
    RetainAvailable = 0x25,
    UserProperty = 0x26,
    MaximumPacketSize = 0x27,
    WildcardSubscriptionAvailable = 0x28,
    SubscriptionIdentifierAvailable = 0x29,
    SharedSubscriptionAvailable = 0x2A,
}

/// The carrier of a property: a packet of some type, or the Will of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A packet of this type.
    Packet(PacketType),
    /// The Will Properties of a CONNECT (section 3.1.3.2).
    Will,
}

/// The type of a property.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    U16,
    /// A Two Byte Integer that is not 0.
    U16Above0,
    U32,
    /// A Four Byte Integer that is not 0.
    U32Above0,
    /// A Variable Byte Integer that is not 0.
    VariableAbove0,
    Text,
    /// A Text that is a Topic Name.
    Topic,
    Bytes,
    Pair,
}

/// A row of the table.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) id: PropertyId,
    name: &'static str,
    pub(super) kind: Kind,
    /// A bit for each [`Carrier`].
    pub(super) carriers: u16,
    /// May it repeat?
    pub(super) repeats: bool,
}

const NUMBERS: usize = 0x2B;

/// The table, by identifier (section 2.2.2.2, Table 2-4).
static RULES: [Option<Rule>; NUMBERS] = {
    use Kind::*;
    const CONNECT: u16 = Carrier::Packet(PacketType::Connect).bit();
    const CONNACK: u16 = Carrier::Packet(PacketType::Connack).bit();
    const PUBLISH: u16 = Carrier::Packet(PacketType::Publish).bit();
    const SUBSCRIBE: u16 = Carrier::Packet(PacketType::Subscribe).bit();
    const DISCONNECT: u16 = Carrier::Packet(PacketType::Disconnect).bit();
    const AUTH: u16 = Carrier::Packet(PacketType::Auth).bit();
    const WILL: u16 = Carrier::Will.bit();
    const MESSAGE: u16 = PUBLISH | WILL;
    /// The bits of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
    const ACKNOWLEDGEMENTS: u16 = 0b1010_1111_0000;
    const UNSUBSCRIBE: u16 = Carrier::Packet(PacketType::Unsubscribe).bit();
    const EVERY: u16 = CONNECT | CONNACK | MESSAGE | ACKNOWLEDGEMENTS | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT | AUTH;
    #[rustfmt::skip]
    let rules = [
        rule(PropertyId::PayloadFormatIndicator,          "Payload Format Indicator",           Flag,           MESSAGE),
        rule(PropertyId::MessageExpiryInterval,           "Message Expiry Interval",            U32,            MESSAGE),
        rule(PropertyId::ContentType,                     "Content Type",                       Text,           MESSAGE),
        rule(PropertyId::ResponseTopic,                   "Response Topic",                     Topic,          MESSAGE),
        rule(PropertyId::CorrelationData,                 "Correlation Data",                   Bytes,          MESSAGE),
        // a server may put several into a PUBLISH, a client none: `decode_from_client` and `decode_publish` check that
        repeats(rule(PropertyId::SubscriptionIdentifier,  "Subscription Identifier",            VariableAbove0, PUBLISH | SUBSCRIBE)),
        rule(PropertyId::SessionExpiryInterval,           "Session Expiry Interval",            U32,            CONNECT | CONNACK | DISCONNECT),
        rule(PropertyId::AssignedClientIdentifier,        "Assigned Client Identifier",         Text,           CONNACK),
        rule(PropertyId::ServerKeepAlive,                 "Server Keep Alive",                  U16,            CONNACK),
        rule(PropertyId::AuthenticationMethod,            "Authentication Method",              Text,           CONNECT | CONNACK | AUTH),
        rule(PropertyId::AuthenticationData,              "Authentication Data",                Bytes,          CONNECT | CONNACK | AUTH),
        rule(PropertyId::RequestProblemInformation,       "Request Problem Information",        Flag,           CONNECT),
        rule(PropertyId::WillDelayInterval,               "Will Delay Interval",                U32,            WILL),
        rule(PropertyId::RequestResponseInformation,      "Request Response Information",       Flag,           CONNECT),
        rule(PropertyId::ResponseInformation,             "Response Information",               Text,           CONNACK),
        rule(PropertyId::ServerReference,                 "Server Reference",                   Text,           CONNACK | DISCONNECT),
        rule(PropertyId::ReasonString,                    "Reason String",                      Text,           CONNACK | ACKNOWLEDGEMENTS | DISCONNECT | AUTH),
        rule(PropertyId::ReceiveMaximum,                  "Receive Maximum",                    U16Above0,      CONNECT | CONNACK),
        rule(PropertyId::TopicAliasMaximum,               "Topic Alias Maximum",                U16,            CONNECT | CONNACK),
        rule(PropertyId::TopicAlias,                      "Topic Alias",                        U16Above0,      PUBLISH),
        rule(PropertyId::MaximumQos,                      "Maximum QoS",                        Flag,           CONNACK),
        rule(PropertyId::RetainAvailable,                 "Retain Available",                   Flag,           CONNACK),
        repeats(rule(PropertyId::UserProperty,            "User Property",                      Pair,           EVERY)),
        rule(PropertyId::MaximumPacketSize,               "Maximum Packet Size",                U32Above0,      CONNECT | CONNACK),
        rule(PropertyId::WildcardSubscriptionAvailable,   "Wildcard Subscription Available",    Flag,           CONNACK),
        rule(PropertyId::SubscriptionIdentifierAvailable, "Subscription Identifiers Available", Flag,           CONNACK),
        rule(PropertyId::SharedSubscriptionAvailable,     "Shared Subscription Available",      Flag,           CONNACK),
    ];
    let mut table = [None; NUMBERS];
    let mut at = 0;
    while at < rules.len() {
        table[rules[at].id as usize] = Some(rules[at]);
        at += 1;
    }
    table
};

const fn rule(id: PropertyId, name: &'static str, kind: Kind, carriers: u16) -> Rule {
    Rule { id, name, kind, carriers, repeats: false }
}

const fn repeats(rule: Rule) -> Rule {
    Rule { repeats: true, ..rule }
}

impl Carrier {
    pub(super) const fn bit(self) -> u16 {
        match self {
            Self::Packet(packet) => 1 << packet as u16,
            Self::Will => 1,
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(packet) => packet.fmt(f),
            Self::Will => f.write_str("Will"),
        }
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(rule_of(*self as u8).map_or("", |rule| rule.name))
    }
}

impl PropertyId {
    /// All properties.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().flatten().map(|rule| rule.id)
    }

    /// May this carrier have it?
    pub fn is_for(self, carrier: Carrier) -> bool {
        rule_of(self as u8).is_some_and(|rule| rule.carriers & carrier.bit() != 0)
    }
}

pub(super) fn rule_of(id: u8) -> Option<&'static Rule> {
    RULES.get(usize::from(id))?.as_ref()
}
