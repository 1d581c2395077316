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
    task::Waker,
    time::Instant,
};

use super::store::{Login, SessionOwner};
use crate::{
    codec::{Properties, PropertiesBuf, ReasonCode},
    session::Outgoing,
    topic::{TopicFilter, TopicName},
    types::{ClientId, ProtocolVersion},
};

/// The origin of a connection. Its text is the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; the one that a trusted proxy reports, if there is one.
    pub address: PeerAddress,
    /// The client is local: its listener is bound to a loopback address, or is a Unix socket, and neither a PROXY
    /// header nor the HTTP request for a WebSocket shows that it is on another machine.
    pub loopback_listener: bool,
    /// The listener of the connection, by its place in the configuration: 0 is the first.
    /// [`NO_LISTENER`](Self::NO_LISTENER): none.
    pub listener: u16,
}

impl Peer {
    /// In place of a listener: the client is within the process, uses HTTP, or has not connected since the start.
    pub const NO_LISTENER: u16 = u16::MAX;
}

/// The address of a client. Its text is `192.0.2.7:50412`, or `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// If a proxy reports an address without a port, with the port of the proxy's own connection.
    Ip(SocketAddr),
    /// A Unix socket: it has no address, and its client is on this machine.
    Unix,
}

impl PeerAddress {
    /// The IP address; the loopback address for a Unix socket.
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

/// The credentials in a CONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The Client Identifier, from the CONNECT or assigned.
    pub client_id: &'a str,
    /// The User Name; if there is a [`certificate_name`](Self::certificate_name), that.
    pub username: Option<&'a str>,
    /// The name in the client's certificate, which the listener has verified, so no further proof is needed. `None` if
    /// the listener takes no names from certificates.
    pub certificate_name: Option<&'a str>,
    /// The listener takes user names from certificates. Then a user name without a certificate must be proved, because
    /// it may belong to a client with a certificate.
    pub names_in_certificates: bool,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// An authentication other than by password, with a method that [`Authenticate::serves`].
    pub authentication: Option<Authentication<'a>>,
    /// The origin of the connection.
    pub peer: Peer,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The topic of its Will; `None`: it has none, or this is no CONNECT.
    pub will: Option<&'a TopicName>,
    /// The properties of its CONNECT, including User Properties; empty before MQTT 5. For a re-authentication, those of
    /// its AUTH.
    pub properties: Properties<'a>,
}

/// The contents of a CONNECT with an Authentication Method, or of an AUTH that begins a re-authentication.
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
    /// The Reason Code for the client, as far as its version has it: see [`ReasonCode::connect_return_code`].
    pub code: ReasonCode,
    /// The reason for the operator, in the log: the fault, and the setting that refuses it.
    pub why: Cow<'static, str>,
}

impl Refusal {
    /// The client gets `code`, and the log `why`.
    pub fn new(code: ReasonCode, why: impl Into<Cow<'static, str>>) -> Self {
        Self { code, why: why.into() }
    }
}

/// The identity of a client, from [`Authenticate`], which determines its rights. The default is an anonymous client
/// without a time limit.
#[derive(Clone, Default)]
pub struct Identity {
    /// The User Name in force.
    pub user: Option<Box<str>>,
    /// How the name was proved.
    pub proof: Proof,
    /// When it expires, and the connection ends: that of a token.
    pub until: Option<Instant>,
    /// Further restrictions of its rights besides the rules: the claims of a token.
    pub narrowed: Option<Arc<dyn Rights>>,
    /// What the proof was compared with, so that [`Authenticate::knows`] can check whether it is still valid.
    pub evidence: Option<Arc<dyn Any + Send + Sync>>,
    /// The origin. The router sets it from the connection's [`Peer`].
    pub origin: Origin,
    /// The protocol version. The router sets it from the CONNECT.
    pub version: ProtocolVersion,
    /// The properties of its CONNECT, including User Properties. The router sets them if there are any and
    /// [`Authorize::reads_properties`] returns true.
    pub properties: Option<Arc<PropertiesBuf>>,
}

/// The origin of a client.
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

/// How a client proved its user name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// It did not prove it.
    #[default]
    None,
    /// By a password.
    Password,
    /// By a token.
    Token,
    /// By a certificate.
    Certificate,
    /// A service, which was asked over HTTP.
    Http,
}

/// The answer to "may this client connect?".
pub enum Verdict {
    /// Now.
    Decided(Result<Admitted, Refusal>),
    /// When this completes. The client's connection waits for it, within the connect timeout, and so do packets from
    /// the client. If the client leaves, this is dropped.
    Later(Pending),
    /// The same, but the server causes the wait: it does not count for the connect timeout.
    Queued(Pending),
    /// The client must prove more: it gets an AUTH, and `exchange` handles its answer. Only for a client with an
    /// Authentication Method.
    Continue {
        /// Authentication Data for the client.
        data: Vec<u8>,
        /// Handles the client's answer.
        exchange: Box<dyn Exchange>,
    },
}

/// An accepted client, and data for its CONNACK.
pub struct Admitted {
    /// Its identity.
    pub identity: Identity,
    /// Authentication Data for it; not sent to a client without an Authentication Method.
    pub data: Option<Vec<u8>>,
}

impl From<Identity> for Admitted {
    fn from(identity: Identity) -> Self {
        Self { identity, data: None }
    }
}

/// An exchange of AUTH packets in progress: the client was sent a challenge and must answer. It is dropped if the
/// client leaves, or does not answer within the connect timeout.
pub trait Exchange: Send {
    /// Handles the client's answer: the Authentication Data of its AUTH, empty if there is none. Called on a worker
    /// thread: it must not block.
    fn answer(self: Box<Self>, data: &[u8]) -> Verdict;
}

/// A pending verdict. It is polled on a worker thread: slow work in it belongs on another thread.
pub type Pending = Pin<Box<dyn Future<Output = Verdict> + Send>>;

impl From<Result<Identity, Refusal>> for Verdict {
    fn from(decided: Result<Identity, Refusal>) -> Self {
        Self::Decided(decided.map(Admitted::from))
    }
}

/// Decides who may connect.
pub trait Authenticate: Send + Sync {
    /// Returns the client's identity, or its refusal. Called on a worker thread: it must not block.
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict;

    /// Is this Authentication Method of MQTT 5 supported? A client with another one is refused.
    fn serves(&self, method: &str) -> bool {
        let _ = method;
        false
    }

    /// Number of verdicts that wait in a queue of the plug-in, for `$SYS/broker/logins/waiting`.
    fn waiting(&self) -> usize {
        0
    }

    /// After a change ([`Router::permissions_changed`](crate::router::Router::permissions_changed)), and again when a
    /// client is accepted, because there may have been a change since its verdict: may a client that was accepted with
    /// this identity stay, with or without a user name? If not, its connection closes; its session is kept as it
    /// requested.
    fn knows(&self, identity: &Identity) -> bool {
        let _ = identity;
        true
    }

    /// How this client logged in, if its sessions then belong to its user. `None`: they belong to no one, because the
    /// name was not proved.
    fn login(&self, identity: &Identity) -> Option<Login> {
        identity.user.as_ref().map(|_| Login::PlugIn)
    }

    /// Can this user still log in in the same way as before? If not, its sessions go to other clients that request
    /// them. Called with locks held: be quick, and do not call the router.
    fn is_configured(&self, owner: &SessionOwner) -> bool {
        owner.login == Login::PlugIn
    }
}

/// Decides what clients may publish, subscribe to and receive.
pub trait Authorize: Send + Sync {
    /// The compiled rights of a client. Called when it connects, and again after
    /// [`Router::permissions_changed`](crate::router::Router::permissions_changed). `None`: it may do everything,
    /// unless its identity has restrictions.
    fn rights(&self, client: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>>;

    /// Does a forbidden PUBLISH close the connection? Otherwise the message is acknowledged and dropped; MQTT 3.1.1
    /// allows both [MQTT-3.3.5-2].
    fn denied_publish_disconnects(&self) -> bool {
        false
    }

    /// Does [`rights`](Self::rights) use [`Identity::properties`]? Only then they are kept, while the client is
    /// connected or its session waits for it.
    fn reads_properties(&self) -> bool {
        false
    }
}

/// The rights of one client. The answer for a topic that it publishes to may be remembered while it repeats the topic.
pub trait Rights: Send + Sync {
    /// May it publish to this topic, with a PUBLISH or a Will?
    fn may_publish(&self, topic: &TopicName) -> bool;

    /// May it publish this message, whose topic it may publish to? Called for each message, with its QoS, RETAIN,
    /// payload and properties, if [`reads_messages`](Self::reads_messages) returns true.
    fn may_publish_message(&self, message: &Outgoing<'_>) -> bool {
        let _ = message;
        true
    }

    /// Can [`may_publish_message`](Self::may_publish_message) return `false`? Then it is called for every message, even
    /// if the client repeats a topic.
    fn reads_messages(&self) -> bool {
        false
    }

    /// May it subscribe to this filter? If not, its SUBACK has 0x80.
    fn may_subscribe(&self, filter: &TopicFilter) -> bool;

    /// Is a message with this topic delivered to it? Called for each message with the client's session locked, if
    /// [`limits_reading`](Self::limits_reading) returns true: be quick, and do not call the router.
    fn may_receive(&self, topic: &TopicName) -> bool {
        let _ = topic;
        true
    }

    /// May it receive messages of some topic that this filter matches? If certainly not, an MQTT 5 client gets 0x87 in
    /// its SUBACK. Before MQTT 5, the subscription is granted, and nothing is delivered. Called for each filter that it
    /// [may subscribe](Self::may_subscribe) to, if [`limits_reading`](Self::limits_reading) returns true.
    fn may_receive_some(&self, filter: &TopicFilter) -> bool {
        let _ = filter;
        true
    }

    /// Can [`may_receive`](Self::may_receive) return `false`?
    fn limits_reading(&self) -> bool {
        false
    }

    /// Is another service asked about these rights? Then [`ask`](Self::ask) is called for each PUBLISH, for each filter
    /// of a SUBSCRIBE and for each message to the client, which wait for the answer;
    /// [`may_publish`](Self::may_publish) only for a Will, and for the publisher of a retained message. It must not
    /// change while the client is connected.
    fn asks(&self) -> bool {
        false
    }

    /// Has the client this right? `None`: that is asked about, and `waker` is called when it is known; the next call
    /// then has the answer, which may be forgotten after it. Called with nothing locked.
    fn ask(&self, right: Right<'_>, waker: &Waker) -> Option<bool> {
        let _ = waker;
        Some(match right {
            Right::Publish(topic) => self.may_publish(topic),
            Right::Subscribe(filter) => self.may_subscribe(filter),
            Right::Receive(topic) => self.may_receive(topic),
        })
    }
}

/// A right that [`Rights::ask`] is about.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// [`Rights::may_publish`]
    Publish(&'a TopicName),
    /// [`Rights::may_subscribe`]
    Subscribe(&'a TopicFilter),
    /// [`Rights::may_receive`]
    Receive(&'a TopicName),
}

/// Forwards messages of clients to other nodes.
pub trait Forward: Send + Sync {
    /// Forwards a message that was accepted from a client of this node.
    fn forward(&self, message: &Outgoing<'_>);
}

/// Takes commands that clients publish to the broker.
pub trait Command: Send + Sync {
    /// Is this a command? The client may publish it; subscribers do not get it. Called on a worker thread: it must not
    /// block.
    fn take(&self, message: &Outgoing<'_>) -> bool;
}
