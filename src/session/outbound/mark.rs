//! A message of which it is measured how long it takes, while it waits; and one that is timed until it is acknowledged.

use std::time::Instant;

use super::{super::timed::Timed, Outbound};
use crate::{topic::TopicName, types::QoS};

impl Outbound {
    /// Records when the last message began its way.
    pub(in super::super) fn mark(&mut self, began: Instant) {
        let last = self.last_number;
        self.marked.get_or_insert_with(|| Box::new((last, began)));
    }

    /// Is a message timed, which may be gone?
    #[inline]
    pub(in super::super) fn is_timing(&self) -> bool {
        self.timed.is_some()
    }

    /// The message with this number is sent: is it marked, or was one that did not have to wait?
    #[inline]
    pub(in super::super) fn take_mark(&mut self, number: u64, now: Instant) -> Option<Instant> {
        if let Some(timed) = &mut self.timed
            && timed.number == number
        {
            timed.sent = Some(now);
        }
        self.marked.take_if(|marked| number >= marked.0).map(|marked| marked.1)
    }

    /// Times the last message if it has this topic and no other is timed.
    pub(in super::super) fn time(&mut self, topic: &TopicName, began: Instant) {
        if self.timed().is_some() {
            return;
        }
        self.timed = None;
        let number = self.last_number;
        let sent = self.inflight.back().filter(|sent| sent.number == number);
        // another thread may have brought another message meanwhile
        let is_other = sent.and_then(|sent| sent.sent_again()).is_some_and(|message| message.topic() != topic);
        let (qos, sent) = match (sent, self.queue.back()) {
            (Some(sent), _) if !is_other => {
                let Some(qos) = sent.qos() else { return };
                (qos, (!self.is_held(sent.seq)).then_some(began))
            }
            (None, Some(queued)) if queued.number == number && queued.message.topic() == topic => (queued.qos, None),
            _ => return,
        };
        if qos != QoS::AtMostOnce {
            self.timed = Some(Box::new(Timed { number, topic: topic.as_str().into(), qos, published: began, sent }));
        }
    }

    /// The message that is timed, unless it was dropped.
    pub(in super::super) fn timed(&self) -> Option<&Timed> {
        let timed = self.timed.as_deref()?;
        let waits = self.queue.front().is_some_and(|first| first.number <= timed.number);
        let is_there = waits || self.inflight.iter().any(|sent| sent.number == timed.number);
        is_there.then_some(timed)
    }

    /// The message with this number is completed: was it timed?
    #[inline]
    pub(in super::super) fn take_timed(&mut self, number: u64) -> Option<Box<Timed>> {
        self.timed.take_if(|timed| timed.number == number)
    }
}
