//! The types that inspection returns.

use std::time::{Duration, Instant};

use super::super::{
    ports::PeerAddress,
    sessions::{Flow, Moments, Presence, SlotState},
};
use crate::{
    codec::Properties,
    session::{Drops, Holds, Message, Stage, StoredWill, WaitingMessage},
    topic::TopicName,
    types::{ClientId, ProtocolVersion, QoS},
};

/// Where a walk goes on. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(super) u64);

impl Cursor {
    /// As a number, for a text; it means something to the same process alone.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The cursor with that number: any is one.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Which clients are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Those that are connected, and those that have a session.
    #[default]
    All,
    /// Those that are connected.
    Connected,
    /// Those that have a session and are away.
    Away,
}

/// A client and its session, as they are at the moment at which they are looked at: the session is locked.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientView<'a> {
    /// Client Identifier.
    pub client: &'a ClientId,
    /// The User Name in force; of a session from before a restart, that of its owner.
    pub user: Option<&'a str>,
    /// The version that it speaks, or spoke last.
    pub version: ProtocolVersion,
    /// The listener it came through, or came through last, by its place in the configuration.
    pub listener: u16,
    /// `None`: it is away.
    pub connection: Option<ConnectionView>,
    /// What is there whether or not it is connected.
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
    /// When its client's last packet came, to a tenth of a second.
    pub last_packet: Instant,
    /// Keep Alive, in seconds; 0: none.
    pub keep_alive: u16,
    /// What came from the client.
    pub received: Flow,
    /// What was written to it.
    pub sent: Flow,
}

/// A session.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionView<'a> {
    /// A store keeps it.
    pub kept: bool,
    /// How long it outlives its connection; `None`: for ever.
    pub expiry: Option<Duration>,
    /// When it ends if its client stays away, or when it is looked at for its Will; `None`: it is connected, or never.
    pub looked_at: Option<Instant>,
    /// How much it holds.
    pub holds: Holds,
    /// Shared subscriptions.
    pub shared_subscriptions: usize,
    /// Messages for it that were dropped.
    pub drops: Drops,
    /// The Will of its client.
    pub will: Option<WillView<'a>>,
}

/// A Will.
#[derive(Debug)]
#[non_exhaustive]
pub struct WillView<'a> {
    /// Will Topic.
    pub topic: &'a TopicName,
    /// Will Payload.
    pub payload: &'a [u8],
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval.
    pub delay: Duration,
    /// The Will Properties that are passed on.
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

/// A message that waits for a client. It shares topic and payload with the broker.
#[derive(Clone, Debug)]
pub struct QueuedMessage(pub(super) WaitingMessage);

/// A message that was sent to a client and is not completed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InFlightMessage {
    /// Packet Identifier.
    pub packet_id: u16,
    /// How far it has come.
    pub stage: Stage,
    message: Option<Message>,
}

/// A retained message. It shares topic and payload with the broker.
#[derive(Clone, Debug)]
pub struct RetainedMessage {
    pub(super) message: Message,
    pub(super) own: bool,
}

impl QueuedMessage {
    /// Topic Name.
    pub fn topic(&self) -> &TopicName {
        self.0.message.topic()
    }

    /// Application Message.
    pub fn payload(&self) -> &[u8] {
        self.0.message.payload()
    }

    /// The publisher's properties, without Topic Alias and Message Expiry Interval.
    pub fn properties(&self) -> Properties<'_> {
        self.0.message.extras().properties
    }

    /// At which it is to be sent.
    pub fn qos(&self) -> QoS {
        self.0.qos
    }

    /// It is sent with RETAIN.
    pub fn retain(&self) -> bool {
        self.0.retain
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Instant> {
        self.0.message.expires()
    }
}

impl InFlightMessage {
    pub(super) fn new(packet_id: u16, stage: Stage, message: Option<Message>) -> Self {
        Self { packet_id, stage, message }
    }

    /// Topic Name; `None` where the message is not kept: see [`payload`](Self::payload).
    pub fn topic(&self) -> Option<&TopicName> {
        self.message.as_ref().map(Message::topic)
    }

    /// Application Message; `None` where it would not be sent again: after PUBREC, or in a session that ends with its
    /// connection.
    pub fn payload(&self) -> Option<&[u8]> {
        self.message.as_ref().map(Message::payload)
    }

    /// The publisher's properties, without Topic Alias and Message Expiry Interval.
    pub fn properties(&self) -> Option<Properties<'_>> {
        self.message.as_ref().map(|message| message.extras().properties)
    }
}

impl RetainedMessage {
    /// Topic Name.
    pub fn topic(&self) -> &TopicName {
        self.message.topic()
    }

    /// Application Message.
    pub fn payload(&self) -> &[u8] {
        self.message.payload()
    }

    /// The publisher's properties, without Topic Alias and Message Expiry Interval.
    pub fn properties(&self) -> Properties<'_> {
        self.message.extras().properties
    }

    /// The QoS it was published at.
    pub fn qos(&self) -> QoS {
        self.message.qos()
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Instant> {
        self.message.expires()
    }

    /// It is the broker's own: of `$SYS`.
    pub fn is_own(&self) -> bool {
        self.own
    }
}
