//! [`Bound`]: a socket on which HTTP is served.

use std::{any::Any, net::TcpListener, os::unix::net::UnixListener};

use crate::types::Endpoint;

/// A socket that listens, without blocking.
pub struct Bound {
    /// The socket.
    pub socket: Socket,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What is kept for as long as it listens.
    pub kept: Option<Box<dyn Any + Send>>,
    /// Are the health checks alone served on it?
    pub checks_alone: bool,
}

/// What a [`Bound`] listens on.
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}
