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

/// What a listener asks of its connections.
#[derive(Clone, Default)]
pub struct ListenerOptions {
    /// TLS, if it is spoken.
    pub tls: Option<TlsSettings>,
    /// With TLS: what of MQTT is in one of its records.
    pub tls_records: TlsRecords,
    /// WebSocket, if it is.
    pub websocket: Option<WebSocketOptions>,
    /// Each connection begins with a PROXY header, if it does.
    pub proxy: Option<ProxyOptions>,
    /// How much its clients may publish, where that is not as the limits say.
    pub rates: ListenerRates,
}

/// A listener as its connections see it.
pub(crate) struct ListenerState {
    pub(crate) listener: u16,
    pub(crate) endpoint: Endpoint,
    /// A connection goes through the one that it found.
    listener_options: ArcSwap<ListenerOptions>,
}

impl ListenerState {
    pub(crate) fn new(listener: u16, endpoint: Endpoint, listener_options: ListenerOptions) -> Self {
        Self { listener, endpoint, listener_options: ArcSwap::from_pointee(listener_options) }
    }

    /// What is asked of a connection that comes now; `None`: it is MQTT from its first byte on.
    pub(crate) fn listener_options(&self) -> Option<Arc<ListenerOptions>> {
        let listener_options = self.listener_options.load();
        (!listener_options.is_open()).then(|| Arc::clone(&listener_options))
    }

    /// See [`ListenerOptions::connecting_bytes`].
    pub(crate) fn connecting_bytes(&self) -> usize {
        self.listener_options.load().connecting_bytes()
    }

    /// From where a connection comes as far as that is known; `None`: through a trusted proxy, or from this machine by
    /// a Unix socket.
    pub(crate) fn unproxied(&self, address: PeerAddress) -> Option<IpAddr> {
        let PeerAddress::Ip(address) = address else { return None };
        Some(address.ip()).filter(|address| !self.listener_options.load().trusts(*address))
    }

    /// Asks something else of connections that come from now on.
    pub(crate) fn replace(&self, listener_options: ListenerOptions) {
        self.listener_options.store(Arc::new(listener_options));
    }
}

impl ListenerOptions {
    /// Is a socket MQTT from its first byte on?
    fn is_open(&self) -> bool {
        self.tls.is_none() && self.websocket.is_none() && self.proxy.is_none()
    }

    /// Is this one of its trusted proxies?
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let by_header = self.proxy.as_ref().is_some_and(|proxy| proxy::is_among(address, &proxy.trusted));
        by_header || self.websocket.as_ref().is_some_and(|http| proxy::is_among(address, &http.trusted_proxies))
    }

    /// Bytes that a connection holds until its CONNECT is answered, whatever its client sends: its task, and at most
    /// what the steps in front of MQTT keep.
    pub(crate) fn connecting_bytes(&self) -> usize {
        let steps = [
            (!self.is_open(), STEPS_BYTES),
            (self.proxy.is_some(), PROXY_BYTES),
            (self.tls.is_some(), TLS_BYTES),
            (self.websocket.is_some(), WEBSOCKET_BYTES),
        ];
        CONNECTION_BYTES + steps.into_iter().filter(|step| step.0).map(|step| step.1).sum::<usize>()
    }

    /// A listener there that asks this, as `--listen` takes it.
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

/// A task, a socket, and what counts it: as measured, like those below.
const CONNECTION_BYTES: usize = 1 << 10;
/// The task that goes through the steps.
const STEPS_BYTES: usize = 5 << 10;
/// The longest PROXY header.
const PROXY_BYTES: usize = 4 << 10;
/// A TLS handshake.
const TLS_BYTES: usize = 9 << 10;
/// The longest request for a WebSocket.
const WEBSOCKET_BYTES: usize = 8 << 10;
