//! [`Client`]: a connected client, owned by its connection: its pending acknowledgements and output.

use std::{sync::Arc, time::Instant};

use super::{
    super::{
        Router, RouterLimits, RouterThread,
        ports::{ClientInfo, Condition, Store},
        publish::Sender,
        sessions::{ConnectionId, Presence, SlotRef, SlotState},
        subscriptions::Matched,
        thread::Observers,
    },
    answers::Asking,
    authenticating::Authenticating,
    marks::Marks,
    operation::Operation,
};
use crate::{
    codec::{Connect, PacketType},
    session::{CloseReason, CommitSeq, HeldAcks, OutBuf, ProtocolError, SessionLimits, Stored},
    types::{ClientId, ProtocolVersion, QoS, UserName},
};

/// A connected client, owned by its connection.
#[derive(Debug)]
pub struct Client {
    pub(crate) slot: SlotRef,
    pub(crate) presence: triomphe::Arc<Presence>,
    pub(crate) connection: ConnectionId,
    pub(crate) id: ClientId,
    pub(crate) version: ProtocolVersion,
    pub(crate) marks: Marks,
    /// Largest packet that it may send in bytes, from its CONNACK, if it uses MQTT 5.
    max_packet_size: u32,
    /// The match of its last PUBLISH, for the next one with the same topic.
    pub(crate) last: Option<Arc<Matched>>,
    /// Pending work: mostly none. Without a store: a packet that takes several turns, or an authentication.
    pub(crate) awaited: Option<Box<Awaited>>,
    /// Its CONNACK is in the output.
    is_welcomed: bool,
    /// One of its packets changed its session, or output from the session may be written now.
    pub(crate) flush_due: bool,
}

/// Pending work of a client, which waits for the store or for the next turn.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// A packet that takes several turns.
    operation: Option<Box<Operation>>,
    /// Its re-authentication, if CONNECT named an Authentication Method.
    pub(super) authenticating: Option<Box<Authenticating>>,
    /// Its rights are asked about elsewhere.
    pub(super) asking: Option<Box<Asking>>,
    /// The commit that its CONNACK, and everything after it, waits for.
    accepted: Option<CommitSeq>,
    /// Acknowledgements of its packets that wait.
    pub(crate) acks: HeldAcks,
    /// The last commit of a QoS 0 message from it. Such a message has no acknowledgement, but reading pauses if the
    /// store falls behind.
    pub(crate) unacknowledged: Option<CommitSeq>,
    /// Output for new subscriptions that must follow their SUBACK.
    pub(super) behind_suback: Option<OutBuf>,
    /// The commit for which its waker is registered at the store.
    woken_by: Option<CommitSeq>,
    /// A timed acknowledgement: the commit that it waits for, and the time at which its PUBLISH arrived.
    pub(super) measured: Option<(CommitSeq, Instant)>,
}

/// The result of [`Router::flush`].
#[derive(Debug)]
pub enum Flush {
    /// Output to be written, if there is any.
    Write(Option<Box<OutBuf>>),
    /// The connection has to end.
    Close(CloseReason),
}

/// Which acknowledgements of a client may be sent.
enum Released {
    /// All whose commit is durable.
    All,
    /// Those up to a SUBACK, which retained messages may follow: see
    /// [`push_suback`](HeldAcks::push_suback).
    Suback(Option<u64>),
    /// The client is not accepted yet.
    NotAccepted,
}

impl Client {
    /// A client that was accepted by this CONNECT. `stored`: when its session is durable.
    pub(crate) fn new(
        id: ClientId,
        (slot, presence): (SlotRef, triomphe::Arc<Presence>),
        connection: ConnectionId,
        connect: &Connect<'_>,
        ((marks, asks), limits): ((Marks, bool), &RouterLimits),
        stored: Stored,
    ) -> Self {
        let accepted = match stored {
            Stored::Done => None,
            Stored::By(commit) => Some(commit),
        };
        let asking = asks.then(Box::default);
        let awaited = match (accepted, Authenticating::of(connect)) {
            (None, None) if !asks => None,
            (accepted, authenticating) => {
                Some(Box::new(Awaited { accepted, authenticating, asking, ..Awaited::default() }))
            }
        };
        Self {
            slot,
            presence,
            connection,
            id,
            version: connect.version,
            marks,
            max_packet_size: limits.told_packet_size(),
            last: None,
            awaited,
            is_welcomed: false,
            flush_due: true,
        }
    }

    /// The publisher of its messages.
    #[inline]
    pub(super) fn sender(&self) -> Sender<'_> {
        Sender { client: &self.id, user: self.presence.user() }
    }

    /// A client within this process, with the session in this slot.
    pub(super) fn inside(
        id: ClientId,
        (slot, presence): (SlotRef, triomphe::Arc<Presence>),
        connection: ConnectionId,
        limits: &RouterLimits,
    ) -> Self {
        Self {
            slot,
            presence,
            connection,
            id,
            version: ProtocolVersion::V5,
            marks: Marks::default(),
            max_packet_size: limits.told_packet_size(),
            last: None,
            awaited: None,
            is_welcomed: false,
            flush_due: false,
        }
    }

    /// Has no other connection taken the session over?
    pub fn is_attached(&self) -> bool {
        self.slot.is_owned_by(self.connection)
    }

    /// The Client Identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// Its description for events.
    pub(crate) fn info(&self) -> ClientInfo<'_> {
        ClientInfo::new(self.user(), self.presence.listener(), self.version)
    }

    /// The figures of its connection.
    #[inline]
    pub(crate) fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The User Name in force when it connected.
    pub fn user(&self) -> Option<&str> {
        self.presence.user().map(UserName::as_str)
    }

    /// Does it get a DISCONNECT with the reason when its connection ends? It does if it uses MQTT 5 and has its
    /// CONNACK.
    pub fn is_told_why_it_ends(&self) -> bool {
        self.version == ProtocolVersion::V5 && self.is_welcomed
    }

    /// Approximate number of its packets whose acknowledgements wait.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.awaited.as_ref().map_or(0, |awaited| awaited.acks.len())
    }

    /// Largest packet that it may send in bytes. An MQTT 5 client keeps the limit of its CONNACK; others have the limit
    /// `now`.
    #[inline]
    pub fn max_packet_size(&self, now: usize) -> usize {
        if self.version == ProtocolVersion::V5 { self.max_packet_size as usize } else { now }
    }

    /// The protocol version.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Does its last packet need another turn? Then call [`Router::resume`] in its next turn, and handle no other
    /// packet.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.operation.is_some())
    }

    /// Stores the rest of its last packet.
    pub(crate) fn set_operation(&mut self, operation: Box<Operation>) {
        self.awaited.get_or_insert_default().operation = Some(operation);
    }

    /// Takes the rest of its last packet: complete it, or [store](Self::set_operation) it again.
    pub(crate) fn take_operation(&mut self) -> Option<Box<Operation>> {
        let operation = self.awaited.as_mut()?.operation.take()?;
        self.forget_awaited();
        Some(operation)
    }

    /// A SUBACK is not sent in the turn of its SUBSCRIBE: messages for the new subscriptions from this turn, if any,
    /// must wait for it. Later ones wait in the session.
    pub(super) fn hold_behind_suback(&mut self, sent_before: Option<OutBuf>) {
        if let Some(sent_before) = sent_before {
            let held = &mut self.awaited.get_or_insert_default().behind_suback;
            match held {
                Some(held) => held.join(sent_before),
                None => *held = Some(sent_before),
            }
        }
    }

    /// Frees the memory if nothing waits.
    fn forget_awaited(&mut self) {
        let is_empty = |awaited: &Awaited| {
            let Awaited {
                operation,
                authenticating,
                asking,
                accepted,
                acks,
                unacknowledged,
                behind_suback,
                woken_by,
                measured: _,
            } = awaited;
            operation.is_none()
                && authenticating.is_none()
                && asking.is_none()
                && accepted.is_none()
                && acks.is_empty()
                && unacknowledged.is_none()
                && behind_suback.is_none()
                && woken_by.is_none()
        };
        if self.awaited.as_deref().is_some_and(is_empty) {
            self.awaited = None;
        }
    }

    /// Do its CONNACK or acknowledgements of its packets wait for the store?
    pub(crate) fn is_owed(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.accepted.is_some() || !awaited.acks.is_empty())
    }

    /// An error if too many acknowledgements of its packets wait.
    #[inline]
    pub(crate) fn may_be_owed_more(&self, limits: &SessionLimits) -> Result<(), ProtocolError> {
        match &self.awaited {
            Some(awaited) if awaited.acks.size() > limits.max_outbound_bytes => {
                Err(ProtocolError::TooManyUnacknowledged)
            }
            _ => Ok(()),
        }
    }
}

impl Router {
    /// Locks the client's session. `Err`: another connection has taken it over.
    pub(crate) fn own<'c>(&self, client: &'c Client) -> Result<parking_lot::MutexGuard<'c, SlotState>, CloseReason> {
        let state = client.slot.lock();
        if client.is_attached() { Ok(state) } else { Err(CloseReason::SessionTakenOver) }
    }

    /// Calls `each`, with the session locked, with the Topic Aliases of a connection: whether the client made it, its
    /// number, its topic.
    pub(crate) fn topic_aliases(&self, client: &Client, each: &mut dyn FnMut(bool, u16, &str)) {
        if let Ok(state) = self.own(client) {
            state.session.topic_aliases(each);
        }
    }

    /// Does a client accept a packet of this size?
    pub fn takes(&self, client: &Client, bytes: usize) -> bool {
        self.own(client).is_ok_and(|state| state.session.takes_answer(bytes).is_ok())
    }

    /// Returns the output for a client: its replies and messages. `unwritten`: bytes that its connection has not
    /// written; no new output is returned before it has.
    pub fn flush(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        replies: &mut Vec<u8>,
        unwritten: usize,
    ) -> Flush {
        if !client.is_attached() {
            return Flush::Close(CloseReason::SessionTakenOver);
        }
        while client.awaited.is_some() {
            match self.release(local, client, replies) {
                Ok(Released::All) => break,
                Ok(Released::Suback(behind)) => {
                    if let Err(reason) = self.suback_sent(local, client, replies, behind) {
                        return Flush::Close(reason);
                    }
                }
                Ok(Released::NotAccepted) => {
                    // the CONNACK comes first; the buffer of the replies must be free for the next connection
                    if let Ok(mut state) = self.own(client)
                        && !replies.is_empty()
                    {
                        state.session.append(replies, &mut local.pool);
                    }
                    return Flush::Write(None);
                }
                Err(reason) => return Flush::Close(reason),
            }
        }
        let are_left = client.asks() && self.ask_about_deliveries(local, client);
        if replies.is_empty() && !client.flush_due && !client.slot.is_signalled() {
            return Flush::Write(None);
        }
        let Ok(mut state) = self.own(client) else { return Flush::Close(CloseReason::SessionTakenOver) };
        if state.access.as_ref().is_some_and(|access| access.is_revoked()) {
            return Flush::Close(CloseReason::UserGone);
        }
        let session = &mut state.session;
        session.set_writing(unwritten);
        if !replies.is_empty() {
            session.append(replies, &mut local.pool);
        }
        let (mut out, mut held) = (None, None);
        if unwritten == 0 {
            client.slot.clear_signal();
            if session.has_waiting() {
                let turn = &mut self.turn(local);
                session.fill(turn);
                session.tell_backlog(&mut turn.journal);
            }
            out = session.take_out();
            held = session.waits_for(&local.limits.session);
        }
        if let SlotState { shared: Some(shared), session, .. } = &mut *state
            && shared.is_full()
            && session.has_room(0, QoS::AtLeastOnce, &local.limits.session)
        {
            shared.note_ready(&client.slot);
        }
        drop(state);
        if are_left && unwritten == 0 && out.is_none() {
            self.ask_further(client);
        }
        // call again after the write: this output is bounded, and queued messages signal no task
        client.is_welcomed |= out.is_some();
        client.flush_due = unwritten > 0 || out.is_some();
        if let Some(commit) = held {
            if self.is_stuck(commit) {
                return Flush::Close(CloseReason::StoreFull);
            }
            client.flush_due = true;
            self.wake_by(client, commit);
        }
        Flush::Write(out)
    }

    /// Does this commit wait for disk space?
    fn is_stuck(&self, commit: CommitSeq) -> bool {
        // in this order: if the commit is still pending after the store reported that it is stuck, it is stuck
        let stuck = |store: &Arc<dyn Store>| store.condition() == Condition::Stuck && store.done() < commit;
        self.ports.store.as_ref().is_some_and(stuck)
    }

    /// Moves acknowledgements whose commit is durable to `replies`. If they wait for a store that writes nothing any
    /// more, the connection ends. A full store still writes what it accepted.
    fn release(
        &self,
        local: &RouterThread,
        client: &mut Client,
        replies: &mut Vec<u8>,
    ) -> Result<Released, CloseReason> {
        let (Some(awaited), Some(store)) = (&mut client.awaited, &self.ports.store) else { return Ok(Released::All) };
        // in the order of `is_stuck`
        let condition = store.condition();
        let done = store.done();
        awaited.accepted = awaited.accepted.filter(|&commit| commit > done);
        if let Some((_, began)) = awaited.measured.take_if(|measured| measured.0 <= done) {
            // its bytes are written at the end of this turn
            let took = local.observers.now.saturating_duration_since(began);
            local.observers.samples().acknowledgements.add(took);
        }
        if let Some(behind) = awaited.acks.release(done, replies) {
            return Ok(Released::Suback(behind));
        }
        awaited.unacknowledged = awaited.unacknowledged.filter(|&commit| commit > done);
        let accepted = awaited.accepted.is_none();
        let owed = awaited.accepted.or(awaited.acks.waits_for());
        match owed.or(awaited.unacknowledged) {
            Some(commit) => {
                match condition {
                    Condition::Stuck if owed.is_some() => return Err(CloseReason::StoreFull),
                    Condition::Failed if owed.is_some() => return Err(CloseReason::StoreFailed),
                    _ => {}
                }
                self.wake_by(client, commit);
            }
            None => {
                awaited.woken_by = awaited.woken_by.filter(|&commit| commit > done);
                client.forget_awaited();
            }
        }
        Ok(if accepted { Released::All } else { Released::NotAccepted })
    }

    /// Wakes the client's connection when this commit is durable.
    fn wake_by(&self, client: &mut Client, commit: CommitSeq) {
        let Some(store) = &self.ports.store else { return };
        let woken_by = &mut client.awaited.get_or_insert_default().woken_by;
        if woken_by.is_some_and(|earlier| earlier <= commit && earlier > store.done()) {
            return;
        }
        *woken_by = Some(commit);
        // a waker must not be called with a lock held
        let waker = client.slot.lock().waker().cloned();
        if let Some(waker) = waker {
            store.wake_when_done(commit, &waker);
        }
    }

    /// Must the client wait until some of its messages are durable?
    pub fn awaits_room(&self, client: &Client) -> bool {
        let Some(awaited) = &client.awaited else { return false };
        let waits = || !awaited.acks.is_empty() || awaited.unacknowledged.is_some();
        // nothing is read from a client before its CONNACK
        awaited.accepted.is_some() || waits() && self.ports.store.as_ref().is_some_and(|store| store.is_behind())
    }

    /// Bytes of output for a client: those that its connection had at the last [`flush`](Self::flush), and those in the
    /// session.
    pub fn pending(&self, client: &Client) -> usize {
        client.slot.lock().session.pending()
    }

    /// Why the connection of a client with [`CloseReason::UserGone`] ends: it may have been told to end for another
    /// reason.
    pub fn why_gone(&self, client: &Client) -> CloseReason {
        let state = client.slot.lock();
        state.closing().filter(|_| client.is_attached()).unwrap_or(CloseReason::UserGone)
    }

    /// The client's connection ended: its session ends too, or waits for the client. Returns the number of dropped
    /// messages since the last time.
    pub fn end(&self, local: &mut RouterThread, client: &Client, reason: &CloseReason, now: Instant) -> u32 {
        // even if a plug-in panics, the Will and the session are handled
        let (dropped, _) = local.finish(|local| self.together(|| self.disconnect(local, client, reason, now)));
        dropped
    }
}

/// Sends an acknowledgement when its effect is durable.
#[inline]
pub(crate) fn answer(
    observers: &Observers,
    awaited: &mut Option<Box<Awaited>>,
    stored: Stored,
    (packet, replies): (PacketType, &mut Vec<u8>),
    write: impl FnOnce(&mut Vec<u8>),
) {
    observers.traffic().said(packet);
    match (awaited, stored) {
        (None, Stored::Done) => write(replies),
        (awaited, _) => awaited.get_or_insert_default().acks.push(stored, replies, write),
    }
}
