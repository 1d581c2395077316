//! The router's ports: traits by which it calls rooms that it does not import. Each is optional or has a trivial
//! implementation; `server` plugs in what the configuration asks for.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    events::{ClientInfo, EventKinds},
    store::{Login, SessionOwner},
};
use crate::{
    codec::{Properties, PropertiesBuf, ReasonCode},
    session::{CloseReason, Outgoing},
    topic::{TopicFilter, TopicName},
    types::{ClientId, ProtocolVersion, QoS, SubscriptionOptions},
};

/// Where a connection comes from. Its text is that of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; the one that a trusted proxy reports, if there is one.
    pub address: PeerAddress,
    /// The client is local: the listener it came through is bound to a loopback address, or is a Unix socket, and
    /// neither a PROXY header nor the HTTP request for a WebSocket shows that it comes from beyond this machine.
    pub loopback_listener: bool,
    /// The listener it came through, by its place in the configuration: 0 is the first.
    /// [`NO_LISTENER`](Self::NO_LISTENER): none.
    pub listener: u16,
}

impl Peer {
    /// In place of a listener: the client is within the process, asks over HTTP, or has not connected since the start.
    pub const NO_LISTENER: u16 = u16::MAX;
}

/// The address of a client. Its text is `192.0.2.7:50412`, or `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// With the port of the proxy's own connection where a proxy reports an address and no port.
    Ip(SocketAddr),
    /// A Unix socket: it has no address, and its client is on this machine.
    Unix,
}

impl PeerAddress {
    /// The IP address; that of loopback for a Unix socket.
    pub fn ip(&self) -> IpAddr {
        match self {
            Self::Ip(address) => address.ip(),
            Self::Unix => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The port; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix => 0,
        }
    }
}

impl<A: Into<SocketAddr>> From<A> for PeerAddress {
    fn from(address: A) -> Self {
        Self::Ip(address.into())
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// What a client says of itself in its CONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// Client Identifier; one that the server chose where the client sent none.
    pub client_id: &'a str,
    /// User Name; where [`certificate_name`](Self::certificate_name) is there, that.
    pub username: Option<&'a str>,
    /// The name in a certificate that the client showed and its listener has checked: nothing more has to be proved for
    /// it. Where the listener takes no names from certificates, there is none.
    pub certificate_name: Option<&'a str>,
    /// The listener takes user names from certificates: where there is none in a certificate, one that is only said is
    /// not to be believed, as it may be somebody's who has a certificate.
    pub names_in_certificates: bool,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// What it proves itself with in place of a password, by a method that [`Authenticate::serves`].
    pub authentication: Option<Authentication<'a>>,
    /// Where it comes from.
    pub peer: Peer,
    /// The version that it speaks.
    pub version: ProtocolVersion,
    /// The properties of its CONNECT, User Properties among them; before MQTT 5, none. Of a client that authenticates
    /// once more, those of its AUTH.
    pub properties: Properties<'a>,
}

/// What a client says in a CONNECT that names an Authentication Method, or in the AUTH by which it authenticates once
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// Authentication Method.
    pub method: &'a str,
    /// Authentication Data.
    pub data: Option<&'a [u8]>,
}

/// Why a client may not connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told, as far as its version has a word for it: see [`ReasonCode::connect_return_code`].
    pub code: ReasonCode,
    /// What the operator reads in the log: what was wrong, and the setting that refused it.
    pub why: Cow<'static, str>,
}

impl Refusal {
    /// A client is told `code`, and the operator `why`.
    pub fn new(code: ReasonCode, why: impl Into<Cow<'static, str>>) -> Self {
        Self { code, why: why.into() }
    }
}

/// Who a client is, as [`Authenticate`] found: what its rights follow from. The default is nobody in particular, for as
/// long as it likes.
#[derive(Clone, Default)]
pub struct Identity {
    /// The User Name in force.
    pub user: Option<Box<str>>,
    /// How it proved that the name is its own.
    pub proof: Proof,
    /// When it ends, and its connection with it: that of a token.
    pub until: Option<Instant>,
    /// What narrows its rights beside the rules: the claims of a token.
    pub narrowed: Option<Arc<dyn Rights>>,
    /// What the proof was compared with, for [`Authenticate::knows`] to see whether it still holds.
    pub evidence: Option<Arc<dyn Any + Send + Sync>>,
    /// Where it came in. The router fills this in from the connection's [`Peer`].
    pub origin: Origin,
    /// The version that it speaks. The router fills this in from its CONNECT.
    pub version: ProtocolVersion,
    /// The properties of its CONNECT, User Properties among them. The router fills this in where there are some and
    /// [`Authorize::reads_properties`] says that they are read.
    pub properties: Option<Arc<PropertiesBuf>>,
}

/// Where a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// See [`Peer::listener`].
    pub listener: u16,
    /// See [`Peer::loopback_listener`].
    pub loopback_listener: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self { listener: Peer::NO_LISTENER, loopback_listener: false }
    }
}

impl From<Peer> for Origin {
    fn from(Peer { listener, loopback_listener, .. }: Peer) -> Self {
        Self { listener, loopback_listener }
    }
}

/// How a client proved that a user name is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// It did not: it only said so.
    #[default]
    None,
    /// By a password.
    Password,
    /// By a token.
    Token,
    /// By a certificate.
    Certificate,
}

/// An answer to "may this client connect?".
pub enum Verdict {
    /// Now.
    Decided(Result<Admitted, Refusal>),
    /// When this is done; the client's connection awaits it, within the connect timeout. What the client sends
    /// meanwhile waits. If the client leaves, this is dropped.
    Later(Pending),
    /// The same, but the wait is the server's doing: it does not count in the connect timeout.
    Queued(Pending),
    /// The client has to say more: it is sent an AUTH, and `exchange` is asked what to make of its answer. Only of a
    /// client that named an Authentication Method.
    Continue {
        /// Authentication Data for the client.
        data: Vec<u8>,
        /// What goes on when the client has answered.
        exchange: Box<dyn Exchange>,
    },
}

/// A client that is let in, and what it is told.
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// Authentication Data for it; none is sent to a client that named no Authentication Method.
    pub data: Option<Vec<u8>>,
}

impl From<Identity> for Admitted {
    fn from(identity: Identity) -> Self {
        Self { identity, data: None }
    }
}

/// An exchange of AUTH packets on its way: its client was sent a challenge, and owes an answer. It is dropped where the
/// client leaves, or does not answer within the connect timeout.
pub trait Exchange: Send {
    /// The client's answer: the Authentication Data of its AUTH, empty where there is none. Called on an I/O thread: it
    /// may not wait.
    fn answer(self: Box<Self>, data: &[u8]) -> Verdict;
}

/// A verdict to come. It is polled on an I/O thread: what takes its time in it belongs on another.
pub type Pending = Pin<Box<dyn Future<Output = Verdict> + Send>>;

impl From<Result<Identity, Refusal>> for Verdict {
    fn from(decided: Result<Identity, Refusal>) -> Self {
        Self::Decided(decided.map(Admitted::from))
    }
}

/// Decides who may connect.
pub trait Authenticate: Send + Sync {
    /// Who this is, or the refusal that the client gets. Called on an I/O thread: it may not wait.
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict;

    /// Is this Authentication Method of MQTT 5 served? A client that names another is refused.
    fn serves(&self, method: &str) -> bool {
        let _ = method;
        false
    }

    /// How many verdicts are waited for in a queue of its own; `$SYS/broker/logins/waiting` says it.
    fn waiting(&self) -> usize {
        0
    }

    /// After a change ([`Router::permissions_changed`](crate::router::Router::permissions_changed)), and once more when
    /// a client is let in, as there may have been one since it was asked for: may a client that was let in as this,
    /// with a user name or without, stay? If not, its connection is closed; a session that outlives its connections
    /// waits for it to return.
    fn knows(&self, identity: &Identity) -> bool {
        let _ = identity;
        true
    }

    /// What let this client in, if that makes its sessions those of its user; `None`: they are nobody's, as the name
    /// was not proved.
    fn login(&self, identity: &Identity) -> Option<Login> {
        identity.user.as_ref().map(|_| Login::PlugIn)
    }

    /// Can this user still be let in, by what let it in before? If not, its sessions go to others that ask for them.
    /// Called with locks held: be quick, and do not call the router.
    fn is_configured(&self, owner: &SessionOwner) -> bool {
        owner.login == Login::PlugIn
    }
}

/// Decides what clients may publish, subscribe to and receive.
pub trait Authorize: Send + Sync {
    /// The rights of a client, compiled: asked when it connects, and again after
    /// [`Router::permissions_changed`](crate::router::Router::permissions_changed). `None`: it may do everything, as
    /// far as its identity is not narrowed.
    fn rights(&self, client: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>>;

    /// Is a connection closed that publishes what it may not? Otherwise the message is acknowledged and dropped; MQTT
    /// 3.1.1 leaves both to the server [MQTT-3.3.5-2].
    fn denied_publish_disconnects(&self) -> bool {
        false
    }

    /// Does [`rights`](Self::rights) read [`Identity::properties`]? Only then are they kept, for as long as the client
    /// is connected or its session waits for it.
    fn reads_properties(&self) -> bool {
        false
    }
}

/// What one client may do. An answer for a topic that it publishes to may be remembered while it repeats the topic.
pub trait Rights: Send + Sync {
    /// May it publish to this topic, with a PUBLISH or a Will?
    fn may_publish(&self, topic: &TopicName) -> bool;

    /// May it publish this message, of a topic that it may publish to? Asked for each message, where
    /// [`reads_messages`](Self::reads_messages): with its QoS, RETAIN, payload and properties.
    fn may_publish_message(&self, message: &Outgoing<'_>) -> bool {
        let _ = message;
        true
    }

    /// Does [`may_publish_message`](Self::may_publish_message) ever return `false`? Then every message is asked about,
    /// also where the client repeats a topic.
    fn reads_messages(&self) -> bool {
        false
    }

    /// May it subscribe to this filter? If not, its SUBACK says 0x80.
    fn may_subscribe(&self, filter: &TopicFilter) -> bool;

    /// Is a message of this topic delivered to it? Asked with its session's lock held, for each message, where
    /// [`limits_reading`](Self::limits_reading): be quick, and do not call the router.
    fn may_receive(&self, topic: &TopicName) -> bool {
        let _ = topic;
        true
    }

    /// May it receive messages of any topic that this filter matches? If certainly not, a client of MQTT 5 is told so
    /// in its SUBACK (0x87). Before MQTT 5, the subscription is granted, and nothing comes. Asked where
    /// [`limits_reading`](Self::limits_reading), for each filter that it [may subscribe](Self::may_subscribe) to.
    fn may_receive_some(&self, filter: &TopicFilter) -> bool {
        let _ = filter;
        true
    }

    /// Does [`may_receive`](Self::may_receive) ever say no?
    fn limits_reading(&self) -> bool {
        false
    }
}

/// Passes on what clients publish, to other nodes.
pub trait Forward: Send + Sync {
    /// A message that was accepted from a client of this node.
    fn forward(&self, message: &Outgoing<'_>);
}

/// Sees what happens. Called on the path of every message, by many threads, with locks held: do little, never wait,
/// never call the router or the server.
pub trait Observe: Send + Sync {
    /// It has happened.
    fn observe(&self, event: &Event<'_>);

    /// What it asks for; what no observer asks for costs nothing. Each thread asks at the beginning of each turn: an
    /// answer that changes holds from then on.
    fn wants(&self) -> EventKinds {
        EventKinds::ALL
    }

    /// A turn of a thread is over in which it may have been told of something. No lock is held: here a task may be
    /// woken.
    fn turn_ended(&self) {}
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client was accepted.
    Connect {
        /// Who.
        client: &'a ClientId,
        /// What else is known of it.
        info: ClientInfo<'a>,
        /// From where.
        peer: PeerAddress,
        /// The version that it speaks.
        version: ProtocolVersion,
        /// Clean Session of its CONNECT; in MQTT 5, Clean Start.
        clean_session: bool,
        /// There was Session State for it.
        session_present: bool,
        /// The properties of its CONNECT, User Properties among them; before MQTT 5, none.
        properties: Properties<'a>,
    },
    /// A client's connection ended.
    Disconnect {
        /// Who.
        client: &'a ClientId,
        /// What else is known of it.
        info: ClientInfo<'a>,
        /// Why.
        reason: &'a CloseReason,
    },
    /// A subscription was granted.
    Subscribe {
        /// Who.
        client: &'a ClientId,
        /// What else is known of it.
        info: ClientInfo<'a>,
        /// To what.
        filter: &'a TopicFilter,
        /// At which QoS.
        qos: QoS,
        /// The same QoS, what MQTT 5 asks for beside it, and the Subscription Identifier.
        options: SubscriptionOptions,
        /// The properties of its SUBSCRIBE, User Properties among them; before MQTT 5, none.
        properties: Properties<'a>,
    },
    /// A subscription was given up.
    Unsubscribe {
        /// Who.
        client: &'a ClientId,
        /// What else is known of it.
        info: ClientInfo<'a>,
        /// From what.
        filter: &'a TopicFilter,
        /// The properties of its UNSUBSCRIBE, which are User Properties; before MQTT 5, none.
        properties: Properties<'a>,
    },
    /// A message was accepted.
    Publish {
        /// Who; `None`: the broker itself.
        client: Option<&'a ClientId>,
        /// The User Name of that client.
        user: Option<&'a str>,
        /// To what.
        topic: &'a TopicName,
        /// At which QoS.
        qos: QoS,
        /// RETAIN.
        retain: bool,
        /// Bytes of the payload.
        payload: usize,
        /// The payload itself.
        content: &'a [u8],
        /// Its properties as they are passed on, User Properties among them: without Topic Alias and Message Expiry
        /// Interval. Before MQTT 5, none.
        properties: Properties<'a>,
        /// When it expires: when its Message Expiry Interval has passed.
        expires: Option<Instant>,
    },
    /// A message was put on its way to a connected client.
    Deliver {
        /// To whom.
        client: &'a ClientId,
        /// Of which topic.
        topic: &'a TopicName,
        /// At which QoS.
        qos: QoS,
        /// Bytes of the payload.
        payload: usize,
        /// Its properties, as its publisher set them; they are not sent to a client of MQTT 3.1 or 3.1.1.
        properties: Properties<'a>,
    },
    /// A message was dropped.
    Drop {
        /// For whom it was; for [`DropReason::SysTopic`], [`DropReason::NotAuthorized`] and [`DropReason::WillsFull`],
        /// whose it was.
        client: &'a ClientId,
        /// Of which topic.
        topic: &'a TopicName,
        /// Bytes of the payload.
        payload: usize,
        /// Why.
        reason: DropReason,
    },
    /// PINGREQ.
    Ping {
        /// Who.
        client: &'a ClientId,
    },
    /// A Will was published; before this, it was told as [`Publish`](Self::Publish).
    Will {
        /// Whose.
        client: &'a ClientId,
        /// The User Name of that client.
        user: Option<&'a str>,
        /// To what.
        topic: &'a TopicName,
        /// The payload.
        content: &'a [u8],
        /// Its properties, User Properties among them; before MQTT 5, none.
        properties: Properties<'a>,
    },
    /// A session whose client stayed away ended.
    SessionExpired {
        /// Whose.
        client: &'a ClientId,
        /// How long it was away at least.
        after: Duration,
    },
}

impl Event<'_> {
    /// Its kind.
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
        }
    }
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// `limits.max_queued_messages` or `limits.max_queued_bytes` of a session.
    QueueFull,
    /// `limits.max_queued_bytes_total`: all queues together are full.
    QueuesFull,
    /// `limits.max_memory`: not queued, or delivered and not retained.
    MemoryFull,
    /// `limits.max_outbound_bytes`: the client reads too slowly.
    OutboundFull,
    /// There is no room on the disk: delivered, but not retained.
    StoreFull,
    /// `limits.max_retained_messages` or `limits.max_retained_bytes`: delivered, but not retained.
    RetainedFull,
    /// A Will, which there is no room on the disk for, and too many wait for it already: not published.
    WillsFull,
    /// A client's PUBLISH to `$SYS/…` (`sys.client_publish`).
    SysTopic,
    /// The client may not publish to this topic.
    NotAuthorized,
    /// Its Message Expiry Interval passed before its client could be sent it; or while a QoS 2 message of the client
    /// waited for `limits.max_inflight_in`.
    Expired,
    /// It is larger than its client takes (MQTT 5 section 3.1.2.11.4).
    PacketTooLarge,
    /// Its payload is larger than clients may publish (`limits.max_message_size`): not published.
    MessageTooLarge,
}

impl DropReason {
    /// For the log: what was full, and the setting that says when.
    pub fn why(self) -> &'static str {
        match self {
            Self::QueueFull => "its client's queue is full (limits.max_queued_messages, limits.max_queued_bytes)",
            Self::QueuesFull => "all queues together are full (limits.max_queued_bytes_total)",
            Self::MemoryFull => {
                "the process has as much memory as it may (limits.max_memory): not queued, or delivered and not retained"
            }
            Self::OutboundFull => "its client reads too slowly (limits.max_outbound_bytes)",
            Self::RetainedFull => {
                "not retained, but delivered: the store is full (limits.max_retained_messages, \
                 limits.max_retained_bytes)"
            }
            Self::StoreFull => "not retained, but delivered: there is no room in data_dir",
            Self::WillsFull => {
                "a Will, not published: there is no room in data_dir, and as many Wills wait for it as may \
                 (limits.max_queued_bytes)"
            }
            Self::SysTopic => "its client may not publish to $SYS (sys.client_publish)",
            Self::NotAuthorized => "its client may not publish to this topic (auth.acl_file, auth.denied_publish)",
            Self::Expired => "its Message Expiry Interval passed before its client could be sent it",
            Self::MessageTooLarge => "its payload is larger than limits.max_message_size",
            Self::PacketTooLarge => "it is larger than the Maximum Packet Size that its client takes",
        }
    }
}
