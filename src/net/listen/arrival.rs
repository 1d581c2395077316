//! The steps between accepting a socket and MQTT: the PROXY header, the TLS handshake, the WebSocket request. They run
//! in a separate task, which ends when the connection's task begins, so that an idle connection does not hold the state
//! of its arrival.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Instant};

use thiserror::Error;
use tokio::net::TcpStream;

#[cfg(not(feature = "websocket"))]
use super::super::transport::Frames as _;
#[cfg(feature = "tls")]
use super::super::transport::{Judged, Tls, handshake};
use super::{
    super::{
        connection::Connection,
        transport::{Cork, HandshakeError, Proxied, ProxyError, Stream, UpgradeError, between, proxy, upgrade},
        worker::{NetShared, NoPlace, Ticket, Worker},
    },
    options::ListenerOptions,
};
use crate::{
    router::{Count, Peer},
    session::CloseReason,
    types::TlsRecords,
};

/// Why a connection ended before MQTT began.
#[derive(Debug, Error)]
enum ArrivalError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    #[error(transparent)]
    WebSocket(#[from] UpgradeError),
    #[error("{}", CloseReason::MadeRoom)]
    MadeRoom,
    #[error("{}", .0.why())]
    NoPlace(NoPlace),
    #[error("refused by a fault that is set")]
    Fault,
    #[error("no {0} within the connect timeout (limits.connect_timeout)")]
    Timeout(&'static str),
}

/// Takes a socket through the steps of its listener, and spawns the connection if they succeed.
pub(crate) async fn arrive(
    shared: Arc<NetShared>,
    listener_options: Arc<ListenerOptions>,
    socket: TcpStream,
    mut peer: Peer,
    ticket: Ticket,
) {
    let mut arriving = Arriving { shared: &shared, listener: peer.listener, arrived: false };
    let timeout = shared.limits.load().connect_timeout;
    let due = shared.clock.now() + timeout;
    let mut step = "PROXY header";
    let watch = ticket.watch().clone();
    let passed = {
        let steps = pass(
            &shared,
            &listener_options,
            socket,
            &mut peer,
            &mut step,
            Entered { ticket, due, prefix: listener_options.mount_point.as_ref() },
        );
        let mut steps = pin!(steps);
        let unless_closed = poll_fn(|cx| {
            watch.wake(cx.waker());
            if watch.is_closed() { Poll::Ready(Err(ArrivalError::MadeRoom)) } else { steps.as_mut().poll(cx) }
        });
        shared.clock.timeout_at(due, pin!(unless_closed)).await
    };
    let result = match passed {
        Ok(result) => result,
        Err(_) => {
            Worker::with(|worker| worker.local.count(Count::ConnectTimeouts, 1));
            Err(ArrivalError::Timeout(step))
        }
    };
    match result {
        Ok(()) => arriving.arrived = true,
        Err(reason) => {
            if let ArrivalError::MadeRoom = reason {
                Worker::with(|worker| worker.local.count(Count::RefusedConnectingBytes, 1));
            }
            let is_probe = matches!(
                &reason,
                ArrivalError::WebSocket(UpgradeError::Page | UpgradeError::Ended)
                    | ArrivalError::Proxy(ProxyError::Ended)
                    | ArrivalError::Tls(HandshakeError::Empty)
            );
            shared.lines.gone_before_connect(&peer, &reason, !is_probe);
        }
    }
}

async fn pass(
    shared: &NetShared,
    listener_options: &ListenerOptions,
    mut socket: TcpStream,
    peer: &mut Peer,
    step: &mut &'static str,
    entered: Entered<'_>,
) -> Result<(), ArrivalError> {
    let mut name = None;
    let by_proxy = listener_options.proxy.as_ref().is_some_and(|proxy| proxy.names);
    if let Some(options) = &listener_options.proxy {
        if !proxy::is_among(peer.address.ip(), &options.trusted) {
            return Err(ProxyError::NotTrusted.into());
        }
        let header = proxy::take(&mut socket).await?;
        peer.address = header.source.map_or(peer.address, Into::into);
        // a proxy on this machine forwards remote clients: the listener's address does not make them local
        let local = header.source.map_or(header.own, |source| source.ip().to_canonical().is_loopback());
        peer.loopback_listener &= local;
        name = options.name(header.certificate)?;
    }
    let beneath = match &listener_options.tls {
        None if by_proxy => Beneath::Proxied(Proxied { socket, name }),
        None => Beneath::Tcp(socket),
        #[cfg(not(feature = "tls"))]
        Some(settings) => match *settings {},
        #[cfg(feature = "tls")]
        Some(settings) => {
            *step = "TLS handshake";
            let asks_names = by_proxy || settings.name.is_some();
            let places = Worker::with(|worker| worker.handshakes.clone());
            let (stream, own) = handshake(Cork::new(socket), settings, &places).await?;
            Beneath::Tls(Box::new(Tls::new(stream, own.or(name), asks_names, Judged::by(settings, peer.listener))))
        }
    };
    let Some(options) = &listener_options.websocket else {
        return match (beneath, listener_options.tls_records) {
            (Beneath::Tcp(socket), _) => entered.spawn(socket, *peer),
            (Beneath::Proxied(socket), _) => entered.spawn(socket, *peer),
            #[cfg(feature = "tls")]
            (Beneath::Tls(tls), TlsRecords::Packet) => entered.spawn(tls.with_a_record_for_each_packet(), *peer),
            #[cfg(feature = "tls")]
            (Beneath::Tls(tls), TlsRecords::Batch) => entered.spawn(*tls, *peer),
        };
    };
    *step = "request for a WebSocket";
    let longest = shared.limits.load().max_packet_size;
    match (beneath, listener_options.tls_records) {
        // Paho C reads one packet each time its socket becomes readable: with WebSocket it reads a frame, also without
        // TLS
        (Beneath::Tcp(socket), _) => {
            let upgraded = upgrade(Cork::begun(socket), options, peer, longest).await?;
            entered.spawn(upgraded.with_a_frame_for_each_packet(), *peer)
        }
        (Beneath::Proxied(socket), _) => {
            let upgraded = upgrade(Cork::begun(socket), options, peer, longest).await?;
            entered.spawn(upgraded.with_a_frame_for_each_packet(), *peer)
        }
        #[cfg(feature = "tls")]
        (Beneath::Tls(tls), TlsRecords::Packet) => {
            // one frame for each packet, and one record for each frame
            let upgraded = upgrade(tls.with_a_record_for_each_write(), options, peer, longest).await?;
            entered.spawn(upgraded.with_a_frame_for_each_packet(), *peer)
        }
        #[cfg(feature = "tls")]
        (Beneath::Tls(tls), TlsRecords::Batch) => {
            let upgraded = upgrade(*tls, options, peer, longest).await?;
            entered.spawn(upgraded, *peer)
        }
    }
}

/// The transport below MQTT or WebSocket.
enum Beneath {
    Tcp(TcpStream),
    Proxied(Proxied),
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
}

/// A connection with a place among those that are not accepted, and the time when its CONNECT is due.
struct Entered<'a> {
    ticket: Ticket,
    due: Instant,
    /// What its topics begin with.
    prefix: Option<&'a Arc<str>>,
}

impl Entered<'_> {
    /// Starts MQTT, unless there are too many connections from the client's real address.
    fn spawn<S: Stream + Send + 'static>(self, stream: S, peer: Peer) -> Result<(), ArrivalError> {
        let Self { ticket, due, prefix } = self;
        Worker::with(|worker| {
            let limits = worker.shared.limits.load();
            if let Err(no_place) = ticket.came_from(peer.address.ip(), &limits) {
                worker.local.count(Count::RefusedConnecting, 1);
                return Err(ArrivalError::NoPlace(no_place));
            }
            let due = worker.deadlines.tick(due);
            match (worker.shared.tap.as_deref(), prefix) {
                (None, None) => drop(tokio::spawn(Connection::new(stream, peer, ticket).due(due))),
                (tap, prefix) => {
                    let stream = between(stream, &peer, tap, (prefix, limits.max_packet_size));
                    let stream = stream.ok_or(ArrivalError::Fault)?;
                    drop(tokio::spawn(Connection::new(stream, peer, ticket).due(due)));
                }
            }
            Ok(())
        })
    }
}

/// Counts a connection as not connected yet. If its arrival fails or its task is dropped, the count is reduced.
struct Arriving<'a> {
    shared: &'a NetShared,
    listener: u16,
    arrived: bool,
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if !self.arrived {
            self.shared.gate.left(self.listener);
        }
    }
}
