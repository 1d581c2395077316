//! Taking out all that waits.

use super::Outbound;
use crate::types::QoS;

impl Outbound {
    /// Takes all queued messages, except those that the client may not read now: numbers and QoS.
    pub(in super::super) fn take_waiting(&mut self) -> Vec<(u64, QoS)> {
        let mut gone = Vec::with_capacity(self.queue.len() + self.brought.len());
        self.forget_queued(|m| {
            gone.push((m.number, m.qos));
            true
        });
        (self.look_at, self.marked) = (None, None);
        gone.sort_unstable_by_key(|&(number, _)| number);
        gone
    }
}
