//! The task that drives one [`Connection`]: a short fixed sequence of steps in each turn. It reads, cuts the bytes into
//! frames, lets the router handle them, writes the output, and sets the next deadline.
//!
//! The router and the session interpret packets; this module knows sockets, time and the first packet.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    super::{
        deadlines::Tick,
        transport::{MQTT, Stream, spoken},
        worker::{Beginning, Worker},
    },
    authentication::too_late,
    farewell::Farewell,
    reader::Got,
    task::{Connection, LastRead, Open, Phase, go_on_later, keep_alive_deadline, network},
    waiting::BEHIND_CONNECT,
};
use crate::{
    codec::{self, Connect, Cut, Frame, Packet, PacketType, ReasonCode},
    router::{Admitted, Count, Handled, Tally},
    session::{CloseReason, ProtocolError},
    trace::Direction,
    types::{ClientId, ProtocolVersion},
};

/// Approximate bytes read in a turn before other connections have theirs, so that output leaves while more arrives.
const BYTES_A_TURN: usize = 128 << 10;
/// After a read of at least this size, its output is written before the next read.
const MUCH: usize = 16 << 10;
/// If more unwritten bytes than this come from such reads, writers go first.
const WRITE_FIRST: usize = 48 << 10;
/// This many bytes of an incomplete packet count as activity.
const PROGRESS: u32 = 1 << 10;

impl<S: Stream> Connection<S> {
    /// One turn. `Err`: the connection ends.
    fn turn(&mut self, worker: &mut Worker, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let now = worker.now();
        worker.shared.router.refresh(&mut worker.local, now);
        self.begin(worker, cx, now);
        if self.untraced != worker.shared.traces.changes() {
            self.look_at_traces(worker);
        }
        let before = worker.local.tally();
        worker.written = 0;
        let result = match worker.draining {
            true => self.drain(worker, cx, now),
            false => self.exchange(worker, cx, now),
        };
        self.note(worker, &before);
        result?;
        self.check_deadlines(worker, cx, now)
    }

    /// Adds the traffic since `before` to the client's figures.
    fn note(&mut self, worker: &mut Worker, before: &Tally) {
        if let Phase::Open(open) = &mut self.phase {
            let Worker { shared, local, written, .. } = worker;
            shared.router.note_turn(local, &mut open.client, before, *written, || shared.clock.now());
        }
    }

    /// Reads, handles and writes.
    pub(crate) fn exchange(
        &mut self,
        worker: &mut Worker,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        self.makes_room(worker)?;
        self.ask_again(worker, cx, now)?;
        let waits = if self.gives_way(worker, cx) { false } else { self.read(worker, cx, now)? };
        self.authenticate_again(worker, cx)?;
        self.write(worker, cx, now)?;
        if waits && !self.reads_too_slowly(worker) {
            // the socket was not asked for bytes, so it will not wake this task for bytes that it has
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// If much that was read is unwritten, lets the writers run first: the data is still in the processor's cache, and
    /// the receivers can work on it meanwhile. The wait ends with the next write, or at once if there is none.
    fn gives_way(&mut self, worker: &mut Worker, cx: &Context<'_>) -> bool {
        let Phase::Open(Open { last_read: LastRead::Much, .. }) = self.phase else { return false };
        if worker.unwritten < WRITE_FIRST {
            return false;
        }
        let writes = worker.writes as u8;
        if self.gave_way == writes {
            worker.unwritten = 0;
            return false;
        }
        self.gave_way = writes;
        match self.deadline {
            Some(key) if worker.large_writes.are_many() => worker.large_writes.wait(key),
            _ => cx.waker().wake_by_ref(),
        }
        true
    }

    fn begin(&mut self, worker: &mut Worker, cx: &Context<'_>, now: Instant) {
        if self.deadline.is_none() {
            self.deadline = Some(worker.deadlines.insert(cx.waker().clone()));
            if let Phase::Connecting(ticket) = &self.phase {
                ticket.watch().wake(cx.waker());
            }
            if self.read_by == Tick::NEVER {
                self.read_by = worker.deadlines.tick(now + worker.shared.limits.load().connect_timeout);
            }
        }
    }

    // ---- reading ----

    /// `true`: bytes may wait in the socket, but the client has too much unread output.
    pub(crate) fn read(
        &mut self,
        worker: &mut Worker,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<bool, CloseReason> {
        let mut taken = 0;
        while taken < BYTES_A_TURN && !worker.local.work.is_spent(0) {
            if self.reads_too_slowly(worker) {
                if let Phase::Open(open) = &self.phase {
                    // the client is not silent: the server does not read from it; the write timeout limits that
                    self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
                }
                return Ok(true);
            }
            if self.is_behind() {
                if self.catch_up(worker, cx, now)? {
                    continue;
                }
                return Ok(self.leave_rest(cx));
            }
            let is_paced = worker.shared.rates.are_set();
            let Some(room) = self.room(worker, cx, now, is_paced) else { return Ok(false) };
            let read = self.reader.poll_read(cx, Pin::new(&mut self.socket), &mut worker.buffer[..room]);
            let Poll::Ready(read) = read else {
                let unread = self.socket.take_unread();
                self.note_progress(worker, now, unread);
                if is_paced {
                    self.note_waited(worker, 0, now);
                }
                return Ok(false);
            };
            let (bytes, got) = read.map_err(|error| network(&error))?;
            if is_paced {
                self.note_waited(worker, bytes, now);
            }
            worker.local.count(Count::BytesReceived, bytes as u64);
            self.note_progress(worker, now, bytes);
            taken += bytes;
            let much = bytes >= MUCH;
            if much {
                worker.unwritten += bytes;
            }
            if let Phase::Open(open) = &mut self.phase
                && bytes > 0
            {
                if open.last_read == LastRead::HealthCheck {
                    let begins = matches!(got, Got::Shared(_)).then_some(&worker.buffer[0]);
                    self.is_no_health_check(begins)?;
                } else {
                    open.last_read = if much { LastRead::Much } else { LastRead::Little };
                }
            }
            match got {
                Got::Shared(all) => {
                    let buffer = std::mem::take(&mut worker.buffer);
                    let handled = self.handle(worker, cx, &buffer[..all], now);
                    worker.buffer = buffer;
                    handled?;
                }
                Got::Own => {
                    let frame = self.reader.take();
                    self.handle(worker, cx, &frame, now)?;
                }
                Got::More => self.note_held(worker),
                Got::End => match &mut self.phase {
                    Phase::Asking(waiting) => waiting.end()?,
                    _ => return Err(CloseReason::ConnectionLost),
                },
            }
            if let Phase::Open(open) = &mut self.phase
                && worker.draining
                && open.farewell == Farewell::Idle
            {
                open.farewell = Farewell::Busy;
            }
        }
        go_on_later(cx);
        Ok(false)
    }

    /// Number of bytes that may be read now. `None`: none; the task is woken when that changes.
    #[inline]
    fn room(&mut self, worker: &mut Worker, cx: &Context<'_>, now: Instant, is_paced: bool) -> Option<usize> {
        let room = match &self.phase {
            Phase::Connecting(_) | Phase::Challenged(_) => self.reader.need() + BEHIND_CONNECT,
            Phase::Asking(waiting) => Some(waiting.room()).filter(|room| *room > 0)?,
            _ if is_paced => self.paced_room(worker, cx, now)?,
            _ => usize::MAX,
        };
        Some(room.min(worker.buffer.len()))
    }

    /// Does more output wait for this client than limits allow?
    fn reads_too_slowly(&self, worker: &Worker) -> bool {
        let Phase::Open(open) = &self.phase else { return false };
        if worker.shared.router.awaits_room(&open.client) {
            return true;
        }
        if self.writing.is_none() {
            return false;
        }
        let behind = worker.replies.len() + worker.shared.router.pending(&open.client);
        behind > worker.local.limits().session.max_outbound_bytes
    }

    /// Handles all whole frames of `bytes`, and keeps the rest for the next turns.
    pub(crate) fn handle(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), CloseReason> {
        if let Some(handled) = self.handle_frames(worker, cx, bytes, now)? {
            self.reader.keep(&bytes[handled..]);
        }
        Ok(())
    }

    /// Handles all whole frames of `bytes` and holds the rest. `Some`: the turn was too short, and this number of bytes
    /// is handled.
    pub(crate) fn handle_frames(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Option<usize>, CloseReason> {
        if let Phase::Open(open) = &self.phase
            && !open.client.is_attached()
        {
            // packets of before the take-over must not be handled after those of the new connection
            return Err(CloseReason::SessionTakenOver);
        }
        let (largest, largest_connect) = {
            let limits = worker.shared.limits.load();
            (limits.max_packet_size, limits.max_connect_size)
        };
        // a mount point makes a packet longer than the client sent it
        let adds = self.socket.adds();
        let (mut at, mut frames) = (0, 0);
        let others = worker.local.others();
        let result = loop {
            let rest = &bytes[at..];
            if let Phase::Asking(waiting) = &mut self.phase {
                waiting.keep(rest);
                self.note_held(worker);
                break Ok(None);
            }
            let largest = match &self.phase {
                Phase::Open(open) => open.client.max_packet_size(largest).saturating_add(adds),
                _ => largest_connect.saturating_add(adds),
            };
            match codec::frame(self.version(), rest, largest) {
                // the first frame is always handled: no work is spent when a turn begins
                Ok(Cut::Frame(_)) if worker.local.work.is_spent(frames) => break Ok(Some(at)),
                Ok(Cut::Frame(frame)) => {
                    let mut handled = Handled::one(frame);
                    let result = self.handle_frame(worker, cx, frame, rest, &mut handled);
                    at += handled.bytes;
                    frames += handled.frames;
                    if let Err(reason) = result {
                        break Err(reason);
                    }
                }
                Ok(Cut::Need(need)) => {
                    if let Some(&first) = rest.first() {
                        if matches!(self.phase, Phase::Connecting(_)) && first >> 4 != PacketType::Connect as u8 {
                            // a length from an unknown client is not trusted
                            break Err(self.no_packet(rest, ProtocolError::NotConnected.into()));
                        }
                        self.reader.hold(rest, need);
                        self.note_held(worker);
                    }
                    break Ok(None);
                }
                Err(error) => {
                    let reason = self.refuse_malformed(worker, rest, error);
                    break Err(self.no_packet(rest, reason));
                }
            }
        };
        if self.is_traced() {
            self.trace(worker, &bytes[..at], Direction::ToServer);
        }
        worker.local.heard_publishes(frames.saturating_sub(worker.local.others().wrapping_sub(others)));
        worker.local.work.add_packets(frames);
        if frames > 0 {
            self.progress = 0;
            if let Phase::Open(open) = &self.phase {
                self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
            }
        }
        if worker.shared.rates.are_set() && result.is_ok() {
            self.note_published(worker, &bytes[..at], now)?;
        }
        result
    }

    /// Slow progress within a packet counts as activity, unless it is a trickle: each [`PROGRESS`] bytes restart the
    /// Keep Alive, and give a CONNECT a second more, up to six times the connect timeout. ([MQTT-3.1.2-24] speaks of
    /// packets only.) `bytes`: read bytes, also those that a transport cannot use yet.
    fn note_progress(&mut self, worker: &Worker, now: Instant, bytes: usize) {
        let before = self.progress / PROGRESS;
        self.progress = self.progress.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let after = self.progress / PROGRESS;
        if after == before {
            return;
        }
        match &self.phase {
            Phase::Open(open) => self.read_by = keep_alive_deadline(worker, open.keep_alive, now),
            Phase::Connecting(_) => {
                let most = worker.shared.limits.load().connect_timeout.saturating_mul(5);
                let [before, after] = [before, after].map(|n| Duration::from_secs(n.into()).min(most));
                self.read_by = self.read_by.later(after - before);
            }
            Phase::Asking(_) | Phase::Challenged(_) | Phase::Refused | Phase::Ended => {}
        }
    }

    /// Why bytes that are not a packet, or not the expected first one, end the connection. Naming the protocol says
    /// more than the first difference.
    #[cold]
    fn no_packet(&self, bytes: &[u8], reason: CloseReason) -> CloseReason {
        match spoken(bytes).filter(|spoken| *spoken != MQTT && matches!(self.phase, Phase::Connecting(_))) {
            Some(spoken) => CloseReason::WrongProtocol { spoken, taken: self.socket.takes() },
            None => reason,
        }
    }

    fn version(&self) -> ProtocolVersion {
        match &self.phase {
            Phase::Open(open) => open.client.version(),
            Phase::Challenged(_) => ProtocolVersion::V5,
            _ => ProtocolVersion::default(),
        }
    }

    #[inline]
    fn handle_frame(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        frame: Frame<'_>,
        bytes: &[u8],
        handled: &mut Handled,
    ) -> Result<(), CloseReason> {
        match &mut self.phase {
            Phase::Open(open) => {
                // without an acknowledgement, the client sends the packet again to the next server
                if worker.draining && !frame.packet_type().is_ok_and(|packet| open.farewell.heard(packet)) {
                    worker.local.heard(frame.first >> 4);
                    return Ok(());
                }
                let Worker { shared, local, replies, .. } = worker;
                shared.router.handle_frame(local, &mut open.client, frame, bytes, handled, replies)
            }
            Phase::Connecting(_) => {
                worker.local.heard(frame.first >> 4);
                self.handle_first(worker, cx, frame, bytes)
            }
            Phase::Challenged(_) => {
                worker.local.heard(frame.first >> 4);
                self.hear_answer(worker, cx, frame)
            }
            Phase::Asking(_) | Phase::Refused | Phase::Ended => {
                worker.local.heard(frame.first >> 4);
                Ok(())
            }
        }
    }

    /// Handles the first packet, which must be a CONNECT [MQTT-3.1.0-1].
    fn handle_first(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        frame: Frame<'_>,
        bytes: &[u8],
    ) -> Result<(), CloseReason> {
        match codec::decode(ProtocolVersion::default(), frame) {
            Ok(Packet::Connect(connect)) => {
                let (whole, behind) = bytes.split_at(frame.len);
                self.ask(worker, cx, &connect, whole, behind)
            }
            Err(error) => Err(self.refuse_malformed(worker, bytes, error)),
            Ok(_) => Err(ProtocolError::NotConnected.into()),
        }
    }

    /// Accepts the authenticated client.
    pub(crate) fn accept(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        connect: &Connect<'_>,
        client: ClientId,
        admitted: Admitted,
        only_checks_health: bool,
    ) -> Result<(), CloseReason> {
        let Worker { shared, local, .. } = worker;
        let connected = shared.router.connect(local, connect, client, admitted, self.peer(), cx.waker().clone())?;
        worker.local.said(PacketType::Connack);
        if let Some(key) = self.deadline {
            let now = worker.now();
            worker.deadlines.connected(key, now);
        }
        let beginning = Beginning {
            clean_session: connect.clean_session,
            session_present: connected.session_present,
            keep_alive: connected.keep_alive,
        };
        let until = connected.until.map_or(Tick::NEVER, |until| worker.end_of_token(until));
        let client = connected.client;
        let last_read = if only_checks_health {
            worker.shared.lines.health_check(&self.caller.peer(), ReasonCode::Success);
            LastRead::HealthCheck
        } else {
            worker.shared.lines.connected(&self.caller.peer(), &(&client).into(), &beginning);
            LastRead::Little
        };
        let (keep_alive, farewell) = (connected.keep_alive, Farewell::Idle);
        self.phase = Phase::Open(Open { client, keep_alive, farewell, last_read, until });
        Ok(())
    }

    // ---- time ----

    fn check_deadlines(&mut self, worker: &mut Worker, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        if worker.deadlines.has_passed(self.write_by, now) {
            worker.local.count(Count::WriteTimeouts, 1);
            let waiting = self.writing.as_ref().map_or(0, |w| w.len()) + self.socket.held();
            return Err(CloseReason::WriteTimeout { waiting });
        }
        if self.writing.is_none() {
            // output of a transport, such as the answer to a ping, waits for the socket too
            match self.socket.held() {
                0 => self.write_by = Tick::NEVER,
                _ => self.begin_to_wait(worker, now),
            }
        }
        if worker.deadlines.has_passed(self.read_by, now) {
            let (received, expected) = (self.reader.held(), self.reader.need());
            return Err(match &self.phase {
                Phase::Open(open) if received > 0 => {
                    CloseReason::PacketTooSlow { keep_alive: open.keep_alive, received, expected }
                }
                Phase::Open(open) => CloseReason::KeepAliveTimeout { keep_alive: open.keep_alive },
                Phase::Challenged(_) => too_late(worker),
                _ => {
                    worker.local.count(Count::ConnectTimeouts, 1);
                    CloseReason::ConnectTimeout { received }
                }
            });
        }
        let until = match &self.phase {
            Phase::Open(open) if worker.draining => open.until,
            Phase::Open(open) => worker.deadlines.tick_of_token(open.until),
            _ => Tick::NEVER,
        };
        if worker.deadlines.has_passed(until, now) {
            return Err(CloseReason::TokenEnded);
        }
        let until = match self.authenticates_by(worker) {
            Some(by) if worker.deadlines.has_passed(by, now) => return Err(too_late(worker)),
            Some(by) => until.min(by),
            None => until,
        };
        self.socket.judge_again(&worker.judges).map_err(CloseReason::CertificateGone)?;
        let silent = self.socket.keep_open(cx, &worker.deadlines, now).map_err(|error| network(&error))?;
        if let Some(key) = self.deadline {
            worker.deadlines.set(key, self.read_by.min(self.write_by).min(until).min(silent));
        }
        Ok(())
    }
}

impl<S: Stream> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        Worker::with(|worker| {
            let result = this.turn(worker, cx);
            if worker.local.work.is_told() {
                worker.local.tell_turn(worker.now());
            }
            let Err(reason) = result else {
                worker.local.wake();
                return Poll::Pending;
            };
            let before = worker.local.tally();
            worker.written = 0;
            let reason = this.why(worker, reason);
            this.give_up_exchange(worker, &reason);
            // answers that are due go out before the reason for closing, as far as the socket accepts them
            if reason != CloseReason::SessionTakenOver {
                let now = worker.now();
                let _ = this.write(worker, cx, now);
            }
            let now = worker.now();
            this.say_why(worker, cx, now, &reason);
            this.socket.goodbye(cx, &reason);
            this.note(worker, &before);
            this.end(worker, &reason);
            Poll::Ready(())
        })
    }
}
