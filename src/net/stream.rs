//! [`Stream`]: what a connection is spoken over. Each transport is a type of its own, so that none pays for another.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::session::CloseReason;

/// A stream of bytes in both directions, and what else its transport knows.
///
/// A write that took a part of what it was given is followed by one that is given the rest.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The name in the certificate that the client showed, where that is its user name.
    fn certificate_name(&self) -> Option<&str> {
        None
    }

    /// Its listener takes user names from certificates, whether the client showed one or not.
    fn names_in_certificates(&self) -> bool {
        false
    }

    /// Says goodbye in the way of the transport, as far as the socket takes it at once; the end follows.
    fn part(&mut self, _cx: &mut Context<'_>, _reason: &CloseReason) {}
}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

/// TLS over TCP.
pub(super) struct Tls {
    pub(super) stream: tokio_rustls::server::TlsStream<TcpStream>,
    /// See [`Stream::certificate_name`].
    pub(super) name: Option<Box<str>>,
    /// See [`Stream::names_in_certificates`].
    pub(super) asks_names: bool,
}

impl Stream for Tls {
    fn certificate_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn names_in_certificates(&self) -> bool {
        self.asks_names
    }

    /// close_notify (RFC 8446 section 6.1): what came before it is known to be all.
    fn part(&mut self, cx: &mut Context<'_>, _reason: &CloseReason) {
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }
}

impl AsyncRead for Tls {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
