//! Messages of a session that arrived through shared subscriptions and may be moved to another member.

use super::{
    super::{
        inflight::{InFlight, SendState},
        message::Message,
        queue::Queued,
        share::{Moved, Share},
    },
    Outbound,
};
use crate::types::QoS;

impl Outbound {
    /// Messages in the queue, those that are skipped among them.
    pub(in super::super) fn queued(&self) -> usize {
        self.queue.len() + self.unreadable.as_ref().map_or(0, |skipped| skipped.queued())
    }

    /// Does a message of a group wait?
    pub(in super::super) fn has_shared_waiting(&self) -> bool {
        let is_shared = |m: &Queued| m.share.is_some();
        self.queue.any(is_shared)
            || self.brought.iter().any(is_shared)
            || self.unreadable.as_ref().is_some_and(|skipped| skipped.has_shared())
    }

    /// Those that were not sent, and those of QoS 1 that are not acknowledged, in the order in which they came.
    pub(in super::super) fn shared_at_end(&self) -> Vec<Moved> {
        let mut all: Vec<_> = self.inflight.iter().filter_map(|sent| self.unacknowledged(sent)).collect();
        self.queue.for_each(|m| all.extend(moved(m)));
        all.extend(self.brought.iter().filter_map(moved));
        if let Some(skipped) = &self.unreadable {
            all.extend(skipped.sent().filter_map(|sent| self.unacknowledged(sent)));
            all.extend(skipped.waiting().filter_map(moved));
        }
        all.sort_by_key(|moved| moved.number);
        all
    }

    fn unacknowledged(&self, sent: &InFlight) -> Option<Moved> {
        let SendState::Published { qos, retain, share, message: Some(message), .. } = &sent.state else { return None };
        let is_sent = || {
            let is_again = self.unreadable.as_ref().is_some_and(|skipped| skipped.has_returned(sent.seq));
            !self.is_held(sent.seq) || is_again
        };
        if !share.is_some() || *qos == QoS::ExactlyOnce && is_sent() {
            return None;
        }
        Some(Moved { number: sent.number, message: message.clone(), retain: *retain, share: *share })
    }

    /// Takes out those that wait and that `goes` says yes to, `most` at most; and gives the numbers of those among them
    /// that a store keeps.
    pub(in super::super) fn take_shared(
        &mut self,
        most: usize,
        goes: impl Fn(u64, Share, &Message) -> bool,
    ) -> (Vec<Moved>, Vec<u64>) {
        let (mut taken, mut kept) = (Vec::new(), Vec::new());
        let mut take = |m: &Queued| {
            let goes_now = taken.len() < most && m.share.is_some() && goes(m.number, m.share, &m.message);
            if goes_now {
                taken.extend(moved(m));
                kept.extend(Some(m.number).filter(|_| m.qos != QoS::AtMostOnce));
            }
            goes_now
        };
        let skipped = self.unreadable.as_mut().map_or_else(Vec::new, |skipped| skipped.take_readable(&mut take));
        for (m, _) in &skipped {
            self.queued_bytes -= m.message.size();
            self.count_out(&m.message);
        }
        self.unreadable = self.unreadable.take().filter(|skipped| !skipped.is_empty());
        self.forget_queued(take);
        taken.sort_by_key(|moved| moved.number);
        kept.sort_unstable();
        (taken, kept)
    }
}

fn moved(m: &Queued) -> Option<Moved> {
    let Queued { number, message, retain, share, .. } = m;
    share.is_some().then(|| Moved { number: *number, message: message.clone(), retain: *retain, share: *share })
}
