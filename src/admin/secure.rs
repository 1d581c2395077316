//! [`Secure`]: the interface to TLS. The server implements it; this room does not know TLS.

use std::{future::Future, io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Speaks TLS.
pub trait Secure: Send + Sync {
    /// Does the handshake.
    fn accept(&self, socket: TcpStream) -> Accepting;
}

/// A handshake in progress.
pub type Accepting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send>>;

/// An encrypted connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}
