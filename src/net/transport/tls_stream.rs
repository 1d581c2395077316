//! [`Tls`]: TLS over TCP, as a [`Stream`], and how MQTT packets are put into TLS records.

use std::{
    io::{self, IoSlice, Write},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    cork::Cork,
    judges::{Judged, Judges},
    packets::{Packets, front},
    stream::Stream,
};
use crate::session::CloseReason;

/// TLS over TCP.
pub(crate) struct Tls {
    stream: tokio_rustls::server::TlsStream<Cork<TcpStream>>,
    name: Option<Box<str>>,
    asks_names: bool,
    judged: Judged,
    /// Set if each MQTT packet gets its own record: the end of the current packet.
    packets: Option<Packets>,
    /// See [`Stream::take_unread`].
    unread: usize,
}

impl Tls {
    /// A stream after the handshake. `name`: from the client's certificate, if the listener takes user names from
    /// certificates (`asks_names`) and the client has one.
    pub(crate) fn new(
        stream: tokio_rustls::server::TlsStream<Cork<TcpStream>>,
        name: Option<Box<str>>,
        asks_names: bool,
        judged: Judged,
    ) -> Self {
        Self { stream, name, asks_names, judged, packets: None, unread: 0 }
    }

    /// From now on each write is a record, or several if it is long. They are sent at the next flush.
    pub(crate) fn with_a_record_for_each_write(mut self) -> Self {
        self.stream.get_mut().0.begin();
        self
    }

    /// From now on each MQTT packet is a record. They are sent at the next flush.
    pub(crate) fn with_a_record_for_each_packet(mut self) -> Self {
        self.packets = Some(Packets::default());
        self.with_a_record_for_each_write()
    }
}

impl Stream for Tls {
    fn takes(&self) -> &'static str {
        "MQTT over TLS"
    }

    fn certificate_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn names_in_certificates(&self) -> bool {
        self.asks_names
    }

    fn judge_again(&mut self, judges: &Judges) -> Result<(), Box<str>> {
        self.judged.again(judges, self.stream.get_ref().1)
    }

    fn held(&self) -> usize {
        self.stream.get_ref().0.unsent()
    }

    fn take_sent(&mut self) -> bool {
        self.stream.get_mut().0.take_sent()
    }

    fn take_unread(&mut self) -> usize {
        std::mem::take(&mut self.unread)
    }

    /// close_notify (RFC 8446 section 6.1): the client knows that nothing was cut off.
    fn goodbye(&mut self, cx: &mut Context<'_>, _reason: &CloseReason) {
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }
}

impl AsyncRead for Tls {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let received = self.stream.get_mut().0.take_received();
        // bytes that gave something to read are counted by the reader
        self.unread = if read.is_pending() { self.unread + received } else { 0 };
        read
    }
}

impl AsyncWrite for Tls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, packets, .. } = &mut *self;
        let Some(packets) = packets else { return Pin::new(stream).poll_write(cx, buf) };
        let (cork, session) = stream.get_mut();
        let (mut taken, mut records) = (0, 0);
        while taken < buf.len() {
            let rest = &buf[taken..];
            let part = packets.rest_of_packet(rest).min(rest.len());
            // what the stream does, except that several records are moved to the cork at once
            let n = session.writer().write(&rest[..part])?;
            packets.advance(n);
            taken += n;
            records += 1;
            if n < part || records == MOVED_AT_ONCE {
                records = 0;
                if cork.is_full() {
                    match cork.poll_send(cx) {
                        Poll::Ready(sent) => sent?,
                        Poll::Pending if taken > 0 => break,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                while session.wants_write() {
                    session.write_tls(cork.held())?;
                }
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, packets, .. } = &mut *self;
        let Some(packets) = packets else { return Pin::new(stream).poll_write_vectored(cx, bufs) };
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        let packet = front(bufs, packets.rest_of_packet(first));
        let written = Pin::new(stream).poll_write_vectored(cx, &packet);
        if let Poll::Ready(Ok(n)) = written {
            packets.advance(n);
        }
        written
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

/// Records that wait in the TLS session until they are moved to the cork. Each is an allocation: as many as glibc's
/// allocator caches for a thread (tcache_count), because more cost more than moving them.
const MOVED_AT_ONCE: u32 = 7;
