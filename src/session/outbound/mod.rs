//! [`Outbound`]: QoS 1 and 2 messages to one client: those in flight, in the order of sending, and the queue of those
//! that wait for a place in the window (MQTT 3.1.1 sections 4.3, 4.4, 4.6).

mod clear;
mod cost;
mod due;
mod inside;
mod look;
mod mark;
mod shared;
mod sort_out;
mod waiting;

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use due::Due;
use inside::Inside;

use super::{
    acks::{CommitSeq, Stored},
    close::ProtocolError,
    how::How,
    identifiers::{IdSets, Identifiers, SubIds},
    inflight::{InFlight, SendState},
    journal::Backlog,
    message::Message,
    packet_ids,
    queue::{Queue, Queued},
    share::Share,
    timed::Timed,
    unreadable::Unreadable,
};
use crate::types::{PacketId, QoS, QueueFull};

/// QoS 1 and 2 messages to one client.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Sorted by `seq`, the order of sending.
    inflight: VecDeque<InFlight>,
    /// The `seq` of the last message that was sent. Its Packet Identifier follows from it.
    last_seq: u64,
    /// The client returned: messages in `inflight` from this `seq` on must be sent again, before any others.
    resend: Option<u64>,
    /// Messages in `inflight` whose PUBLISH or PUBREL must wait for this commit. They have QoS 2: the client must never
    /// get the same message under another Packet Identifier. By rising `seq`.
    held: VecDeque<(u64, CommitSeq)>,
    /// The number of the last message that arrived.
    last_number: u64,
    /// Number of valid PUBACK, PUBREC and PUBCOMP packets on this connection.
    acknowledged: u16,
    /// The session is that of a bridge, which relays messages to another broker.
    relays: bool,
    queue: Queue,
    queued_bytes: usize,
    /// Retained messages of new subscriptions, by rising number. They have their own limit, and are sent before
    /// messages in `queue` with higher numbers that arrived earlier: see [`reserve_numbers`](Self::reserve_numbers).
    brought: VecDeque<Queued>,
    /// The sets of Subscription Identifiers, if a message has several.
    id_sets: Option<Box<IdSets>>,
    /// When to look for expired messages in `queue` and `brought`: not before the first one expires. `None`: none of
    /// them expires.
    look_at: Option<Instant>,
    /// Number of QoS 0 messages in `queue` and `brought`.
    qos0: usize,
    /// For each SUBACK that is due: messages with numbers above this wait for it. Ascending.
    subacks: Vec<u64>,
    /// The client's right to receive a message is asked about first, and messages up to this number are allowed.
    allowed: Option<Box<u64>>,
    /// Messages that the client may not read now; mostly none.
    unreadable: Option<Box<Unreadable>>,
    /// Bytes of messages in `queue`, `inflight` and `unreadable`: see [`Backlog::cost`]. Retained messages of new
    /// subscriptions count elsewhere.
    memory: usize,
    /// The backlog that was reported to the gauges.
    told: Backlog,
    inside: Option<Box<Inside>>,
    /// Topics whose retained messages are due to another broker.
    due: Option<Box<Due>>,
    /// The number of a message, and when it began its way: see [`mark`](Self::mark).
    marked: Option<Box<(u64, Instant)>>,
    timed: Option<Box<Timed>>,
}

/// Messages that a full queue dropped.
pub(super) type Overflow = SmallVec<[Queued; 1]>;

/// The limits of a queue, and what is dropped when it is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) full: QueueFull,
    /// All queues together hold as much as they may.
    pub(super) all_are_full: bool,
    /// Messages that have expired by this time are dropped first.
    pub(super) now: Instant,
}

impl Outbound {
    pub(super) fn is_idle(&self) -> bool {
        self.inflight.is_empty() && self.queue.is_empty() && self.brought.is_empty() && self.skipped() == 0
    }

    /// The compact form of these Subscription Identifiers, which are properties on the wire.
    #[inline]
    pub(super) fn identify(&mut self, identifiers: &[u8]) -> SubIds {
        if self.id_sets.as_ref().is_some_and(|sets| sets.are_crowded()) {
            self.keep_used_ids();
        }
        IdSets::find(&mut self.id_sets, identifiers)
    }

    /// The properties on the wire.
    #[inline]
    pub(super) fn identifiers(&self, ids: SubIds) -> Identifiers {
        IdSets::wire(&self.id_sets, ids)
    }

    fn keep_used_ids(&mut self) {
        let Self { id_sets: Some(sets), queue, brought, inflight, unreadable, .. } = self else { return };
        sets.keep_used(|name| {
            queue.for_each(|m| name(m.ids));
            brought.iter().for_each(|m| name(m.ids));
            inflight.iter().for_each(|sent| name(sent.ids()));
            unreadable.iter().flat_map(|skipped| skipped.ids()).for_each(name);
        });
    }

    /// The number for a message that arrives now.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Takes a place in the window for the message with this number. Returns its `seq`, from which its
    /// [`packet_id`](packet_ids::of) follows. `message`: kept to be sent again, [counted](Self::count_in) by the
    /// caller.
    pub(super) fn begin(
        &mut self,
        number: u64,
        qos: QoS,
        retain: bool,
        share: Share,
        ids: SubIds,
        message: Option<Message>,
    ) -> u64 {
        let mut seq = self.last_seq + 1;
        // identifiers repeat after 65,535 messages: skip those that are still in flight [MQTT-2.3.1-4]
        while self.inflight.front().is_some_and(|oldest| seq - oldest.seq >= packet_ids::COUNT)
            && self.find(packet_ids::of(seq), seq).is_some()
            || self.unreadable.as_ref().is_some_and(|skipped| skipped.has_packet_id(packet_ids::of(seq)))
        {
            seq += 1;
        }
        self.last_seq = seq;
        let state = SendState::Published { qos, retain, share, ids, message };
        self.inflight.push_back(InFlight { seq, number, state });
        seq
    }

    /// Must the message that was [begun](Self::begin) last wait? A QoS 2 message is not sent before its record,
    /// `stored`, is durable: after a crash the client would get it again under another Packet Identifier. Messages
    /// behind it wait with it, at QoS 1 too, to keep the order.
    pub(super) fn hold(&mut self, seq: u64, qos: QoS, stored: Stored) -> bool {
        let commit = match (stored, self.held.back()) {
            (Stored::By(commit), None) if qos == QoS::ExactlyOnce => commit,
            (_, None) => return false,
            (Stored::By(commit), Some(&(_, last))) if qos == QoS::ExactlyOnce => commit.max(last),
            (_, Some(&(_, last))) => last,
        };
        self.held.push_back((seq, commit));
        true
    }

    /// Lets a PUBREL that is sent again wait for this commit. All are sent in the order of their messages.
    pub(super) fn hold_released(&mut self, seq: u64, commit: CommitSeq) {
        let at = self.held.partition_point(|&(held, _)| held < seq);
        self.held.insert(at, (seq, commit));
    }

    /// The client returned: everything in flight must be sent again.
    pub(super) fn begin_resend(&mut self) {
        self.resend = self.inflight.front().map(|oldest| oldest.seq);
    }

    /// May messages have to be sent again?
    #[inline]
    pub(super) fn is_resending(&self) -> bool {
        self.resend.is_some()
    }

    /// The next message to send again; it then counts as sent. Held messages were not sent before, and are skipped.
    pub(super) fn next_resend(&mut self) -> Option<(&InFlight, Identifiers)> {
        loop {
            // some may have been acknowledged meanwhile
            let from = self.resend?;
            let at = self.inflight.partition_point(|m| m.seq < from);
            self.resend = self.inflight.get(at + 1).map(|next| next.seq);
            let seq = self.inflight.get(at)?.seq;
            if !self.is_held(seq) {
                return self.inflight.get(at).map(|sent| (sent, self.identifiers(sent.ids())));
            }
        }
    }

    /// Number of messages that were sent again and are not acknowledged.
    pub(super) fn resent(&self) -> usize {
        self.resend.map_or(0, |from| self.inflight.partition_point(|m| m.seq < from))
    }

    /// Does a message wait for the store?
    #[inline]
    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The commit that the first held message waits for. `None`: it waits for a place in the window.
    pub(super) fn waits_for(&self, window: usize) -> Option<CommitSeq> {
        self.held.front().filter(|&&(seq, _)| self.may_follow(seq, window)).map(|&(_, commit)| commit)
    }

    /// Does this held message have a place in the window? Messages before it are sent first, and a returning client may
    /// have a smaller window than before. A PUBREL needs no place.
    fn may_follow(&self, seq: u64, window: usize) -> bool {
        if self.resend.is_some_and(|from| from <= seq) {
            return false;
        }
        let at = self.inflight.partition_point(|m| m.seq < seq);
        let is_published = |m: &InFlight| m.seq == seq && matches!(m.state, SendState::Published { .. });
        at < window.max(1) || !self.inflight.get(at).is_some_and(is_published)
    }

    /// Is the message with this `seq` held?
    fn is_held(&self, seq: u64) -> bool {
        self.held.binary_search_by_key(&seq, |&(held, _)| held).is_ok()
    }

    /// The next held message that may be sent, because commits up to `done` are durable and the window has a place,
    /// with its Subscription Identifiers. `true`: it was sent before.
    pub(super) fn next_held(&mut self, done: CommitSeq, window: usize) -> Option<(&InFlight, Identifiers, bool)> {
        loop {
            let &(seq, _) = self.held.front().filter(|&&(_, commit)| commit <= done)?;
            if !self.may_follow(seq, window) {
                return None;
            }
            self.held.pop_front();
            // a client may have acknowledged it without having received it
            if let Ok(at) = self.inflight.binary_search_by_key(&seq, |m| m.seq) {
                let again = self.unreadable.as_mut().is_some_and(|unreadable| unreadable.take_returned(seq));
                return self.inflight.get(at).map(|sent| (sent, self.identifiers(sent.ids()), again));
            }
        }
    }

    /// The index in `inflight` of the message with this identifier and a `seq` below `before`.
    #[inline(always)]
    fn find(&self, id: PacketId, before: u64) -> Option<usize> {
        let oldest = self.inflight.front()?.seq;
        if packet_ids::of(oldest) == id {
            return Some(0);
        }
        packet_ids::numbers_of(id, before)
            .take_while(|&seq| seq >= oldest)
            .find_map(|seq| self.inflight.binary_search_by_key(&seq, |m| m.seq).ok())
    }

    /// PUBACK [MQTT-4.3.2-1]. Returns the number of the completed message. `None`: no such message, which is normal
    /// after a lost session.
    #[inline(never)]
    pub(super) fn handle_puback(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        match self.inflight[at].state {
            SendState::Published { qos: QoS::AtLeastOnce, .. } => Ok(self.complete(at)),
            _ => Err(ProtocolError::WrongAcknowledgement(id.get())),
        }
    }

    /// PUBREC [MQTT-4.3.3-1]: forgets the message, but keeps its identifier and its number, which is returned. A PUBREL
    /// is due in any case. `follows`: the message is kept until PUBCOMP.
    pub(super) fn handle_pubrec(&mut self, id: PacketId, follows: bool) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        let InFlight { number, ref state, .. } = self.inflight[at];
        match state {
            SendState::Published { qos: QoS::AtLeastOnce, .. } => Err(ProtocolError::WrongAcknowledgement(id.get())),
            SendState::Published { .. } => {
                self.release_at(at, follows);
                self.acknowledged = self.acknowledged.saturating_add(1);
                Ok(Some(number))
            }
            SendState::Released { .. } => Ok(Some(number)),
        }
    }

    /// PUBREC arrived for the message at this place in `inflight`.
    fn release_at(&mut self, at: usize, follows: bool) {
        let state = &mut self.inflight[at].state;
        let message = state.message().filter(|_| follows).cloned();
        let is_kept = message.is_some();
        let published = std::mem::replace(state, SendState::Released { message });
        if !is_kept {
            self.count_out_sent(&published);
        }
    }

    /// The message in flight with this identifier, and the QoS of its delivery.
    pub(super) fn sent(&self, id: PacketId) -> Option<(Message, QoS)> {
        self.kept_at(self.find(id, self.last_seq + 1)?)
    }

    /// The message at this place in `inflight`, if it is kept, and the QoS of its delivery.
    fn kept_at(&self, at: usize) -> Option<(Message, QoS)> {
        let sent = self.inflight.get(at)?;
        Some((sent.state.message()?.clone(), sent.qos().unwrap_or(QoS::ExactlyOnce)))
    }

    /// A PUBREC with an error completes the message, like a PUBACK.
    pub(super) fn handle_refused(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        match self.inflight[at].state {
            SendState::Published { qos: QoS::AtLeastOnce, .. } => Err(ProtocolError::WrongAcknowledgement(id.get())),
            _ => Ok(self.complete(at)),
        }
    }

    /// PUBCOMP. Returns the number of the completed message. `None`: no such message.
    pub(super) fn handle_pubcomp(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        match self.inflight[at].state {
            SendState::Released { .. } => Ok(self.complete(at)),
            SendState::Published { .. } => Err(ProtocolError::WrongAcknowledgement(id.get())),
        }
    }

    /// Completes a message in flight.
    #[inline(always)]
    fn complete(&mut self, at: usize) -> Option<u64> {
        self.acknowledged = self.acknowledged.saturating_add(1);
        let gone = self.inflight.remove(at)?;
        self.count_out_sent(&gone.state);
        Some(gone.number)
    }

    /// Completes a message that would be sent again, because the client does not accept it.
    pub(super) fn discard(&mut self, seq: u64) {
        if let Ok(at) = self.inflight.binary_search_by_key(&seq, |m| m.seq) {
            self.complete(at);
        }
    }

    /// May a queued message expire?
    pub(super) fn expires(&self) -> bool {
        self.look_at.is_some()
    }

    /// Removes and returns expired messages. Visits all queued messages, at most once in [`SWEEP_EVERY`].
    pub(super) fn take_expired(&mut self, now: Instant) -> Overflow {
        let mut gone = Overflow::new();
        if self.look_at.is_none_or(|at| at > now) {
            return gone;
        }
        let mut first: Option<Instant> = None;
        self.forget_queued(|m| {
            let Some(at) = m.message.expires() else { return false };
            if at <= now {
                gone.push(m.clone());
            } else {
                first = Some(first.map_or(at, |first| first.min(at)));
            }
            at <= now
        });
        self.look_at = first.map(|first| first.max(now + SWEEP_EVERY));
        gone
    }

    /// Notes the expiry of a queued message.
    #[inline]
    fn note_expiry(&mut self, message: &Message) {
        if let Some(at) = message.expires() {
            self.look_at = Some(self.look_at.map_or(at, |first| first.min(at)));
        }
    }

    /// Is there a place in a window of at most `max` messages? The window is small until the client has acknowledged
    /// some.
    pub(super) fn has_place(&self, max: usize) -> bool {
        let window = if self.acknowledged < FIRST_WINDOW { max.min(usize::from(FIRST_WINDOW)) } else { max };
        self.inflight.len() < window
    }

    /// The client is gone: the next connection begins with a small window, and no SUBACK is due.
    pub(super) fn detach(&mut self) {
        self.acknowledged = 0;
        self.resend = None;
        self.subacks = Vec::new();
        self.allowed = None;
        self.inside = None;
        self.marked = None;
        self.timed = None;
        if let Some(unreadable) = &mut self.unreadable {
            unreadable.forget_returned();
        }
    }

    /// Restores a queued message after a restart. Calls are by rising number.
    pub(super) fn restore_queued(&mut self, queued: Queued) {
        self.last_number = queued.number;
        self.note_expiry(&queued.message);
        // the store does not keep why RETAIN is set; mostly a subscription brought the message
        if queued.retain {
            self.brought.push_back(queued);
        } else {
            self.queued_bytes += queued.message.size();
            self.count_in(&queued.message);
            self.queue.push_back(queued);
        }
    }

    /// Restores a message that was in flight.
    pub(super) fn restore_inflight(&mut self, seq: u64, number: u64, state: SendState) {
        self.last_number = self.last_number.max(number);
        self.last_seq = self.last_seq.max(seq);
        if let SendState::Published { message: Some(message), .. } = &state {
            self.count_in(message);
        }
        let at = self.inflight.partition_point(|m| m.seq < seq);
        self.inflight.insert(at, InFlight { seq, number, state });
    }

    /// Queues a message. Returns the messages that a full queue dropped: older ones, or this one.
    pub(super) fn enqueue(&mut self, new: Queued, limits: QueueLimits) -> Overflow {
        let size = new.message.size();
        let mut dropped = Overflow::new();
        let others = |queue: &Self| {
            let waiting = queue.queue.len() + queue.unreadable.as_ref().map_or(0, |skipped| skipped.queued());
            // QoS 0 messages that waited for a SUBACK may exceed the limit for a moment, and drop no others
            let is_over = new.qos != QoS::AtMostOnce && waiting > limits.messages;
            if is_over { waiting.saturating_sub(queue.qos0) } else { waiting }
        };
        // if all queues together are full, this one frees as much as the message needs
        let mut owed = if limits.all_are_full { size } else { 0 };
        let is_full = owed > 0 || others(self) >= limits.messages || self.queued_bytes + size > limits.bytes;
        if is_full {
            dropped = self.take_expired(limits.now);
        }
        while owed > 0 || others(self) >= limits.messages || self.queued_bytes + size > limits.bytes {
            // a message that is larger than the whole queue may be drops no others
            let skipped = self.unreadable.as_mut().filter(|_| size <= limits.bytes).and_then(|all| all.take_oldest());
            if let Some(skipped) = skipped {
                self.queued_bytes -= skipped.message.size();
                owed = owed.saturating_sub(skipped.message.size());
                self.count_out(&skipped.message);
                dropped.push(skipped);
                continue;
            }
            let older = match limits.full {
                _ if size > limits.bytes => None,
                QueueFull::DropNewest => None,
                QueueFull::DropOldest => self.queue.take_oldest(),
                QueueFull::KeepLast => self.queue.take_outdated_by(&new.message),
            };
            match older {
                Some(older) => {
                    self.queued_bytes -= older.message.size();
                    owed = owed.saturating_sub(older.message.size());
                    self.count_out(&older.message);
                    self.qos0 -= usize::from(older.qos == QoS::AtMostOnce);
                    dropped.push(older);
                }
                None => {
                    dropped.push(new);
                    return dropped;
                }
            }
        }
        self.queued_bytes += size;
        self.count_in(&new.message);
        self.note_expiry(&new.message);
        self.qos0 += usize::from(new.qos == QoS::AtMostOnce);
        self.queue.push_back(new);
        if limits.full == QueueFull::KeepLast {
            self.queue.learn_topics();
        }
        dropped
    }

    /// Queues a retained message of a new subscription, unless `max` of them are queued. Returns its number. `number`:
    /// a [reserved](Self::reserve_numbers) one; `None`: the next one.
    #[inline]
    pub(super) fn enqueue_retained(
        &mut self,
        message: Message,
        How { qos, identifiers, .. }: How<'_>,
        number: Option<u64>,
        max: usize,
    ) -> Option<u64> {
        if self.brought.len() >= max {
            return None;
        }
        let number = number.unwrap_or_else(|| self.next_number());
        self.note_expiry(&message);
        self.qos0 += usize::from(qos == QoS::AtMostOnce);
        let ids = self.identify(identifiers);
        let brought = Queued { number, message, qos, retain: true, share: Share::NONE, ids };
        // two lookups in steps may take turns
        match self.brought.back().is_some_and(|last| last.number > number) {
            true => self.brought.insert(self.brought.partition_point(|m| m.number < number), brought),
            false => self.brought.push_back(brought),
        }
        Some(number)
    }

    /// Reserves numbers for retained messages that are looked up in steps: messages that arrive meanwhile have higher
    /// numbers and are sent after them.
    pub(super) fn reserve_numbers(&mut self, count: u64) -> Range<u64> {
        let first = self.last_number + 1;
        self.last_number += count;
        first..first + count
    }

    /// The number of the last message that arrived.
    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// May there be anything to send?
    #[inline]
    pub(super) fn has_waiting(&self) -> bool {
        !self.queue.is_empty() || !self.brought.is_empty() || !self.held.is_empty() || self.resend.is_some()
    }

    /// May a message that arrives now be sent at once?
    #[inline]
    pub(super) fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.brought.is_empty() && self.subacks.is_empty() && self.resend.is_none()
    }

    /// The next queued message, if the window has a place for it and it does not wait for a SUBACK.
    pub(super) fn next(&mut self, window: usize) -> Option<Queued> {
        let free = self.has_place(window);
        let (brought, queued) = (self.brought.front(), self.queue.front());
        let is_brought = brought.is_some_and(|brought| queued.is_none_or(|queued| brought.number < queued.number));
        let next = if is_brought { brought } else { queued };
        let next = next.filter(|m| free || m.qos == QoS::AtMostOnce)?;
        if self.subacks.first().is_some_and(|&before| next.number > before) {
            return None;
        }
        let next = if is_brought {
            let next = self.brought.pop_front()?;
            if self.brought.is_empty() {
                self.brought = VecDeque::new();
            }
            next
        } else {
            let next = self.queue.pop_front()?;
            self.queued_bytes -= next.message.size();
            self.count_out(&next.message);
            next
        };
        self.qos0 -= usize::from(next.qos == QoS::AtMostOnce);
        Some(next)
    }

    /// Must newer QoS 0 messages be queued? They must not overtake queued QoS 0 or retained messages of the same topic
    /// [MQTT-4.6.0-6], nor a SUBACK that is due.
    pub(super) fn holds_back_qos0(&self) -> bool {
        !self.brought.is_empty() || self.qos0 > 0 || !self.subacks.is_empty()
    }

    /// Are QoS 0 messages queued?
    pub(super) fn has_qos0(&self) -> bool {
        self.qos0 > 0
    }
}

/// Most messages in flight to a client that has not acknowledged as many yet: mosquitto's window.
const FIRST_WINDOW: u16 = 20;
/// Least time between two searches for expired messages.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
