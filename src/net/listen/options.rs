//! The options of a listener, and its state as its connections see it.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;

use super::super::{
    transport::{ProxyOptions, TlsSettings, WebSocketOptions, proxy},
    worker::ListenerRates,
};
use crate::{
    router::PeerAddress,
    types::{Endpoint, TlsRecords, Transport},
};

/// The options of a listener.
#[derive(Clone, Default)]
pub struct ListenerOptions {
    /// TLS settings, if it uses TLS.
    pub tls: Option<TlsSettings>,
    /// With TLS: how MQTT packets are put into records.
    pub tls_records: TlsRecords,
    /// WebSocket options, if it uses WebSocket.
    pub websocket: Option<WebSocketOptions>,
    /// PROXY options, if its connections begin with a PROXY header.
    pub proxy: Option<ProxyOptions>,
    /// Rate limits of publishing that differ from the general ones.
    pub rates: ListenerRates,
    /// What the topics and filters of its clients begin with, which they do not know.
    pub mount_point: Option<Arc<str>>,
    /// The most connections at a time; `None`: as many as all listeners together may have.
    pub max_connections: Option<usize>,
}

/// The state of a listener for its connections.
pub(crate) struct ListenerState {
    pub(crate) listener: u16,
    pub(crate) endpoint: Endpoint,
    /// A connection keeps the options that it began with.
    listener_options: ArcSwap<ListenerOptions>,
}

impl ListenerState {
    pub(crate) fn new(listener: u16, endpoint: Endpoint, listener_options: ListenerOptions) -> Self {
        Self { listener, endpoint, listener_options: ArcSwap::from_pointee(listener_options) }
    }

    /// The options for a new connection. `None`: it speaks MQTT from its first byte.
    pub(crate) fn listener_options(&self) -> Option<Arc<ListenerOptions>> {
        let listener_options = self.listener_options.load();
        (!listener_options.is_open()).then(|| Arc::clone(&listener_options))
    }

    /// See [`ListenerOptions::max_connections`].
    pub(crate) fn max_connections(&self) -> Option<usize> {
        self.listener_options.load().max_connections
    }

    /// See [`ListenerOptions::connecting_bytes`].
    pub(crate) fn connecting_bytes(&self) -> usize {
        self.listener_options.load().connecting_bytes()
    }

    /// The address of a connection, as far as it is known. `None`: it comes through a trusted proxy, or by a Unix
    /// socket.
    pub(crate) fn unproxied(&self, address: PeerAddress) -> Option<IpAddr> {
        let PeerAddress::Ip(address) = address else { return None };
        Some(address.ip()).filter(|address| !self.listener_options.load().trusts(*address))
    }

    /// Sets the options for new connections.
    pub(crate) fn replace(&self, listener_options: ListenerOptions) {
        self.listener_options.store(Arc::new(listener_options));
    }
}

impl ListenerOptions {
    /// Does a connection speak MQTT from its first byte?
    fn is_open(&self) -> bool {
        self.tls.is_none() && self.websocket.is_none() && self.proxy.is_none() && self.mount_point.is_none()
    }

    /// Is this address one of its trusted proxies?
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let by_header = self.proxy.as_ref().is_some_and(|proxy| proxy::is_among(address, &proxy.trusted));
        by_header || self.websocket.as_ref().is_some_and(|http| proxy::is_among(address, &http.trusted_proxies))
    }

    /// Most bytes that a connection holds before its CONNECT is answered, without data from its client: its task, and
    /// the state of the steps before MQTT.
    pub(crate) fn connecting_bytes(&self) -> usize {
        let steps = [
            (!self.is_open(), STEPS_BYTES),
            (self.proxy.is_some(), PROXY_BYTES),
            (self.tls.is_some(), TLS_BYTES),
            (self.websocket.is_some(), WEBSOCKET_BYTES),
            (self.mount_point.is_some(), MOUNTED_BYTES),
        ];
        CONNECTION_BYTES + steps.into_iter().filter(|step| step.0).map(|step| step.1).sum::<usize>()
    }

    /// The listener with these options in the notation of `--listen`.
    pub(crate) fn name(&self, endpoint: &Endpoint) -> String {
        let transport = match (endpoint, &self.tls, &self.websocket) {
            (Endpoint::Unix(_), ..) => Transport::Unix,
            (_, None, None) => Transport::Tcp,
            (_, Some(_), None) => Transport::Tls,
            (_, None, Some(_)) => Transport::Ws,
            (_, Some(_), Some(_)) => Transport::Wss,
        };
        endpoint.with(transport).to_string()
    }
}

/// A task, a socket, and their accounting. These numbers are measured.
const CONNECTION_BYTES: usize = 1 << 10;
/// The task of the steps before MQTT.
const STEPS_BYTES: usize = 5 << 10;
/// The longest PROXY header.
const PROXY_BYTES: usize = 4 << 10;
/// A TLS handshake.
const TLS_BYTES: usize = 9 << 10;
/// The part of a packet that waits for the answer to the CONNECT.
const MOUNTED_BYTES: usize = 2 << 10;
/// The longest request for a WebSocket.
const WEBSOCKET_BYTES: usize = 8 << 10;
