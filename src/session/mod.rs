//! One client's protocol state. Pure: no sockets, no clock, no locks; bytes come out, packets and messages come in.
//!
//! [`Session`] is the Session State of MQTT 3.1.1 section 4.1, and what a connected client adds to it. Its parts:
//! `outbound` (in-flight window and queue), `inbound` (QoS 2 messages that the client has not released),
//! [`OutBuf`] (bytes on their way to the socket), [`HeldAcks`] (acknowledgements that wait for the store),
//! [`Message`] and [`Outgoing`] (what is delivered), [`CloseReason`] (why a connection ended).
//! It does not know who subscribes to what, nor other sessions: that is the router's.

mod acks;
mod close;
mod inbound;
mod journal;
mod message;
mod out_buf;
mod outbound;
mod packet_ids;
mod restore;
#[cfg(test)]
mod tests;

pub use acks::{CommitSeq, HeldAcks, Stored};
pub use close::{CloseReason, ProtocolError};
pub use inbound::Deferred;
pub use journal::{Change, Journal, SessionNumber};
pub use message::{LARGE_PAYLOAD, Message, Outgoing};
pub use out_buf::{BufPool, OutBuf};
pub use restore::{RestoredMessage, RestoredState};

use inbound::{Inbound, Seen};
use outbound::{Outbound, QueueLimits, Queued, SendState};

use crate::{
    codec::{self, ConnectReturnCode, Packet, Publish, PublishFlags, Subscribe, Unsubscribe},
    topic::{FilterId, TopicName},
    types::{ClientId, PacketId, ProtocolVersion, QoS},
};

/// The bounds of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// QoS 1 and 2 messages sent and not acknowledged.
    pub max_inflight_out: usize,
    /// QoS 2 messages taken and not released.
    pub max_inflight_in: usize,
    /// Messages in the queue.
    pub max_queued_messages: usize,
    /// Bytes (topics and payloads) in the queue.
    pub max_queued_bytes: usize,
    /// A full queue drops the message that has waited longest, not the one that arrives.
    pub drop_oldest: bool,
    /// Queue QoS 0 messages too while the client is away.
    pub queue_qos0: bool,
    /// Bytes written for the client that its socket has not taken.
    pub max_outbound_bytes: usize,
}

/// A Will Message, kept until the connection ends.
#[derive(Clone, Debug)]
pub struct StoredWill {
    /// Topic, payload and QoS.
    pub message: Message,
    /// Will Retain.
    pub retain: bool,
}

/// One client's Session State, and the bytes on their way to it while it is connected.
#[derive(Debug)]
pub struct Session {
    id: ClientId,
    clean: bool,
    connected: bool,
    /// Under which a store keeps it; `None`: none does.
    number: Option<SessionNumber>,
    /// Messages that were dropped for want of room, since it was last asked.
    dropped: u32,
    out: Option<Box<OutBuf>>,
    /// Bytes that the driver took and the socket has not taken yet.
    writing: usize,
    outbound: Option<Box<Outbound>>,
    inbound: Option<Box<Inbound>>,
    subscriptions: Vec<FilterId>,
    will: Option<StoredWill>,
}

/// What a packet asks of others than the session.
#[derive(Debug)]
pub enum Action<'a> {
    /// Nothing; there may be bytes to send.
    None,
    /// Publish this message; then acknowledge it as its QoS asks.
    Publish(Publish<'a>),
    /// The client released a QoS 2 message: send PUBCOMP, once that is durable. Its place may go to one that had to wait:
    /// publish that, then send its PUBREC.
    Complete(PacketId, Stored, Option<Deferred>),
    /// The client has a QoS 2 message: send PUBREL, once that is durable.
    Release(PacketId, Stored),
    /// A QoS 2 PUBLISH that was taken before: send its PUBREC once more, and nothing else.
    Repeated(PacketId),
    /// A QoS 2 PUBLISH beyond the window: hand it to [`Session::defer`].
    Defer(Publish<'a>),
    /// Subscribe, then send SUBACK.
    Subscribe(Subscribe<'a>),
    /// Unsubscribe, then send UNSUBACK.
    Unsubscribe(Unsubscribe<'a>),
    /// Send PINGRESP.
    Ping,
    /// The client is done: discard the Will, close.
    Disconnect,
}

/// What became of a message that was handed to a session.
#[derive(Debug)]
#[must_use]
pub enum Delivery {
    /// Its bytes are on their way, and the driver has something to write; or they will be, as soon as it is durable.
    Sent,
    /// It waits for its turn, or was dropped: the [`Journal`] knows.
    Queued,
    /// A QoS 0 message, and the client reads too slowly: dropped.
    OutboundFull,
    /// A QoS 0 message, and the client is away.
    NotConnected,
}

/// Waiting messages are turned into bytes while fewer bytes than this wait for the socket.
const FILL_BELOW: usize = 64 << 10;

impl Session {
    /// A new session, not connected. `number`: that under which a store keeps it.
    pub fn new(id: ClientId, clean: bool, number: Option<SessionNumber>) -> Self {
        Self {
            id,
            clean,
            connected: false,
            number,
            dropped: 0,
            out: None,
            writing: 0,
            outbound: None,
            inbound: None,
            subscriptions: Vec::new(),
            will: None,
        }
    }

    /// Client Identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// It ends with its connection (Clean Session 1).
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// Under which a store keeps it; `None`: none does.
    pub fn number(&self) -> Option<SessionNumber> {
        self.number
    }

    /// A client is attached.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Messages waiting or in flight, for `$SYS` and the admin API: count and bytes.
    pub fn backlog(&self) -> (usize, usize) {
        self.outbound.as_ref().map_or((0, 0), |o| (o.queue_len() + o.inflight().len(), o.queued_bytes()))
    }

    /// Is there something that is not written, or not acknowledged?
    pub fn has_unfinished(&self) -> bool {
        self.out.as_ref().is_some_and(|out| !out.is_empty()) || self.outbound.as_ref().is_some_and(|o| !o.is_idle())
    }

    /// Messages for this client that were dropped for want of room since this was last asked.
    pub fn take_dropped(&mut self) -> u32 {
        std::mem::take(&mut self.dropped)
    }

    // ---- the client comes and goes ----

    /// A client is here: CONNACK goes out first, then what was in flight, in its order, with DUP [MQTT-4.4.0-1], then
    /// what waits.
    pub fn attach(
        &mut self,
        version: ProtocolVersion,
        session_present: bool,
        will: Option<StoredWill>,
        limits: &SessionLimits,
        pool: &mut BufPool,
        journal: &mut impl Journal,
    ) {
        self.connected = true;
        self.writing = 0;
        self.will = will;
        let mut out = pool.take();
        // the byte is reserved in MQTT 3.1
        let session_present = session_present && version != ProtocolVersion::V31;
        codec::encode::connack(out.bytes_mut(), session_present, ConnectReturnCode::Accepted);
        for (outbound, sent) in self.outbound.iter().flat_map(|o| o.inflight().iter().map(move |sent| (o, sent))) {
            match &sent.state {
                // it was not sent before either
                _ if outbound.is_held(sent.seq) => {}
                SendState::Published { qos, retain, message: Some(message) } => {
                    let flags = PublishFlags { dup: true, qos: *qos, retain: *retain };
                    write_message(&mut out, message, flags, Some(sent.packet_id()));
                }
                SendState::Published { message: None, .. } => {
                    debug_assert!(false, "a session that is resumed keeps its messages");
                }
                SendState::Released => codec::encode::pubrel(out.bytes_mut(), sent.packet_id()),
            }
        }
        self.out = Some(out);
        self.fill(limits, pool, journal);
    }

    /// The client is gone: what it was not sent for certain stays, as far as Session State goes. Gives its Will.
    pub fn detach(&mut self, limits: &SessionLimits, pool: &mut BufPool) -> Option<StoredWill> {
        self.connected = false;
        self.writing = 0;
        if let Some(out) = self.out.take() {
            pool.put(out);
        }
        if let Some(outbound) = &mut self.outbound {
            if !limits.queue_qos0 {
                outbound.forget_qos0();
            }
            outbound.close_window();
            if outbound.is_idle() && self.clean {
                self.outbound = None;
            }
        }
        if let Some(inbound) = &mut self.inbound {
            inbound.forget_deferred();
            if inbound.is_idle() {
                self.inbound = None;
            }
        }
        self.will.take()
    }

    // ---- subscriptions: the index holds them, the session knows which are its ---

    /// The filters this session is subscribed to.
    pub fn subscriptions(&self) -> &[FilterId] {
        &self.subscriptions
    }

    /// A filter it was not subscribed to before.
    pub fn add_subscription(&mut self, filter: FilterId) {
        self.subscriptions.push(filter);
    }

    /// A filter it is not subscribed to any more.
    pub fn remove_subscription(&mut self, filter: FilterId) {
        if let Some(at) = self.subscriptions.iter().position(|&f| f == filter) {
            self.subscriptions.swap_remove(at);
        }
    }

    /// All of them, when the session ends.
    pub fn take_subscriptions(&mut self) -> Vec<FilterId> {
        std::mem::take(&mut self.subscriptions)
    }

    // ---- packets from the client ----

    /// A packet of a connected client: changes the state, turns waiting messages into bytes where it made room, and says
    /// what else is to be done and answered. Answers go out in the order of the packets [MQTT-4.6.0-2].
    pub fn handle_packet<'a>(
        &mut self,
        packet: Packet<'a>,
        limits: &SessionLimits,
        pool: &mut BufPool,
        journal: &mut impl Journal,
    ) -> Result<Action<'a>, ProtocolError> {
        match packet {
            Packet::Publish(publish) => match publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce) {
                None => return Ok(Action::Publish(publish)),
                Some(id) => return Ok(self.receive(id, publish, limits)),
            },
            Packet::Puback(ack) => {
                if let Some(outbound) = &mut self.outbound {
                    let completed = outbound.handle_puback(ack.packet_id)?;
                    self.forget(completed, journal);
                    self.fill(limits, pool, journal);
                }
            }
            Packet::Pubrec(ack) => {
                let mut stored = Stored::Done;
                if let Some(outbound) = &mut self.outbound
                    && let Some(number) = outbound.handle_pubrec(ack.packet_id)?
                    && let Some(session) = self.number
                {
                    // a client that completed a message knows nothing of it any more: it must not be sent once more
                    stored = journal.changed(session, Change::Released { number });
                }
                return Ok(Action::Release(ack.packet_id, stored));
            }
            Packet::Pubcomp(ack) => {
                if let Some(outbound) = &mut self.outbound {
                    let completed = outbound.handle_pubcomp(ack.packet_id)?;
                    self.forget(completed, journal);
                    self.fill(limits, pool, journal);
                }
            }
            Packet::Pubrel(ack) => {
                return Ok(self.complete(ack.packet_id, limits, journal));
            }
            Packet::Subscribe(subscribe) => return Ok(Action::Subscribe(subscribe)),
            Packet::Unsubscribe(unsubscribe) => return Ok(Action::Unsubscribe(unsubscribe)),
            Packet::Pingreq => return Ok(Action::Ping),
            Packet::Disconnect(_) => return Ok(Action::Disconnect),
            Packet::Connect(_) => return Err(ProtocolError::SecondConnect),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(ProtocolError::ServerPacket);
            }
        }
        Ok(Action::None)
    }

    fn receive<'a>(&mut self, id: PacketId, publish: Publish<'a>, limits: &SessionLimits) -> Action<'a> {
        match self.inbound.get_or_insert_default().receive(id, limits.max_inflight_in) {
            Seen::New => Action::Publish(publish),
            Seen::Repeated => Action::Repeated(id),
            Seen::Full => Action::Defer(publish),
            Seen::Deferred => Action::None,
        }
    }

    /// PUBREL. A client that has its PUBCOMP may use the identifier for another message: it has to be free by then.
    fn complete<'a>(&mut self, id: PacketId, limits: &SessionLimits, journal: &mut impl Journal) -> Action<'a> {
        let Some(inbound) = &mut self.inbound else { return Action::Complete(id, Stored::Done, None) };
        if inbound.release(id)
            && let Some(session) = self.number
        {
            inbound.set_stored(journal.changed(session, Change::ReceiptReleased { packet_id: id }));
        }
        Action::Complete(id, inbound.stored(), inbound.next_deferred(limits.max_inflight_in))
    }

    /// A QoS 2 message of the client was refused, and its connection ends: when it comes again, it is a new one.
    pub fn refuse(&mut self, id: PacketId) {
        if let Some(inbound) = &mut self.inbound {
            inbound.release(id);
        }
    }

    /// A message was completed or dropped.
    fn forget(&self, number: Option<u64>, journal: &mut impl Journal) {
        if let (Some(session), Some(number)) = (self.number, number) {
            // that it is known to be done is nobody's to wait for: at worst it is sent once more, with DUP
            let _ = journal.changed(session, Change::Completed { number });
        }
    }

    /// When it is durable that QoS 2 messages were taken and released: a PUBREC or PUBCOMP that is sent again waits for
    /// it too, whichever connection the first one was owed to.
    pub fn receipts_stored(&self) -> Stored {
        self.inbound.as_ref().map_or(Stored::Done, |inbound| inbound.stored())
    }

    /// A QoS 2 message of the client was published; `stored` says when what it set off is durable. Where it set off
    /// anything, that it was taken has to be as durable: gives when all of it is.
    pub fn received(&mut self, id: PacketId, stored: Stored, journal: &mut impl Journal) -> Stored {
        let Some(inbound) = self.inbound.as_mut().filter(|_| stored != Stored::Done) else { return stored };
        let mut stored = stored;
        if let Some(session) = self.number {
            stored = stored.and(journal.changed(session, Change::Received { packet_id: id }));
            inbound.keep(id);
        }
        inbound.set_stored(stored);
        stored
    }

    /// Keeps a QoS 2 message until the client has released an older one.
    pub fn defer(&mut self, deferred: Deferred, limits: &SessionLimits) -> Result<(), ProtocolError> {
        self.inbound.get_or_insert_default().defer(deferred, limits.max_queued_bytes)
    }

    // ---- messages to the client ----

    /// A message for this session, at the QoS that its subscription was granted at most [MQTT-3.8.4-6].
    #[inline]
    pub fn deliver(
        &mut self,
        outgoing: &Outgoing<'_>,
        granted: QoS,
        limits: &SessionLimits,
        pool: &mut BufPool,
        journal: &mut impl Journal,
    ) -> Delivery {
        let qos = outgoing.qos.min(granted);
        let waiting = self.pending();
        if qos == QoS::AtMostOnce {
            let overtakes = self.outbound.as_ref().is_some_and(|o| o.holds_back_qos0());
            if !self.connected {
                if !limits.queue_qos0 || self.clean {
                    return Delivery::NotConnected;
                }
            } else if !overtakes {
                if waiting > 0 && waiting + outgoing.size() > limits.max_outbound_bytes {
                    self.dropped = self.dropped.saturating_add(1);
                    return Delivery::OutboundFull;
                }
                write_outgoing(self.out(pool), outgoing, qos, None);
                return Delivery::Sent;
            }
            return self.enqueue(outgoing, qos, limits, journal);
        }
        self.deliver_acknowledged(outgoing, qos, limits, pool, journal)
    }

    /// At QoS 1 and 2.
    fn deliver_acknowledged(
        &mut self,
        outgoing: &Outgoing<'_>,
        qos: QoS,
        limits: &SessionLimits,
        pool: &mut BufPool,
        journal: &mut impl Journal,
    ) -> Delivery {
        let waiting = self.pending();
        let fits = waiting == 0 || waiting + outgoing.size() <= limits.max_outbound_bytes;
        let keep = !self.clean;
        let outbound = self.outbound.get_or_insert_default();
        if !(self.connected && fits && outbound.queue_len() == 0 && outbound.has_place(limits.max_inflight_out)) {
            return self.enqueue(outgoing, qos, limits, journal);
        }
        let number = outbound.next_number();
        let seq = outbound.begin(number, qos, false, keep.then(|| outgoing.message().clone()));
        if let Some(session) = self.number {
            let message = outgoing.message();
            let stored =
                journal.changed(session, Change::Queued { number, message, qos, retain: false, sent: Some(seq) });
            if outbound.hold(seq, qos, stored) {
                return Delivery::Sent;
            }
        }
        write_outgoing(self.out(pool), outgoing, qos, Some(packet_ids::of(seq)));
        Delivery::Sent
    }

    fn enqueue(
        &mut self,
        outgoing: &Outgoing<'_>,
        qos: QoS,
        limits: &SessionLimits,
        journal: &mut impl Journal,
    ) -> Delivery {
        let queue = QueueLimits {
            messages: limits.max_queued_messages,
            bytes: limits.max_queued_bytes,
            drop_oldest: limits.drop_oldest,
        };
        let message = outgoing.message();
        let outbound = self.outbound.get_or_insert_default();
        let number = outbound.next_number();
        let dropped = outbound.enqueue(Queued { number, message: message.clone(), qos, retain: false }, queue);
        self.dropped = self.dropped.saturating_add(u32::try_from(dropped.len()).unwrap_or(u32::MAX));
        let mut taken = true;
        for (gone, message) in dropped {
            journal.dropped(&self.id, &message);
            if gone == number {
                taken = false;
            } else {
                self.forget(Some(gone), journal);
            }
        }
        if let Some(session) = self.number.filter(|_| taken && qos != QoS::AtMostOnce) {
            // the journal knows who waits for it
            let _ = journal.changed(session, Change::Queued { number, message, qos, retain: false, sent: None });
        }
        Delivery::Queued
    }

    /// Retained messages for a new subscription: sent with RETAIN [MQTT-3.3.1-8], as the window and the socket allow,
    /// before anything newer. `max` may wait; `false`: so many do, and this one is dropped.
    pub fn deliver_retained(
        &mut self,
        message: &Message,
        granted: QoS,
        max: usize,
        journal: &mut impl Journal,
    ) -> bool {
        let qos = message.qos().min(granted);
        let queued = self.outbound.get_or_insert_default().enqueue_retained(message.clone(), qos, max);
        let Some(number) = queued else {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        };
        if let Some(session) = self.number.filter(|_| qos != QoS::AtMostOnce) {
            // the subscription that brings it is stored after it, and waited for
            let _ = journal.changed(session, Change::Queued { number, message, qos, retain: true, sent: None });
        }
        true
    }

    /// Forgets the messages that wait, and while no client is attached those that would be sent again, that the client
    /// may not receive. (What a connected client was sent it has: its acknowledgements are to be understood.)
    pub fn forget_unreadable(&mut self, may: impl Fn(&TopicName) -> bool, journal: &mut impl Journal) {
        let Some(outbound) = &mut self.outbound else { return };
        outbound.forget(self.connected, |number, message| {
            let goes = !may(message.topic());
            if let Some(session) = self.number.filter(|_| goes) {
                let _ = journal.changed(session, Change::Completed { number });
            }
            goes
        });
    }

    /// Turns waiting messages into bytes while the window has places and few bytes wait for the socket.
    pub fn fill(&mut self, limits: &SessionLimits, pool: &mut BufPool, journal: &mut impl Journal) {
        let Some(outbound) = self.outbound.as_mut().filter(|_| self.connected) else { return };
        if outbound.waits_for().is_some() {
            while let Some(next) = outbound.next_held(journal.done()) {
                if let SendState::Published { qos, retain, message: Some(message) } = &next.state {
                    let flags = PublishFlags { dup: false, qos: *qos, retain: *retain };
                    let out = self.out.get_or_insert_with(|| pool.take());
                    write_message(out, message, flags, Some(next.packet_id()));
                }
            }
        }
        if outbound.queue_len() == 0 {
            return;
        }
        let room = FILL_BELOW.min(limits.max_outbound_bytes).saturating_sub(self.writing);
        while self.out.as_ref().map_or(0, |out| out.len()) < room {
            let Some(Queued { number, message, qos, retain }) = outbound.next(limits.max_inflight_out) else { break };
            let mut id = None;
            if qos != QoS::AtMostOnce {
                let keep = (!self.clean).then(|| message.clone());
                let seq = outbound.begin(number, qos, retain, keep);
                id = Some(packet_ids::of(seq));
                if let Some(session) = self.number {
                    let stored = journal.changed(session, Change::Sent { number, sent: seq });
                    if outbound.hold(seq, qos, stored) {
                        continue;
                    }
                }
            }
            // not before there is something for it: an empty buffer would be taken, written and asked for for ever
            let out = self.out.get_or_insert_with(|| pool.take());
            write_message(out, &message, PublishFlags { dup: false, qos, retain }, id);
            journal.sent(&self.id, &message, qos);
        }
    }

    /// The commit that the next message to send has to wait for.
    pub fn waits_for(&self) -> Option<CommitSeq> {
        self.outbound.as_ref().and_then(|outbound| outbound.waits_for())
    }

    // ---- bytes to the socket ----

    /// The buffer that collects what goes out.
    #[inline]
    pub fn out(&mut self, pool: &mut BufPool) -> &mut OutBuf {
        self.out.get_or_insert_with(|| pool.take())
    }

    /// Bytes on their way: collected, and taken but not written.
    #[inline]
    pub fn pending(&self) -> usize {
        self.writing + self.out.as_ref().map_or(0, |o| o.len())
    }

    /// Takes what is to be written now. Tell [`set_writing`](Self::set_writing) what the socket left of it.
    pub fn take_out(&mut self) -> Option<Box<OutBuf>> {
        let out = self.out.take()?;
        self.writing = out.len();
        Some(out)
    }

    /// What the driver holds and could not write yet.
    pub fn set_writing(&mut self, bytes: usize) {
        self.writing = bytes;
    }
}

/// Appends a PUBLISH of a message that is being published.
#[inline(always)]
fn write_outgoing(out: &mut OutBuf, outgoing: &Outgoing<'_>, qos: QoS, id: Option<PacketId>) {
    if outgoing.payload.len() < LARGE_PAYLOAD {
        outgoing.write_small(out.bytes_mut(), qos, id);
    } else {
        write_message(out, outgoing.message(), PublishFlags { dup: false, qos, retain: false }, id);
    }
}

/// Appends a PUBLISH of a message that was kept.
fn write_message(out: &mut OutBuf, message: &Message, flags: PublishFlags, id: Option<PacketId>) {
    let payload = message.payload();
    if payload.len() < LARGE_PAYLOAD {
        codec::encode::publish(out.bytes_mut(), flags, message.topic(), id, payload);
    } else {
        codec::encode::publish_header(out.bytes_mut(), flags, message.topic(), id, payload.len());
        out.push_payload(message.clone());
    }
}
