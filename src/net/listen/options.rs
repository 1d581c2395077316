//! What a listener asks of its connections, and the listener as they see it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::super::{
    transport::{ProxyOptions, TlsSettings, WebSocketOptions},
    worker::ListenerRates,
};
use crate::types::{Endpoint, TlsRecords, Transport};

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
