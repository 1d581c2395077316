//! [`Secure`]: what speaks TLS with the clients of HTTP. It is the server's: this room knows only that there is one.

use std::{future::Future, io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Speaks TLS.
pub trait Secure: Send + Sync {
    /// The handshake, and what comes out of it.
    fn accept(&self, socket: TcpStream) -> Accepting;
}

/// A handshake on its way.
pub type Accepting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send>>;

/// What is read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}
