//! [`Cork`]: a socket that collects writes and sends them at the next flush, in one system call (like TCP_CORK,
//! tcp(7)). TLS writes each record separately, and a WebSocket each frame; without this, each would take a system call.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;
use crate::session::CloseReason;

/// A socket that collects writes until a flush. Before [`begin`](Self::begin), writes go directly to the socket.
#[derive(Debug)]
pub(crate) struct Cork<IO> {
    socket: IO,
    corked: bool,
    /// Bytes to be sent; without an allocation while it is empty.
    held: Vec<u8>,
    /// Number of bytes at the front of `held` that the socket accepted.
    sent: usize,
    /// The socket accepted some since [`take_sent`](Self::take_sent).
    has_sent: bool,
    /// Bytes read since [`take_received`](Self::take_received).
    received: usize,
}

/// With this many bytes, they are sent before more is collected.
const FULL: usize = 128 << 10;
/// A larger buffer is not reused.
const KEEP_CAPACITY: usize = 2 * FULL;

thread_local! {
    /// The buffer of the last connection of this thread that sent everything.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<IO> Cork<IO> {
    pub(crate) fn new(socket: IO) -> Self {
        Self { socket, corked: false, held: Vec::new(), sent: 0, has_sent: false, received: 0 }
    }

    /// With writes that wait for the next flush from the beginning.
    pub(crate) fn begun(socket: IO) -> Self {
        Self { corked: true, ..Self::new(socket) }
    }

    /// From now on writes wait for the next flush.
    pub(crate) fn begin(&mut self) {
        self.corked = true;
    }

    #[cfg(test)]
    pub(crate) fn socket(&mut self) -> &mut IO {
        &mut self.socket
    }

    /// Number of bytes that the socket has not accepted.
    pub(crate) fn unsent(&self) -> usize {
        self.held.len() - self.sent
    }

    /// Did the socket accept any collected bytes since the last call?
    pub(crate) fn take_sent(&mut self) -> bool {
        std::mem::take(&mut self.has_sent)
    }

    /// Bytes read since the last call.
    pub(crate) fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }
}

impl<IO: AsyncWrite + Unpin> Cork<IO> {
    /// Must bytes be sent before more is collected?
    pub(crate) fn is_full(&self) -> bool {
        self.unsent() >= FULL
    }

    /// The collected bytes, to append to.
    pub(crate) fn held(&mut self) -> &mut Vec<u8> {
        if self.held.capacity() == 0 {
            self.held = SPARE.take();
        }
        &mut self.held
    }

    /// Sends the collected bytes.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.held[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => {
                    self.sent += n;
                    self.has_sent = true;
                }
            }
        }
        self.sent = 0;
        let mut buffer = std::mem::take(&mut self.held);
        if (1..=KEEP_CAPACITY).contains(&buffer.capacity()) {
            buffer.clear();
            SPARE.set(buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> Stream for Cork<S> {
    fn certificate_name(&self) -> Option<&str> {
        self.socket.certificate_name()
    }

    fn names_in_certificates(&self) -> bool {
        self.socket.names_in_certificates()
    }

    fn held(&self) -> usize {
        self.unsent()
    }

    fn take_sent(&mut self) -> bool {
        Cork::take_sent(self)
    }

    fn goodbye(&mut self, cx: &mut Context<'_>, reason: &CloseReason) {
        self.socket.goodbye(cx, reason);
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Cork<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.received += buf.filled().len() - before;
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Cork<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let large = bufs.iter().map(|buf| buf.len()).sum::<usize>() >= FULL;
        if large || self.is_full() {
            ready!(self.poll_send(cx))?;
        }
        // large writes go out directly: copying them gains nothing
        if large || !self.corked {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        }
        let held = self.held();
        let before = held.len();
        bufs.iter().for_each(|buf| held.extend_from_slice(buf));
        Poll::Ready(Ok(held.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{super::test_socket::TestSocket, *};

    #[test]
    fn a_partial_write_of_corked_bytes_counts_as_progress() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut cork = Cork::begun(TestSocket::default());
        for part in [&b"abc"[..], b"defg"] {
            assert!(matches!(Pin::new(&mut cork).poll_write(&mut cx, part), Poll::Ready(Ok(n)) if n == part.len()));
        }
        assert_eq!((cork.unsent(), cork.take_sent()), (7, false), "it is the cork that took it");
        assert!(Pin::new(&mut cork).poll_flush(&mut cx).is_pending());
        assert!(!cork.take_sent());
        cork.socket.room = 5;
        assert!(Pin::new(&mut cork).poll_flush(&mut cx).is_pending());
        assert_eq!((cork.unsent(), cork.take_sent(), cork.take_sent()), (2, true, false));
        cork.socket.room = 5;
        assert!(Pin::new(&mut cork).poll_flush(&mut cx).is_ready());
        assert_eq!((&cork.socket.took[..], cork.unsent(), cork.held.capacity()), (&b"abcdefg"[..], 0, 0));
        cork.socket.says = vec![0; 3];
        let mut space = [0; 8];
        assert!(Pin::new(&mut cork).poll_read(&mut cx, &mut ReadBuf::new(&mut space)).is_ready());
        assert_eq!((cork.take_received(), cork.take_received()), (3, 0));
    }
}
