//! [`WebSocket`]: the bytes in the frames of a WebSocket, as a [`Stream`]. Each write is one binary frame, or one for
//! each MQTT packet; control frames are sent between them.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

#[cfg(feature = "tls")]
use super::super::judges::Judges;
#[cfg(not(feature = "tls"))]
use super::super::no_tls::Judges;
use super::{
    super::{
        super::deadlines::{Deadlines, Tick},
        packets::{Packets, front},
        stream::Stream,
    },
    frames::{Asked, Inbound, Violation},
};
use crate::{
    codec::DecodeError,
    session::{CloseReason, ProtocolError},
};

/// A WebSocket after its request.
pub(crate) struct WebSocket<S> {
    socket: S,
    inbound: Inbound,
    /// Bytes that arrived together with the request.
    early: Vec<u8>,
    /// A header or a whole control frame, of which `sent` bytes are written.
    header: Vec<u8>,
    sent: u16,
    /// Bytes of the current frame that are not written yet; 0 for a control frame.
    left: usize,
    /// The payload of an unanswered ping. Only the last one needs an answer (RFC 6455 section 5.5.3).
    pong: Option<Vec<u8>>,
    /// Control frames were written and not flushed.
    unflushed: bool,
    /// Set if each MQTT packet gets its own frame: the end of the current packet.
    packets: Option<Packets>,
    /// Recently read bytes without payload: headers, control frames.
    barren: u32,
    closing: Closing,
    /// Tenths of a second without a byte in either direction until a ping is sent; 0: never.
    ping_after: u16,
    /// When to send the next ping; [`Tick::NEVER`]: compute it again, because something was sent or received.
    ping_at: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// It is open.
    Open,
    /// A close frame with this code is due, after the current frame.
    Due(Option<u16>),
    /// The close frame was passed to the socket: nothing follows.
    Begun,
}

impl<S: Stream> WebSocket<S> {
    /// A WebSocket after its request. `early`: bytes that arrived together with it. `longest`: bytes of the longest
    /// frame that is accepted. `silence`: when a ping is sent.
    pub(crate) fn new(socket: S, early: Vec<u8>, longest: usize, silence: Option<Duration>) -> Self {
        Self {
            socket,
            inbound: Inbound::new(longest),
            early,
            header: Vec::new(),
            sent: 0,
            left: 0,
            pong: None,
            unflushed: false,
            packets: None,
            barren: 0,
            closing: Closing::Open,
            ping_after: silence
                .map_or(0, |silence| u16::try_from(silence.as_millis().div_ceil(100)).unwrap_or(u16::MAX)),
            ping_at: Tick::NEVER,
        }
    }

    /// From now on each MQTT packet is a frame.
    pub(crate) fn with_a_frame_for_each_packet(mut self) -> Self {
        self.packets = Some(Packets::default());
        self
    }

    /// Takes the frames behind the first `before` bytes of `buf`, and replaces them by their payload.
    fn take(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> Result<(), Violation> {
        let Self { inbound, pong, closing, .. } = self;
        let payload = inbound.take(&mut buf.filled_mut()[before..], |asked| match asked {
            Asked::Pong(payload) => *pong = Some(payload),
            Asked::Close(code) if *closing == Closing::Open => *closing = Closing::Due(code),
            Asked::Close(_) => {}
        });
        buf.set_filled(before + *payload.as_ref().unwrap_or(&0));
        payload.map(|_| ())
    }

    /// Writes the rest of a header or control frame, and control frames that are due, unless a binary frame is partly
    /// written.
    fn poll_between(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while usize::from(self.sent) < self.header.len() && self.left == 0 {
                let n = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.header[usize::from(self.sent)..]))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.sent += n as u16;
            }
            if self.left > 0 {
                return Poll::Ready(Ok(()));
            }
            let (control, payload) = if let Some(pong) = self.pong.take() {
                (Control::Pong, pong)
            } else if let Closing::Due(code) = self.closing {
                self.closing = Closing::Begun;
                (Control::Close, code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec()))
            } else {
                if self.header.capacity() > KEPT {
                    self.header = Vec::new();
                }
                return Poll::Ready(Ok(()));
            };
            self.begin(OpCode::Control(control), payload.len())?;
            self.left = 0;
            self.header.extend(payload);
        }
    }

    fn begin(&mut self, opcode: OpCode, length: usize) -> io::Result<()> {
        self.ping_at = Tick::NEVER;
        self.header.clear();
        self.sent = 0;
        self.left = length;
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        header.format(length as u64, &mut self.header).map_err(io::Error::other)
    }

    /// Is a control frame partly written?
    fn has_begun_control(&self) -> bool {
        self.left == 0 && usize::from(self.sent) < self.header.len()
    }

    /// Sends what is due, as far as the socket accepts it now. A socket that does not will wake the task.
    fn say(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let has_due = self.pong.is_some() || matches!(self.closing, Closing::Due(_)) || self.has_begun_control();
        if !has_due && !self.unflushed {
            return Ok(());
        }
        if let Poll::Ready(Err(error)) = self.poll_between(cx) {
            return Err(error);
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.unflushed = flushed.is_pending();
        if let Poll::Ready(Err(error)) = flushed { Err(error) } else { Ok(()) }
    }
}

impl<S: Stream> Stream for WebSocket<S> {
    fn takes(&self) -> &'static str {
        "MQTT over WebSocket"
    }

    fn held(&self) -> usize {
        self.socket.held()
    }

    fn take_sent(&mut self) -> bool {
        self.socket.take_sent()
    }

    fn take_unread(&mut self) -> usize {
        self.socket.take_unread()
    }

    fn certificate_name(&self) -> Option<&str> {
        self.socket.certificate_name()
    }

    fn names_in_certificates(&self) -> bool {
        self.socket.names_in_certificates()
    }

    /// Sends a ping (RFC 6455 section 5.5.2) after a silence, because proxies close silent connections. The answer does
    /// not count for the Keep Alive.
    fn judge_again(&mut self, judges: &Judges) -> Result<(), Box<str>> {
        self.socket.judge_again(judges)
    }

    fn keep_open(&mut self, cx: &mut Context<'_>, deadlines: &Deadlines, now: Instant) -> io::Result<Tick> {
        if self.ping_after == 0 || self.closing != Closing::Open {
            return Ok(Tick::NEVER);
        }
        if self.ping_at != Tick::NEVER && deadlines.has_passed(self.ping_at, now) {
            // a frame that waits for the socket keeps the connection open as well
            if self.left == 0 && !self.has_begun_control() {
                self.begin(OpCode::Control(Control::Ping), 0)?;
                self.say(cx)?;
            }
            self.ping_at = Tick::NEVER;
        }
        if self.ping_at == Tick::NEVER {
            self.ping_at = deadlines.tick(now + Duration::from_millis(100 * u64::from(self.ping_after)));
        }
        Ok(self.ping_at)
    }

    /// Sends a close frame (RFC 6455 section 5.5.1) with the most specific code.
    fn goodbye(&mut self, cx: &mut Context<'_>, reason: &CloseReason) {
        if self.closing == Closing::Open {
            self.closing = Closing::Due(Some(close_code(reason)));
        }
        let _ = self.say(cx);
        self.socket.goodbye(cx, reason);
    }
}

impl<S: Stream> WebSocket<S> {
    fn read_from_socket(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if read.is_pending() {
            self.barren = 0;
        }
        read
    }
}

impl<S: Stream> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            this.say(cx)?;
            if this.closing != Closing::Open {
                return Poll::Ready(Ok(()));
            }
            if this.barren > BARREN_A_TURN {
                // the reader counts only payload: a client that sends none would keep this thread busy
                this.barren = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if this.early.is_empty() && buf.remaining() >= SMALL {
                ready!(this.read_from_socket(cx, buf))?;
            } else {
                if this.early.is_empty() {
                    // with little space, control frames would be read a few bytes at a time
                    let mut space = [0; SMALL];
                    let mut small = ReadBuf::new(&mut space);
                    ready!(this.read_from_socket(cx, &mut small))?;
                    this.early.extend_from_slice(small.filled());
                }
                let part = this.early.len().min(buf.remaining());
                buf.put_slice(&this.early[..part]);
                this.early.drain(..part);
                if this.early.is_empty() {
                    this.early = Vec::new();
                }
            }
            let read = buf.filled().len() - before;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.ping_at = Tick::NEVER;
            if let Err(violation) = this.take(buf, before) {
                this.closing = Closing::Due(Some(violation.code()));
                this.say(cx)?;
                return Poll::Ready(Err(io::Error::other(violation)));
            }
            let payload = buf.filled().len() - before;
            this.barren = this.barren.saturating_add((read - payload) as u32);
            if payload > 0 {
                this.say(cx)?;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: Stream> AsyncWrite for WebSocket<S> {
    /// Writes as many frames as the socket accepts.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        while taken < buf.len() {
            match self.as_mut().poll_write_vectored(cx, &[IoSlice::new(&buf[taken..])]) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(n)) => taken += n,
                // report what was written; the next write returns the error
                _ if taken > 0 => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_between(cx))?;
        if this.left == 0 {
            if this.closing != Closing::Open {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) else { return Poll::Ready(Ok(0)) };
            let length = match &mut this.packets {
                Some(packets) => packets.rest_of_packet(first),
                None => bufs.iter().map(|buf| buf.len()).sum(),
            };
            this.begin(OpCode::Data(Data::Binary), length)?;
        }
        loop {
            let header = &this.header[usize::from(this.sent)..];
            let mut slices = front(bufs, this.left);
            if !header.is_empty() {
                slices.insert(0, IoSlice::new(header));
            }
            let n = ready!(Pin::new(&mut this.socket).poll_write_vectored(cx, &slices))?;
            if n == 0 {
                return Poll::Ready(Ok(0));
            }
            let of_header = n.min(header.len());
            this.sent += of_header as u16;
            let payload = n - of_header;
            this.left -= payload;
            if let Some(packets) = &mut this.packets {
                packets.advance(payload);
            }
            if payload > 0 {
                return Poll::Ready(Ok(payload));
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_between(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing == Closing::Open {
            self.closing = Closing::Due(Some(close_code(&CloseReason::ServerShutdown)));
        }
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// RFC 6455 section 7.4.1.
fn close_code(reason: &CloseReason) -> u16 {
    match reason {
        CloseReason::ServerShutdown => 1001,
        CloseReason::Malformed(DecodeError::PacketTooLarge { .. }) => 1009,
        CloseReason::Protocol(ProtocolError::TooManyUnreleased | ProtocolError::TooManyUnacknowledged) => 1008,
        CloseReason::Malformed(_) | CloseReason::Protocol(_) => 1002,
        CloseReason::Refused { .. } | CloseReason::NotAuthorized | CloseReason::SessionTakenOver => 1008,
        _ => 1000,
    }
}

/// Capacity for the header of a binary frame. More, for a control frame, is freed.
const KEPT: usize = 16;

/// If the reader has less space, this many bytes are read.
const SMALL: usize = 1 << 10;

/// After this many bytes without payload, other connections have a turn.
const BARREN_A_TURN: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::super::{cork::Cork, test_socket::TestSocket};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
    };

    use super::*;

    /// A client that sends the same bytes for ever, and accepts all output.
    struct Endless {
        bytes: &'static [u8],
        sent: usize,
        reads: usize,
    }

    /// More than one turn reads.
    const FAR_TOO_MUCH: usize = 16 << 20;

    impl AsyncRead for Endless {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            assert!(self.sent < FAR_TOO_MUCH, "{} bytes in one turn", self.sent);
            self.reads += 1;
            while buf.remaining() > 0 {
                let from = self.sent % self.bytes.len();
                let part = buf.remaining().min(self.bytes.len() - from);
                buf.put_slice(&self.bytes[from..from + part]);
                self.sent += part;
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Stream for Endless {}

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_idle_websocket_is_small() {
        type Tcp = WebSocket<tokio::net::TcpStream>;
        assert!(size_of::<Tcp>() <= 184, "{} bytes", size_of::<Tcp>());
    }

    const PING: &[u8] = &[0x89, 0];

    /// A WebSocket and its time, in seconds.
    struct Clock {
        start: Instant,
        deadlines: Deadlines,
        socket: WebSocket<TestSocket>,
    }

    impl Clock {
        fn new(silence: Option<Duration>) -> Self {
            let start = Instant::now();
            let socket =
                WebSocket::new(TestSocket { room: usize::MAX, ..TestSocket::default() }, Vec::new(), 100, silence);
            Self { start, deadlines: Deadlines::new(start), socket }
        }

        /// One turn: the bytes sent in it, and the time of the next turn without events.
        fn turn(&mut self, seconds: u64) -> (Vec<u8>, Option<u64>) {
            let mut cx = Context::from_waker(Waker::noop());
            let mut space = [0; 64];
            let mut buf = ReadBuf::new(&mut space);
            // until there is no input; at the end there is none for ever
            while Pin::new(&mut self.socket).poll_read(&mut cx, &mut buf).is_ready() && !buf.filled().is_empty() {
                buf.clear();
            }
            let now = self.start + Duration::from_secs(seconds);
            let next = self.socket.keep_open(&mut cx, &self.deadlines, now).unwrap();
            let at = |seconds: &u64| self.deadlines.tick(self.start + Duration::from_secs(*seconds)) == next;
            (std::mem::take(&mut self.socket.socket.took), (0..1000).find(at))
        }
    }

    #[test]
    fn a_ping_after_a_silence_and_none_before() {
        let mut clock = Clock::new(Some(Duration::from_secs(30)));
        assert_eq!(clock.turn(0), (vec![], Some(30)));
        assert_eq!(clock.turn(29), (vec![], Some(30)));
        assert_eq!(clock.turn(30), (PING.to_vec(), Some(60)));
        // the answer is read, and later frames too
        clock.socket.socket.says = vec![0x8a, 0x80, 1, 2, 3, 4];
        assert_eq!(clock.turn(31), (vec![], Some(61)));
        clock.socket.socket.says = vec![0x89, 0x80, 1, 2, 3, 4];
        assert_eq!(clock.turn(50), (vec![0x8a, 0], Some(80)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut clock.socket).poll_write(&mut cx, b"x").is_ready());
        assert_eq!(clock.turn(70), (vec![0x82, 1, b'x'], Some(100)));
        assert_eq!(clock.turn(99), (vec![], Some(100)));
        assert_eq!(clock.turn(102), (PING.to_vec(), Some(132)));
        // the end has begun
        clock.socket.socket.says = vec![0x88, 0x80, 1, 2, 3, 4];
        assert_eq!(clock.turn(103), (vec![0x88, 0], None));
        assert_eq!(Clock::new(None).turn(0), (vec![], None));
    }

    #[test]
    fn a_pong_that_was_collected_is_sent_when_there_is_room() {
        let mut cx = Context::from_waker(Waker::noop());
        let quiet = TestSocket { says: vec![0x89, 0x80, 1, 2, 3, 4], ..TestSocket::default() };
        let mut socket = WebSocket::new(Cork::begun(quiet), Vec::new(), 100, None);
        let mut space = [0; 64];
        let mut read = |socket: &mut WebSocket<Cork<TestSocket>>| {
            Pin::new(socket).poll_read(&mut cx, &mut ReadBuf::new(&mut space)).is_pending()
        };
        assert!(read(&mut socket));
        assert_eq!(socket.held(), 2);
        assert_eq!(socket.socket.socket().took, [0; 0]);
        socket.socket.socket().room = 10;
        assert!(read(&mut socket));
        assert_eq!(socket.held(), 0);
        assert_eq!(socket.socket.socket().took, [0x8a, 0]);
    }

    #[test]
    fn a_ping_is_sent_once_between_frames() {
        let mut clock = Clock::new(Some(Duration::from_secs(1)));
        clock.turn(0);
        clock.socket.socket.room = 1;
        assert_eq!(clock.turn(1), (PING[..1].to_vec(), Some(2)));
        // it waits for the socket: one is enough
        assert_eq!(clock.turn(2), (vec![], Some(3)));
        clock.socket.socket.room = 3;
        let mut cx = Context::from_waker(Waker::noop());
        // a started frame is completed first; no ping fits into it
        assert!(Pin::new(&mut clock.socket).poll_write(&mut cx, b"abc").is_pending());
        assert_eq!(clock.turn(4), ([&PING[1..], &[0x82, 3]].concat(), Some(5)));
        assert_eq!(clock.turn(5), (vec![], Some(6)));
        clock.socket.socket.room = usize::MAX;
        assert!(Pin::new(&mut clock.socket).poll_write(&mut cx, b"abc").is_ready());
        assert_eq!(clock.turn(6), ([b"abc", PING].concat(), Some(7)));
    }

    #[test]
    fn many_small_frames_take_no_more_than_a_turn() {
        const PINGS: &[u8] = &[0x89, 0x80, 1, 2, 3, 4];
        const EMPTY: &[u8] = &[0x02, 0x80, 1, 2, 3, 4, 0x80, 0x80, 1, 2, 3, 4];
        const ONE_IN_MANY: &[u8] = &{
            let mut bytes = [0; 6 * 4096 + 7];
            let mut at = 0;
            while at < 6 * 4096 {
                (bytes[at], bytes[at + 1]) = (0x89, 0x80);
                at += 6;
            }
            (bytes[at], bytes[at + 1]) = (0x82, 0x81);
            bytes
        };
        for bytes in [PINGS, EMPTY, ONE_IN_MANY] {
            let wakes = Arc::<Wakes>::default();
            let waker = Waker::from(wakes.clone());
            let mut socket = WebSocket::new(Endless { bytes, sent: 0, reads: 0 }, Vec::new(), 1 << 20, None);
            let mut space = vec![0; 8192];
            for turn in 1..4 {
                // like a connection, reads until there is no input
                let read = |socket: &mut WebSocket<Endless>, space: &mut [u8]| {
                    let mut buf = ReadBuf::new(space);
                    Pin::new(socket).poll_read(&mut Context::from_waker(&waker), &mut buf).map(Result::unwrap)
                };
                socket.socket.sent %= bytes.len();
                while read(&mut socket, &mut space).is_ready() {}
                assert!(socket.socket.sent <= 2 * BARREN_A_TURN as usize, "{} bytes", socket.socket.sent);
                assert_eq!(wakes.0.load(Ordering::Relaxed), turn, "it goes on in its next turn");
            }
        }
    }

    #[test]
    fn control_frames_are_not_read_byte_by_byte_where_one_byte_of_a_packet_is_awaited() {
        let bytes = &[0x89, 0x80, 1, 2, 3, 4];
        let mut socket = WebSocket::new(Endless { bytes, sent: 0, reads: 0 }, Vec::new(), 1 << 20, None);
        let mut space = [0];
        let mut buf = ReadBuf::new(&mut space);
        let read = Pin::new(&mut socket).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
        assert!(read.is_pending(), "others have their turn");
        let Endless { sent, reads, .. } = socket.socket;
        assert!(sent > BARREN_A_TURN as usize && reads <= sent / SMALL, "{reads} reads of {sent} bytes");
    }
}
