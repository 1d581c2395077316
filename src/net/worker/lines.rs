//! [`Lines`]: the log lines about connections: a client connected, disconnected, or was refused. Lines of clients and
//! addresses that connect and disconnect often are summed up: see [`Flapping`].

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tracing::field::display;

use super::{
    flapping::{Flapping, Sum},
    limits::NetLimits,
};
use crate::{
    clock::Clock,
    codec::{DecodeError, ReasonCode},
    router::{Client, Peer},
    session::CloseReason,
    types::{Endpoint, ProtocolVersion},
};

/// Writes the log lines about connections.
pub(crate) struct Lines {
    clock: Clock,
    /// By number. A closed listener stays, because it may have connections.
    listeners: RwLock<HashMap<u16, Named>>,
    flapping: Mutex<Flapping>,
}

/// A listener: its name, such as `tls://0.0.0.0:8883`, and its address.
struct Named {
    name: Arc<str>,
    endpoint: Endpoint,
}

/// A client, from its CONNECT and its certificate.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) client: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) version: ProtocolVersion,
}

impl<'a> From<&'a Client> for About<'a> {
    fn from(client: &'a Client) -> Self {
        Self { client: client.id().as_str(), user: client.user(), version: client.version() }
    }
}

/// A client that is refused.
pub(crate) struct Refused<'a> {
    /// `None`: its CONNECT could not be read.
    pub(crate) about: Option<About<'a>>,
    /// `None`: an unsupported version.
    pub(crate) version: Option<ProtocolVersion>,
    /// The Reason Code of its CONNACK, from which the return code before MQTT 5 follows.
    pub(crate) code: ReasonCode,
}

/// The CONNECT and its result.
pub(crate) struct Beginning {
    pub(crate) clean_session: bool,
    pub(crate) session_present: bool,
    pub(crate) keep_alive: u16,
}

/// How a client's connection ended.
pub(crate) struct Ending<'a> {
    pub(crate) reason: &'a CloseReason,
    pub(crate) duration: Duration,
    /// Number of messages for the client that were dropped.
    pub(crate) dropped: Option<u32>,
    /// Bytes that were not written.
    pub(crate) waiting: Option<usize>,
}

/// Writes a line at `info`, or at `debug` if it is only part of a summary at `info`.
macro_rules! say {
    ($shown:expr, $($line:tt)+) => {
        if $shown {
            tracing::info!(target: "dunlin::net::clients", $($line)+)
        } else {
            tracing::debug!(target: "dunlin::net::clients", $($line)+)
        }
    };
}

impl Lines {
    /// `clock`: for the durations of connections.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, listeners: RwLock::default(), flapping: Mutex::default() }
    }

    /// Sets the name of the listener with this number.
    pub(crate) fn name_listener(&self, number: u16, name: String, endpoint: Endpoint) {
        self.listeners.write().insert(number, Named { name: name.into(), endpoint });
    }

    fn listener(&self, peer: &Peer) -> Option<Arc<str>> {
        self.listeners.read().get(&peer.listener).map(|listener| listener.name.clone())
    }

    /// Does the connection come from this machine? It does if its address is loopback or the listener's address.
    pub(crate) fn is_from_here(&self, peer: &Peer) -> bool {
        let ip = peer.address.ip().to_canonical();
        let is_its_own = |listener: &Named| listener.endpoint.socket_addr().is_some_and(|own| own.ip() == ip);
        ip.is_loopback() || self.listeners.read().get(&peer.listener).is_some_and(is_its_own)
    }

    /// `dunlin health` got a CONNACK with this Reason Code: logged at debug.
    pub(crate) fn health_check(&self, peer: &Peer, code: ReasonCode) {
        if tracing::enabled!(target: "dunlin::net", tracing::Level::DEBUG) {
            let listener = self.listener(peer);
            let code = code.connect_return_code();
            tracing::debug!(target: "dunlin::net", %peer, listener = listener.as_deref(), code, "health check");
        }
    }

    pub(crate) fn connected(&self, peer: &Peer, about: &About<'_>, beginning: &Beginning) {
        if !is_read() {
            return;
        }
        let About { client, user, version } = *about;
        let Beginning { clean_session, session_present, keep_alive } = *beginning;
        let listener = self.listener(peer);
        let shown = self.flapping.lock().begins(client, peer);
        say!(
            shown,
            client,
            user,
            %peer,
            listener = listener.as_deref(),
            %version,
            clean_session,
            session_present,
            keep_alive,
            "connected"
        );
    }

    /// A client is slowed down because it exceeds its rates. Call it once in a while.
    pub(crate) fn slowed(&self, peer: &Peer, about: &About<'_>) {
        if is_read() {
            let (About { client, user, .. }, listener) = (*about, self.listener(peer));
            tracing::info!(
                target: "dunlin::net",
                client,
                user,
                %peer,
                listener = listener.as_deref(),
                reason = "it publishes faster than publish_rate or publish_bytes_rate allows",
                "slowed"
            );
        }
    }

    pub(crate) fn disconnected(&self, peer: &Peer, about: &About<'_>, ending: &Ending<'_>) {
        if !is_read() {
            return;
        }
        let About { client, user, version } = *about;
        let Ending { reason, duration, dropped, waiting } = *ending;
        let listener = self.listener(peer);
        let reason = Told { reason, size_limit: "limits.max_packet_size" };
        // at a shutdown the reason is not the client's
        let is_shutdown = *reason.reason == CloseReason::ServerShutdown;
        let shown = is_shutdown || self.ends(Some(client), peer, duration, &reason);
        say!(
            shown,
            client,
            user,
            %peer,
            listener = listener.as_deref(),
            %version,
            duration = format_args!("{:.1}s", duration.as_secs_f32()),
            %reason,
            dropped,
            waiting,
            "disconnected"
        );
    }

    /// A client is refused.
    pub(crate) fn refused(&self, peer: &Peer, refused: &Refused<'_>, reason: &dyn fmt::Display) {
        if !is_read() {
            return;
        }
        let Refused { about, version, code } = refused;
        let client = about.map(|about| about.client);
        let user = about.and_then(|about| about.user);
        let code = match version {
            Some(ProtocolVersion::V5) => Some(*code as u8),
            _ => code.connect_return_code(),
        };
        let version = version.map(display);
        let listener = self.listener(peer);
        // by address only: the client is not authenticated, and must not cause the lines of another client to be left
        // out
        let shown = self.ends(None, peer, Duration::ZERO, reason);
        say!(
            shown,
            client,
            user,
            %peer,
            listener = listener.as_deref(),
            version,
            code,
            %reason,
            "refused"
        );
    }

    /// A connection ended before a client was accepted. `is_news` is false for port checks, and if a line was written
    /// already.
    pub(crate) fn gone_before_connect(&self, peer: &Peer, reason: &dyn fmt::Display, is_news: bool) {
        if !is_read() {
            return;
        }
        let listener = self.listener(peer);
        let shown = is_news && self.ends(None, peer, Duration::ZERO, reason);
        say!(shown, %peer, listener = listener.as_deref(), %reason, "disconnected before CONNECT");
    }

    /// A connection ended during authentication, without a CONNACK.
    pub(crate) fn gone_while_authenticating(&self, peer: &Peer, about: &About<'_>, reason: &dyn fmt::Display) {
        if !is_read() {
            return;
        }
        let (About { client, user, version }, listener) = (*about, self.listener(peer));
        let shown = self.ends(None, peer, Duration::ZERO, reason);
        say!(
            shown,
            client,
            user,
            %peer,
            listener = listener.as_deref(),
            %version,
            %reason,
            "disconnected while it authenticated"
        );
    }

    fn ends(&self, client: Option<&str>, peer: &Peer, duration: Duration, reason: &dyn fmt::Display) -> bool {
        self.flapping.lock().ends(client, peer, duration, reason, self.clock.now())
    }

    /// Writes the summaries that are due. Call it every second or so.
    pub(crate) fn sum_up(&self, now: Instant) {
        let sums = self.flapping.lock().due(now);
        sums.iter().for_each(say_sum);
    }

    /// Writes all summaries: no connections follow.
    pub(crate) fn sum_up_rest(&self) {
        let sums = self.flapping.lock().rest();
        sums.iter().for_each(say_sum);
    }
}

/// Are lines at `info` written? If not, nothing needs to be counted for summaries.
fn is_read() -> bool {
    tracing::enabled!(target: "dunlin::net::clients", tracing::Level::INFO)
}

fn say_sum(sum: &Sum) {
    let Sum { client, address, connections, lines, last_reason } = sum;
    tracing::info!(
        target: "dunlin::net::clients",
        client = client.as_deref(),
        peer = address.as_deref(),
        connections,
        lines,
        %last_reason,
        "connections come and go, lines summed up"
    );
}

/// A reason. If a packet was too large, with the key of the limit.
pub(crate) struct Told<'a> {
    pub(crate) reason: &'a CloseReason,
    pub(crate) size_limit: &'static str,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match self.reason {
            CloseReason::Malformed(DecodeError::PacketTooLarge { .. }) => write!(f, " ({})", self.size_limit),
            _ => Ok(()),
        }
    }
}

/// The key of the limit for a first packet: the smaller one of two.
pub(crate) fn first_size_limit(limits: &NetLimits) -> &'static str {
    if limits.max_connect_size < limits.max_packet_size { "limits.max_connect_size" } else { "limits.max_packet_size" }
}
