//! Packets of a connected client, through its session.

use super::{
    super::{
        Router, RouterThread,
        ports::{Event, Right},
        publish::{Leave, Publisher, Publishing, Sender, Step},
        sessions::SlotRef,
        thread::Count,
    },
    client::{Client, answer},
    handled::Handled,
    incoming::Incoming,
    operation::Operation,
};
use crate::{
    codec::{self, Ack, Cut, Disconnect, Frame, Packet, PacketType, Properties, PropertyId, Publish, ReasonCode},
    session::{Action, CloseReason, Expiry, Extras, ProtocolError, Stored},
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS},
};

impl Router {
    /// Handles the first frame of `bytes` from a client. If it is an acknowledgement, those that follow are handled
    /// with it and added to `handled`, which begins with this one. Answers go to `replies`. Its effects are complete on
    /// return, except for waking: see [`RouterThread::wake`]. An error ends the connection.
    #[inline]
    pub fn handle_frame<'a>(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        frame: Frame<'a>,
        bytes: &'a [u8],
        handled: &mut Handled,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        if frame.first >> 4 == PacketType::Publish as u8 {
            client.may_be_owed_more(&local.limits.session)?;
            // publishers mostly repeat a topic, which then needs no validation
            let last;
            let publish = match &client.last {
                Some(matched)
                    if codec::publish_topic_bytes(&frame)
                        .is_some_and(|topic| topic == matched.topic().as_str().as_bytes()) =>
                {
                    last = matched.clone();
                    let known = || local.properties.as_ref().map_or_else(Properties::default, |known| known.said());
                    codec::decode_publish_again(client.version, frame, last.topic(), known)?
                }
                _ => codec::decode_publish_from_client(client.version, frame)?,
            };
            if client.marks.concern_publish() {
                return self.handle_marked_publish(local, client, &publish, &bytes[..frame.len], (handled, replies));
            }
            let incoming = Incoming::plain(&publish, &bytes[..frame.len]);
            return self.handle_publish(local, client, &incoming, (handled, replies));
        }
        if frame.is_acknowledgement() {
            let mut others = 0;
            let result = self.handle_acks(local, client, (frame, bytes), (handled, &mut others), replies);
            local.observers.traffic().heard_some(PacketType::Puback as u8, handled.frames - others);
            return result;
        }
        if client.asks() && !self.may_handle(local, client, frame, handled)? {
            return Ok(());
        }
        local.heard(frame.first >> 4);
        client.may_be_owed_more(&local.limits.session)?;
        let packet = codec::decode_from_client(client.version, frame)?;
        self.handle_other(local, client, packet, replies)
    }

    /// Handles consecutive acknowledgements with the session locked once: a subscriber sends many at a time. `others`:
    /// how many of them are not a plain PUBACK.
    fn handle_acks<'a>(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        (mut frame, bytes): (Frame<'a>, &'a [u8]),
        (handled, others): (&mut Handled, &mut u64),
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        client.flush_due = true;
        let mut state = client.slot.lock();
        if !client.is_attached() {
            return Err(CloseReason::SessionTakenOver);
        }
        let mut turn = self.turn(local);
        let deferred = loop {
            client.may_be_owed_more(turn.limits)?;
            let action = match frame.plain_puback() {
                // most are like this, and are not decoded further
                Some(id) => {
                    state.session.handle_puback(id, ReasonCode::Success, &mut turn)?;
                    Action::None
                }
                None => {
                    *others += 1;
                    turn.journal.recorder.observers.traffic().heard(frame.first >> 4);
                    let packet = codec::decode_from_client(client.version, frame)?;
                    state.session.handle_packet(packet, &mut turn)?
                }
            };
            match action {
                Action::Release(id, reason, stored) => {
                    let write = |out: &mut Vec<u8>| write_ack(out, client.version, PacketType::Pubrel, id, reason);
                    let replies = (PacketType::Pubrel, &mut *replies);
                    answer(turn.journal.recorder.observers, &mut client.awaited, stored, replies, write);
                }
                Action::Complete(id, reason, stored, next) => {
                    let write = |out: &mut Vec<u8>| write_ack(out, client.version, PacketType::Pubcomp, id, reason);
                    let replies = (PacketType::Pubcomp, &mut *replies);
                    answer(turn.journal.recorder.observers, &mut client.awaited, stored, replies, write);
                    if next.is_some() {
                        break next;
                    }
                }
                _ => {}
            }
            match codec::frame(client.version, &bytes[handled.bytes..], bytes.len()) {
                Ok(Cut::Frame(next)) if next.is_acknowledgement() && handled.frames < MOST_ACKS => frame = next,
                // the caller handles it as the first of the rest
                _ => break None,
            }
            *handled = Handled { frames: handled.frames + 1, bytes: handled.bytes + frame.len };
        };
        state.session.tell_backlog(&mut turn.journal);
        // before the session is unlocked: they report to the store
        drop(turn);
        drop(state);
        if let Some(store) = &self.ports.store {
            store.settle(&mut local.wakes);
        }
        if let Some(deferred) = deferred
            && self.publish_deferred(local, client, &deferred, replies)?
        {
            self.place_is_free(local, client, replies)?;
        }
        Ok(())
    }

    #[inline]
    fn handle_publish(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        incoming: &Incoming<'_>,
        (handled, replies): (&mut Handled, &mut Vec<u8>),
    ) -> Result<(), CloseReason> {
        let publish = incoming.publish;
        let mut may = None;
        if client.marks.look_further() {
            let most = local.limits.max_message_size;
            if most.is_some_and(|most| publish.payload.len() > most) {
                client.waits_no_more();
                return self.drop_too_large(local, client, incoming, replies);
            }
            if client.asks() {
                if !self.knows_all(local, client, [Some(Right::Publish(publish.topic))], handled)? {
                    return Ok(());
                }
                may = client.take_answers().pop().flatten();
            }
        }
        if publish.qos == QoS::ExactlyOnce && !self.receive(local, client, incoming, may, replies)? {
            return Ok(());
        }
        let Client { id: name, presence, slot, connection, last, .. } = client;
        let sender = Sender { client: name, user: presence.user() };
        let access = || Ok(Publisher { access: self.access_of(slot, *connection)?, may });
        let mut leave = Leave::anywhere();
        let Some(id) = publish.packet_id else {
            let stored = self.publish_from(local, access, last, &incoming.outgoing(sender), &mut leave)?;
            if let Stored::By(commit) = stored {
                client.awaited.get_or_insert_default().unacknowledged = Some(commit);
            }
            if let Some(publishing) = leave.take() {
                self.leave(local, client, Operation::Publish { publishing, packet_id: None, qos: publish.qos });
            }
            return Ok(());
        };
        if publish.qos == QoS::ExactlyOnce {
            leave = Leave::while_matching();
        }
        let result = self.together(|| {
            let stored = self.publish_from(local, access, last, &incoming.outgoing(sender), &mut leave)?;
            if leave.is_left() || leave.outcome().is_error() {
                return Ok(stored);
            }
            Ok(self.received(local, slot, id, publish.qos, stored))
        });
        if let Some(publishing) = leave.take() {
            self.leave(local, client, Operation::Publish { publishing, packet_id: Some(id), qos: publish.qos });
            return Ok(());
        }
        let answer = Answer { packet_id: id, qos: publish.qos, outcome: leave.outcome() };
        if self.answer_publish(local, client, answer, result, replies)? {
            self.place_is_free(local, client, replies)?;
        }
        Ok(())
    }

    /// A PUBLISH in MQTT 5, or from a client with restrictions for PUBLISH.
    fn handle_marked_publish(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        publish: &Publish<'_>,
        bytes: &[u8],
        (handled, replies): (&mut Handled, &mut Vec<u8>),
    ) -> Result<(), CloseReason> {
        let is_five = client.version == ProtocolVersion::V5;
        if client.marks.refuse_qos(bytes[0]) {
            local.count(Count::RefusedQos, 1);
            return Err(ProtocolError::QosNotSupported.into());
        }
        if client.marks.refuse_retain(bytes[0]) {
            local.count(Count::RefusedRetain, 1);
            if is_five {
                return Err(ProtocolError::RetainNotSupported.into());
            }
            // a 3.1.1 client cannot be told that there are no retained messages: publish it without RETAIN
            let publish = Publish { retain: false, ..*publish };
            let incoming = Incoming::plain(&publish, &[]).offered_by(client.marks);
            return self.handle_publish(local, client, &incoming, (handled, replies));
        }
        match is_five {
            true => self.handle_publish_5(local, client, publish, bytes, (handled, replies)),
            false => {
                let incoming = Incoming::plain(publish, bytes).offered_by(client.marks);
                self.handle_publish(local, client, &incoming, (handled, replies))
            }
        }
    }

    /// A PUBLISH in MQTT 5, whose topic may be that of a Topic Alias.
    fn handle_publish_5(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        publish: &Publish<'_>,
        bytes: &[u8],
        (handled, replies): (&mut Handled, &mut Vec<u8>),
    ) -> Result<(), CloseReason> {
        if publish.packet_id.is_some() && client.marks.have_receive_maximum() {
            let state = self.own(client)?;
            // twice the Receive Maximum is accepted: messages beyond the first half wait for room. More is an error
            let most = 2 * state.session.receive_maximum();
            if state.session.unreleased().max(client.unacknowledged()) >= most {
                return Err(ProtocolError::ReceiveMaximum.into());
            }
        }
        if publish.properties.is_empty() {
            let incoming = Incoming::with_extras(publish, Extras::default(), bytes).offered_by(client.marks);
            return self.handle_publish(local, client, &incoming, (handled, replies));
        }
        let topic = match publish.properties.has(PropertyId::TopicAlias) {
            true => self.own(client)?.session.resolve_alias(publish, &mut self.turn(local))?,
            false => None,
        };
        let topic = topic.as_deref().map_or(publish.topic, TopicName::from_valid);
        let publish = Publish { topic, ..*publish };
        let mut known = local.properties.take().unwrap_or_default();
        let extras = known.extras(&publish.properties, local.observers.now);
        let incoming = Incoming::with_extras(&publish, extras, bytes).offered_by(client.marks);
        let handled = match self.has_passed_here(&publish.properties) {
            true => self.drop_loop(local, client, &incoming, replies),
            false => self.handle_publish(local, client, &incoming, (handled, replies)),
        };
        local.properties = Some(known);
        handled
    }

    /// Continues a PUBLISH. `true`: it is published, and answered if necessary.
    pub(crate) fn go_on_publishing(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        publishing: &mut Box<Publishing>,
        (packet_id, qos): (Option<PacketId>, QoS),
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        drop(self.own(client)?);
        let Client { id: name, presence, slot, last, .. } = &mut *client;
        let sender = Sender { client: name, user: presence.user() };
        let mut outcome = ReasonCode::Success;
        let result = self.together(|| {
            let stored = match self.publish_step(local, sender, last, publishing) {
                Step::Left => return Ok(None),
                Step::Done(stored) => stored,
                Step::Matched(matched) => {
                    // at QoS 2, the deliveries are in one group of records with the receipt
                    let once = qos == QoS::ExactlyOnce;
                    let mut leave = if once { Leave::nowhere() } else { Leave::anywhere() };
                    let stored = self.publish_matched(local, matched, &publishing.outgoing(sender), &mut leave)?;
                    outcome = leave.outcome();
                    if let Some(left) = leave.take() {
                        *publishing = left;
                        return Ok(None);
                    }
                    stored
                }
            };
            Ok(Some(packet_id.map_or(stored, |id| self.received(local, slot, id, qos, stored))))
        });
        let result = match result {
            Ok(None) => return Ok(false),
            Ok(Some(stored)) => Ok(stored),
            Err(reason) => Err(reason),
        };
        match (packet_id, result) {
            (Some(packet_id), result) => {
                if self.answer_publish(local, client, Answer { packet_id, qos, outcome }, result, replies)? {
                    self.place_is_free(local, client, replies)?;
                }
            }
            (None, Ok(Stored::By(commit))) => {
                client.awaited.get_or_insert_default().unacknowledged = Some(commit);
            }
            (None, result) => drop(result?),
        }
        Ok(true)
    }

    /// Must this QoS 2 PUBLISH be published now? `may`: may its client publish it, if that was asked?
    pub(super) fn receive(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        incoming: &Incoming<'_>,
        may: Option<bool>,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        client.flush_due = true;
        let action = {
            let mut state = self.own(client)?;
            state.session.handle_packet(Packet::Publish(*incoming.publish), &mut self.turn(local))?
        };
        match action {
            Action::Publish(_) => Ok(true),
            Action::Repeated(id) => {
                // its first PUBREC may still wait for the store, possibly on an earlier connection
                let stored = self.own(client)?.session.receipts_stored();
                let replies = (PacketType::Pubrec, replies);
                answer(&local.observers, &mut client.awaited, stored, replies, |out| codec::encode::pubrec(out, id));
                Ok(false)
            }
            Action::Defer(_) => {
                self.defer(local, client, incoming, may)?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn handle_other(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        packet: Packet<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        match packet {
            Packet::Subscribe(mut subscribe) => {
                client.flush_due = true;
                self.takes_answer(client, subscribe.filters.len())?;
                if client.marks.concern_subscriptions() {
                    subscribe.filters.iter_mut().for_each(|(filter, options)| client.marks.grant(filter, options));
                }
                self.subscribe(local, client, &subscribe, replies)?;
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.takes_answer(client, unsubscribe.filters.len())?;
                self.unsubscribe(local, client, &unsubscribe, replies)?;
            }
            Packet::Pingreq => {
                local.observers.observe(&Event::Ping { client: &client.id });
                match &mut client.awaited {
                    // simple clients take the first packet after a SUBSCRIBE for its answer
                    Some(awaited) if awaited.acks.has_suback() => {
                        let replies = (PacketType::Pingresp, replies);
                        answer(&local.observers, &mut client.awaited, Stored::Done, replies, codec::encode::pingresp);
                    }
                    // before other acknowledgements that wait for the store: the Keep Alive must not depend on the disk
                    _ => {
                        local.said(PacketType::Pingresp);
                        codec::encode::pingresp(replies);
                    }
                }
            }
            Packet::Disconnect(disconnect) => return Err(self.disconnected(client, &disconnect)?),
            Packet::Connect(_) => return Err(ProtocolError::SecondConnect.into()),
            Packet::Auth(auth) => match client.awaited.as_mut().and_then(|awaited| awaited.authenticating.as_mut()) {
                Some(authenticating) => authenticating.hear(&auth, local.observers.now)?,
                None => return Err(ProtocolError::NoAuthentication.into()),
            },
            _ => return Err(ProtocolError::ServerPacket.into()),
        }
        Ok(())
    }

    /// Does the client accept a SUBACK or UNSUBACK for this number of filters? Only MQTT 5 clients set a limit.
    fn takes_answer(&self, client: &Client, filters: usize) -> Result<(), CloseReason> {
        if client.version == ProtocolVersion::V5 {
            self.own(client)?.session.takes_answer(codec::encode::suback_len_5(filters))?;
        }
        Ok(())
    }

    /// The last of `replies` is a SUBACK: it goes in front of messages that match its SUBSCRIBE. Its retained messages
    /// follow, then answers to later packets.
    pub(crate) fn suback_sent(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        replies: &mut Vec<u8>,
        behind: Option<u64>,
    ) -> Result<(), CloseReason> {
        client.flush_due = true;
        let sent_before = client.awaited.as_mut().and_then(|awaited| awaited.behind_suback.take());
        let mut state = self.own(client)?;
        state.session.append(replies, &mut local.pool);
        if let Some(sent_before) = sent_before {
            state.session.join_out(sent_before, &mut local.pool);
        }
        if let Some(behind) = behind {
            state.session.suback_sent(behind, &mut self.turn(local));
        }
        Ok(())
    }

    /// Handles a DISCONNECT. Returns the reason for the end of the connection. Sets the session's expiry if DISCONNECT
    /// has one (MQTT 5 section 3.14.2.2.2).
    fn disconnected(&self, client: &Client, disconnect: &Disconnect<'_>) -> Result<CloseReason, CloseReason> {
        if let Some(interval) = disconnect.properties.number(PropertyId::SessionExpiryInterval) {
            let mut state = self.own(client)?;
            if interval > 0 && !state.session.expiry().outlives_connection() {
                return Err(ProtocolError::ExpiryRaised.into());
            }
            self.set_expiry(&mut state.session, Expiry::of_seconds(Some(interval)));
        }
        Ok(match disconnect.reason {
            ReasonCode::Success => CloseReason::ClientDisconnect,
            code => CloseReason::ClientGaveUp(code),
        })
    }

    /// Records that a message was published; at QoS 2, the receipt is stored with its deliveries.
    #[inline]
    pub(super) fn received(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        id: PacketId,
        qos: QoS,
        stored: Stored,
    ) -> Stored {
        if qos != QoS::ExactlyOnce {
            return stored;
        }
        slot.lock().session.received(id, stored, &mut self.turn(local))
    }

    /// Sends PUBACK or PUBREC when the deliveries are durable, or because the message was refused. `true`: a QoS 2
    /// message was refused, and its place is free.
    #[inline]
    pub(super) fn answer_publish(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        Answer { packet_id, qos, outcome }: Answer,
        result: Result<Stored, CloseReason>,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        let (stored, outcome) = match result {
            Ok(stored) => (stored, outcome),
            // MQTT 5 has a Reason Code for it
            Err(reason) if client.version == ProtocolVersion::V5 && reason.is_for_acknowledgement() => {
                (Stored::Done, reason.code())
            }
            Err(reason) => {
                if qos == QoS::ExactlyOnce {
                    client.slot.lock().session.refuse(packet_id);
                }
                return Err(reason);
            }
        };
        let is_once = qos == QoS::ExactlyOnce;
        let is_refused = outcome.is_error() && is_once;
        if is_refused {
            // the exchange ends with this PUBREC (MQTT 5 section 4.3.3)
            client.slot.lock().session.refuse(packet_id);
        }
        let packet = if is_once { PacketType::Pubrec } else { PacketType::Puback };
        if outcome == ReasonCode::Success || client.version != ProtocolVersion::V5 {
            let write = if is_once { codec::encode::pubrec } else { codec::encode::puback };
            answer(&local.observers, &mut client.awaited, stored, (packet, replies), |out| write(out, packet_id));
        } else {
            answer(&local.observers, &mut client.awaited, stored, (packet, replies), |out| {
                write_ack(out, ProtocolVersion::V5, packet, packet_id, outcome);
            });
        }
        Ok(is_refused)
    }
}

/// The answer to a PUBLISH.
pub(super) struct Answer {
    pub(super) packet_id: PacketId,
    pub(super) qos: QoS,
    /// The Reason Code, unless publishing failed.
    pub(super) outcome: ReasonCode,
}

/// Writes an acknowledgement; the Reason Code only in MQTT 5.
#[inline]
fn write_ack(out: &mut Vec<u8>, version: ProtocolVersion, packet: PacketType, packet_id: PacketId, reason: ReasonCode) {
    codec::encode::ack_of(out, version, packet, &Ack { reason, ..Ack::from(packet_id) });
}

/// Most acknowledgements that are handled with the session locked once, because other threads wait for it.
const MOST_ACKS: u64 = 64;
