//! Packets and bytes of a connected client, through its session.

use std::{sync::Arc, time::Instant};

use super::{
    Local, Router,
    counters::Count,
    keep::{Condition, Store},
    local::Observers,
    matches::Matched,
    ports::Event,
    slot::{ConnectionId, SlotRef, SlotState},
    subscribe::Subscribed,
};
use crate::{
    codec::{self, Connect, Cut, Frame, Packet, PacketType, Publish},
    session::{
        Action, CloseReason, CommitSeq, Deferred, HeldAcks, Message, OutBuf, Outgoing, ProtocolError, SessionLimits,
        Stored,
    },
    types::{ClientId, PacketId, ProtocolVersion, QoS, UserName},
};

/// A connected client, as its connection holds it.
#[derive(Debug)]
pub struct Client {
    pub(super) slot: SlotRef,
    connection: ConnectionId,
    id: ClientId,
    /// When this connection began: after a take-over, the session may belong to another user.
    user: Option<UserName>,
    version: ProtocolVersion,
    /// See [`Connect::bridge`].
    bridge: bool,
    /// The answer to its last PUBLISH.
    last: Option<Arc<Matched>>,
    /// What waits for the store; with the memory store, never anything.
    awaited: Option<Box<Awaited>>,
    /// A packet of its own changed its session, or bytes were taken from there that may be written by now.
    touched: bool,
}

/// What of a client waits for the store.
#[derive(Debug, Default)]
struct Awaited {
    /// Its CONNACK, and all that comes behind it.
    accepted: Option<CommitSeq>,
    /// Acknowledgements of its packets.
    acks: HeldAcks,
    /// The last commit that what it sent at QoS 0 waits for: nobody is told, but it must not send more than can be kept.
    unacknowledged: Option<CommitSeq>,
    /// The commit for which its connection is woken.
    woken_by: Option<CommitSeq>,
}

/// What of a client's bytes was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Packets.
    pub frames: u64,
    /// Their bytes.
    pub bytes: usize,
}

impl Handled {
    /// One frame.
    pub fn one(frame: Frame<'_>) -> Self {
        Self { frames: 1, bytes: frame.len }
    }
}

/// What there is to write for a client.
#[derive(Debug)]
pub enum Flush {
    /// This, if anything.
    Write(Option<Box<OutBuf>>),
    /// The connection has to end.
    Close(CloseReason),
}

/// What of a client's acknowledgements may be sent.
enum Released {
    /// All whose commit is durable.
    All,
    /// Those up to a SUBACK, which retained messages may follow: see [`Subscribed::behind`].
    Suback(Option<u64>),
    /// The client is not accepted yet.
    NotAccepted,
}

impl Client {
    /// A client that [`Router::connect`] accepted by this CONNECT.
    pub fn new(connected: super::Connected, connect: &Connect<'_>) -> Self {
        let super::Connected { client: id, slot, connection, user, stored, .. } = connected;
        let awaited = match stored {
            Stored::Done => None,
            Stored::By(commit) => Some(Box::new(Awaited { accepted: Some(commit), ..Awaited::default() })),
        };
        Self {
            slot,
            connection,
            id,
            user,
            version: connect.version,
            bridge: connect.bridge,
            last: None,
            awaited,
            touched: true,
        }
    }

    /// Is its session still its own, or has another connection taken it over?
    pub fn is_attached(&self) -> bool {
        self.slot.is_owned_by(self.connection)
    }

    /// Client Identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The User Name in force when it connected.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(UserName::as_str)
    }

    /// The version it speaks.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Its CONNACK, or acknowledgements of its packets, wait for the store.
    pub(super) fn is_owed(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.accepted.is_some() || !awaited.acks.is_empty())
    }

    /// An error where more of its packets wait to be acknowledged than is kept for it.
    #[inline]
    fn may_be_owed_more(&self, limits: &SessionLimits) -> Result<(), ProtocolError> {
        match &self.awaited {
            Some(awaited) if awaited.acks.size() > limits.max_outbound_bytes => {
                Err(ProtocolError::TooManyUnacknowledged)
            }
            _ => Ok(()),
        }
    }
}

impl Router {
    /// A whole frame from a client, the first of `bytes`; where it is an acknowledgement, those that follow it are handled with
    /// it and added to `handled`, which is this one so far. Answers go to `replies`; what it sets off elsewhere is done when
    /// this returns, but for waking: see [`Local::wake`]. An error ends the connection.
    #[inline]
    pub fn handle_frame<'a>(
        &self,
        local: &mut Local,
        client: &mut Client,
        frame: Frame<'a>,
        (bytes, handled): (&'a [u8], &mut Handled),
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        if frame.first >> 4 == PacketType::Publish as u8 {
            client.may_be_owed_more(&local.limits.session)?;
            // a publisher mostly repeats a topic, and text that was valid once is valid
            let last;
            let publish = match &client.last {
                Some(matched)
                    if codec::publish_topic_bytes(&frame)
                        .is_some_and(|topic| topic == matched.topic().as_str().as_bytes()) =>
                {
                    last = matched.clone();
                    codec::decode_publish_with_topic(frame, last.topic())?
                }
                _ => codec::decode_publish(frame)?,
            };
            return self.handle_publish(local, client, &publish, &bytes[..frame.len], replies);
        }
        if frame.is_acknowledgement() {
            return self.handle_acks(local, client, frame, (bytes, handled), replies);
        }
        client.may_be_owed_more(&local.limits.session)?;
        let packet = codec::decode_from_client(client.version, frame)?;
        self.handle_other(local, client, packet, replies)
    }

    /// Acknowledgements that follow one another, with the session locked once: a subscriber sends many at a time.
    fn handle_acks<'a>(
        &self,
        local: &mut Local,
        client: &mut Client,
        mut frame: Frame<'a>,
        (bytes, handled): (&'a [u8], &mut Handled),
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        client.touched = true;
        let mut state = client.slot.lock();
        if !client.is_attached() {
            return Err(CloseReason::SessionTakenOver);
        }
        let mut turn = self.turn(local);
        let deferred = loop {
            client.may_be_owed_more(turn.limits)?;
            let packet = codec::decode_from_client(client.version, frame)?;
            match state.session.handle_packet(packet, &mut turn)? {
                Action::Release(id, stored) => {
                    let write = |out: &mut Vec<u8>| codec::encode::pubrel(out, id);
                    answer(turn.journal.recorder.observers, &mut client.awaited, stored, replies, write);
                }
                Action::Complete(id, stored, next) => {
                    let write = |out: &mut Vec<u8>| codec::encode::pubcomp(out, id);
                    answer(turn.journal.recorder.observers, &mut client.awaited, stored, replies, write);
                    if next.is_some() {
                        break next;
                    }
                }
                _ => {}
            }
            match codec::frame(client.version, &bytes[handled.bytes..], bytes.len()) {
                Ok(Cut::Frame(next)) if next.is_acknowledgement() && handled.frames < MOST_ACKS => frame = next,
                // whatever it is, it is looked at as the first of what is left
                _ => break None,
            }
            *handled = Handled { frames: handled.frames + 1, bytes: handled.bytes + frame.len };
        };
        // with the session locked: they tell the store
        drop(turn);
        drop(state);
        if let Some(store) = &self.ports.store {
            store.settle(&mut local.wakes);
        }
        if let Some(deferred) = deferred {
            self.publish_deferred(local, client, &deferred, replies)?;
        }
        Ok(())
    }

    #[inline]
    fn handle_publish(
        &self,
        local: &mut Local,
        client: &mut Client,
        publish: &Publish<'_>,
        bytes: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        if publish.qos == QoS::ExactlyOnce && !self.receive(local, client, publish, replies)? {
            return Ok(());
        }
        let Client { id: name, slot, connection, last, .. } = client;
        let access = || self.access_of(slot, *connection);
        let Some(id) = publish.packet_id else {
            if let Stored::By(commit) = self.publish_from(local, name, access, last, publish, bytes)? {
                client.awaited.get_or_insert_default().unacknowledged = Some(commit);
            }
            return Ok(());
        };
        let result = self.together(|| {
            let stored = self.publish_from(local, name, access, last, publish, bytes)?;
            Ok(self.received(local, slot, id, publish.qos, stored))
        });
        self.answer_publish(local, client, id, publish.qos, result, replies)
    }

    /// Is this QoS 2 PUBLISH to be published now?
    fn receive(
        &self,
        local: &mut Local,
        client: &mut Client,
        publish: &Publish<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        client.touched = true;
        let action = {
            let mut state = self.own(client)?;
            state.session.handle_packet(Packet::Publish(*publish), &mut self.turn(local))?
        };
        match action {
            Action::Publish(_) => Ok(true),
            Action::Repeated(id) => {
                // its first PUBREC may still wait for the store, perhaps on a connection that is no more
                let stored = self.own(client)?.session.receipts_stored();
                answer(&local.observers, &mut client.awaited, stored, replies, |out| codec::encode::pubrec(out, id));
                Ok(false)
            }
            Action::Defer(publish) => {
                self.defer(local, client, &publish)?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn defer(&self, local: &mut Local, client: &Client, publish: &Publish<'_>) -> Result<(), CloseReason> {
        local.count(Count::DeferredInflight, 1);
        let Some(packet_id) = publish.packet_id else { return Ok(()) };
        let message = Message::new(publish.topic, publish.payload, publish.qos);
        let deferred = Deferred { packet_id, retain: publish.retain, message };
        let mut state = self.own(client)?;
        Ok(state.session.defer(deferred, &self.turn(local))?)
    }

    fn handle_other(
        &self,
        local: &mut Local,
        client: &mut Client,
        packet: Packet<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        match packet {
            Packet::Subscribe(mut subscribe) => {
                client.touched = true;
                if client.bridge {
                    // as MQTT 5 lets bridges say for themselves
                    for (_, options) in &mut subscribe.filters {
                        (options.no_local, options.retain_as_published) = (true, true);
                    }
                }
                let Subscribed { codes, stored, behind } =
                    self.subscribe(local, (&client.slot, client.connection), &client.id, &subscribe)?;
                tracing::debug!(client = %client.id, filters = ?subscribe.filters, ?codes, "subscribe");
                if !client.slot.is_owned_by(client.connection) {
                    // retained messages wait in a session that is another connection's by now, which was told nothing
                    client.slot.signal(&client.slot.lock(), &mut local.wakes);
                    return Err(CloseReason::SessionTakenOver);
                }
                local.count(Count::MessagesSent, 1);
                let write = |out: &mut Vec<u8>| codec::encode::suback(out, subscribe.packet_id, &codes);
                let held = match (&mut client.awaited, stored) {
                    (None, Stored::Done) => {
                        write(replies);
                        false
                    }
                    (awaited, _) => awaited.get_or_insert_default().acks.push_suback(stored, replies, behind, write),
                };
                if !held {
                    self.suback_sent(local, client, replies, behind)?;
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                // not from what the session's next connection has
                drop(self.own(client)?);
                let stored = self.unsubscribe(local, &client.slot, &client.id, &unsubscribe);
                tracing::debug!(client = %client.id, filters = ?unsubscribe.filters, "unsubscribe");
                answer(&local.observers, &mut client.awaited, stored, replies, |out| {
                    codec::encode::unsuback(out, unsubscribe.packet_id)
                });
            }
            Packet::Pingreq => {
                local.observers.observe(&Event::Ping { client: &client.id });
                match &mut client.awaited {
                    // small clients take the first packet behind a SUBSCRIBE for its answer
                    Some(awaited) if awaited.acks.has_suback() => {
                        answer(&local.observers, &mut client.awaited, Stored::Done, replies, codec::encode::pingresp);
                    }
                    // ahead of other acknowledgements that wait for the store: that a client stays does not depend on
                    // the disk
                    _ => {
                        local.count(Count::MessagesSent, 1);
                        codec::encode::pingresp(replies);
                    }
                }
            }
            Packet::Disconnect(_) => return Err(CloseReason::ClientDisconnect),
            Packet::Connect(_) => return Err(ProtocolError::SecondConnect.into()),
            _ => return Err(ProtocolError::ServerPacket.into()),
        }
        Ok(())
    }

    /// A SUBACK is the last of `replies`: it goes in front of messages that match its SUBSCRIBE. The retained ones that
    /// it brought follow, then answers to later packets.
    fn suback_sent(
        &self,
        local: &mut Local,
        client: &mut Client,
        replies: &mut Vec<u8>,
        behind: Option<u64>,
    ) -> Result<(), CloseReason> {
        client.touched = true;
        let mut state = self.own(client)?;
        state.session.append(replies, &mut local.pool);
        if let Some(behind) = behind {
            state.session.suback_sent(behind, &mut self.turn(local));
        }
        Ok(())
    }

    fn publish_deferred(
        &self,
        local: &mut Local,
        client: &mut Client,
        deferred: &Deferred,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let outgoing = Outgoing::from(&deferred.message).with_retain(deferred.retain).with_sender(&client.id);
        let (id, qos) = (deferred.packet_id, QoS::ExactlyOnce);
        let access = || self.access_of(&client.slot, client.connection);
        let result = self.together(|| {
            let stored = self.publish_as(local, access, &mut None, &outgoing)?;
            Ok(self.received(local, &client.slot, id, qos, stored))
        });
        self.answer_publish(local, client, id, qos, result, replies)
    }

    /// A message was published; at QoS 2, that it was has to be kept with what it set off.
    #[inline]
    fn received(&self, local: &mut Local, slot: &SlotRef, id: PacketId, qos: QoS, stored: Stored) -> Stored {
        if qos != QoS::ExactlyOnce {
            return stored;
        }
        slot.lock().session.received(id, stored, &mut self.turn(local))
    }

    /// PUBACK or PUBREC, once what the message set off is kept; or the message was refused.
    #[inline]
    fn answer_publish(
        &self,
        local: &mut Local,
        client: &mut Client,
        id: PacketId,
        qos: QoS,
        result: Result<Stored, CloseReason>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let stored = match result {
            Ok(stored) => stored,
            Err(reason) => {
                if qos == QoS::ExactlyOnce {
                    client.slot.lock().session.refuse(id);
                }
                return Err(reason);
            }
        };
        let write = if qos == QoS::ExactlyOnce { codec::encode::pubrec } else { codec::encode::puback };
        answer(&local.observers, &mut client.awaited, stored, replies, |out| write(out, id));
        Ok(())
    }

    /// The client's session, if it is still this connection's.
    fn own<'c>(&self, client: &'c Client) -> Result<parking_lot::MutexGuard<'c, SlotState>, CloseReason> {
        let state = client.slot.lock();
        if client.is_attached() { Ok(state) } else { Err(CloseReason::SessionTakenOver) }
    }

    /// What there is to write for a client now: its replies and what others sent it. `unwritten`: bytes that its
    /// connection holds and the socket has not taken; while there are any, nothing new is given.
    pub fn flush(&self, local: &mut Local, client: &mut Client, replies: &mut Vec<u8>, unwritten: usize) -> Flush {
        if !client.is_attached() {
            return Flush::Close(CloseReason::SessionTakenOver);
        }
        while client.awaited.is_some() {
            match self.release(client, replies) {
                Ok(Released::All) => break,
                Ok(Released::Suback(behind)) => {
                    if let Err(reason) = self.suback_sent(local, client, replies, behind) {
                        return Flush::Close(reason);
                    }
                }
                Ok(Released::NotAccepted) => {
                    // its CONNACK comes first; the buffer of the replies is the next connection's in a moment
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
        if replies.is_empty() && !client.touched && !client.slot.is_signalled() {
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
                session.fill(&mut self.turn(local));
            }
            out = session.take_out();
            held = session.waits_for();
        }
        drop(state);
        // look once more when this is written: what is given at once is bounded, the session counts it as on its way until
        // then, and what it queued or dropped meanwhile signals nobody
        client.touched = unwritten > 0 || out.is_some();
        if let Some(commit) = held {
            if self.is_stuck(commit) {
                return Flush::Close(CloseReason::StoreFull);
            }
            client.touched = true;
            self.wake_by(client, commit);
        }
        Flush::Write(out)
    }

    /// Does this commit wait for room that is not there?
    fn is_stuck(&self, commit: CommitSeq) -> bool {
        // in this order: what is not done after the store said that it is stuck is stuck
        let stuck = |store: &Arc<dyn Store>| store.condition() == Condition::Stuck && store.done() < commit;
        self.ports.store.as_ref().is_some_and(stuck)
    }

    /// Moves acknowledgements whose commit is durable to `replies`. What waits for a store that writes nothing ends the
    /// connection; one that is full still writes what it took over.
    fn release(&self, client: &mut Client, replies: &mut Vec<u8>) -> Result<Released, CloseReason> {
        let (Some(awaited), Some(store)) = (&mut client.awaited, &self.ports.store) else { return Ok(Released::All) };
        // in this order: what is not done after the store said that it is stuck is stuck
        let condition = store.condition();
        let done = store.done();
        awaited.accepted = awaited.accepted.filter(|&commit| commit > done);
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
            None if awaited.woken_by.is_none_or(|commit| commit <= done) => client.awaited = None,
            None => {}
        }
        Ok(if accepted { Released::All } else { Released::NotAccepted })
    }

    /// Has the client's connection woken when this commit is durable.
    fn wake_by(&self, client: &mut Client, commit: CommitSeq) {
        let Some(store) = &self.ports.store else { return };
        let woken_by = &mut client.awaited.get_or_insert_default().woken_by;
        if woken_by.is_some_and(|earlier| earlier <= commit && earlier > store.done()) {
            return;
        }
        *woken_by = Some(commit);
        // a waker is never called with a lock held
        let waker = client.slot.lock().waker().cloned();
        if let Some(waker) = waker {
            store.wake_when_done(commit, &waker);
        }
    }

    /// Does the client have to wait before it sends more, until some of what it sent is durable?
    pub fn awaits_room(&self, client: &Client) -> bool {
        let Some(awaited) = &client.awaited else { return false };
        let waits = || !awaited.acks.is_empty() || awaited.unacknowledged.is_some();
        // who is not accepted yet is not heard either
        awaited.accepted.is_some() || waits() && self.ports.store.as_ref().is_some_and(|store| store.is_behind())
    }

    /// Bytes on their way to a client: those that its connection holds, as of its last [`flush`](Self::flush), and those
    /// that wait behind them.
    pub fn pending(&self, client: &Client) -> usize {
        client.slot.lock().session.pending()
    }

    /// The client's connection ended: its session ends with it, or waits for the client. Gives how many messages for the
    /// client were dropped since it was last gone.
    pub fn end(&self, local: &mut Local, client: &Client, reason: &CloseReason, now: Instant) -> u32 {
        self.together(|| self.disconnect(local, &client.slot, client.connection, reason, now))
    }
}

/// Sends an acknowledgement once what it acknowledges is kept.
#[inline]
fn answer(
    observers: &Observers,
    awaited: &mut Option<Box<Awaited>>,
    stored: Stored,
    replies: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    observers.count(Count::MessagesSent, 1);
    match (awaited, stored) {
        (None, Stored::Done) => write(replies),
        (awaited, _) => awaited.get_or_insert_default().acks.push(stored, replies, write),
    }
}

/// Acknowledgements for which a session is locked at once: what others send its client waits meanwhile.
const MOST_ACKS: u64 = 64;
