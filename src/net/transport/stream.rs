//! [`Stream`]: the interface of transports. Each is a separate type, so that none pays for another.

use std::{
    io,
    task::Context,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::super::deadlines::{Deadlines, Tick};
#[cfg(feature = "tls")]
use super::judges::Judges;
#[cfg(not(feature = "tls"))]
use super::no_tls::Judges;
use crate::{platform::AsyncUnixStream, router::Peer, session::CloseReason};

/// A stream of bytes in both directions, with the other functions of its transport.
///
/// After a partial write, the next write must begin with the rest.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The protocol of its listener, for the log line about a client with another one.
    fn takes(&self) -> &'static str {
        "plain MQTT"
    }

    /// The user name from the client's certificate, if the listener takes it from there.
    fn certificate_name(&self) -> Option<&str> {
        None
    }

    /// Does its listener take user names from certificates, even if this client has none?
    fn names_in_certificates(&self) -> bool {
        false
    }

    /// Bytes by which the transport may make a packet longer than the client sent it.
    #[inline]
    fn adds(&self) -> usize {
        0
    }

    /// Keeps a silent connection open by means of the transport. Called in each turn. Returns when to call it again
    /// although nothing arrived.
    fn keep_open(&mut self, _cx: &mut Context<'_>, _deadlines: &Deadlines, _now: Instant) -> io::Result<Tick> {
        Ok(Tick::NEVER)
    }

    /// Is the client's certificate still valid by the current settings of its listener? The error has the reason.
    /// Called in each turn.
    fn judge_again(&mut self, _judges: &Judges) -> Result<(), Box<str>> {
        Ok(())
    }

    /// Bytes that were written and not accepted by the socket: a transport may collect them.
    fn held(&self) -> usize {
        0
    }

    /// Did the socket accept any collected bytes since the last call?
    fn take_sent(&mut self) -> bool {
        false
    }

    /// Bytes that arrived since the last call without anything to read: parts of a TLS record.
    fn take_unread(&mut self) -> usize {
        0
    }

    /// Ends the transport's protocol, as far as the socket accepts it at once. The connection closes afterwards.
    fn goodbye(&mut self, _cx: &mut Context<'_>, _reason: &CloseReason) {}

    /// Its end is to be a TCP reset, if the transport has such.
    fn reset_at_close(&mut self) {}
}

impl Stream for TcpStream {
    fn reset_at_close(&mut self) {
        // if this fails, the connection ends with FIN
        let _ = socket2::SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }
}

impl Stream for Box<dyn Stream + Send> {
    fn takes(&self) -> &'static str {
        (**self).takes()
    }

    fn certificate_name(&self) -> Option<&str> {
        (**self).certificate_name()
    }

    fn names_in_certificates(&self) -> bool {
        (**self).names_in_certificates()
    }

    fn adds(&self) -> usize {
        (**self).adds()
    }

    fn keep_open(&mut self, cx: &mut Context<'_>, deadlines: &Deadlines, now: Instant) -> io::Result<Tick> {
        (**self).keep_open(cx, deadlines, now)
    }

    fn judge_again(&mut self, judges: &Judges) -> Result<(), Box<str>> {
        (**self).judge_again(judges)
    }

    fn held(&self) -> usize {
        (**self).held()
    }

    fn take_sent(&mut self) -> bool {
        (**self).take_sent()
    }

    fn take_unread(&mut self) -> usize {
        (**self).take_unread()
    }

    fn goodbye(&mut self, cx: &mut Context<'_>, reason: &CloseReason) {
        (**self).goodbye(cx, reason);
    }

    fn reset_at_close(&mut self) {
        (**self).reset_at_close();
    }
}

/// Goes between the socket of each connection and what serves it: for a test bench.
pub(crate) trait Tap: Send + Sync {
    /// What the connection is served through; `None`: it ends before it begins.
    fn tap(&self, socket: Box<dyn Stream + Send>, peer: &Peer) -> Option<Box<dyn Stream + Send>>;
}

impl Stream for AsyncUnixStream {}

/// Implements writing for a transport that adds nothing to it: its field `socket` does everything.
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
