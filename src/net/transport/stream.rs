//! [`Stream`]: the interface of transports. Each is a type of its own, so that none pays for another.

use std::{io, task::Context, time::Instant};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::super::deadlines::{Deadlines, Tick};
#[cfg(feature = "tls")]
use super::judges::Judges;
#[cfg(not(feature = "tls"))]
use super::no_tls::Judges;
use crate::session::CloseReason;

/// A stream of bytes in both directions, and what else its transport knows.
///
/// A write that took a part of what it was given is followed by one that is given the rest.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// What its listener takes, for a client that speaks something else.
    const TAKES: &'static str = "plain MQTT";

    /// The name in the certificate that the client showed, where that is its user name.
    fn certificate_name(&self) -> Option<&str> {
        None
    }

    /// Its listener takes user names from certificates, whether the client showed one or not.
    fn names_in_certificates(&self) -> bool {
        false
    }

    /// Keeps a connection open that is silent, in the way of the transport; called in each turn. Gives when it has to
    /// be called again although nothing arrived.
    fn keep_open(&mut self, _cx: &mut Context<'_>, _deadlines: &Deadlines, _now: Instant) -> io::Result<Tick> {
        Ok(Tick::NEVER)
    }

    /// Is what the client showed of itself still good, by what its listener asks now? The error says why not. Called in
    /// each turn.
    fn judge_again(&mut self, _judges: &Judges) -> Result<(), Box<str>> {
        Ok(())
    }

    /// Bytes that were written and that the socket has not taken: a transport may collect them.
    fn held(&self) -> usize {
        0
    }

    /// Did the socket take any of what was held, since this was last asked?
    fn take_sent(&mut self) -> bool {
        false
    }

    /// Bytes that came since this was last asked and that gave nothing to read yet: parts of a TLS record.
    fn take_unread(&mut self) -> usize {
        0
    }

    /// Says goodbye in the way of the transport, as far as the socket takes it at once; the end follows.
    fn goodbye(&mut self, _cx: &mut Context<'_>, _reason: &CloseReason) {}
}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

/// Writing of a transport that adds nothing to it: its field `socket` does all.
macro_rules! writes_to_its_socket {
    ($transport:ty $(, for any $socket:ident)?) => {
        impl$(<$socket: tokio::io::AsyncWrite + Unpin>)? tokio::io::AsyncWrite for $transport {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(&mut self.socket).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.socket.is_write_vectored()
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.socket).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.socket).poll_shutdown(cx)
            }
        }
    };
}

pub(super) use writes_to_its_socket;
