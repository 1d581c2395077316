//! [`Proxied`]: a connection behind a proxy that ended the client's TLS and reports the name in its certificate.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::stream::{Stream, writes_to_its_socket};

/// A TCP connection behind a PROXY header. Its listener takes user names from certificates.
pub(crate) struct Proxied {
    pub(crate) socket: TcpStream,
    /// See [`Stream::certificate_name`].
    pub(crate) name: Option<Box<str>>,
}

impl Stream for Proxied {
    fn certificate_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn names_in_certificates(&self) -> bool {
        true
    }
}

impl AsyncRead for Proxied {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

writes_to_its_socket!(Proxied);
