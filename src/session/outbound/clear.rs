//! Taking out all that waits, or all that is of QoS 0.

use super::{Outbound, Queued};
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

    /// Forgets queued QoS 0 messages, because the client is gone.
    pub(in super::super) fn forget_qos0(&mut self) {
        self.forget_queued_qos0(|_| {});
        let skipped = self.unreadable.as_mut().map_or_else(Vec::new, |unreadable| unreadable.take_qos0());
        for message in skipped {
            self.queued_bytes -= message.size();
            self.count_out(&message);
        }
    }

    /// `each` is called with each message.
    pub(super) fn forget_queued_qos0(&mut self, mut each: impl FnMut(&Queued)) {
        if self.qos0 > 0 {
            self.forget_queued(|m| {
                let goes = m.qos == QoS::AtMostOnce;
                if goes {
                    each(m);
                }
                goes
            });
        }
    }

    pub(super) fn forget_queued(&mut self, mut goes: impl FnMut(&Queued) -> bool) {
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
