//! [`WebSocketOptions`]: the WebSocket options of a listener.

use std::time::Duration;

use ipnet::IpNet;

/// The WebSocket options of a listener.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The path; `None`: any.
    pub path: Option<String>,
    /// Origins whose pages may connect; empty: all.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The silence after which a ping is sent; `None`: never.
    pub ping: Option<Duration>,
}
