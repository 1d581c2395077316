//! [`Adoption`]: hands sockets that were accepted elsewhere, and on which MQTT over WebSocket is asked for, to worker
//! threads. They serve them as connections of a listener.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use super::{
    listen::{ListenerOptions, ListenerState},
    transport::WebSocketOptions,
};
use crate::router::Peer;

/// Gives a socket to a worker thread.
pub(super) type Deal = Box<dyn Fn(TcpStream, Peer, Arc<ListenerState>) + Send + Sync>;

/// Hands sockets to worker threads.
pub struct Adoption {
    state: Arc<ListenerState>,
    deal: Deal,
}

impl Adoption {
    pub(super) fn new(state: ListenerState, deal: Deal) -> Self {
        Self { state: Arc::new(state), deal }
    }

    /// A request for a WebSocket is expected, at any path.
    pub(super) fn options() -> ListenerOptions {
        let websocket =
            WebSocketOptions { path: None, allowed_origins: Vec::new(), trusted_proxies: Vec::new(), ping: None };
        ListenerOptions { websocket: Some(websocket), ..ListenerOptions::default() }
    }

    /// Serves a non-blocking socket from which nothing was read. `local`: it was accepted on a loopback address.
    pub fn take(&self, socket: TcpStream, peer: SocketAddr, local: bool) {
        let address = SocketAddr::new(peer.ip().to_canonical(), peer.port()).into();
        let peer = Peer { address, loopback_listener: local, listener: self.state.listener };
        (self.deal)(socket, peer, self.state.clone());
    }
}
