//! [`Outbound`]: QoS 1 and 2 messages on their way to one client: those in flight, in the order they were sent, and the
//! queue of those that wait for a place in the window (MQTT 3.1.1 sections 4.3, 4.4, 4.6).

mod cost;
mod inside;
mod look;
mod shared;
mod sort_out;

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

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
    unreadable::Unreadable,
};
use crate::types::{PacketId, QoS, QueueFull};

/// Messages on their way to one client.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Sorted by `seq`, which is the order they were sent in.
    inflight: VecDeque<InFlight>,
    /// The number of the last message sent; its Packet Identifier follows from it.
    last_seq: u64,
    /// The client came back: those of `inflight` from this `seq` on are still to be sent again, before anything else.
    resend: Option<u64>,
    /// Of `inflight`, those whose PUBLISH or PUBREL is not sent before this commit is durable: QoS 2 messages, whose
    /// receiver must never be given the same one under another Packet Identifier. By rising `seq`.
    held: VecDeque<(u64, CommitSeq)>,
    /// The number of the last message that came.
    last_number: u64,
    /// PUBACK, PUBREC and PUBCOMP packets that were due, since the client came.
    acknowledged: u16,
    queue: Queue,
    queued_bytes: usize,
    /// Retained messages of new subscriptions, by rising number. They have a bound of their own, and may come later
    /// than messages in `queue` in front of which they are sent: see [`reserve_numbers`](Self::reserve_numbers).
    brought: VecDeque<Queued>,
    /// What `ids` of messages stand for, where they are several.
    id_sets: Option<Box<IdSets>>,
    /// When what has expired of `queue` and `brought` is to be looked for: not before the first of them expires;
    /// `None`: none of them does.
    look_at: Option<Instant>,
    /// Of `queue` and `brought`, those of QoS 0.
    qos0: usize,
    /// For each SUBACK that is due and not sent yet: messages that wait, with numbers above this, wait for it.
    /// Ascending.
    subacks: Vec<u64>,
    /// Those that the client may not read now; mostly none.
    unreadable: Option<Box<Unreadable>>,
    /// Bytes of messages in `queue`, `inflight` and `unreadable`: see [`Backlog::cost`]. Retained messages of new
    /// subscriptions are held elsewhere.
    memory: usize,
    /// What the gauges count of all this.
    told: Backlog,
    /// The client is within this process.
    inside: Option<Box<Inside>>,
}

/// Messages that a full queue had no place for, and their numbers.
pub(super) type Overflow = SmallVec<[(u64, Message); 1]>;

/// How long a queue may get and what goes when it is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) full: QueueFull,
    /// All queues together hold as much as they may.
    pub(super) all_are_full: bool,
    /// What has expired by now goes first.
    pub(super) now: Instant,
}

impl Outbound {
    pub(super) fn is_idle(&self) -> bool {
        self.inflight.is_empty() && self.queue.is_empty() && self.brought.is_empty() && self.skipped() == 0
    }

    /// Messages that the client may not read now.
    pub(super) fn skipped(&self) -> usize {
        self.unreadable.as_ref().map_or(0, |unreadable| unreadable.len())
    }

    /// How a message is noted that is sent with these Subscription Identifiers, properties on the wire.
    #[inline]
    pub(super) fn identify(&mut self, identifiers: &[u8]) -> SubIds {
        if self.id_sets.as_ref().is_some_and(|sets| sets.are_crowded()) {
            self.keep_used_ids();
        }
        IdSets::find(&mut self.id_sets, identifiers)
    }

    /// What these are.
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

    /// The number of a message that comes now.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Takes a place in the window for the message with this number: its place in the order of sending, from which its
    /// [`packet_id`](packet_ids::of) follows. `message`: where it is kept, [counted](Self::count_in) by the caller.
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
        // an identifier comes round again after 65,535 messages: those still in flight are passed over [MQTT-2.3.1-4]
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

    /// Has the message that was [begun](Self::begin) last to wait? One of QoS 2 is not sent before its record,
    /// `stored`, is durable: after a crash its receiver would be given it once more, under another Packet Identifier.
    /// Those behind it wait with it: messages leave in the order in which they came.
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

    /// A PUBREL that is due again waits for this commit; all are sent in the order of their messages.
    pub(super) fn hold_released(&mut self, seq: u64, commit: CommitSeq) {
        let at = self.held.partition_point(|&(held, _)| held < seq);
        self.held.insert(at, (seq, commit));
    }

    /// The client is back: all that is in flight is to be sent again.
    pub(super) fn begin_resend(&mut self) {
        self.resend = self.inflight.front().map(|oldest| oldest.seq);
    }

    /// Is there something left to be sent again, perhaps?
    #[inline]
    pub(super) fn is_resending(&self) -> bool {
        self.resend.is_some()
    }

    /// The next that is to be sent again: it counts as sent from now on. Those that are held were not sent before, and
    /// are not sent again.
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

    /// How many of those in flight, of which the client has acknowledged nothing more, were sent again so far.
    pub(super) fn resent(&self) -> usize {
        self.resend.map_or(0, |from| self.inflight.partition_point(|m| m.seq < from))
    }

    /// Does a message wait for the store?
    #[inline]
    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The commit that the first message that is held waits for; `None`: it waits for a place in the window.
    pub(super) fn waits_for(&self, window: usize) -> Option<CommitSeq> {
        self.held.front().filter(|&&(seq, _)| self.may_follow(seq, window)).map(|&(_, commit)| commit)
    }

    /// Has this one, which is held, a place in a window of so many? All in front of it are to be sent before, and there
    /// may be more of them than a client takes that came back. A PUBREL needs no place.
    fn may_follow(&self, seq: u64, window: usize) -> bool {
        if self.resend.is_some_and(|from| from <= seq) {
            return false;
        }
        let at = self.inflight.partition_point(|m| m.seq < seq);
        let is_published = |m: &InFlight| m.seq == seq && matches!(m.state, SendState::Published { .. });
        at < window.max(1) || !self.inflight.get(at).is_some_and(is_published)
    }

    /// Is the message at this place in the order of sending one of those?
    fn is_held(&self, seq: u64) -> bool {
        self.held.binary_search_by_key(&seq, |&(held, _)| held).is_ok()
    }

    /// The next of them that may be sent in a window of so many, everything up to `done` being durable, and its
    /// Subscription Identifiers. `true`: it was sent before.
    pub(super) fn next_held(&mut self, done: CommitSeq, window: usize) -> Option<(&InFlight, Identifiers, bool)> {
        loop {
            let &(seq, _) = self.held.front().filter(|&&(_, commit)| commit <= done)?;
            if !self.may_follow(seq, window) {
                return None;
            }
            self.held.pop_front();
            // one that its client acknowledged unseen is no more
            if let Ok(at) = self.inflight.binary_search_by_key(&seq, |m| m.seq) {
                let again = self.unreadable.as_mut().is_some_and(|unreadable| unreadable.take_returned(seq));
                return self.inflight.get(at).map(|sent| (sent, self.identifiers(sent.ids()), again));
            }
        }
    }

    /// Where the message with this identifier is in `inflight`; all of them have numbers below `before`.
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

    /// PUBACK [MQTT-4.3.2-1]: the number of the message that is completed. `None`: no such message, which is no error
    /// after a lost session.
    #[inline(never)]
    pub(super) fn handle_puback(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        match self.inflight[at].state {
            SendState::Published { qos: QoS::AtLeastOnce, .. } => Ok(self.complete(at)),
            _ => Err(ProtocolError::WrongAcknowledgement(id.get())),
        }
    }

    /// PUBREC [MQTT-4.3.3-1]: the message may be forgotten, its identifier and number, which this gives, not. A PUBREL
    /// is due in any case.
    pub(super) fn handle_pubrec(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        let InFlight { number, state, .. } = &mut self.inflight[at];
        let number = *number;
        match state {
            SendState::Published { qos: QoS::AtLeastOnce, .. } => Err(ProtocolError::WrongAcknowledgement(id.get())),
            SendState::Published { .. } => {
                let published = std::mem::replace(state, SendState::Released);
                self.count_out_sent(&published);
                self.acknowledged = self.acknowledged.saturating_add(1);
                Ok(Some(number))
            }
            SendState::Released => Ok(Some(number)),
        }
    }

    /// A PUBREC with an error: the message is completed, as by a PUBACK.
    pub(super) fn handle_refused(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        match self.inflight[at].state {
            SendState::Published { qos: QoS::AtLeastOnce, .. } => Err(ProtocolError::WrongAcknowledgement(id.get())),
            _ => Ok(self.complete(at)),
        }
    }

    /// PUBCOMP: the number of the message that is completed. `None`: no such message.
    pub(super) fn handle_pubcomp(&mut self, id: PacketId) -> Result<Option<u64>, ProtocolError> {
        let Some(at) = self.find(id, self.last_seq + 1) else { return Ok(None) };
        match self.inflight[at].state {
            SendState::Released => Ok(self.complete(at)),
            SendState::Published { .. } => Err(ProtocolError::WrongAcknowledgement(id.get())),
        }
    }

    /// The client has the message.
    #[inline(always)]
    fn complete(&mut self, at: usize) -> Option<u64> {
        self.acknowledged = self.acknowledged.saturating_add(1);
        let gone = self.inflight.remove(at)?;
        self.count_out_sent(&gone.state);
        Some(gone.number)
    }

    /// One that is to be sent again, and that its client does not take: it is completed.
    pub(super) fn discard(&mut self, seq: u64) {
        if let Ok(at) = self.inflight.binary_search_by_key(&seq, |m| m.seq) {
            self.complete(at);
        }
    }

    /// Do messages wait that expire, perhaps?
    pub(super) fn expires(&self) -> bool {
        self.look_at.is_some()
    }

    /// Takes out those that have expired. It visits all that wait, no more than once in [`SWEEP_EVERY`].
    pub(super) fn take_expired(&mut self, now: Instant) -> Overflow {
        let mut gone = Overflow::new();
        if self.look_at.is_none_or(|at| at > now) {
            return gone;
        }
        let mut first: Option<Instant> = None;
        self.forget_queued(|m| {
            let Some(at) = m.message.expires() else { return false };
            if at <= now {
                gone.push((m.number, m.message.clone()));
            } else {
                first = Some(first.map_or(at, |first| first.min(at)));
            }
            at <= now
        });
        self.look_at = first.map(|first| first.max(now + SWEEP_EVERY));
        gone
    }

    /// This message waits.
    #[inline]
    fn note_expiry(&mut self, message: &Message) {
        if let Some(at) = message.expires() {
            self.look_at = Some(self.look_at.map_or(at, |first| first.min(at)));
        }
    }

    /// Is there a place in a window of at most `max` messages? It opens that far for a client that has shown that it
    /// acknowledges what it is sent.
    pub(super) fn has_place(&self, max: usize) -> bool {
        let window = if self.acknowledged < FIRST_WINDOW { max.min(usize::from(FIRST_WINDOW)) } else { max };
        self.inflight.len() < window
    }

    /// The client is gone: the window of its next connection begins anew, and no SUBACK is due any more.
    pub(super) fn detach(&mut self) {
        self.acknowledged = 0;
        self.resend = None;
        self.subacks = Vec::new();
        self.inside = None;
        if let Some(unreadable) = &mut self.unreadable {
            unreadable.forget_returned();
        }
    }

    /// A message as it was before a restart; they come by rising number. It waits, or its place in the order of sending
    /// is given and its state.
    pub(super) fn restore_queued(&mut self, queued: Queued) {
        self.last_number = queued.number;
        self.note_expiry(&queued.message);
        // what a store keeps of RETAIN does not say why: most are what a subscription brought
        if queued.retain {
            self.brought.push_back(queued);
        } else {
            self.queued_bytes += queued.message.size();
            self.count_in(&queued.message);
            self.queue.push_back(queued);
        }
    }

    /// The other half of it: a message that was in flight.
    pub(super) fn restore_inflight(&mut self, seq: u64, number: u64, state: SendState) {
        self.last_number = self.last_number.max(number);
        self.last_seq = self.last_seq.max(seq);
        if let SendState::Published { message: Some(message), .. } = &state {
            self.count_in(message);
        }
        let at = self.inflight.partition_point(|m| m.seq < seq);
        self.inflight.insert(at, InFlight { seq, number, state });
    }

    /// Queues a message. What a full queue dropped for it is given back: older messages, or the new one.
    pub(super) fn enqueue(&mut self, new: Queued, limits: QueueLimits) -> Overflow {
        let size = new.message.size();
        let mut dropped = Overflow::new();
        let others = |queue: &Self| {
            let waiting = queue.queue.len() + queue.unreadable.as_ref().map_or(0, |skipped| skipped.queued());
            // those of QoS 0 that waited for a SUBACK may be more than the limit for a moment, and push out no others
            let is_over = new.qos != QoS::AtMostOnce && waiting > limits.messages;
            if is_over { waiting.saturating_sub(queue.qos0) } else { waiting }
        };
        // where all queues together are full, this one gives up as much as it takes
        let mut owed = if limits.all_are_full { size } else { 0 };
        let is_full = owed > 0 || others(self) >= limits.messages || self.queued_bytes + size > limits.bytes;
        if is_full {
            dropped = self.take_expired(limits.now);
        }
        while owed > 0 || others(self) >= limits.messages || self.queued_bytes + size > limits.bytes {
            // a message that is larger than the whole queue may be pushes nobody out
            let skipped = self.unreadable.as_mut().filter(|_| size <= limits.bytes).and_then(|all| all.take_oldest());
            if let Some(skipped) = skipped {
                self.queued_bytes -= skipped.message.size();
                owed = owed.saturating_sub(skipped.message.size());
                self.count_out(&skipped.message);
                dropped.push((skipped.number, skipped.message));
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
                    dropped.push((older.number, older.message));
                }
                None => {
                    dropped.push((new.number, new.message));
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

    /// Queues a retained message of a new subscription, unless `max` of them wait already: its number. `number`: one
    /// that was [reserved](Self::reserve_numbers); `None`: it comes behind all that came before it.
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
        self.brought.push_back(Queued { number, message, qos, retain: true, share: Share::NONE, ids });
        Some(number)
    }

    /// Reserves numbers for retained messages that are looked up in steps: messages that come meanwhile are newer, and
    /// are sent behind them.
    pub(super) fn reserve_numbers(&mut self, count: u64) -> Range<u64> {
        let first = self.last_number + 1;
        self.last_number += count;
        first..first + count
    }

    /// The number of the last message that came.
    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Messages with numbers above `before` wait until [`suback_sent`](Self::suback_sent) is told the same number.
    pub(super) fn wait_for_suback(&mut self, before: u64) {
        self.subacks.push(before);
    }

    /// What waited for this SUBACK may be sent.
    pub(super) fn suback_sent(&mut self, before: u64) {
        if let Some(at) = self.subacks.iter().position(|&due| due == before) {
            self.subacks.remove(at);
        }
    }

    /// Is there a SUBACK that is due?
    pub(super) fn owes_suback(&self) -> bool {
        !self.subacks.is_empty()
    }

    /// Is there anything to be sent, perhaps?
    #[inline]
    pub(super) fn has_waiting(&self) -> bool {
        !self.queue.is_empty() || !self.brought.is_empty() || !self.held.is_empty() || self.resend.is_some()
    }

    /// Has a message that comes now nothing in front of it?
    #[inline]
    pub(super) fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.brought.is_empty() && self.subacks.is_empty() && self.resend.is_none()
    }

    /// The message whose turn it is, if the window has a place for it and no SUBACK has to be sent first.
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

    /// QoS 0 messages or retained ones are waiting: newer messages of the same topic, QoS 0 too, must not overtake them
    /// [MQTT-4.6.0-6]. Or a SUBACK is due.
    pub(super) fn holds_back_qos0(&self) -> bool {
        !self.brought.is_empty() || self.qos0 > 0 || !self.subacks.is_empty()
    }

    /// QoS 0 messages are waiting.
    pub(super) fn has_qos0(&self) -> bool {
        self.qos0 > 0
    }

    /// Forgets QoS 0 messages that wait, for a client that went away.
    pub(super) fn forget_qos0(&mut self) {
        if self.qos0 > 0 {
            self.forget_queued(|m| m.qos == QoS::AtMostOnce);
        }
        let skipped = self.unreadable.as_mut().map_or_else(Vec::new, |unreadable| unreadable.take_qos0());
        for message in skipped {
            self.queued_bytes -= message.size();
            self.count_out(&message);
        }
    }

    fn forget_queued(&mut self, mut goes: impl FnMut(&Queued) -> bool) {
        let (mut bytes, mut qos0, mut memory) = (0, 0, self.memory);
        let mut stays = |m: &Queued, counts: bool| {
            let goes = goes(m);
            if goes {
                qos0 += usize::from(m.qos == QoS::AtMostOnce);
                if counts {
                    bytes += m.message.size();
                    memory = memory.wrapping_sub(m.message.release());
                }
            }
            !goes
        };
        self.brought.retain(|m| stays(m, false));
        self.queue.retain(|m| stays(m, true));
        self.memory = memory;
        self.queued_bytes -= bytes;
        self.qos0 -= qos0;
    }
}

/// Messages in flight, at most, to a client that has not acknowledged as many yet: mosquitto's window.
const FIRST_WINDOW: u16 = 20;
/// A queue is searched for what has expired once in this time, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
