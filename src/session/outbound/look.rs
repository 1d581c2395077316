//! Read-only views of the outbound messages, for inspection.

use super::{
    super::{
        due::Change,
        inflight::{InFlight, SendState},
        message::Message,
        queue::Queued,
    },
    Outbound,
};
use crate::types::QoS;

impl Outbound {
    /// Number of queued messages, without skipped ones.
    pub(in super::super) fn waiting(&self) -> usize {
        self.queue.len() + self.brought.len()
    }

    /// Messages that the client may not read now.
    pub(in super::super) fn skipped(&self) -> usize {
        self.unreadable.as_ref().map_or(0, |unreadable| unreadable.len())
    }

    /// Number of queued retained messages, which have their own limit.
    pub(in super::super) fn brought(&self) -> usize {
        self.brought.len()
    }

    /// Calls `each` with the messages with RETAIN that are queued or in flight.
    pub(in super::super) fn retained_changes(&self, each: &mut dyn FnMut(&Message, Change)) {
        let mut queued = |m: &Queued| {
            if m.retain {
                each(&m.message, Change { number: m.number, qos0: m.qos == QoS::AtMostOnce });
            }
        };
        self.brought.iter().for_each(&mut queued);
        self.queue.for_each(&mut queued);
        for sent in &self.inflight {
            if let SendState::Published { retain: true, message: Some(message), .. } = &sent.state {
                each(message, Change { number: sent.number, qos0: false });
            }
        }
    }

    /// The lowest number of a message that is queued or in flight.
    pub(in super::super) fn first_open(&self) -> Option<u64> {
        let queued = self.queue.front().into_iter().chain(self.brought.front()).map(|m| m.number);
        queued.chain(self.inflight.front().map(|sent| sent.number)).min()
    }

    pub(in super::super) fn in_flight(&self) -> usize {
        self.inflight.len()
    }

    /// In the order of sending.
    pub(in super::super) fn all_in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.inflight.iter()
    }

    /// The first queued messages, by rising number.
    pub(in super::super) fn first_waiting(&self, most: usize) -> Vec<&Queued> {
        let mut first: Vec<_> = self.brought.iter().take(most).chain(self.queue.iter().take(most)).collect();
        first.sort_unstable_by_key(|m| m.number);
        first.truncate(most);
        first
    }
}
