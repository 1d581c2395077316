//! Messages to the client: sent at once if the window and the socket allow it, otherwise queued.

use std::{ops::Range, time::Instant};

use super::{
    Attached, BufPool, CommitSeq, Gone, How, Journal, LARGE_PAYLOAD, Message, OutBuf, Outgoing, Session, SessionChange,
    SessionLimits, SessionNumber, Stored, Turn, Way,
    identifiers::SubIds,
    inflight::{InFlight, SendState, is_kept},
    outbound::{Outbound, QueueLimits},
    packet_ids,
    queue::Queued,
};
use crate::{
    codec::{self, PacketType, PublishFlags, PublishProperties},
    topic::TopicName,
    types::{ClientId, PacketId, QoS},
};

/// Result of a delivery to a session.
#[derive(Debug)]
#[must_use]
pub enum Delivery {
    /// It is in the output, or will be when it is durable.
    Sent,
    /// The same, to a client of MQTT 5.
    SentFive,
    /// It is queued, or was dropped: the [`Journal`] was told which.
    Queued,
    /// It is queued for a client within this process, which can take it now.
    Inside,
    /// A QoS 0 message was dropped, because the client reads too slowly.
    OutboundFull,
    /// A QoS 0 message was dropped, because the client is away.
    NotConnected,
    /// It is larger than the client accepts: dropped, as if it had been sent [MQTT-3.1.2-25].
    TooLarge,
}

impl Session {
    /// Delivers a message to this session.
    #[inline(always)]
    pub fn deliver(&mut self, outgoing: &Outgoing<'_>, how: How<'_>, turn: &mut Turn<'_, impl Journal>) -> Delivery {
        if how.qos == QoS::AtMostOnce {
            let overtakes = self.outbound.as_ref().is_some_and(|o| o.holds_back_qos0());
            match &mut self.attached {
                None if (!turn.limits.queue_qos0 || !self.expiry.outlives_connection())
                    && !self.outbound.as_ref().is_some_and(|outbound| outbound.takes_qos0_inside(how.retain)) =>
                {
                    return Delivery::NotConnected;
                }
                Some(attached) if !overtakes => {
                    let waiting = attached.pending();
                    if waiting > 0 && waiting + outgoing.size() > turn.limits.max_outbound_bytes {
                        self.dropped.add_outbound_full();
                        return Delivery::OutboundFull;
                    }
                    return attached.write_outgoing(outgoing, how, None, turn);
                }
                _ => return self.enqueue(outgoing, how, turn),
            }
        }
        self.deliver_acknowledged(outgoing, how, turn)
    }

    /// Delivers a message at QoS 1 or 2.
    fn deliver_acknowledged(
        &mut self,
        outgoing: &Outgoing<'_>,
        how: How<'_>,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Delivery {
        let Some(attached) = &mut self.attached else { return self.enqueue(outgoing, how, turn) };
        let waiting = attached.pending();
        let fits = waiting == 0 || waiting + outgoing.size() <= turn.limits.max_outbound_bytes;
        let keep = is_kept(self.expiry, how.share, how.qos, &turn.journal);
        let outbound = self.outbound.get_or_insert_default();
        if !(fits && outbound.is_clear() && outbound.has_place(attached.window(turn.limits))) {
            return self.enqueue(outgoing, how, turn);
        }
        if attached.is_too_small_for(outgoing, how, turn.now) {
            self.dropped.add(Gone::TooLarge);
            return Delivery::TooLarge;
        }
        let How { qos, retain, identifiers, share } = how;
        let number = outbound.next_number();
        let kept = keep.then(|| outgoing.message().clone());
        let held = kept.as_ref().map_or(0, |message| outbound.count_in(message));
        let ids = if keep { outbound.identify(identifiers) } else { SubIds::NONE };
        let seq = outbound.begin(number, qos, retain, share, ids, kept);
        outbound.tell_one_sent(held, |before, now| turn.journal.holds(before, now));
        if ids.are_several() {
            outbound.tell(|before, now| turn.journal.holds(before, now));
        }
        if let Some(session) = self.number {
            let (message, shared) = (outgoing.message(), share.is_some());
            let change = SessionChange::Queued { number, message, qos, retain, shared, identifiers, sent: Some(seq) };
            let stored = turn.journal.changed(session, change);
            if outbound.hold(seq, qos, stored) {
                return if attached.dialect.is_some() { Delivery::SentFive } else { Delivery::Sent };
            }
        }
        attached.write_outgoing(outgoing, how, Some(packet_ids::of(seq)), turn)
    }

    fn enqueue(
        &mut self,
        outgoing: &Outgoing<'_>,
        How { qos, retain, identifiers, share }: How<'_>,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Delivery {
        let Turn { now, limits, journal, .. } = turn;
        let queue = QueueLimits {
            messages: limits.max_queued_messages,
            bytes: limits.max_queued_bytes,
            full: limits.queue_full,
            all_are_full: journal.queues_are_full(),
            now: *now,
        };
        let message = outgoing.message();
        message.note_when_it_came(|| journal.moment());
        if message.is_expired(*now) {
            self.dropped.add(Gone::Expired);
            journal.dropped(&self.id, message, Gone::Expired);
            return Delivery::Queued;
        }
        let outbound = self.outbound.get_or_insert_default();
        let (queue, is_inside) = outbound.own_bound(queue);
        if retain && qos == QoS::AtMostOnce && outbound.is_away_relay() {
            outbound.note_due(self.number, (outgoing.topic.as_str(), true), None, journal);
            return Delivery::NotConnected;
        }
        // QoS 0 messages that wait only for a SUBACK are not limited by number: without it they would be in the output
        let queue = match qos == QoS::AtMostOnce && outbound.owes_suback() {
            true => QueueLimits { messages: usize::MAX, ..queue },
            false => queue,
        };
        let number = outbound.next_number();
        let ids = outbound.identify(identifiers);
        let queued = Queued { number, message: message.clone(), qos, retain, share, ids };
        let dropped = outbound.enqueue(queued, queue);
        outbound.tell(|before, now| journal.holds(before, now));
        let mut taken = true;
        for Queued { number: gone, message, retain, .. } in dropped {
            let why = if message.is_expired(*now) { Gone::Expired } else { Gone::QueueFull };
            self.dropped.add(why);
            journal.dropped(&self.id, &message, why);
            outbound.missed(gone, why);
            outbound.note_due(self.number, (message.topic().as_str(), retain), None, journal);
            if gone == number {
                taken = false;
            } else if let Some(session) = self.number {
                // not coalesced: that is not done while messages are delivered
                let _ = journal.changed(session, SessionChange::Completed { number: gone, count: 1 });
            }
        }
        if let Some(session) = self.number.filter(|_| taken && qos != QoS::AtMostOnce) {
            // the journal notes the commit to wait for
            let shared = share.is_some();
            let change = SessionChange::Queued { number, message, qos, retain, shared, identifiers, sent: None };
            let _ = journal.changed(session, change);
        }
        if !(is_inside && taken) {
            return Delivery::Queued;
        }
        if retain {
            outbound.note_queued(self.number, outgoing.topic.as_str(), (qos, number), journal);
        }
        outbound.note(number, outgoing, *now);
        Delivery::Inside
    }

    /// A retained message for a new subscription: sent with RETAIN [MQTT-3.3.1-8], as far as the window and the socket
    /// allow, before newer messages. `granted`: its QoS and its Subscription Identifier. `number`: a
    /// [reserved](Self::reserve_numbers) number, rising from message to message; `None`: no newer message has arrived.
    /// At most `max` are queued; `false`: the message is dropped.
    pub fn deliver_retained(
        &mut self,
        message: &Message,
        granted: How<'_>,
        number: Option<u64>,
        max: usize,
        turn: &mut Turn<'_, impl Journal>,
    ) -> bool {
        let how = How { qos: message.qos().min(granted.qos), retain: true, ..granted };
        let outbound = self.outbound.get_or_insert_default();
        let Some(number) = outbound.enqueue_retained(message.clone(), how, number, max) else {
            self.dropped.add(Gone::QueueFull);
            return false;
        };
        outbound.ask_again_from(number);
        outbound.tell_one_brought(|before, now| turn.journal.holds(before, now));
        let How { qos, retain, identifiers, .. } = how;
        if let Some(session) = self.number.filter(|_| qos != QoS::AtMostOnce) {
            // the record of the subscription follows, and the SUBACK waits for that
            let change = SessionChange::Queued { number, message, qos, retain, shared: false, identifiers, sent: None };
            let _ = turn.journal.changed(session, change);
        }
        true
    }

    /// Reserves numbers for retained messages that are looked up in steps: messages that arrive meanwhile have higher
    /// numbers and are sent after them. Their SUBACK must not be sent before all are looked up.
    pub fn reserve_numbers(&mut self, count: usize) -> Range<u64> {
        self.outbound.get_or_insert_default().reserve_numbers(count as u64)
    }

    /// Skips the queued and unacknowledged messages that the client `may` not read any more: they stay until it may, or
    /// until the session ends. (Messages sent on this connection are not skipped, because their acknowledgements must
    /// be understood.) Messages that it may read again return to their places.
    ///
    /// Returns the number of newly skipped messages. Call it when the client's rights change, then
    /// [`tell_backlog`](Self::tell_backlog), and [`fill`](Self::fill) if it is connected.
    pub fn skip_unreadable(&mut self, may: impl Fn(&TopicName) -> bool) -> usize {
        let connected = self.attached.is_some();
        self.outbound.as_mut().map_or(0, |outbound| outbound.sort_out(connected, |message| may(message.topic())))
    }

    /// May a queued message expire?
    #[inline]
    pub fn expires(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.expires())
    }

    /// Drops queued messages that have expired. Call it now and then while a message may [expire](Self::expires).
    pub fn drop_expired(&mut self, now: Instant, journal: &mut impl Journal) {
        let Some(outbound) = &mut self.outbound else { return };
        let gone = outbound.take_expired(now);
        if gone.is_empty() {
            return;
        }
        outbound.tell(|before, now| journal.holds(before, now));
        for Queued { number, message, retain, .. } in gone {
            self.dropped.add(Gone::Expired);
            journal.dropped(&self.id, &message, Gone::Expired);
            outbound.missed(number, Gone::Expired);
            outbound.note_due(self.number, (message.topic().as_str(), retain), None, journal);
            if let Some(session) = self.number {
                journal.coalesce(session, SessionChange::Completed { number, count: 1 });
            }
        }
    }

    /// May [`fill`](Self::fill) have something to do?
    #[inline]
    pub fn has_waiting(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.has_waiting())
    }

    /// The number of the latest message, for [`wait_for_suback`](Self::wait_for_suback).
    pub fn last_number(&self) -> u64 {
        self.outbound.as_ref().map_or(0, |outbound| outbound.last_number())
    }

    /// A SUBSCRIBE arrived after the message with the number `before`. Messages that arrive from now on wait until
    /// [`suback_sent`](Self::suback_sent): simple clients do not expect them before the SUBACK, although section 3.8.4
    /// allows it.
    pub fn wait_for_suback(&mut self, before: u64) {
        self.outbound.get_or_insert_default().wait_for_suback(before);
    }

    /// The SUBACK for the SUBSCRIBE after message `before` is in [`out`](Self::out). The retained messages that waited
    /// for it follow at once, before answers to later packets, as far as the window and a limit of bytes allow.
    pub fn suback_sent(&mut self, before: u64, turn: &mut Turn<'_, impl Journal>) {
        if let Some(outbound) = &mut self.outbound {
            outbound.suback_sent(before);
            self.fill_up_to(FILL_BEHIND_SUBACK, turn);
            self.tell_backlog(&mut turn.journal);
        }
    }

    /// Encodes messages while few bytes wait for the socket: first those to be sent again, then those that waited for
    /// the store, then the queue while the window has places.
    #[inline(never)]
    pub fn fill(&mut self, turn: &mut Turn<'_, impl Journal>) {
        self.fill_up_to(FILL_BELOW, turn);
    }

    #[inline(always)]
    fn fill_up_to(&mut self, below: usize, turn: &mut Turn<'_, impl Journal>) {
        let (Some(outbound), Some(attached)) = (&mut self.outbound, &mut self.attached) else { return };
        if !outbound.has_waiting() {
            return;
        }
        let room = below.min(turn.limits.max_outbound_bytes).saturating_sub(attached.writing);
        if outbound.is_resending() {
            resend(outbound, &self.id, self.number, attached, room, turn);
        }
        if outbound.has_held() {
            send_held(outbound, &self.id, self.number, attached, room, turn);
        }
        if outbound.is_resending() {
            return;
        }
        let Turn { now, limits, pool, journal } = turn;
        while attached.collected() < room {
            let Some(next) = outbound.next(attached.window(limits)) else {
                break;
            };
            let Queued { number, message, qos, retain, share, ids } = next;
            let identifiers = outbound.identifiers(ids);
            let gone = match () {
                () if message.is_expired(*now) => Some(Gone::Expired),
                () if !attached.takes(&message, qos, &identifiers, *now) => Some(Gone::TooLarge),
                () => None,
            };
            if let Some(gone) = gone {
                self.dropped.add(gone);
                journal.dropped(&self.id, &message, gone);
                if let Some(session) = self.number.filter(|_| qos != QoS::AtMostOnce) {
                    journal.coalesce(session, SessionChange::Completed { number, count: 1 });
                }
                continue;
            }
            let by = if attached.dialect.is_some() { Way::Five } else { Way::Plain };
            let mut id = None;
            if qos != QoS::AtMostOnce {
                let keep = is_kept(self.expiry, share, qos, journal);
                let keep = keep.then(|| message.clone());
                if let Some(message) = &keep {
                    outbound.count_in(message);
                }
                let seq = outbound.begin(number, qos, retain, share, ids, keep);
                id = Some(packet_ids::of(seq));
                if let Some(session) = self.number {
                    let change = SessionChange::Sent { number, sent: seq, count: 1 };
                    let stored = match qos {
                        QoS::ExactlyOnce => journal.changed(session, change),
                        _ => {
                            journal.coalesce(session, change);
                            Stored::Done
                        }
                    };
                    if outbound.hold(seq, qos, stored) {
                        journal.sent(&self.id, &message, qos, by);
                        continue;
                    }
                }
            }
            // the buffer is made only now: `flush` would take an empty one again and again
            let flags = PublishFlags { dup: false, qos, retain };
            attached.write_message(pool, (&message, &identifiers), flags, id, *now);
            journal.sent(&self.id, &message, qos, by);
            if let Some(began) = outbound.take_mark(number, *now) {
                attached.out(pool).mark(began);
            }
        }
    }

    /// The commit that the next message waits for. `None`: it does not wait for the store.
    pub fn waits_for(&self, limits: &SessionLimits) -> Option<CommitSeq> {
        let (outbound, attached) = (self.outbound.as_ref()?, self.attached.as_ref()?);
        outbound.waits_for(attached.window(limits))
    }
}

/// Sends in-flight messages again, until the output has this many bytes. A function of its own, because only returning
/// clients need it.
#[inline(never)]
fn resend(
    outbound: &mut Outbound,
    client: &ClientId,
    session: Option<SessionNumber>,
    attached: &mut Attached,
    room: usize,
    turn: &mut Turn<'_, impl Journal>,
) {
    while attached.collected() < room
        && outbound.resent() < attached.window(turn.limits).max(1)
        && let Some((sent, identifiers)) = outbound.next_resend()
    {
        if let (SendState::Released { .. }, Some(session)) = (&sent.state, session) {
            // the release may not be durable yet, even if an earlier connection was owed the first PUBREL
            let (seq, released) = (sent.seq, SessionChange::Released { number: sent.number });
            if let Stored::By(commit) = turn.journal.changed(session, released) {
                outbound.hold_released(seq, commit);
                continue;
            }
        }
        if let SendState::Published { qos, message: Some(message), .. } = &sent.state
            && !attached.takes(message, *qos, &identifiers, turn.now)
        {
            // an earlier connection accepted larger packets [MQTT-3.1.2-24]
            let (seq, number, message) = (sent.seq, sent.number, message.clone());
            outbound.discard(seq);
            give_up(client, session, number, &message, Gone::TooLarge, &mut turn.journal);
            continue;
        }
        let packet = if sent.state.is_released() { PacketType::Pubrel } else { PacketType::Publish };
        attached.write_inflight(turn.pool, sent, &identifiers, true, turn.now);
        turn.journal.sent_again(packet);
    }
}

/// Sends in-flight messages that waited for the store and are durable now, until the output has this many bytes. A
/// message that has expired, or that is too large for the present connection, is not sent.
#[inline(never)]
fn send_held(
    outbound: &mut Outbound,
    client: &ClientId,
    session: Option<SessionNumber>,
    attached: &mut Attached,
    room: usize,
    turn: &mut Turn<'_, impl Journal>,
) {
    while attached.collected() < room
        && let Some((next, identifiers, again)) = outbound.next_held(turn.journal.done(), attached.window(turn.limits))
    {
        if let SendState::Published { qos, message: Some(message), .. } = &next.state {
            let gone = match () {
                () if !again && message.is_expired(turn.now) => Some(Gone::Expired),
                () if !attached.takes(message, *qos, &identifiers, turn.now) => Some(Gone::TooLarge),
                () => None,
            };
            if let Some(gone) = gone {
                let (seq, number, message) = (next.seq, next.number, message.clone());
                outbound.discard(seq);
                give_up(client, session, number, &message, gone, &mut turn.journal);
                continue;
            }
        }
        attached.write_inflight(turn.pool, next, &identifiers, again, turn.now);
        let (number, is_released) = (next.number, next.state.is_released());
        match (again, is_released) {
            (_, true) => turn.journal.sent_again(PacketType::Pubrel),
            (true, false) => turn.journal.sent_again(PacketType::Publish),
            (false, false) => {}
        }
        if let Some(began) = outbound.take_mark(number, turn.now) {
            attached.out(turn.pool).mark(began);
        }
    }
}

/// Ends a message that was in flight and is not sent (again).
fn give_up(
    client: &ClientId,
    session: Option<SessionNumber>,
    number: u64,
    message: &Message,
    why: Gone,
    journal: &mut impl Journal,
) {
    journal.dropped(client, message, why);
    if let Some(session) = session {
        journal.coalesce(session, SessionChange::Completed { number, count: 1 });
    }
}

impl Attached {
    /// Number of QoS 1 and 2 messages that may be in flight to the client.
    #[inline]
    pub(super) fn window(&self, limits: &SessionLimits) -> usize {
        self.dialect.as_ref().map_or(limits.max_inflight_out, |dialect| dialect.window(limits.max_inflight_out))
    }

    /// Is the message larger than the client accepts?
    #[inline]
    pub(super) fn is_too_small_for(&self, outgoing: &Outgoing<'_>, how: How<'_>, now: Instant) -> bool {
        self.dialect.as_ref().filter(|dialect| !dialect.takes_all()).is_some_and(|dialect| {
            let properties = outgoing.publish_properties(how.identifiers, now);
            !dialect.takes(outgoing.topic.as_str().as_bytes(), how.qos, &properties, outgoing.payload.len())
        })
    }

    /// Does the client accept a packet with this stored message?
    #[inline]
    fn takes(&self, message: &Message, qos: QoS, identifiers: &[u8], now: Instant) -> bool {
        self.dialect.as_ref().filter(|dialect| !dialect.takes_all()).is_none_or(|dialect| {
            let properties = message.publish_properties(identifiers, now);
            dialect.takes(message.topic_bytes(), qos, &properties, message.payload().len())
        })
    }

    /// Appends a PUBLISH with a message that is being published.
    #[inline(always)]
    fn write_outgoing<J>(
        &mut self,
        outgoing: &Outgoing<'_>,
        how: How<'_>,
        id: Option<PacketId>,
        turn: &mut Turn<'_, J>,
    ) -> Delivery {
        if self.dialect.is_some() {
            return self.write_outgoing_5(outgoing, how, id, turn);
        }
        let out = self.out(turn.pool);
        out.note_message();
        let How { qos, retain, .. } = how;
        if outgoing.payload.len() < LARGE_PAYLOAD {
            outgoing.write_small(out.bytes_mut(), qos, retain, id);
        } else {
            write_message(out, outgoing.message(), PublishFlags { dup: false, qos, retain }, id);
        }
        Delivery::Sent
    }

    /// The same, to a client of MQTT 5.
    #[inline(never)]
    fn write_outgoing_5<J>(
        &mut self,
        outgoing: &Outgoing<'_>,
        how: How<'_>,
        id: Option<PacketId>,
        turn: &mut Turn<'_, J>,
    ) -> Delivery {
        // a message with a Packet Identifier was checked before it counted as in flight
        if id.is_none() && self.is_too_small_for(outgoing, how, turn.now) {
            return Delivery::TooLarge;
        }
        let (topic, payload) = (outgoing.topic.as_str().as_bytes(), outgoing.payload.len());
        let flags = PublishFlags { dup: false, qos: how.qos, retain: how.retain };
        let has_alias = self.dialect.as_ref().is_some_and(|dialect| dialect.has_alias(topic));
        if !has_alias && how.identifiers.is_empty() && payload < LARGE_PAYLOAD {
            let out = self.out(turn.pool);
            out.note_message();
            outgoing.write_plain_5(out.bytes_mut(), flags, id, turn.now);
            return Delivery::SentFive;
        }
        let mut properties = outgoing.publish_properties(how.identifiers, turn.now);
        if let Some(dialect) = &mut self.dialect {
            properties.alias = dialect.alias(topic, how.qos, &properties, payload);
        }
        let out = self.out(turn.pool);
        out.note_message();
        if payload < LARGE_PAYLOAD {
            outgoing.write_small_5(out.bytes_mut(), flags, id, &properties);
        } else {
            write_message_5(out, outgoing.message(), flags, id, &properties);
        }
        Delivery::SentFive
    }

    /// Appends the PUBLISH or PUBREL of a message in flight.
    fn write_inflight(&mut self, pool: &mut BufPool, sent: &InFlight, identifiers: &[u8], dup: bool, now: Instant) {
        match &sent.state {
            SendState::Published { qos, retain, message: Some(message), .. } => {
                let flags = PublishFlags { dup, qos: *qos, retain: *retain };
                self.write_message(pool, (message, identifiers), flags, Some(sent.packet_id()), now);
            }
            SendState::Published { message: None, .. } => {
                debug_assert!(false, "a session that outlives its connections keeps its messages");
            }
            SendState::Released { .. } => codec::encode::pubrel(self.out(pool).bytes_mut(), sent.packet_id()),
        }
    }

    /// Appends a PUBLISH with a stored message and these Subscription Identifiers.
    fn write_message(
        &mut self,
        pool: &mut BufPool,
        (message, identifiers): (&Message, &[u8]),
        flags: PublishFlags,
        id: Option<PacketId>,
        now: Instant,
    ) {
        self.out(pool).note_message();
        let Some(dialect) = &mut self.dialect else { return write_message(self.out(pool), message, flags, id) };
        let mut properties = message.publish_properties(identifiers, now);
        properties.alias = dialect.alias(message.topic_bytes(), flags.qos, &properties, message.payload().len());
        write_message_5(self.out(pool), message, flags, id, &properties);
    }
}

fn write_message(out: &mut OutBuf, message: &Message, flags: PublishFlags, id: Option<PacketId>) {
    codec::encode::publish_header_of(out.bytes_mut(), flags, message.topic_bytes(), id, message.payload().len());
    write_payload(out, message);
}

fn write_message_5(
    out: &mut OutBuf,
    message: &Message,
    flags: PublishFlags,
    id: Option<PacketId>,
    properties: &PublishProperties<'_>,
) {
    let (topic, payload) = (message.topic_bytes(), message.payload().len());
    let topic = if properties.names_topic() { topic } else { &[] };
    codec::encode::publish_header_5(out.bytes_mut(), flags, topic, id, properties, payload);
    write_payload(out, message);
}

fn write_payload(out: &mut OutBuf, message: &Message) {
    let payload = message.payload();
    if payload.len() < LARGE_PAYLOAD {
        out.bytes_mut().extend_from_slice(payload);
    } else {
        out.push_payload(message.clone());
    }
}

/// Queued messages are encoded while fewer bytes than this wait for the socket.
const FILL_BELOW: usize = 64 << 10;

/// The same right after a SUBACK. Messages beyond it are sent after answers to packets behind the SUBSCRIBE.
const FILL_BEHIND_SUBACK: usize = 256 << 10;
