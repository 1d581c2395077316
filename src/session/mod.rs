//! One client's protocol state. Pure: no sockets, no clock, no locks; bytes come out, packets and messages come in.
//!
//! [`Session`] is the Session State of MQTT 3.1.1 section 4.1, and what a connected client adds to it. Its parts:
//! `outbound` (in-flight window) with its `queue` and what is `unreadable` in it, `inbound` (QoS 2 messages that the
//! client has not released), `deliver` (from a message to either), [`OutBuf`] (bytes on their way to the socket),
//! [`HeldAcks`] (acknowledgements that wait for the store), [`Message`] and [`Outgoing`] (messages to deliver),
//! [`StoredWill`] (published when the connection ends), [`CloseReason`] (why a connection ended). It knows neither the
//! subscriptions of other clients nor other sessions: these are the router's.

mod acks;
mod bytes;
mod clear;
mod close;
mod deliver;
mod dialect;
mod drops;
mod due;
mod expiry;
mod how;
mod identifiers;
mod inbound;
mod inflight;
mod inside;
mod journal;
mod look;
mod mark;
mod message;
mod out_buf;
mod outbound;
mod packet_ids;
mod queue;
mod relay;
mod restore;
mod share;
mod shared;
#[cfg(test)]
mod tests;
mod timed;
mod turn;
mod unasked;
mod unreadable;
mod will;

pub use acks::{CommitSeq, HeldAcks, Stored};
pub use close::{ByAdministrator, CloseReason, ProtocolError};
pub use deliver::Delivery;
pub use dialect::ClientSays;
pub use drops::Drops;
pub use due::Change;
pub use expiry::Expiry;
pub use how::How;
pub use identifiers::{Identifiers, one_identifier, wire_of};
pub use inbound::Deferred;
pub use inside::{Bound, Missed, Note, Taken};
pub use journal::{Backlog, Gone, Journal, SessionChange, SessionNumber, Way};
pub use look::{Holds, SentMessage, Stage, WaitingMessage};
pub use mark::Marked;
pub use message::{Extras, LARGE_PAYLOAD, Message, Outgoing};
pub use out_buf::{BufPool, OutBuf};
pub use relay::ToRelay;
pub use restore::{RestoredMessage, RestoredState};
pub use share::{Moved, Share};
pub use timed::Timed;
pub use turn::Turn;
pub use will::StoredWill;

use std::sync::Arc;

use dialect::Dialect;
use drops::Dropped;
use inbound::{Inbound, Seen};
use outbound::Outbound;

use crate::{
    codec::{self, Connack, Packet, PropertiesBuf, Publish, ReasonCode, Subscribe, Unsubscribe},
    topic::FilterId,
    types::{ClientId, PacketId, ProtocolVersion, QoS, QueueFull},
};

/// The limits of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// QoS 1 and 2 messages in flight to the client.
    pub max_inflight_out: usize,
    /// Unreleased QoS 2 messages of the client.
    pub max_inflight_in: usize,
    /// Messages in the queue.
    pub max_queued_messages: usize,
    /// Bytes (topics and payloads) in the queue.
    pub max_queued_bytes: usize,
    /// Which message is dropped when the queue is full.
    pub queue_full: QueueFull,
    /// Queue QoS 0 messages while the client is away?
    pub queue_qos0: bool,
    /// Bytes of output that the socket has not accepted.
    pub max_outbound_bytes: usize,
}

/// One client's Session State, and the output to it while it is connected.
#[derive(Debug)]
pub struct Session {
    id: ClientId,
    expiry: Expiry,
    /// The number in the store; `None`: it is not stored.
    number: Option<SessionNumber>,
    dropped: Dropped,
    outbound: Option<Box<Outbound>>,
    inbound: Option<Box<Inbound>>,
    subscriptions: Vec<FilterId>,
    /// `None`: the client is away.
    attached: Option<Attached>,
}

/// The part of a session that exists only while its client is connected.
#[derive(Debug)]
struct Attached {
    /// Output that the driver has not taken yet.
    out: Option<Box<OutBuf>>,
    /// Bytes that the driver took and the socket has not accepted yet.
    writing: usize,
    /// In a box, because most clients have no Will.
    will: Option<Box<StoredWill>>,
    /// `None`: the client uses MQTT 3.1 or 3.1.1.
    dialect: Option<Box<Dialect>>,
}

/// The start of a connection: its CONNACK, and the encoding of packets to the client.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The client's protocol version.
    pub version: ProtocolVersion,
    /// The CONNACK that accepts it.
    pub connack: Connack<'a>,
    /// The properties of its CONNECT; empty before MQTT 5.
    pub says: ClientSays,
}

impl Welcome<'_> {
    /// For a client and a CONNACK without properties.
    pub fn plain(version: ProtocolVersion, session_present: bool) -> Self {
        Self { version, connack: Connack::accepted(session_present), says: ClientSays::default() }
    }
}

impl<'a> Welcome<'a> {
    /// For a client without properties, and a CONNACK with these.
    pub fn new(version: ProtocolVersion, session_present: bool, told: &'a PropertiesBuf) -> Self {
        let connack = Connack { properties: told.as_properties(), ..Connack::accepted(session_present) };
        Self { version, connack, says: ClientSays::default() }
    }
}

/// What the caller must do after a packet.
#[derive(Debug)]
pub enum Action<'a> {
    /// Nothing. There may be output.
    None,
    /// Publish this message, then acknowledge it according to its QoS.
    Publish(Publish<'a>),
    /// The client released a QoS 2 message: send PUBCOMP once that is durable. If a waiting message took its place:
    /// publish that, then send its PUBREC.
    Complete(PacketId, ReasonCode, Stored, Option<Deferred>),
    /// The client has received a QoS 2 message: send PUBREL once that is durable.
    Release(PacketId, ReasonCode, Stored),
    /// A QoS 2 PUBLISH that was accepted before: send its PUBREC again, and do nothing else.
    Repeated(PacketId),
    /// A QoS 2 PUBLISH beyond the window: call [`Session::defer`].
    Defer(Publish<'a>),
    /// Subscribe, then send SUBACK.
    Subscribe(Subscribe<'a>),
    /// Unsubscribe, then send UNSUBACK.
    Unsubscribe(Unsubscribe<'a>),
    /// Send PINGRESP.
    Ping,
    /// DISCONNECT: discard the Will and close.
    Disconnect,
}

impl Session {
    /// A new session without a connection. `number`: its number in the store.
    pub fn new(id: ClientId, expiry: Expiry, number: Option<SessionNumber>) -> Self {
        Self {
            id,
            expiry,
            number,
            dropped: Dropped::default(),
            outbound: None,
            inbound: None,
            subscriptions: Vec::new(),
            attached: None,
        }
    }

    /// The Client Identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// How long it outlives its connections.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The client requested another expiry.
    pub fn set_expiry(&mut self, expiry: Expiry) {
        self.expiry = expiry;
    }

    /// The number in the store; `None`: it is not stored.
    pub fn number(&self) -> Option<SessionNumber> {
        self.number
    }

    /// Is a client attached?
    pub fn is_connected(&self) -> bool {
        self.attached.is_some() || self.is_inside()
    }

    /// Queued messages and messages in flight.
    pub fn backlog(&self) -> Backlog {
        self.outbound.as_ref().map_or(Backlog::default(), |outbound| outbound.backlog())
    }

    /// Reports changes of the backlog to the journal. Call it before the session is unlocked, once after calls of
    /// [`handle_packet`](Self::handle_packet), [`fill`](Self::fill) and [`skip_unreadable`](Self::skip_unreadable).
    /// Other methods report changes themselves.
    #[inline]
    pub fn tell_backlog(&mut self, journal: &mut impl Journal) {
        self.tell_backlog_to(|before, now| journal.holds(before, now));
    }

    /// The same without a journal: see [`Journal::holds`].
    #[inline]
    pub fn tell_backlog_to(&mut self, holds: impl FnOnce(Backlog, Backlog)) {
        if let Some(outbound) = &mut self.outbound {
            outbound.tell(holds);
        }
    }

    /// Ends the session: drops its messages. Returns its subscriptions.
    pub fn end(&mut self, journal: &mut impl Journal) -> Vec<FilterId> {
        self.forget_outbound(journal);
        self.inbound = None;
        std::mem::take(&mut self.subscriptions)
    }

    fn forget_outbound(&mut self, journal: &mut impl Journal) {
        if let Some(mut outbound) = self.outbound.take() {
            outbound.clear();
            outbound.tell(|before, now| journal.holds(before, now));
        }
    }

    /// Is there output that the connection has not taken?
    pub fn has_bytes(&self) -> bool {
        self.attached.as_ref().and_then(|a| a.out.as_ref()).is_some_and(|out| !out.is_empty())
    }

    /// Would queued or unacknowledged messages be lost with this process?
    pub fn loses_messages(&self) -> bool {
        // the store keeps those of QoS 1 and 2
        let kept = self.number.is_some();
        self.outbound.as_ref().is_some_and(|o| if kept { o.has_qos0() } else { !o.is_idle() })
    }

    /// Messages for this client that were dropped.
    pub fn drops(&self) -> Drops {
        self.dropped.get()
    }

    /// How many were dropped since the last call.
    pub fn take_dropped(&mut self) -> u32 {
        self.dropped.take()
    }

    // ---- connecting and disconnecting ----

    /// Attaches a connected client: the CONNACK goes out first, then messages that were in flight, in order and with
    /// DUP [MQTT-4.4.0-1], then queued ones, as far as [`fill`](Self::fill) allows.
    pub fn attach(&mut self, welcome: &Welcome<'_>, will: Option<StoredWill>, turn: &mut Turn<'_, impl Journal>) {
        let mut out = turn.pool.take();
        let Welcome { version, connack, says } = *welcome;
        codec::encode::connack(out.bytes_mut(), version, &connack);
        if let Some(outbound) = &mut self.outbound {
            outbound.begin_resend();
        }
        if let Some(inbound) = &mut self.inbound {
            inbound.attach();
        }
        let dialect = (version == ProtocolVersion::V5).then(|| Box::new(Dialect::new(says, &connack.properties)));
        self.attached = Some(Attached { out: Some(out), writing: 0, will: will.map(Box::new), dialect });
        self.fill(turn);
        self.tell_backlog(&mut turn.journal);
    }

    /// `Err`: an answer of this size is too large for the client. Then the packet must not be handled.
    pub fn takes_answer(&self, bytes: usize) -> Result<(), ProtocolError> {
        let dialect = self.attached.as_ref().and_then(|attached| attached.dialect.as_ref());
        match dialect.is_none_or(|dialect| dialect.takes_bytes(bytes)) {
            true => Ok(()),
            false => Err(ProtocolError::AnswerTooLarge),
        }
    }

    /// Detaches the client. The Session State keeps messages that it has not acknowledged. Returns its Will.
    pub fn detach(&mut self, turn: &mut Turn<'_, impl Journal>) -> Option<StoredWill> {
        let attached = self.attached.take();
        if let Some(outbound) = &mut self.outbound {
            // if the session ends now, its messages of groups move to other members
            if !turn.limits.queue_qos0 && self.expiry.outlives_connection() {
                outbound.forget_qos0();
            }
            outbound.detach();
            outbound.tell(|before, now| turn.journal.holds(before, now));
            if outbound.is_idle() && !self.expiry.outlives_connection() {
                self.outbound = None;
            }
        }
        if let Some(inbound) = &mut self.inbound {
            inbound.forget_deferred();
            if inbound.is_idle() {
                self.inbound = None;
            }
        }
        let Attached { out, will, dialect, .. } = attached?;
        if let Some(held) = dialect.map(|dialect| dialect.memory()).filter(|held| *held > 0) {
            turn.journal.holds(Backlog::of_cost(held), Backlog::default());
        }
        if let Some(out) = out {
            turn.pool.put(out);
        }
        will.map(|will| *will)
    }

    /// Takes the Will of the connected client if the condition is true of it.
    pub fn take_will_if(&mut self, is_wanted: impl FnOnce(&StoredWill) -> bool) -> Option<StoredWill> {
        let will = self.attached.as_mut()?.will.take_if(|will| is_wanted(will))?;
        Some(*will)
    }

    /// The topic of the Topic Alias in a PUBLISH of the connected client. A topic in the PUBLISH is remembered. `None`:
    /// the PUBLISH has no alias.
    pub fn resolve_alias(
        &mut self,
        publish: &Publish<'_>,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Result<Option<Arc<str>>, ProtocolError> {
        let Some(dialect) = self.attached.as_mut().and_then(|attached| attached.dialect.as_mut()) else {
            return Ok(None);
        };
        let before = dialect.memory();
        let topic = dialect.resolve(publish)?;
        let now = dialect.memory();
        if now != before {
            turn.journal.holds(Backlog::of_cost(before), Backlog::of_cost(now));
            if now > before.max(FEW_ALIASES) && turn.journal.queues_are_full() {
                return Err(ProtocolError::NoRoomForAlias);
            }
        }
        Ok(topic)
    }

    // ---- subscriptions: the router's index has them, the session knows which are its own ----

    /// The filters that this session subscribes to.
    pub fn subscriptions(&self) -> &[FilterId] {
        &self.subscriptions
    }

    /// Adds a filter that the session did not subscribe to.
    pub fn add_subscription(&mut self, filter: FilterId) {
        self.subscriptions.push(filter);
    }

    /// Removes a filter.
    pub fn remove_subscription(&mut self, filter: FilterId) {
        if let Some(at) = self.subscriptions.iter().position(|&f| f == filter) {
            self.subscriptions.swap_remove(at);
        }
    }

    // ---- packets from the client ----

    /// Handles a packet of a connected client: changes the state, encodes queued messages if that freed places, and
    /// returns what the caller must do. Answers are sent in the order of the packets [MQTT-4.6.0-2].
    #[inline(always)]
    pub fn handle_packet<'a>(
        &mut self,
        packet: Packet<'a>,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Result<Action<'a>, ProtocolError> {
        match packet {
            Packet::Publish(publish) => match publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce) {
                None => return Ok(Action::Publish(publish)),
                Some(id) => return self.receive(id, publish, turn.limits),
            },
            Packet::Puback(ack) => self.handle_puback(ack.packet_id, ack.reason, turn)?,
            Packet::Pubrec(ack) => {
                if ack.reason.is_error() {
                    // the client refused the message, which completes it (MQTT 5 section 4.3.3)
                    self.complete_sent(ack.packet_id, ack.reason, Outbound::handle_refused, turn)?;
                    return Ok(Action::None);
                }
                let mut stored = Stored::Done;
                let found = match &mut self.outbound {
                    Some(outbound) => outbound.handle_pubrec(ack.packet_id, turn.journal.follows())?,
                    None => None,
                };
                if let (Some(number), Some(session)) = (found, self.number) {
                    // the client has the message, so it must not be sent again, also after a crash
                    stored = turn.journal.changed(session, SessionChange::Released { number });
                }
                return Ok(Action::Release(ack.packet_id, known(found.is_some()), stored));
            }
            Packet::Pubcomp(ack) => {
                self.complete_sent(ack.packet_id, ack.reason, Outbound::handle_pubcomp, turn)?;
            }
            Packet::Pubrel(ack) => {
                return Ok(self.complete(ack.packet_id, turn));
            }
            Packet::Subscribe(subscribe) => return Ok(Action::Subscribe(subscribe)),
            Packet::Unsubscribe(unsubscribe) => return Ok(Action::Unsubscribe(unsubscribe)),
            Packet::Pingreq => return Ok(Action::Ping),
            Packet::Disconnect(_) => return Ok(Action::Disconnect),
            Packet::Connect(_) => return Err(ProtocolError::SecondConnect),
            Packet::Auth(_) => return Err(ProtocolError::NoAuthentication),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(ProtocolError::ServerPacket);
            }
        }
        Ok(Action::None)
    }

    /// Handles a PUBACK with any Reason Code.
    #[inline(always)]
    pub fn handle_puback(
        &mut self,
        id: PacketId,
        reason: ReasonCode,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Result<(), ProtocolError> {
        self.complete_sent(id, reason, Outbound::handle_puback, turn)
    }

    /// Handles an acknowledgement that completes a message to the client.
    #[inline(always)]
    fn complete_sent(
        &mut self,
        id: PacketId,
        reason: ReasonCode,
        complete: impl Fn(&mut Outbound, PacketId) -> Result<Option<u64>, ProtocolError>,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Result<(), ProtocolError> {
        let Some(outbound) = &mut self.outbound else { return Ok(()) };
        let completed = match turn.journal.follows() {
            false => complete(outbound, id)?,
            true => complete_and_tell(outbound, (&self.id, id, reason), complete, &mut turn.journal)?,
        };
        self.forget(completed, turn);
        self.fill(turn);
        Ok(())
    }

    fn receive<'a>(
        &mut self,
        id: PacketId,
        publish: Publish<'a>,
        limits: &SessionLimits,
    ) -> Result<Action<'a>, ProtocolError> {
        let window = self.inbound_window(limits);
        Ok(match self.inbound.get_or_insert_default().receive(id, window) {
            Seen::New => Action::Publish(publish),
            Seen::Repeated => Action::Repeated(id),
            Seen::Publishing => return Err(ProtocolError::StillPublishing),
            Seen::Full => Action::Defer(publish),
            Seen::Deferred => Action::None,
        })
    }

    /// The server's Receive Maximum from the CONNACK; the largest value before MQTT 5.
    pub fn receive_maximum(&self) -> usize {
        let dialect = self.attached.as_ref().and_then(|attached| attached.dialect.as_ref());
        dialect.map_or(u16::MAX.into(), |dialect| dialect.receive_maximum())
    }

    /// Number of QoS 2 messages of the client that may be unreleased; further ones wait.
    fn inbound_window(&self, limits: &SessionLimits) -> usize {
        let (most, at_once) = (limits.max_inflight_in, self.receive_maximum());
        self.inbound.as_ref().map_or(most.min(at_once), |inbound| inbound.window(most, at_once))
    }

    /// PUBREL. Frees the identifier before the PUBCOMP, because the client may then use it again.
    fn complete<'a>(&mut self, id: PacketId, turn: &mut Turn<'_, impl Journal>) -> Action<'a> {
        let window = self.inbound_window(turn.limits);
        let Some(inbound) = &mut self.inbound else { return Action::Complete(id, known(false), Stored::Done, None) };
        let released = inbound.release(id);
        let found = known(released.is_some());
        if released == Some(true)
            && let Some(session) = self.number
        {
            inbound.set_stored(turn.journal.changed(session, SessionChange::ReceiptReleased { packet_id: id }));
        }
        Action::Complete(id, found, inbound.stored(), inbound.next_deferred(window))
    }

    /// Refuses a QoS 2 message of the client: if it is sent again, it is new. Its place is free: see
    /// [`next_deferred`](Self::next_deferred).
    pub fn refuse(&mut self, id: PacketId) {
        if let Some(inbound) = self.inbound.as_mut().filter(|inbound| inbound.is_publishing(id)) {
            inbound.release(id);
        }
    }

    /// Accepts a waiting QoS 2 message of the client if the window has a place: the caller publishes it.
    pub fn next_deferred(&mut self, limits: &SessionLimits) -> Option<Deferred> {
        let window = self.inbound_window(limits);
        self.inbound.as_mut()?.next_deferred(window)
    }

    /// Records that a message was completed.
    #[inline(always)]
    fn forget(&mut self, number: Option<u64>, turn: &mut Turn<'_, impl Journal>) {
        let Some(number) = number else { return };
        if let Some(session) = self.number {
            // no task waits for this record: if it is lost, the message is sent again with DUP
            turn.journal.coalesce(session, SessionChange::Completed { number, count: 1 });
        }
        if self.outbound.as_ref().is_some_and(|outbound| outbound.is_timing()) {
            self.end_timing(number, turn);
        }
    }

    /// The message with this number is acknowledged: was it the timed one?
    #[cold]
    fn end_timing(&mut self, number: u64, turn: &mut Turn<'_, impl Journal>) {
        if let Some(timed) = self.outbound.as_mut().and_then(|outbound| outbound.take_timed(number)) {
            turn.journal.timed(&self.id, &timed, turn.now);
        }
    }

    /// When the records of accepted and released QoS 2 messages are durable. A repeated PUBREC or PUBCOMP waits for
    /// them too, also on another connection.
    pub fn receipts_stored(&self) -> Stored {
        self.inbound.as_ref().map_or(Stored::Done, |inbound| inbound.stored())
    }

    /// A QoS 2 message of the client was published; `stored`: when its deliveries are durable. If they are stored, the
    /// receipt must be stored with them. Returns when everything is durable.
    pub fn received(&mut self, id: PacketId, stored: Stored, turn: &mut Turn<'_, impl Journal>) -> Stored {
        let Some(inbound) = self.inbound.as_mut().filter(|inbound| inbound.is_publishing(id)) else { return stored };
        let mut stored = stored;
        let kept = self.number.filter(|_| stored != Stored::Done);
        if let Some(session) = kept {
            stored = stored.and(turn.journal.changed(session, SessionChange::Received { packet_id: id }));
        }
        inbound.published(id, kept.is_some());
        inbound.set_stored(stored);
        stored
    }

    /// Lets a QoS 2 message wait until the client has released an older one.
    pub fn defer(&mut self, deferred: Deferred, turn: &Turn<'_, impl Journal>) -> Result<(), ProtocolError> {
        self.inbound.get_or_insert_default().defer(deferred, turn.limits.max_queued_bytes)
    }

    /// Number of unreleased QoS 2 messages of the client, including waiting ones.
    pub fn unreleased(&self) -> usize {
        self.inbound.as_ref().map_or(0, |inbound| inbound.len())
    }
}

/// Bytes for a client's own Topic Aliases that it may use even if all queues together are full.
const FEW_ALIASES: usize = 4 << 10;

/// The Reason Code of an answer to an acknowledgement: was its Packet Identifier in use?
fn known(found: bool) -> ReasonCode {
    if found { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound }
}

/// Completes a message, and tells the journal that it is acknowledged.
#[cold]
#[inline(never)]
fn complete_and_tell(
    outbound: &mut Outbound,
    (client, id, reason): (&ClientId, PacketId, ReasonCode),
    complete: impl Fn(&mut Outbound, PacketId) -> Result<Option<u64>, ProtocolError>,
    journal: &mut impl Journal,
) -> Result<Option<u64>, ProtocolError> {
    let sent = outbound.sent(id);
    let completed = complete(outbound, id)?;
    if let Some((message, qos)) = sent.filter(|_| completed.is_some()) {
        journal.acknowledged(client, &message, qos, reason);
    }
    Ok(completed)
}
