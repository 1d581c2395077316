//! [`Bound`]: a socket that serves HTTP.

use std::{any::Any, net::TcpListener};

use crate::{platform::UnixListener, types::Endpoint};

/// A listening socket in non-blocking mode.
pub struct Bound {
    /// The socket.
    pub socket: Socket,
    /// Its address.
    pub endpoint: Endpoint,
    /// Dropped when the socket closes.
    pub kept: Option<Box<dyn Any + Send>>,
    /// Does it serve health checks only?
    pub checks_alone: bool,
}

/// A socket of a [`Bound`].
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}
