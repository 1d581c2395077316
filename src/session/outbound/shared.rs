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
    /// Number of messages in the queue, including skipped ones.
    pub(in super::super) fn queued(&self) -> usize {
        self.queue.len() + self.unreadable.as_ref().map_or(0, |skipped| skipped.queued())
    }

    /// Is a message of a group queued?
    pub(in super::super) fn has_shared_waiting(&self) -> bool {
        let is_shared = |m: &Queued| m.share.is_some();
        self.queue.any(is_shared)
            || self.brought.iter().any(is_shared)
            || self.unreadable.as_ref().is_some_and(|skipped| skipped.has_shared())
    }

    /// The messages of groups that were not sent, and those of QoS 1 that are not acknowledged, in order of arrival.
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

    /// Removes at most `most` queued messages of groups for which `goes` returns true. Also returns the numbers of
    /// those that a store keeps.
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
