//! The memory of a session's messages, as the gauges count it.

use super::{
    super::{inflight::SendState, journal::Backlog, message::Message, queue::QUEUED_COST},
    Outbound,
};

impl Outbound {
    #[inline]
    pub(in super::super) fn backlog(&self) -> Backlog {
        let waiting = self.queue.len() + self.brought.len() + self.skipped();
        let places = if waiting == 0 { 0 } else { self.places() } + self.cost_of_ids();
        Backlog {
            messages: waiting + self.inflight.len(),
            bytes: self.queued_bytes,
            cost: self.memory.wrapping_add(places),
        }
    }

    /// Reports changes of the backlog to the gauges.
    #[inline]
    pub(in super::super) fn tell(&mut self, holds: impl FnOnce(Backlog, Backlog)) {
        let (before, now) = (self.told, self.backlog());
        if before != now {
            self.told = now;
            holds(before, now);
        }
    }

    /// Reports one more message in flight. `held`: bytes of memory from [`count_in`](Self::count_in).
    #[inline]
    pub(in super::super) fn tell_one_sent(&mut self, held: usize, holds: impl FnOnce(Backlog, Backlog)) {
        let before = self.told;
        self.told.messages += 1;
        self.told.cost = before.cost.wrapping_add(held);
        holds(before, self.told);
    }

    /// Reports one more retained message of a new subscription.
    #[inline]
    pub(in super::super) fn tell_one_brought(&mut self, holds: impl FnOnce(Backlog, Backlog)) {
        self.tell_one_sent(QUEUED_COST, holds);
    }

    #[inline]
    fn cost_of_ids(&self) -> usize {
        self.id_sets.as_ref().map_or(0, |sets| sets.cost())
    }

    /// Bytes of memory for the places of queued and skipped messages.
    fn places(&self) -> usize {
        let skipped = self.unreadable.as_ref().map_or(0, |unreadable| unreadable.cost());
        self.queue.cost() + self.brought.len() * QUEUED_COST + skipped + self.cost_of_notes()
    }

    /// Another place of this session holds the message. Returns the bytes of memory that this adds over all sessions.
    #[inline]
    pub(in super::super) fn count_in(&mut self, message: &Message) -> usize {
        let held = message.hold();
        self.memory = self.memory.wrapping_add(held);
        held
    }

    #[inline]
    pub(super) fn count_out(&mut self, message: &Message) {
        self.memory = self.memory.wrapping_sub(message.release());
    }

    #[inline]
    pub(super) fn count_out_sent(&mut self, state: &SendState) {
        if let Some(message) = state.message() {
            self.count_out(message);
        }
    }

    /// Forgets all messages that are queued, in flight or skipped.
    pub(in super::super) fn clear(&mut self) {
        if !(self.queue.is_empty() && self.brought.is_empty()) {
            self.forget_queued(|_| true);
        }
        for sent in std::mem::take(&mut self.inflight) {
            self.count_out_sent(&sent.state);
        }
        if let Some(skipped) = self.unreadable.take() {
            skipped.counted().for_each(|message| self.count_out(message));
        }
        self.queued_bytes = 0;
        self.id_sets = None;
    }

    /// Calls `name` for each message, and returns the bytes of their places.
    #[cfg(test)]
    pub(in super::super) fn costs(&self, mut name: impl FnMut(&Message)) -> usize {
        self.queue.for_each(|m| name(&m.message));
        self.inflight.iter().filter_map(|sent| sent.state.message()).for_each(&mut name);
        self.unreadable.iter().flat_map(|unreadable| unreadable.counted()).for_each(name);
        self.places() + self.cost_of_ids()
    }
}
