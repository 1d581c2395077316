//! [`Wire`]: the connection of one client, between its socket and the broker.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
};

use super::{super::journal::What, fault::Does, lane::Lane, longest::LONGEST, rewrite, set::Faults};
use crate::{
    codec::PacketType,
    net::{Deadlines, Judges, Stream, Tick},
    session::CloseReason,
    trace::{Direction, Seen, Who},
    types::ProtocolVersion,
};

/// The connection of one client.
pub(super) struct Wire {
    /// `None`: closed, or kept open elsewhere.
    socket: Option<Box<dyn Stream + Send>>,
    faults: Arc<Faults>,
    who: Who,
    to_server: Lane,
    to_client: Lane,
    state: State,
    /// Limit of bytes a second to the client.
    stall: Option<Stall>,
    /// The client was accepted.
    greeted: bool,
    /// Its CONNECT had Clean Session 1.
    clean: bool,
    /// The broker has closed, and delayed bytes are still to be sent.
    is_left: bool,
    /// Wakes the connection's task.
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The socket has accepted bytes since the last call.
    sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Closes after the pending bytes are written.
    Closing,
    Closed,
    /// Neither end is told that the other is gone.
    HalfOpen,
}

struct Stall {
    rate: u64,
    since: Instant,
    /// Bytes sent in this interval.
    sent: u64,
}

/// At more held bytes, nothing is read.
const MOST_HELD: usize = 256 << 10;
/// Size of a read.
const A_READ: usize = 16 << 10;
/// Interval of writes to a stalled client.
const TICK: Duration = Duration::from_millis(10);

impl Wire {
    pub(super) fn new(socket: Box<dyn Stream + Send>, faults: Arc<Faults>) -> Self {
        let (to_server, to_client) = (Lane::new(faults.clone(), faults.longest), Lane::new(faults.clone(), LONGEST));
        let (who, state) = (Who::default(), State::Open);
        Self {
            socket: Some(socket),
            faults,
            who,
            to_server,
            to_client,
            state,
            stall: None,
            greeted: false,
            clean: false,
            is_left: false,
            timer: None,
            sent: false,
        }
    }

    /// Applies the faults to all complete packets of one direction.
    fn meet(&mut self, direction: Direction) {
        while self.state == State::Open {
            let version = self.who.version;
            let Some(packet) = self.lane(direction).next_packet(version) else { break };
            self.meet_one(packet, direction);
        }
        self.faults.journal.tell();
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn meet_one(&mut self, packet: Vec<u8>, direction: Direction) {
        let Some(seen) = self.who.see(&packet, direction) else { return self.lane(direction).pass(packet, None) };
        if direction == Direction::ToServer && self.breaks(&seen) {
            return self.close();
        }
        let was_greeted = self.greeted;
        let hit = self.faults.hit(&self.who, &seen, was_greeted);
        self.greeted |= seen.packet == PacketType::Connack && seen.codes == [0];
        if seen.packet == PacketType::Connect {
            self.clean = seen.is_clean;
            // the version of a malformed one is not known otherwise
            self.who.version = rewrite::version_of(&packet).unwrap_or(self.who.version);
        }
        self.tell_strict(&seen, hit.as_ref().map(|hit| &hit.does));
        let fate = hit.as_ref().map(|hit| hit.does.name());
        let what = What::Packet { packet: Box::new(seen.clone()), fault: fate };
        self.faults.journal.note(self.who.client.as_deref(), self.who.user.as_deref(), what);
        let Some(hit) = hit else { return self.lane(direction).pass(packet, None) };
        let version = self.who.version;
        match hit.does {
            Does::Drop => {}
            Does::Delay(span) => self.lane(direction).pass(packet, Some(span.0)),
            Does::Duplicate => {
                self.lane(direction).pass(packet.clone(), None);
                self.lane(direction).pass(packet, None);
            }
            Does::Corrupt => {
                let mut packet = packet;
                rewrite::corrupt(&mut packet, hit.random);
                self.lane(direction).pass(packet, None);
            }
            Does::Truncate(count) => {
                let mut packet = packet;
                packet.truncate(count);
                self.lane(direction).pass(packet, None);
                self.close();
            }
            Does::Close => self.close(),
            Does::Reset => {
                if let Some(mut socket) = self.socket.take() {
                    socket.reset_at_close();
                }
                self.ended();
            }
            Does::HalfOpen => {
                if let Some(socket) = self.socket.take() {
                    self.faults.bury(socket);
                }
                self.to_client.clear();
                self.to_server.clear();
                self.state = State::HalfOpen;
            }
            Does::Stall(rate) => {
                self.stall = Some(Stall { rate, since: self.faults.clock().now(), sent: 0 });
                self.lane(direction).pass(packet, None);
            }
            Does::Refuse(code) => self.close_with(rewrite::refusal(version, code)),
            Does::ReasonCode(code) => self.say(packet, &seen, direction, code),
            Does::Reorder => self.lane(direction).reorder(packet),
            Does::Disconnect(code) => self.close_with(rewrite::disconnect(version, code, None)),
            Does::Redirect(server) if !was_greeted => self.close_with(rewrite::redirection(version, &server)),
            Does::Redirect(server) => self.close_with(rewrite::disconnect(version, rewrite::MOVED, Some(&server))),
            Does::ReceiveMaximum(maximum) => {
                let changed = (version == ProtocolVersion::V5).then(|| rewrite::with_receive_maximum(&packet, maximum));
                self.lane(direction).pass(changed.flatten().unwrap_or(packet), None);
            }
            // this was decided before the connection had a wire
            Does::RefuseTcp => self.lane(direction).pass(packet, None),
        }
    }

    /// Checks a client's packet in strict mode. `true`: its connection closes.
    fn breaks(&self, seen: &Seen) -> bool {
        let found = self.faults.strict.sends(&self.who, seen);
        found.iter().for_each(|violation| self.faults.journal.violated(violation));
        self.faults.strict.closes() && found.iter().any(|violation| violation.statement.is_some())
    }

    /// Tells strict mode what the client receives, and that a fault changes what it sends.
    fn tell_strict(&self, seen: &Seen, does: Option<&Does>) {
        use Does::{Corrupt, Delay, Duplicate, HalfOpen, ReasonCode, ReceiveMaximum, Reorder, Stall};
        match (seen.direction, does) {
            (Direction::ToServer, None | Some(Delay(_) | Stall(_))) => {}
            // a client that receives nothing, or something else, cannot answer correctly
            (Direction::ToServer, Some(_)) | (_, Some(Corrupt | HalfOpen)) => self.faults.strict.tampers(&self.who),
            (Direction::ToClient, None | Some(Delay(_) | Duplicate | Reorder | Stall(_))) => {
                self.faults.strict.gets(&self.who, seen);
            }
            // the client believes the changed packet
            (Direction::ToClient, Some(ReasonCode(code))) => {
                let session_present = seen.session_present && *code == 0;
                let changed = Seen { codes: vec![*code], session_present, ..seen.clone() };
                self.faults.strict.gets(&self.who, &changed);
            }
            (Direction::ToClient, Some(ReceiveMaximum(maximum))) => {
                let changed = Seen { receive_maximum: Some(*maximum), ..seen.clone() };
                self.faults.strict.gets(&self.who, &changed);
            }
            (Direction::ToClient, Some(_)) => {}
        }
    }

    /// Replaces the Reason Code of a packet, or answers it.
    fn say(&mut self, packet: Vec<u8>, seen: &Seen, direction: Direction, code: u8) {
        let version = self.who.version;
        match direction {
            Direction::ToClient => {
                let changed = rewrite::with_code(&packet, seen, version, code).unwrap_or(packet);
                self.to_client.pass(changed, None);
                // a refused packet is not in flight any more
                if seen.packet == PacketType::Connack && code != 0 {
                    self.close();
                }
            }
            Direction::ToServer => match rewrite::answer(seen, version, code) {
                Some(answer) => self.to_client.pass(answer, None),
                None => self.to_server.pass(packet, None),
            },
        }
    }

    /// Sends this to the client and closes the connection.
    fn close_with(&mut self, last: Vec<u8>) {
        self.to_client.pass(last, None);
        self.close();
    }

    fn close(&mut self) {
        self.state = State::Closing;
        self.to_client.end_here();
        self.to_server.end_here();
    }

    /// Discards everything in both directions.
    fn ended(&mut self) {
        self.state = State::Closed;
        self.socket = None;
        self.to_client.clear();
    }

    /// Wakes the task at this time at the latest.
    fn wake_at(&mut self, at: Instant, cx: &mut Context<'_>) {
        let clock = self.faults.clock().clone();
        let mut timer: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { clock.sleep_until(at).await });
        match timer.as_mut().poll(cx) {
            // the clock is paused: check again later
            Poll::Ready(()) => cx.waker().wake_by_ref(),
            Poll::Pending => self.timer = Some(timer),
        }
    }

    /// Writes to the client as much as the socket accepts. `Pending`: it accepts no more.
    fn write_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let now = self.faults.clock().now();
            let Some(socket) = &mut self.socket else { return Poll::Ready(Ok(())) };
            let bytes = match self.to_client.front(now) {
                None => break,
                Some(Err(due)) => {
                    self.wake_at(due, cx);
                    break;
                }
                Some(Ok(bytes)) => bytes,
            };
            let most = match &self.stall {
                None => bytes.len(),
                Some(stall) => stall.room(now).min(bytes.len()),
            };
            if most == 0 {
                self.wake_at(now + TICK, cx);
                break;
            }
            let count = ready!(Pin::new(socket).poll_write(cx, &bytes[..most]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = true;
            self.to_client.gone(count);
            if let Some(stall) = &mut self.stall {
                stall.sent += count as u64;
            }
        }
        let Some(socket) = &mut self.socket else { return Poll::Ready(Ok(())) };
        ready!(Pin::new(socket).poll_flush(cx))?;
        if self.state == State::Closing && self.to_client.held() == 0 {
            // the client sees the close; discard what it still sends
            let Some(socket) = &mut self.socket else { return Poll::Ready(Ok(())) };
            let _ = Pin::new(socket).poll_shutdown(cx);
            self.ended();
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

/// After the broker has closed.
impl Wire {
    /// Sends what is delayed or stalled, in a task of its own, then closes.
    fn leave(&mut self) {
        let (Ok(runtime), Some(socket)) = (Handle::try_current(), self.socket.take()) else { return };
        let mut left = Self::new(socket, self.faults.clone());
        (left.state, left.is_left, left.stall) = (State::Closing, true, self.stall.take());
        std::mem::swap(&mut left.to_client, &mut self.to_client);
        let task = runtime.spawn(std::future::poll_fn(move |cx| left.poll_left(cx)));
        self.faults.leaves(self.who.client.take(), task.abort_handle());
    }

    /// Ready once everything is sent, or the client has closed.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.write_on(cx) {
            return Poll::Ready(());
        }
        let mut space = [0; 1024];
        loop {
            let Some(socket) = &mut self.socket else { return Poll::Ready(()) };
            let mut read = ReadBuf::new(&mut space);
            match ready!(Pin::new(socket).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        if self.faults.is_cut() {
            socket.reset_at_close();
        } else if self.to_client.held() > 0 && !self.is_left {
            self.leave();
        }
    }
}

impl Stall {
    /// Number of bytes that may be sent now.
    fn room(&self, now: Instant) -> usize {
        let millis = now.saturating_duration_since(self.since).as_millis();
        let all = millis.saturating_mul(self.rate.into()) / 1000;
        usize::try_from(all.saturating_sub(self.sent.into())).unwrap_or(usize::MAX)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(Err(error)) = this.write_on(cx) {
                return Poll::Ready(Err(error));
            }
            match this.to_server.front(this.faults.clock().now()) {
                Some(Ok(bytes)) => {
                    let count = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes[..count]);
                    this.to_server.gone(count);
                    return Poll::Ready(Ok(()));
                }
                Some(Err(due)) => this.wake_at(due, cx),
                // no bytes mean the end
                None if this.to_server.has_ended && this.state != State::Closing => return Poll::Ready(Ok(())),
                None if this.state == State::Closed => return Poll::Ready(Ok(())),
                None => {}
            }
            if this.state != State::Open || this.to_server.has_ended || this.to_server.held() > MOST_HELD {
                return Poll::Pending;
            }
            let Some(socket) = &mut this.socket else { return Poll::Ready(Ok(())) };
            let mut space = [0; A_READ];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(socket).poll_read(cx, &mut read))?;
            match read.filled() {
                [] => this.to_server.end(),
                bytes => {
                    this.to_server.came(bytes);
                    this.meet(Direction::ToServer);
                }
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.to_client.held() > MOST_HELD {
            let _ = this.write_on(cx)?;
            if this.to_client.held() > MOST_HELD {
                return Poll::Pending;
            }
        }
        // after the close, the broker finds out when it reads
        if this.state == State::Open && !this.faults.is_cut() {
            this.to_client.came(bytes);
            this.meet(Direction::ToClient);
            if let Poll::Ready(Err(error)) = this.write_on(cx) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_on(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.faults.is_cut() {
            return Poll::Ready(Ok(()));
        }
        this.to_client.end();
        ready!(this.write_on(cx))?;
        match &mut this.socket {
            // they are sent later, and the socket closes then
            Some(_) if this.to_client.held() > 0 => Poll::Ready(Ok(())),
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Stream for Wire {
    fn takes(&self) -> &'static str {
        self.socket.as_ref().map_or("MQTT", |socket| socket.takes())
    }

    fn certificate_name(&self) -> Option<&str> {
        self.socket.as_ref()?.certificate_name()
    }

    fn names_in_certificates(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.names_in_certificates())
    }

    fn keep_open(&mut self, cx: &mut Context<'_>, deadlines: &Deadlines, now: Instant) -> io::Result<Tick> {
        if let Poll::Ready(Err(error)) = self.write_on(cx) {
            return Err(error);
        }
        match &mut self.socket {
            Some(socket) => socket.keep_open(cx, deadlines, now),
            None => Ok(Tick::NEVER),
        }
    }

    fn judge_again(&mut self, judges: &Judges) -> Result<(), Box<str>> {
        self.socket.as_mut().map_or(Ok(()), |socket| socket.judge_again(judges))
    }

    fn held(&self) -> usize {
        let stalled = if self.stall.is_some() { self.to_client.held() } else { 0 };
        stalled + self.socket.as_ref().map_or(0, |socket| socket.held())
    }

    fn take_sent(&mut self) -> bool {
        let sent = self.socket.as_mut().is_some_and(|socket| socket.take_sent());
        std::mem::take(&mut self.sent) || sent
    }

    fn take_unread(&mut self) -> usize {
        self.socket.as_mut().map_or(0, |socket| socket.take_unread())
    }

    fn goodbye(&mut self, cx: &mut Context<'_>, reason: &CloseReason) {
        if self.faults.is_cut() {
            return;
        }
        if !self.greeted {
            // such a connection has no event of its end
            let found = self.faults.strict.turned_away(&self.who, self.clean, reason);
            found.iter().for_each(|violation| self.faults.journal.violated(violation));
            self.faults.journal.tell();
        }
        self.to_client.end();
        let _ = self.write_on(cx);
        if matches!(reason, CloseReason::Administrator(_)) {
            // such as a reset of the bench
            self.to_client.clear();
        }
        if let Some(socket) = self.socket.as_mut().filter(|_| self.to_client.held() == 0) {
            socket.goodbye(cx, reason);
        }
    }

    fn reset_at_close(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.reset_at_close();
        }
    }
}
