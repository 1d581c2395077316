//! [`Observe`]: the port of observers; [`Event`]: what they are told; [`EventKinds`]: the kinds of events that one of
//! them wants; [`ClientInfo`]: the description of a client in events, besides its identifier.

use std::{
    ops::BitOr,
    time::{Duration, Instant, SystemTime},
};

use super::{clients::PeerAddress, drop_reason::DropReason, store::Condition};
use crate::{
    codec::{Properties, ReasonCode},
    session::CloseReason,
    topic::{TopicFilter, TopicName},
    types::{ClientId, Network, ProtocolVersion, QoS, SubscriptionOptions},
};

/// Kinds of events, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(u32);

impl EventKinds {
    /// None: nothing is computed for such an observer.
    pub const NONE: Self = Self(0);
    /// All but [`TIMED`](Self::TIMED), [`REFUSE`](Self::REFUSE), [`BAN`](Self::BAN), [`STORE`](Self::STORE),
    /// [`BRIDGE`](Self::BRIDGE), [`ACKNOWLEDGE`](Self::ACKNOWLEDGE), [`START`](Self::START) and [`STOP`](Self::STOP),
    /// which have to be asked for.
    pub const ALL: Self = Self(0x3FF);
    /// `Event::Connect`.
    pub const CONNECT: Self = Self(1);
    /// `Event::Disconnect`.
    pub const DISCONNECT: Self = Self(1 << 1);
    /// `Event::Subscribe`.
    pub const SUBSCRIBE: Self = Self(1 << 2);
    /// `Event::Unsubscribe`.
    pub const UNSUBSCRIBE: Self = Self(1 << 3);
    /// `Event::Publish`.
    pub const PUBLISH: Self = Self(1 << 4);
    /// `Event::Deliver`.
    pub const DELIVER: Self = Self(1 << 5);
    /// `Event::Drop`.
    pub const DROP: Self = Self(1 << 6);
    /// `Event::Ping`.
    pub const PING: Self = Self(1 << 7);
    /// `Event::Will`.
    pub const WILL: Self = Self(1 << 8);
    /// `Event::SessionExpired`.
    pub const SESSION_EXPIRED: Self = Self(1 << 9);

    /// With the payloads of messages, for streams: see [`EventStream`](crate::inspect::EventStream). Observers always
    /// get them.
    pub const PAYLOADS: Self = Self(1 << 10);

    /// `Event::Timed`: of few messages. An observer that wants it has some messages timed.
    pub const TIMED: Self = Self(1 << 11);

    /// `Event::Refuse`.
    pub const REFUSE: Self = Self(1 << 12);
    /// `Event::Ban`.
    pub const BAN: Self = Self(1 << 13);
    /// `Event::Store`.
    pub const STORE: Self = Self(1 << 14);
    /// `Event::Bridge`.
    pub const BRIDGE: Self = Self(1 << 15);
    /// `Event::Acknowledge`. While an observer wants it, every session keeps its messages until they are acknowledged.
    pub const ACKNOWLEDGE: Self = Self(1 << 16);
    /// `Event::Start`.
    pub const START: Self = Self(1 << 17);
    /// `Event::Stop`.
    pub const STOP: Self = Self(1 << 18);

    /// As a number.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// The set with this number.
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Both of them.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is one of the `others` in this set?
    #[inline]
    pub const fn have(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl BitOr for EventKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// The description of a client in events, besides its identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo<'a> {
    /// The User Name in force.
    pub user: Option<&'a str>,
    /// Its listener, by its place in the configuration.
    pub listener: u16,
    /// Its protocol version.
    pub version: ProtocolVersion,
}

impl<'a> ClientInfo<'a> {
    pub(crate) fn new(user: Option<&'a str>, listener: u16, version: ProtocolVersion) -> Self {
        Self { user, listener, version }
    }
}

/// An event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client was accepted.
    Connect {
        /// The client.
        client: &'a ClientId,
        /// Its description.
        info: ClientInfo<'a>,
        /// Its address.
        peer: PeerAddress,
        /// Its protocol version.
        version: ProtocolVersion,
        /// Clean Session of its CONNECT; in MQTT 5, Clean Start.
        clean_session: bool,
        /// Did the session exist before?
        session_present: bool,
        /// The properties of its CONNECT, including User Properties; empty before MQTT 5.
        properties: Properties<'a>,
    },
    /// A client's connection ended.
    Disconnect {
        /// The client.
        client: &'a ClientId,
        /// Its description.
        info: ClientInfo<'a>,
        /// The reason.
        reason: &'a CloseReason,
        /// How long it was connected, to a tenth of a second.
        duration: Duration,
        /// Bytes of packets that it sent, without those of TLS or WebSocket.
        received_bytes: u64,
        /// The same of packets to it.
        sent_bytes: u64,
    },
    /// A subscription was granted.
    Subscribe {
        /// The client.
        client: &'a ClientId,
        /// Its description.
        info: ClientInfo<'a>,
        /// The Topic Filter.
        filter: &'a TopicFilter,
        /// The granted QoS.
        qos: QoS,
        /// The granted QoS, further options of MQTT 5, and the Subscription Identifier.
        options: SubscriptionOptions,
        /// The properties of its SUBSCRIBE, including User Properties; empty before MQTT 5.
        properties: Properties<'a>,
    },
    /// A subscription was removed.
    Unsubscribe {
        /// The client.
        client: &'a ClientId,
        /// Its description.
        info: ClientInfo<'a>,
        /// The Topic Filter.
        filter: &'a TopicFilter,
        /// The properties of its UNSUBSCRIBE, which are User Properties; empty before MQTT 5.
        properties: Properties<'a>,
    },
    /// A message was accepted.
    Publish {
        /// The publisher; `None`: the broker itself.
        client: Option<&'a ClientId>,
        /// The User Name of the publisher.
        user: Option<&'a str>,
        /// The Topic Name.
        topic: &'a TopicName,
        /// The QoS.
        qos: QoS,
        /// RETAIN.
        retain: bool,
        /// Bytes of the payload.
        payload: usize,
        /// The payload.
        content: &'a [u8],
        /// The forwarded properties, including User Properties, without Topic Alias and Message Expiry Interval; empty
        /// before MQTT 5.
        properties: Properties<'a>,
        /// When it expires, from its Message Expiry Interval.
        expires: Option<Instant>,
    },
    /// A message for a connected client was added to its output.
    Deliver {
        /// The subscriber.
        client: &'a ClientId,
        /// The Topic Name.
        topic: &'a TopicName,
        /// The QoS of the delivery.
        qos: QoS,
        /// Bytes of the payload.
        payload: usize,
        /// The payload.
        content: &'a [u8],
        /// Its properties from the publisher. They are not sent to a client of MQTT 3.1 or 3.1.1.
        properties: Properties<'a>,
    },
    /// A message was dropped.
    Drop {
        /// The subscriber; for [`DropReason::SysTopic`], [`DropReason::NotAuthorized`] and [`DropReason::WillsFull`],
        /// the publisher.
        client: &'a ClientId,
        /// The Topic Name.
        topic: &'a TopicName,
        /// Bytes of the payload.
        payload: usize,
        /// The reason.
        reason: DropReason,
    },
    /// PINGREQ.
    Ping {
        /// The client.
        client: &'a ClientId,
    },
    /// A Will was published. It was reported as [`Publish`](Self::Publish) before.
    Will {
        /// The client.
        client: &'a ClientId,
        /// The User Name of the client.
        user: Option<&'a str>,
        /// The Topic Name.
        topic: &'a TopicName,
        /// The QoS.
        qos: QoS,
        /// RETAIN.
        retain: bool,
        /// The payload.
        content: &'a [u8],
        /// Its properties, including User Properties; empty before MQTT 5.
        properties: Properties<'a>,
    },
    /// A session expired.
    SessionExpired {
        /// The client.
        client: &'a ClientId,
        /// The least time that the client was away.
        after: Duration,
    },
    /// A subscriber acknowledged a message that was sent to it: with PUBACK, at QoS 2 with PUBCOMP, or with an error.
    Acknowledge {
        /// The subscriber.
        client: &'a ClientId,
        /// The Topic Name.
        topic: &'a TopicName,
        /// The QoS of the delivery.
        qos: QoS,
        /// Bytes of the payload.
        payload: usize,
        /// Its properties from the publisher.
        properties: Properties<'a>,
        /// The Reason Code of the acknowledgement, if it is an error of 0x80 or more.
        error: Option<ReasonCode>,
    },
    /// A subscriber acknowledged a message that was timed. Few are: one of a session at a time.
    Timed {
        /// The subscriber.
        client: &'a ClientId,
        /// The Topic Name.
        topic: &'a TopicName,
        /// The QoS of the delivery.
        qos: QoS,
        /// From the PUBLISH of the publisher until the message was sent.
        queued: Duration,
        /// From then on until it was acknowledged.
        unacknowledged: Duration,
    },
    /// A CONNECT was refused.
    Refuse {
        /// The Client Identifier in it; `None`: it is empty.
        client: Option<&'a str>,
        /// The client's description, with the User Name of the certificate or the CONNECT, which may not be its own.
        info: ClientInfo<'a>,
        /// The client's address.
        peer: PeerAddress,
        /// The reason.
        reason: &'a CloseReason,
    },
    /// A ban was added. It is for clients that meet all of its conditions.
    Ban {
        /// A Client Identifier.
        client: Option<&'a str>,
        /// A User Name.
        user: Option<&'a str>,
        /// A network.
        network: Option<Network>,
        /// Why; may be empty.
        reason: &'a str,
        /// The administrator who added it; `dunlin`: the broker itself.
        by: &'a str,
        /// Its end; `None`: an administrator ends it.
        until: Option<SystemTime>,
    },
    /// The broker started.
    Start,
    /// The broker stops.
    Stop,
    /// The condition of the store has changed to this one.
    Store(Condition),
    /// A bridge connected, or its connection ended or did not begin.
    Bridge {
        /// Its name.
        name: &'a str,
        /// The address of the other broker.
        address: &'a str,
        /// Why it is not connected; `None`: it is.
        down: Option<&'a str>,
    },
}

impl Event<'_> {
    /// The kind of the event.
    #[inline(always)]
    pub const fn kind(&self) -> EventKinds {
        match self {
            Self::Connect { .. } => EventKinds::CONNECT,
            Self::Disconnect { .. } => EventKinds::DISCONNECT,
            Self::Subscribe { .. } => EventKinds::SUBSCRIBE,
            Self::Unsubscribe { .. } => EventKinds::UNSUBSCRIBE,
            Self::Publish { .. } => EventKinds::PUBLISH,
            Self::Deliver { .. } => EventKinds::DELIVER,
            Self::Drop { .. } => EventKinds::DROP,
            Self::Ping { .. } => EventKinds::PING,
            Self::Will { .. } => EventKinds::WILL,
            Self::SessionExpired { .. } => EventKinds::SESSION_EXPIRED,
            Self::Acknowledge { .. } => EventKinds::ACKNOWLEDGE,
            Self::Timed { .. } => EventKinds::TIMED,
            Self::Refuse { .. } => EventKinds::REFUSE,
            Self::Ban { .. } => EventKinds::BAN,
            Self::Start => EventKinds::START,
            Self::Stop => EventKinds::STOP,
            Self::Store(_) => EventKinds::STORE,
            Self::Bridge { .. } => EventKinds::BRIDGE,
        }
    }
}

/// Observes events. Called on the path of every message, by many threads, with locks held: do little, never block,
/// never call the router or the server.
pub trait Observe: Send + Sync {
    /// An event has happened.
    fn observe(&self, event: &Event<'_>);

    /// The kinds of events that it wants. Unwanted events cost nothing. Each thread asks at the beginning of each turn,
    /// so a changed answer applies from then on.
    fn wants(&self) -> EventKinds {
        EventKinds::ALL
    }

    /// A turn of a thread ended, in which there may have been events. No lock is held: a task may be woken here.
    fn turn_ended(&self) {}
}
