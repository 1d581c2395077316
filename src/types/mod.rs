//! The words that all rooms share: [`QoS`], [`PacketId`], [`ClientId`], [`UserName`], [`ProtocolVersion`],
//! [`Endpoint`], [`Transport`], [`TlsRecords`], [`QueueFull`], [`SessionOwnership`], [`ClientIdBinding`],
//! [`SubscriptionOptions`], [`SharedSubscriptions`], [`Contents`], [`Network`], [`Frequency`], [`Role`], [`Secret`],
//! [`HttpUrl`], [`LoginWay`], [`Told`], [`PayloadForm`]. They have no behaviour.

mod contents;
mod http_url;
mod listening;
mod login;
mod network;
mod parts;
mod role;
mod secret;
mod small_sort;
mod told;

use std::{
    fmt,
    hash::{Hash, Hasher},
    num::{NonZeroU16, NonZeroU32},
};

use triomphe::ThinArc;

pub use contents::{Contents, without_mark};
pub use http_url::{HttpUrl, percent_encode};
pub use listening::{Endpoint, TlsRecords, Transport};
pub use login::{LOGIN_VARIABLES, LoginWay};
pub use network::{Network, NotANetwork};
pub use parts::{BRIDGES, SINKS, WEBHOOKS, is_of_part};
pub use role::Role;
pub use secret::Secret;
pub use small_sort::{sort_by, sort_by_key};
pub use told::{PayloadForm, Told};

/// Quality of Service of a message or a subscription (MQTT 3.1.1 section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: at most once.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: at least once.
    AtLeastOnce = 1,
    /// QoS 2: exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// Decodes the two bits of the wire; `None` for the reserved value 3.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// How often something may happen: so many times in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// How many times.
    pub most: u32,
    /// The time.
    pub within: std::time::Duration,
}

/// Packet Identifier (MQTT 3.1.1 section 2.3.1): never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The first Packet Identifier.
    pub const MIN: Self = Self(NonZeroU16::MIN);

    /// `None` if `id` is 0, which is not a valid Packet Identifier.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Client Identifier (MQTT 3.1.1 section 3.1.3.1); cheap to clone, as large as a pointer.
#[derive(Clone)]
pub struct ClientId(ThinArc<(), u8>);

impl ClientId {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0.slice).expect("copied from a str")
    }
}

impl From<&str> for ClientId {
    fn from(id: &str) -> Self {
        Self(ThinArc::from_header_and_slice((), id.as_bytes()))
    }
}

/// User Name (MQTT 3.1.1 section 3.1.3.4); as large as a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(ClientId);

impl UserName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<&str> for UserName {
    fn from(name: &str) -> Self {
        Self(ClientId::from(name))
    }
}

impl PartialEq for ClientId {
    fn eq(&self, other: &Self) -> bool {
        self.0.slice == other.0.slice
    }
}

impl Eq for ClientId {}

impl Hash for ClientId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.slice.hash(state);
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The protocol version of a client, from the Protocol Level of its CONNECT (section 3.1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// MQTT 3.1: `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: `MQTT`, level 4.
    #[default]
    V311,
    /// MQTT 5: `MQTT`, level 5.
    V5,
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

/// Which clients may have the session of another user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionOwnership {
    /// No client, as long as that user is configured.
    #[default]
    User,
    /// Every client that is let in.
    Anyone,
}

/// How a Client Identifier is bound to the client's user name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientIdBinding {
    /// It is not bound.
    #[default]
    Any,
    /// It is the user name.
    IsUser,
    /// It begins with the user name.
    BeginsWithUser,
    /// The user name replaces it.
    FromUser,
}

/// Which message is dropped when a session's queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueFull {
    /// The new one.
    #[default]
    DropNewest,
    /// The oldest one.
    DropOldest,
    /// The oldest message of the same topic. If there is none: the oldest one that has a newer one of its topic. If
    /// each is the newest of its topic: the oldest one.
    KeepLast,
}

/// The policy by which a group of shared subscriptions chooses the member for a message (MQTT 5 section 4.8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedSubscriptions {
    /// One after the other, of the members that are connected and have room.
    #[default]
    RoundRobin,
    /// Any of these.
    Random,
    /// The same member until it disconnects or does not read its messages.
    Sticky,
    /// By the Client Identifier of the publisher: the same member while the connected members stay the same.
    HashClient,
    /// The same by the topic.
    HashTopic,
    /// There are no new shared subscriptions; those that there are go on, as by [`RoundRobin`](Self::RoundRobin).
    Off,
}

/// What one subscription asks for (MQTT 5 section 3.8.3.1). MQTT 3.1.1 knows the QoS alone; the subscriptions of
/// bridges have No Local and Retain As Published there too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The maximum QoS at which messages may be sent to the subscriber.
    pub qos: QoS,
    /// No Local: messages that the subscriber itself publishes are not sent to it.
    pub no_local: bool,
    /// Retain As Published: RETAIN is sent as the publisher set it; without this, it is set only on retained messages
    /// that the subscription brings.
    pub retain_as_published: bool,
    /// Retain Handling: which retained messages it brings.
    pub retain_handling: RetainHandling,
    /// Subscription Identifier: the subscriber is told it with each message.
    pub identifier: Option<NonZeroU32>,
}

impl SubscriptionOptions {
    /// Does it ask for more than a QoS when messages are delivered?
    pub fn is_special(&self) -> bool {
        self.no_local || self.retain_as_published || self.identifier.is_some()
    }
}

/// Whether a SUBSCRIBE brings the retained messages that match (MQTT 5 section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Whenever it comes.
    #[default]
    Send = 0,
    /// If the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl RetainHandling {
    /// The value of the two bits on the wire; `None`: the reserved value 3.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

impl From<QoS> for SubscriptionOptions {
    fn from(qos: QoS) -> Self {
        Self { qos, ..Self::default() }
    }
}
