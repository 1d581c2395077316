//! The types that inspection returns.

use std::time::{Duration, Instant};

use super::super::{
    ports::PeerAddress,
    sessions::{Flow, Moments, Presence, SlotState, Tick},
    subscriptions::FoundRetained,
};
use crate::{
    codec::Properties,
    session::{Drops, Holds, Message, Stage, StoredWill, Timed, WaitingMessage},
    topic::TopicName,
    types::{ClientId, ProtocolVersion, QoS, UserName},
};

/// Where a walk continues. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(super) u64);

impl Cursor {
    /// As a number, for a text. It is valid only for this process.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The cursor with this number. Every number is valid.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Which clients are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Connected clients, and clients with a session.
    #[default]
    All,
    /// Connected clients.
    Connected,
    /// Clients with a session that are away.
    Away,
}

/// A client and its session while it is locked.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientView<'a> {
    /// The Client Identifier.
    pub client: &'a ClientId,
    /// The User Name in force; of a session from before a restart, its owner's.
    pub user: Option<&'a str>,
    /// The protocol version of the client, or of the last one.
    pub version: ProtocolVersion,
    /// The listener of its connection, or of the last one, by its place in the configuration.
    pub listener: u16,
    /// `None`: the client is away.
    pub connection: Option<ConnectionView>,
    /// Its session.
    pub session: SessionView<'a>,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionView {
    /// Its client's address.
    pub peer: PeerAddress,
    /// When its client was accepted, to a tenth of a second.
    pub since: Instant,
    /// When the last packet of its client arrived, to a tenth of a second.
    pub last_packet: Instant,
    /// Keep Alive, in seconds; 0: none.
    pub keep_alive: u16,
    /// Traffic from the client.
    pub received: Flow,
    /// Traffic to the client.
    pub sent: Flow,
}

/// A session.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionView<'a> {
    /// Is it stored?
    pub kept: bool,
    /// The session's expiry; `None`: it does not expire.
    pub expiry: Option<Duration>,
    /// When it expires if its client stays away, or when its Will is due; `None`: never, or the client is connected.
    pub looked_at: Option<Instant>,
    /// Its contents in numbers.
    pub holds: Holds,
    /// Shared subscriptions.
    pub shared_subscriptions: usize,
    /// Number of dropped messages.
    pub drops: Drops,
    /// The Will of its client.
    pub will: Option<WillView<'a>>,
    /// A message on its way that is timed, and that the client has not acknowledged.
    pub timed: Option<&'a Timed>,
}

/// A Will.
#[derive(Debug)]
#[non_exhaustive]
pub struct WillView<'a> {
    /// The Will Topic.
    pub topic: &'a TopicName,
    /// The Will Payload.
    pub payload: &'a [u8],
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval.
    pub delay: Duration,
    /// The Will Properties that are forwarded.
    pub properties: Properties<'a>,
}

impl<'a> ClientView<'a> {
    pub(super) fn of(state: &'a SlotState, moments: &Moments, most: Option<Duration>) -> Self {
        let of_owner = || state.whose.as_ref().filter(|_| state.restored_unauthenticated);
        let user = state.access.as_ref().and_then(|access| access.user());
        Self {
            client: state.session.id(),
            user: user.or_else(|| of_owner().map(|owner| owner.user.as_str())),
            version: state.version,
            listener: state.origin.listener,
            connection: state.presence().and_then(|presence| ConnectionView::of(presence, moments)),
            session: SessionView {
                kept: state.session.number().is_some(),
                expiry: state.session.expiry().within(most),
                looked_at: state.expiry().map(|(at, _)| at),
                holds: state.session.holds(),
                shared_subscriptions: state.shared.as_ref().map_or(0, |shared| shared.len()),
                drops: state.session.drops(),
                will: state
                    .session
                    .will()
                    .or_else(|| state.waiting.as_ref().map(|waiting| &waiting.will))
                    .map(WillView::of),
                timed: state.session.timed(),
            },
        }
    }
}

impl ConnectionView {
    fn of(presence: &Presence, moments: &Moments) -> Option<Self> {
        let (received, sent) = presence.flows();
        Some(Self {
            peer: presence.peer(),
            since: moments.at(presence.since())?,
            last_packet: moments.at(presence.last_packet())?,
            keep_alive: presence.keep_alive(),
            received,
            sent,
        })
    }
}

impl<'a> WillView<'a> {
    fn of(will: &'a StoredWill) -> Self {
        Self {
            topic: will.message.topic(),
            payload: will.message.payload(),
            qos: will.message.qos(),
            retain: will.retain,
            delay: will.delay().unwrap_or_default(),
            properties: will.message.extras().properties,
        }
    }
}

/// A queued message of a client. It shares topic and payload with the broker.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    waiting: WaitingMessage,
    since: Option<Instant>,
}

/// A message in flight to a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InFlightMessage {
    /// Its Packet Identifier.
    pub packet_id: u16,
    /// Its state.
    pub stage: Stage,
    message: Option<Message>,
}

/// A retained message. It shares topic and payload with the broker.
#[derive(Clone, Debug)]
pub struct RetainedMessage(pub(super) FoundRetained);

impl QueuedMessage {
    pub(super) fn of(waiting: WaitingMessage, moments: &Moments) -> Self {
        let since = waiting.message.came_at().and_then(|moment| moments.at(Tick::of(moment)));
        Self { waiting, since }
    }

    /// When it was published; `None`: before the broker's last start.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The Topic Name.
    pub fn topic(&self) -> &TopicName {
        self.waiting.message.topic()
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.waiting.message.payload()
    }

    /// The publisher's properties, without Topic Alias and Message Expiry Interval.
    pub fn properties(&self) -> Properties<'_> {
        self.waiting.message.extras().properties
    }

    /// The QoS of the delivery.
    pub fn qos(&self) -> QoS {
        self.waiting.qos
    }

    /// RETAIN of the delivery.
    pub fn retain(&self) -> bool {
        self.waiting.retain
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Instant> {
        self.waiting.message.expires()
    }
}

impl InFlightMessage {
    pub(super) fn new(packet_id: u16, stage: Stage, message: Option<Message>) -> Self {
        Self { packet_id, stage, message }
    }

    /// The Topic Name; `None` if the message is not kept: see [`payload`](Self::payload).
    pub fn topic(&self) -> Option<&TopicName> {
        self.message.as_ref().map(Message::topic)
    }

    /// The payload; `None` if it would not be sent again: after PUBREC, or in a session that ends with its connection.
    pub fn payload(&self) -> Option<&[u8]> {
        self.message.as_ref().map(Message::payload)
    }

    /// The publisher's properties, without Topic Alias and Message Expiry Interval.
    pub fn properties(&self) -> Option<Properties<'_>> {
        self.message.as_ref().map(|message| message.extras().properties)
    }
}

impl RetainedMessage {
    /// The Topic Name.
    pub fn topic(&self) -> &TopicName {
        self.0.message.topic()
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.0.message.payload()
    }

    /// The publisher's properties, without Topic Alias and Message Expiry Interval.
    pub fn properties(&self) -> Properties<'_> {
        self.0.message.extras().properties
    }

    /// The QoS of its PUBLISH.
    pub fn qos(&self) -> QoS {
        self.0.message.qos()
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Instant> {
        self.0.message.expires()
    }

    /// When it was retained; `None`: by an earlier version of the broker, which did not note it.
    pub fn since(&self) -> Option<Instant> {
        self.0.by.at
    }

    /// The client that published it, also by its Will; `None`: the broker itself, or it is not known.
    pub fn publisher(&self) -> Option<&ClientId> {
        self.0.by.publisher.as_ref().map(|publisher| &publisher.client)
    }

    /// The user of that client.
    pub fn user(&self) -> Option<&str> {
        self.0.by.publisher.as_ref()?.user.as_ref().map(UserName::as_str)
    }

    /// Is it the broker's own message, in `$SYS`?
    pub fn is_own(&self) -> bool {
        self.0.own
    }
}
