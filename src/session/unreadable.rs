//! [`Unreadable`]: messages of one session that its client may not read now. They are skipped until the client may.
//! They count for the queue's limits, and are dropped first when the queue is full.

use std::collections::BTreeMap;

use super::{identifiers::SubIds, inflight::InFlight, message::Message, queue::Queued};
use crate::types::QoS;

/// Messages that are skipped.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// Queued ones, by number; `true`: a subscription brought it.
    waiting: BTreeMap<u64, (Queued, bool)>,
    /// Number of messages in `waiting` that count for the queue's limits.
    queued: usize,
    /// Messages that were sent on an earlier connection and not acknowledged, by `seq`.
    inflight: Vec<InFlight>,
    /// The `seq` of messages that are in flight again and must be sent once more on this connection.
    returned: Vec<u64>,
}

impl Unreadable {
    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.inflight.len()
    }

    /// Is nothing skipped, and nothing left to be sent once more?
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.inflight.is_empty() && self.returned.is_empty()
    }

    /// Number of messages that count for the queue's limits.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn skip(&mut self, message: Queued, is_brought: bool) {
        self.queued += usize::from(!is_brought);
        self.waiting.insert(message.number, (message, is_brought));
    }

    pub(super) fn skip_inflight(&mut self, sent: InFlight) {
        let at = self.inflight.partition_point(|other| other.seq < sent.seq);
        self.inflight.insert(at, sent);
    }

    /// The queue is full: removes the oldest message that counts for its limits.
    pub(super) fn take_oldest(&mut self) -> Option<Queued> {
        let (&number, _) = self.waiting.iter().find(|(_, (_, is_brought))| !is_brought)?;
        self.queued -= 1;
        self.waiting.remove(&number).map(|(message, _)| message)
    }

    /// Removes queued messages that `may` be read, by rising number; `true`: a subscription brought it.
    pub(super) fn take_readable(&mut self, mut may: impl FnMut(&Queued) -> bool) -> Vec<(Queued, bool)> {
        let numbers: Vec<_> = self.waiting.iter().filter(|(_, (m, _))| may(m)).map(|(number, _)| *number).collect();
        let taken: Vec<_> = numbers.iter().filter_map(|number| self.waiting.remove(number)).collect();
        self.queued -= taken.iter().filter(|(_, is_brought)| !is_brought).count();
        taken
    }

    /// Removes messages in flight that `may` be read, by rising `seq`.
    pub(super) fn take_readable_inflight(&mut self, mut may: impl FnMut(&InFlight) -> bool) -> Vec<InFlight> {
        self.inflight.extract_if(.., |sent| may(sent)).collect()
    }

    /// A message of an earlier connection may be read again by the connected client: it must be sent once more.
    pub(super) fn note_returned(&mut self, seq: u64) {
        self.returned.push(seq);
    }

    /// Must the message with this `seq` be sent once more?
    pub(super) fn has_returned(&self, seq: u64) -> bool {
        self.returned.contains(&seq)
    }

    /// Is a message of a group queued?
    pub(super) fn has_shared(&self) -> bool {
        self.waiting().any(|m| m.share.is_some())
    }

    /// Queued messages.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Queued> {
        self.waiting.values().map(|(queued, _)| queued)
    }

    /// Messages that were sent.
    pub(super) fn sent(&self) -> impl Iterator<Item = &InFlight> {
        self.inflight.iter()
    }

    /// Must the message with this `seq` be sent once more? It is sent now.
    pub(super) fn take_returned(&mut self, seq: u64) -> bool {
        let at = self.returned.iter().position(|&returned| returned == seq);
        at.map(|at| self.returned.swap_remove(at)).is_some()
    }

    /// The client is gone: everything in flight will be sent again anyway.
    pub(super) fn forget_returned(&mut self) {
        self.returned = Vec::new();
    }

    /// Removes QoS 0 messages. Returns those that counted for the queue's limits.
    pub(super) fn take_qos0(&mut self) -> Vec<Message> {
        let gone = self.take_readable(|message| message.qos == QoS::AtMostOnce);
        gone.into_iter().filter(|(_, is_brought)| !is_brought).map(|(queued, _)| queued.message).collect()
    }

    /// Messages whose memory counts: all except retained messages of new subscriptions.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Message> {
        let waiting = self.waiting.values().filter(|(_, is_brought)| !is_brought).map(|(queued, _)| &queued.message);
        waiting.chain(self.inflight.iter().filter_map(InFlight::sent_again))
    }

    /// The Subscription Identifiers of all messages.
    pub(super) fn ids(&self) -> impl Iterator<Item = SubIds> {
        self.waiting.values().map(|(queued, _)| queued.ids).chain(self.inflight.iter().map(InFlight::ids))
    }

    /// Approximate bytes of memory for the places of all messages.
    pub(super) fn cost(&self) -> usize {
        self.waiting.len() * WAITING_COST + self.inflight.len() * size_of::<InFlight>()
    }

    /// Does a skipped message use this Packet Identifier?
    pub(super) fn has_packet_id(&self, id: crate::types::PacketId) -> bool {
        self.inflight.iter().any(|sent| sent.packet_id() == id)
    }
}

/// Bytes of memory of a queued message in a tree whose nodes are two thirds full.
const WAITING_COST: usize = size_of::<(u64, (Queued, bool))>() * 3 / 2;
