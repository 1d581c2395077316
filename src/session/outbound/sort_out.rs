//! A change of a client's rights: messages that it may not read any more are skipped; messages that it may read again
//! are put back.

use std::collections::VecDeque;

use super::{
    super::{acks::CommitSeq, inflight::InFlight, message::Message, queue::Queued, unreadable::Unreadable},
    Outbound,
};
use crate::types::QoS;

impl Outbound {
    /// Goes through queued messages and messages to be sent again that are not acknowledged: skips those that the
    /// client may not read, and puts back those that it may read again. Returns the number of newly skipped messages.
    pub(in super::super) fn sort_out(&mut self, connected: bool, may: impl Fn(&Message) -> bool) -> usize {
        let mut skipped = self.unreadable.take().unwrap_or_default();
        let back = skipped.take_readable(|m| may(&m.message));
        let sent = skipped.take_readable_inflight(|sent| sent.sent_again().is_none_or(&may));
        let stay = skipped.len();
        let again_from = if connected { self.resend.unwrap_or(u64::MAX) } else { 0 };
        self.skip_queued(&mut skipped, &may);
        let goes = |sent: &InFlight| sent.seq >= again_from && sent.sent_again().is_some_and(|message| !may(message));
        if self.inflight.iter().any(goes) {
            let (gone, rest): (VecDeque<_>, _) = std::mem::take(&mut self.inflight).into_iter().partition(goes);
            self.inflight = rest;
            gone.into_iter().for_each(|sent| skipped.skip_inflight(sent));
            if let Some(from) = self.resend {
                self.resend = self.inflight.iter().map(|sent| sent.seq).find(|seq| *seq >= from);
            }
        }
        let newly = skipped.len() - stay;
        self.put_back(back);
        for sent in sent {
            self.put_back_inflight(sent, connected, &mut skipped);
        }
        self.unreadable = (!skipped.is_empty()).then_some(skipped);
        newly
    }

    fn skip_queued(&mut self, skipped: &mut Unreadable, may: &impl Fn(&Message) -> bool) {
        let mut qos0 = 0;
        let mut stays = |m: &Queued, is_brought: bool| {
            let stays = may(&m.message);
            if !stays {
                qos0 += usize::from(m.qos == QoS::AtMostOnce);
                skipped.skip(m.clone(), is_brought);
            }
            stays
        };
        self.brought.retain(|m| stays(m, true));
        self.queue.retain(|m| stays(m, false));
        self.qos0 -= qos0;
    }

    /// Puts queued messages, by rising number, back to their places.
    fn put_back(&mut self, messages: Vec<(Queued, bool)>) {
        if messages.is_empty() {
            return;
        }
        // it was not asked about them, even if it was about later ones
        messages.iter().map(|(m, _)| m.number).min().into_iter().for_each(|first| self.ask_again_from(first));
        messages.iter().for_each(|(m, _)| self.note_expiry(&m.message));
        self.qos0 += messages.iter().filter(|(m, _)| m.qos == QoS::AtMostOnce).count();
        let (brought, queued): (Vec<_>, Vec<_>) = messages.into_iter().partition(|(_, is_brought)| *is_brought);
        self.brought.extend(brought.into_iter().map(|(message, _)| message));
        self.brought.make_contiguous().sort_by_key(|m| m.number);
        self.queue.merge(queued.into_iter().map(|(message, _)| message));
    }

    /// Puts a message back that was sent and not acknowledged. If the client is connected and the message's turn has
    /// passed, it is sent separately.
    fn put_back_inflight(&mut self, sent: InFlight, connected: bool, skipped: &mut Unreadable) {
        let seq = sent.seq;
        let at = self.inflight.partition_point(|other| other.seq < seq);
        self.inflight.insert(at, sent);
        if connected && self.resend.is_none_or(|from| seq < from) && !self.is_held(seq) {
            let at = self.held.partition_point(|&(held, _)| held < seq);
            self.held.insert(at, (seq, CommitSeq::default()));
            skipped.note_returned(seq);
        }
    }
}
