//! Messages that wait in the queue: for a SUBACK that is due, or, if the client's right to receive them is asked about
//! first, until they are allowed or refused.

use super::{
    super::{message::Message, queue::Queued},
    Outbound,
};
use crate::types::QoS;

impl Outbound {
    /// Messages with numbers above `before` wait until [`suback_sent`](Self::suback_sent) is called with the same
    /// number.
    pub(in super::super) fn wait_for_suback(&mut self, before: u64) {
        self.subacks.push(before);
    }

    /// Messages that waited for this SUBACK may be sent.
    pub(in super::super) fn suback_sent(&mut self, before: u64) {
        if let Some(at) = self.subacks.iter().position(|&due| due == before) {
            self.subacks.remove(at);
        }
    }

    /// Is a SUBACK due?
    pub(in super::super) fn owes_suback(&self) -> bool {
        !self.subacks.is_empty()
    }

    /// From now on, every message waits until it is [allowed](Self::allow).
    pub(in super::super) fn ask_first(&mut self) {
        if self.allowed.is_none() {
            self.allowed = Some(Box::new(0));
            // an entry like that of a SUBACK that is due, which holds back all messages
            self.subacks.insert(0, 0);
        }
    }

    /// Does every message wait until it is allowed?
    #[inline]
    pub(in super::super) fn asks_first(&self) -> bool {
        self.allowed.is_some()
    }

    /// Are enough messages allowed and not sent? Further ones are decided when these are sent.
    pub(in super::super) fn has_enough_allowed(&self) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| {
            let brought = self.brought.partition_point(|m| m.number <= **allowed);
            brought + self.queue.count_up_to(**allowed, MOST_ALLOWED) >= MOST_ALLOWED
        })
    }

    /// The first message that is not allowed, and its number.
    pub(in super::super) fn first_unasked(&self) -> Option<(u64, Message)> {
        let allowed = **self.allowed.as_ref()?;
        let brought = self.brought.get(self.brought.partition_point(|m| m.number <= allowed));
        let queued = self.queue.first_above(allowed);
        let first = brought.into_iter().chain(queued).min_by_key(|m| m.number)?;
        Some((first.number, first.message.clone()))
    }

    /// Messages up to this number may be sent.
    pub(in super::super) fn allow(&mut self, number: u64) {
        let Some(allowed) = &mut self.allowed else { return };
        if let Some(at) = self.subacks.iter().position(|entry| *entry == **allowed) {
            self.subacks.remove(at);
        }
        **allowed = number;
        let at = self.subacks.partition_point(|entry| *entry <= number);
        self.subacks.insert(at, number);
    }

    /// Retained messages with numbers from this one on are new: they were not asked about, even if later ones were.
    pub(in super::super) fn ask_again_from(&mut self, number: u64) {
        if self.allowed.as_ref().is_some_and(|allowed| **allowed >= number) {
            self.allow(number - 1);
        }
    }

    /// Removes a message that may not be sent.
    pub(in super::super) fn take_refused(&mut self, number: u64) -> Option<Queued> {
        let at = self.brought.partition_point(|m| m.number < number);
        let gone = if self.brought.get(at).is_some_and(|m| m.number == number) {
            self.brought.remove(at)?
        } else {
            let gone = self.queue.take(number)?;
            self.queued_bytes -= gone.message.size();
            self.count_out(&gone.message);
            gone
        };
        self.qos0 -= usize::from(gone.qos == QoS::AtMostOnce);
        Some(gone)
    }
}

/// Most messages that are allowed and not sent: a refused one behind them is removed in so many steps.
const MOST_ALLOWED: usize = 64;
