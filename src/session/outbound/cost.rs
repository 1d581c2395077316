//! What a session's messages cost, and what the gauges are told of it.

use super::{
    super::{inflight::SendState, journal::Backlog, message::Message, queue::QUEUED_COST},
    Outbound,
};

impl Outbound {
    #[inline]
    pub(in super::super) fn backlog(&self) -> Backlog {
        let waiting = self.queue.len() + self.brought.len() + self.skipped();
        let places = if waiting == 0 { 0 } else { self.places() };
        Backlog {
            messages: waiting + self.inflight.len(),
            bytes: self.queued_bytes,
            cost: self.memory.wrapping_add(places),
        }
    }

    /// Tells the gauges what became of the backlog since they were told.
    #[inline]
    pub(in super::super) fn tell(&mut self, holds: impl FnOnce(Backlog, Backlog)) {
        let (before, now) = (self.told, self.backlog());
        if before != now {
            self.told = now;
            holds(before, now);
        }
    }

    /// Tells them of one more message in flight that is not kept: all that changed since.
    #[inline]
    pub(in super::super) fn tell_one_more(&mut self, holds: impl FnOnce(Backlog, Backlog)) {
        let before = self.told;
        self.told.messages += 1;
        holds(before, self.told);
    }

    /// Bytes of memory for the places of what waits and is skipped.
    fn places(&self) -> usize {
        let skipped = self.unreadable.as_ref().map_or(0, |unreadable| unreadable.cost());
        self.queue.cost() + self.brought.len() * QUEUED_COST + skipped
    }

    #[inline]
    pub(super) fn count_in(&mut self, message: &Message) {
        self.memory = self.memory.wrapping_add(message.hold());
    }

    #[inline]
    pub(super) fn count_out(&mut self, message: &Message) {
        self.memory = self.memory.wrapping_sub(message.release());
    }

    #[inline]
    pub(super) fn count_out_sent(&mut self, state: &SendState) {
        if let SendState::Published { message: Some(message), .. } = state {
            self.count_out(message);
        }
    }

    /// Forgets everything that waits, is in flight or is skipped.
    pub(in super::super) fn clear(&mut self) {
        self.forget_queued(|_| true);
        for sent in std::mem::take(&mut self.inflight) {
            self.count_out_sent(&sent.state);
        }
        if let Some(skipped) = self.unreadable.take() {
            skipped.counted().for_each(|message| self.count_out(message));
        }
        self.queued_bytes = 0;
    }

    /// Names each message that is held here, and gives the bytes of the places for them.
    #[cfg(test)]
    pub(in super::super) fn costs(&self, mut name: impl FnMut(&Message)) -> usize {
        self.queue.for_each(|m| name(&m.message));
        self.inflight.iter().filter_map(|sent| sent.sent_again()).for_each(&mut name);
        self.unreadable.iter().flat_map(|unreadable| unreadable.counted()).for_each(name);
        self.places()
    }
}
