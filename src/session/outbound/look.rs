//! Read-only views of the outbound messages, for inspection.

use super::{
    super::{inflight::InFlight, queue::Queued},
    Outbound,
};

impl Outbound {
    /// Number of queued messages, without skipped ones.
    pub(in super::super) fn waiting(&self) -> usize {
        self.queue.len() + self.brought.len()
    }

    /// Messages that the client may not read now.
    pub(in super::super) fn skipped(&self) -> usize {
        self.unreadable.as_ref().map_or(0, |unreadable| unreadable.len())
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
