//! [`WebSocketOptions`]: what a listener asks of WebSockets.

use std::time::Duration;

use ipnet::IpNet;

/// What a listener asks of requests.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The path; `None`: any.
    pub path: Option<String>,
    /// Pages of which origins may connect; none: all.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarding headers say what the client's address is.
    pub trusted_proxies: Vec<IpNet>,
    /// After which silence a ping is sent; `None`: never.
    pub ping: Option<Duration>,
}
