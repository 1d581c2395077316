//! [`Losses`]: log lines about messages that a bridge does not deliver. The first one of a reason is logged, further
//! ones are summed up once a minute.

use std::time::{Duration, Instant};

use crate::{codec::ReasonCode, session::Missed};

/// Why a message is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    TooLarge,
    Refused(ReasonCode),
    Expired,
    QueueFull,
}

/// What was logged of a bridge.
pub(super) struct Losses {
    bridge: String,
    /// At most one for each reason.
    told: Vec<Told>,
    /// Those of the queue that were counted.
    missed: Missed,
}

struct Told {
    loss: Loss,
    /// When the last line was written.
    at: Instant,
    /// Messages that no line has.
    more: u64,
}

/// Interval of the lines about a reason.
const SUMS_EVERY: Duration = Duration::from_secs(60);

impl Losses {
    pub(super) fn new(bridge: &str) -> Self {
        Self { bridge: bridge.into(), told: Vec::new(), missed: Missed::default() }
    }

    /// More messages are lost. `true`: a line has to be written about them.
    pub(super) fn is_first(&mut self, loss: Loss, messages: u64, now: Instant) -> bool {
        match self.told.iter_mut().find(|told| told.loss == loss) {
            Some(told) => {
                told.more += messages;
                false
            }
            None => {
                self.told.push(Told { loss, at: now, more: 0 });
                true
            }
        }
    }

    /// So many messages are lost in the queue since the start.
    pub(super) fn note_missed(&mut self, missed: Missed, now: Instant) {
        let before = std::mem::replace(&mut self.missed, missed);
        let full = missed.queue_full.saturating_sub(before.queue_full);
        let expired = missed.expired.saturating_sub(before.expired);
        self.note(Loss::QueueFull, full, now);
        self.note(Loss::Expired, expired, now);
    }

    /// More messages are lost, and nothing else is known of them.
    pub(super) fn note(&mut self, loss: Loss, messages: u64, now: Instant) {
        if messages > 0 && self.is_first(loss, messages, now) {
            self.tell(loss, messages);
        }
    }

    /// When sums are due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.told.iter().map(|told| told.at + SUMS_EVERY).min()
    }

    /// Writes the sums that are due.
    pub(super) fn tell_due(&mut self, now: Instant) {
        self.tell_sums(|told| now >= told.at + SUMS_EVERY, now);
    }

    /// Writes all sums: the bridge ends, or pauses.
    pub(super) fn tell_all(&mut self, now: Instant) {
        self.tell_sums(|_| true, now);
    }

    fn tell_sums(&mut self, is_due: impl Fn(&Told) -> bool, now: Instant) {
        for (loss, count) in self.due(is_due, now) {
            self.tell(loss, count);
        }
    }

    /// Takes the sums that are due. A reason without further losses is forgotten: its next one is logged as the first.
    fn due(&mut self, is_due: impl Fn(&Told) -> bool, now: Instant) -> Vec<(Loss, u64)> {
        let mut sums = Vec::new();
        self.told.retain_mut(|told| {
            if !is_due(told) {
                return true;
            }
            let count = std::mem::take(&mut told.more);
            told.at = now;
            sums.extend((count > 0).then_some((told.loss, count)));
            count > 0
        });
        sums
    }

    fn tell(&self, loss: Loss, count: u64) {
        let bridge = &self.bridge;
        match loss {
            Loss::TooLarge => {
                tracing::warn!(target: "dunlin::bridge", bridge, count, "messages are too large to be sent")
            }
            Loss::Refused(reason) => {
                tracing::warn!(target: "dunlin::bridge", bridge, count, %reason, "the other broker refused messages");
            }
            Loss::Expired => tracing::warn!(target: "dunlin::bridge", bridge, count, "messages expired in the queue"),
            Loss::QueueFull => {
                tracing::warn!(target: "dunlin::bridge", bridge, count, "messages were dropped: the queue is full");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_loss_of_a_reason_is_told_and_further_ones_are_summed_up_each_minute() {
        let start = crate::clock::Clock::system().now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let due = |losses: &mut Losses, now| losses.due(|told| now >= told.at + SUMS_EVERY, now);
        let mut losses = Losses::new("b");
        assert_eq!(losses.next(), None);
        let refused = Loss::Refused(ReasonCode::NotAuthorized);
        assert!(losses.is_first(refused, 1, at(0)));
        assert!(losses.is_first(Loss::Refused(ReasonCode::QuotaExceeded), 1, at(1)), "another reason");
        (1..=5).for_each(|n| assert!(!losses.is_first(refused, 1, at(n))));
        assert_eq!((losses.next(), due(&mut losses, at(59))), (Some(at(60)), vec![]));
        assert_eq!(due(&mut losses, at(60)), [(refused, 5)]);
        // the other reason is quiet
        assert_eq!((due(&mut losses, at(61)), losses.told.len()), (vec![], 1));
        assert!(!losses.is_first(refused, 2, at(70)));
        assert_eq!((losses.next(), due(&mut losses, at(120))), (Some(at(120)), vec![(refused, 2)]));
        // after a minute without a loss, the next one is told
        assert_eq!(due(&mut losses, at(180)), []);
        assert!(losses.is_first(refused, 1, at(300)));
    }

    #[test]
    fn losses_of_the_queue_are_differences_of_its_counts() {
        let now = crate::clock::Clock::system().now();
        let mut losses = Losses::new("b");
        losses.note_missed(Missed { queue_full: 3, expired: 0 }, now);
        losses.note_missed(Missed { queue_full: 10, expired: 1 }, now);
        losses.note_missed(Missed { queue_full: 10, expired: 5 }, now);
        let mut sums = losses.due(|_| true, now);
        sums.sort_by_key(|(_, count)| *count);
        assert_eq!(sums, [(Loss::Expired, 4), (Loss::QueueFull, 7)]);
    }
}
