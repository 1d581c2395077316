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
mod close;
mod deliver;
mod dialect;
mod drops;
mod expiry;
mod how;
mod identifiers;
mod inbound;
mod inflight;
mod inside;
mod journal;
mod look;
mod message;
mod out_buf;
mod outbound;
mod packet_ids;
mod queue;
mod restore;
mod share;
mod shared;
#[cfg(test)]
mod tests;
mod turn;
mod unreadable;
mod will;

pub use acks::{CommitSeq, HeldAcks, Stored};
pub use close::{ByAdministrator, CloseReason, ProtocolError};
pub use deliver::Delivery;
pub use dialect::ClientSays;
pub use drops::Drops;
pub use expiry::Expiry;
pub use how::How;
pub use identifiers::{Identifiers, one_identifier, wire_of};
pub use inbound::Deferred;
pub use inside::{Bound, Missed, Note, Taken};
pub use journal::{Backlog, Gone, Journal, SessionChange, SessionNumber};
pub use look::{Holds, SentMessage, Stage, WaitingMessage};
pub use message::{Extras, LARGE_PAYLOAD, Message, Outgoing};
pub use out_buf::{BufPool, OutBuf};
pub use restore::{RestoredMessage, RestoredState};
pub use share::{Moved, Share};
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
    /// Which message goes when the queue is full.
    pub queue_full: QueueFull,
    /// Queue QoS 0 messages too while the client is away.
    pub queue_qos0: bool,
    /// Bytes written for the client that its socket has not taken.
    pub max_outbound_bytes: usize,
}

/// One client's Session State, and the bytes on their way to it while it is connected.
#[derive(Debug)]
pub struct Session {
    id: ClientId,
    expiry: Expiry,
    /// Under which a store keeps it; `None`: none does.
    number: Option<SessionNumber>,
    dropped: Dropped,
    outbound: Option<Box<Outbound>>,
    inbound: Option<Box<Inbound>>,
    subscriptions: Vec<FilterId>,
    /// `None`: the client is away.
    attached: Option<Attached>,
}

/// What a session has only while its client is connected.
#[derive(Debug)]
struct Attached {
    /// Bytes that the driver has not taken yet.
    out: Option<Box<OutBuf>>,
    /// Bytes that the driver took and the socket has not taken yet.
    writing: usize,
    /// Most have none, and a box is small then.
    will: Option<Box<StoredWill>>,
    /// `None`: it speaks MQTT 3.1 or 3.1.1.
    dialect: Option<Box<Dialect>>,
}

/// The start of a connection: its CONNACK, and how the session writes to the client.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The version that it speaks.
    pub version: ProtocolVersion,
    /// The CONNACK that accepts it.
    pub connack: Connack<'a>,
    /// The properties of its CONNECT; empty before MQTT 5.
    pub says: ClientSays,
}

impl Welcome<'_> {
    /// For a client without properties, and a CONNACK without properties.
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

/// What the caller of the session must do for a packet.
#[derive(Debug)]
pub enum Action<'a> {
    /// Nothing; there may be bytes to send.
    None,
    /// Publish this message; then acknowledge it as its QoS asks.
    Publish(Publish<'a>),
    /// The client released a QoS 2 message: send PUBCOMP, once that is durable. Its place may go to one that had to
    /// wait: publish that, then send its PUBREC.
    Complete(PacketId, ReasonCode, Stored, Option<Deferred>),
    /// The client has a QoS 2 message: send PUBREL, once that is durable.
    Release(PacketId, ReasonCode, Stored),
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

impl Session {
    /// A new session, not connected. `number`: that under which a store keeps it.
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

    /// Client Identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// How long it outlives its connections.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The client asks for another one.
    pub fn set_expiry(&mut self, expiry: Expiry) {
        self.expiry = expiry;
    }

    /// Under which a store keeps it; `None`: none does.
    pub fn number(&self) -> Option<SessionNumber> {
        self.number
    }

    /// A client is attached.
    pub fn is_connected(&self) -> bool {
        self.attached.is_some() || self.is_inside()
    }

    /// Messages waiting or in flight.
    pub fn backlog(&self) -> Backlog {
        self.outbound.as_ref().map_or(Backlog::default(), |outbound| outbound.backlog())
    }

    /// Tells the journal what became of the backlog. To be called before the session is unlocked, by a caller of
    /// [`handle_packet`](Self::handle_packet), [`fill`](Self::fill) or [`skip_unreadable`](Self::skip_unreadable):
    /// one call for many of those; everything else that changes the backlog tells it itself.
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

    /// The session ends: drops its messages. Returns its subscriptions.
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

    /// Are there bytes for the client that its connection has not taken?
    pub fn has_bytes(&self) -> bool {
        self.attached.as_ref().and_then(|a| a.out.as_ref()).is_some_and(|out| !out.is_empty())
    }

    /// Would messages that wait, or that the client has not acknowledged, be lost with this process?
    pub fn loses_messages(&self) -> bool {
        // a store keeps those of QoS 1 and 2
        let kept = self.number.is_some();
        self.outbound.as_ref().is_some_and(|o| if kept { o.has_qos0() } else { !o.is_idle() })
    }

    /// Messages for this client that were dropped.
    pub fn drops(&self) -> Drops {
        self.dropped.get()
    }

    /// How many of them there were since this was last asked.
    pub fn take_dropped(&mut self) -> u32 {
        self.dropped.take()
    }

    // ---- the client comes and goes ----

    /// A client is here: CONNACK goes out first, then what was in flight, in its order, with DUP [MQTT-4.4.0-1], then
    /// what waits; of both as much as the socket takes, see [`fill`](Self::fill).
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

    /// Does the client take an answer of so many bytes? If not, none is to be sent, and nothing done that asks for it.
    pub fn takes_answer(&self, bytes: usize) -> Result<(), ProtocolError> {
        let dialect = self.attached.as_ref().and_then(|attached| attached.dialect.as_ref());
        match dialect.is_none_or(|dialect| dialect.takes_bytes(bytes)) {
            true => Ok(()),
            false => Err(ProtocolError::AnswerTooLarge),
        }
    }

    /// The client is gone: what it was not sent for certain stays, as far as Session State goes. Gives its Will.
    pub fn detach(&mut self, turn: &mut Turn<'_, impl Journal>) -> Option<StoredWill> {
        let attached = self.attached.take();
        if let Some(outbound) = &mut self.outbound {
            // of a session that ends now, those of a group are others'
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

    /// Takes the Will of the connected client, to be published, if this is true of it.
    pub fn take_will_if(&mut self, is_wanted: impl FnOnce(&StoredWill) -> bool) -> Option<StoredWill> {
        let will = self.attached.as_mut()?.will.take_if(|will| is_wanted(will))?;
        Some(*will)
    }

    /// Which topic a PUBLISH of the connected client means by its Topic Alias; it is remembered where the PUBLISH says
    /// which. `None`: it has no alias.
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

    // ---- packets from the client ----

    /// A packet of a connected client: changes the state, turns waiting messages into bytes where it made room, and
    /// says what else is to be done and answered. Answers go out in the order of the packets [MQTT-4.6.0-2].
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
            Packet::Puback(ack) => self.handle_puback(ack.packet_id, turn)?,
            Packet::Pubrec(ack) => {
                if ack.reason.is_error() {
                    // the client does not want it: it is done with (MQTT 5 section 4.3.3)
                    if let Some(outbound) = &mut self.outbound {
                        let refused = outbound.handle_refused(ack.packet_id)?;
                        self.forget(refused, &mut turn.journal);
                        self.fill(turn);
                    }
                    return Ok(Action::None);
                }
                let mut stored = Stored::Done;
                let found = match &mut self.outbound {
                    Some(outbound) => outbound.handle_pubrec(ack.packet_id)?,
                    None => None,
                };
                if let (Some(number), Some(session)) = (found, self.number) {
                    // a client that completed a message knows nothing of it any more: it must not be sent once more
                    stored = turn.journal.changed(session, SessionChange::Released { number });
                }
                return Ok(Action::Release(ack.packet_id, known(found.is_some()), stored));
            }
            Packet::Pubcomp(ack) => {
                if let Some(outbound) = &mut self.outbound {
                    let completed = outbound.handle_pubcomp(ack.packet_id)?;
                    self.forget(completed, &mut turn.journal);
                    self.fill(turn);
                }
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

    /// A PUBACK, whatever its Reason Code.
    #[inline(always)]
    pub fn handle_puback(&mut self, id: PacketId, turn: &mut Turn<'_, impl Journal>) -> Result<(), ProtocolError> {
        if let Some(outbound) = &mut self.outbound {
            let completed = outbound.handle_puback(id)?;
            self.forget(completed, &mut turn.journal);
            self.fill(turn);
        }
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

    /// The server's Receive Maximum, as the client was told; as much as can be said for one of a version before MQTT 5.
    pub fn receive_maximum(&self) -> usize {
        let dialect = self.attached.as_ref().and_then(|attached| attached.dialect.as_ref());
        dialect.map_or(u16::MAX.into(), |dialect| dialect.receive_maximum())
    }

    /// How many QoS 2 messages of the client are taken and not released; others wait.
    fn inbound_window(&self, limits: &SessionLimits) -> usize {
        let (most, at_once) = (limits.max_inflight_in, self.receive_maximum());
        self.inbound.as_ref().map_or(most.min(at_once), |inbound| inbound.window(most, at_once))
    }

    /// PUBREL. A client that has its PUBCOMP may use the identifier for another message: it has to be free by then.
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

    /// A QoS 2 message of the client was refused: when it comes again, it is a new one. Its place is free: see
    /// [`next_deferred`](Self::next_deferred).
    pub fn refuse(&mut self, id: PacketId) {
        if let Some(inbound) = self.inbound.as_mut().filter(|inbound| inbound.is_publishing(id)) {
            inbound.release(id);
        }
    }

    /// A QoS 2 message of the client that waits, if there is a place for it by now: it is to be published.
    pub fn next_deferred(&mut self, limits: &SessionLimits) -> Option<Deferred> {
        let window = self.inbound_window(limits);
        self.inbound.as_mut()?.next_deferred(window)
    }

    /// A message was completed.
    fn forget(&self, number: Option<u64>, journal: &mut impl Journal) {
        if let (Some(session), Some(number)) = (self.number, number) {
            // that it is known to be done is nobody's to wait for: at worst it is sent once more, with DUP
            journal.coalesce(session, SessionChange::Completed { number, count: 1 });
        }
    }

    /// When it is durable that QoS 2 messages were taken and released: a PUBREC or PUBCOMP that is sent again waits for
    /// it too, whichever connection the first one was owed to.
    pub fn receipts_stored(&self) -> Stored {
        self.inbound.as_ref().map_or(Stored::Done, |inbound| inbound.stored())
    }

    /// A QoS 2 message of the client was published; `stored` says when what it set off is durable. Where it set off
    /// anything, that it was taken has to be as durable: gives when all of it is.
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

    /// Keeps a QoS 2 message until the client has released an older one.
    pub fn defer(&mut self, deferred: Deferred, turn: &Turn<'_, impl Journal>) -> Result<(), ProtocolError> {
        self.inbound.get_or_insert_default().defer(deferred, turn.limits.max_queued_bytes)
    }

    /// QoS 2 messages of the client that it has not released, those among them that wait to be taken.
    pub fn unreleased(&self) -> usize {
        self.inbound.as_ref().map_or(0, |inbound| inbound.len())
    }
}

/// Bytes for a client's own Topic Aliases that it may have though all queues together are full.
const FEW_ALIASES: usize = 4 << 10;

/// What an answer to an acknowledgement says: was its Packet Identifier in use?
fn known(found: bool) -> ReasonCode {
    if found { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound }
}
