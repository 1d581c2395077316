//! [`between`] a socket and its connection; [`Mounted`]: the stream of a client with a prefix.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    super::{
        super::deadlines::{Deadlines, Tick},
        Judges,
        stream::{Stream, Tap},
    },
    KEPT,
    incoming::Incoming,
    outgoing::Outgoing,
};
use crate::{router::Peer, session::CloseReason};

/// Puts what a test bench and a listener want between a socket and its connection. `longest`: the largest packet that
/// the broker accepts. `None`: the test bench ends the connection before it begins.
pub(crate) fn between(
    socket: impl Stream + Send + 'static,
    peer: &Peer,
    tap: Option<&dyn Tap>,
    (prefix, longest): (Option<&Arc<str>>, usize),
) -> Option<Box<dyn Stream + Send>> {
    let mut socket: Box<dyn Stream + Send> = Box::new(socket);
    if let Some(tap) = tap {
        socket = tap.tap(socket, peer)?;
    }
    Some(match prefix {
        Some(prefix) => Box::new(Mounted::new(socket, prefix, longest)),
        None => socket,
    })
}

/// A client with a prefix.
pub(super) struct Mounted {
    socket: Box<dyn Stream + Send>,
    /// See [`Stream::adds`].
    adds: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What the connection reads next.
    inbox: Vec<u8>,
    /// What the socket takes next, without its first bytes, which it took.
    outbox: Vec<u8>,
    written: usize,
    /// The socket took something since this was asked.
    sent: bool,
    /// Bytes that arrived since this was asked, without anything to read.
    unread: usize,
    /// The task reads on when the client is answered.
    unanswered: Option<Waker>,
}

/// Bytes of one read.
const A_READ: usize = 16 << 10;
/// More is not taken from the connection.
const MOST_HELD: usize = 64 << 10;
/// More of a packet is not held before the client got an answer to its CONNECT.
const MOST_OF_STRANGERS: usize = 1 << 10;

impl Mounted {
    pub(super) fn new(socket: Box<dyn Stream + Send>, prefix: &Arc<str>, longest: usize) -> Self {
        Self {
            socket,
            adds: super::adds(prefix),
            incoming: Incoming::new(prefix.clone(), longest),
            outgoing: Outgoing::new(prefix.clone()),
            inbox: Vec::new(),
            outbox: Vec::new(),
            written: 0,
            sent: false,
            unread: 0,
            unanswered: None,
        }
    }

    /// Writes what the socket takes. `Pending`: something is left.
    fn write_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.outbox.len() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.outbox[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = true;
            self.written += count;
        }
        self.written = 0;
        empty(&mut self.outbox);
        Poll::Ready(Ok(()))
    }

    /// Bytes that the socket did not take.
    fn unwritten(&self) -> usize {
        self.outbox.len() - self.written
    }
}

/// Gives most of its memory back.
fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
}

impl AsyncRead for Mounted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.inbox.is_empty() {
                let count = this.inbox.len().min(buf.remaining());
                buf.put_slice(&this.inbox[..count]);
                this.inbox.drain(..count);
                if this.inbox.is_empty() {
                    empty(&mut this.inbox);
                }
                return Poll::Ready(Ok(()));
            }
            if this.incoming.has_ended() {
                return Poll::Ready(Ok(()));
            }
            if !this.outgoing.has_begun && this.incoming.held() > MOST_OF_STRANGERS {
                this.unanswered = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let mut space = [0; A_READ];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.incoming.hear(read.filled(), &mut this.inbox);
            if this.inbox.is_empty() {
                this.unread += read.filled().len();
            }
        }
    }
}

impl AsyncWrite for Mounted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.unwritten() > MOST_HELD {
            ready!(this.write_on(cx))?;
        }
        this.outgoing.write(bytes, &mut this.outbox);
        if let Some(waker) = this.unanswered.take() {
            waker.wake();
        }
        if let Poll::Ready(Err(error)) = this.write_on(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_on(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_on(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Stream for Mounted {
    fn takes(&self) -> &'static str {
        self.socket.takes()
    }

    fn certificate_name(&self) -> Option<&str> {
        self.socket.certificate_name()
    }

    fn names_in_certificates(&self) -> bool {
        self.socket.names_in_certificates()
    }

    fn adds(&self) -> usize {
        self.adds
    }

    fn keep_open(&mut self, cx: &mut Context<'_>, deadlines: &Deadlines, now: Instant) -> io::Result<Tick> {
        if let Poll::Ready(Err(error)) = self.write_on(cx) {
            return Err(error);
        }
        self.socket.keep_open(cx, deadlines, now)
    }

    fn judge_again(&mut self, judges: &Judges) -> Result<(), Box<str>> {
        self.socket.judge_again(judges)
    }

    fn held(&self) -> usize {
        self.unwritten() + self.socket.held()
    }

    fn take_sent(&mut self) -> bool {
        let sent = self.socket.take_sent();
        std::mem::take(&mut self.sent) || sent
    }

    fn take_unread(&mut self) -> usize {
        std::mem::take(&mut self.unread) + self.socket.take_unread()
    }

    fn goodbye(&mut self, cx: &mut Context<'_>, reason: &CloseReason) {
        // what the socket does not take at once is lost, as the rest of the output
        let _ = self.write_on(cx);
        self.socket.goodbye(cx, reason);
    }

    fn reset_at_close(&mut self) {
        self.socket.reset_at_close();
    }
}
