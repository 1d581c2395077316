//! [`Target`]: a server to connect to.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::types::Transport;

/// TCP user timeout: a connection is lost if the peer's TCP has not acknowledged sent data after this time.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// A server to connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// TCP, TLS or WebSocket.
    pub transport: Transport,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// WebSocket: the path.
    pub path: String,
    /// The local address; `None`: any.
    pub from: Option<IpAddr>,
    /// TCP user timeout: the connection is lost if the peer's TCP has not acknowledged sent data after this time.
    pub user_timeout: Duration,
}

/// The TLS settings for a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsOptions {
    /// The authorities that sign the server's certificate, PEM; `None`: those of this machine.
    pub authorities: Option<PathBuf>,
    /// The client's certificate and its key, PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The protocol that is offered by ALPN; `None`: none.
    pub alpn: Option<String>,
    /// The host name is not compared with the certificate.
    pub any_name: bool,
}
