//! [`Target`]: a server to connect to.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::types::Transport;

/// A server to connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is spoken.
    pub transport: Transport,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// WebSocket: the path.
    pub path: String,
    /// The address of this machine that it is connected from; `None`: any.
    pub from: Option<IpAddr>,
    /// How long data may be unacknowledged by the other machine's TCP until the connection is lost.
    pub user_timeout: Duration,
}

/// How TLS is spoken with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsOptions {
    /// The authorities of its certificate, PEM; `None`: those of this machine.
    pub authorities: Option<PathBuf>,
    /// This side's certificate and its key, PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The protocol by ALPN; `None`: none is offered.
    pub alpn: Option<String>,
    /// The host's name is not compared with that in the certificate.
    pub any_name: bool,
}
