//! Counts of an exchange: messages in flight, SUBSCRIBE packets in flight, the rate; and the wanted state of its
//! bridge.

use std::time::{Duration, Instant};

use crate::types::{PacketId, QoS};

/// The wanted state of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// That it is connected.
    Run,
    /// That it is not, for now.
    Pause,
    /// That it ends; its session stays.
    End,
    /// End, and discard the queue.
    EndWithSession,
}

/// A message that was sent and is not completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    /// By this the queue knows it.
    pub(super) ack: u64,
    /// At which QoS it was sent.
    pub(super) qos: QoS,
    /// PUBREC came.
    pub(super) released: bool,
}

/// SUBSCRIBE packets that were sent.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) due: Vec<(PacketId, Vec<String>)>,
    /// Messages that were given Packet Identifiers since then.
    pub(super) given: u16,
}

/// So many messages may be given Packet Identifiers before one reaches those of SUBSCRIBE packets: these are the last
/// of 65,535, and at most half of the others are skipped because messages in flight have them.
const MOST_GIVEN: u16 = 16_000;

impl Asked {
    /// One for these filters.
    pub(super) fn begin(&mut self, id: PacketId, filters: Vec<String>) {
        self.due.push((id, filters));
    }

    /// Do further messages wait for the answers, so that none has the Packet Identifier of a SUBSCRIBE?
    pub(super) fn holds_messages(&self) -> bool {
        !self.due.is_empty() && self.given >= MOST_GIVEN
    }

    /// Nothing is due.
    pub(super) fn is_done(&self) -> bool {
        self.due.is_empty()
    }
}

/// How many messages may be sent in a second.
pub(super) struct Rate {
    per_second: f64,
    left: f64,
    at: Instant,
    /// The last message that was asked for had to wait.
    holds: bool,
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.into(), left: 1.0, at: now, holds: false }
    }

    /// May one more be sent?
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let burst = (self.per_second / 10.0).max(1.0);
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(burst);
        self.at = now;
        self.holds = self.left < 1.0;
        !self.holds
    }

    /// One was sent.
    pub(super) fn sent(&mut self) {
        self.left -= 1.0;
    }

    /// When the next one may be sent; `None`: none had to wait.
    pub(super) fn next(&self) -> Option<Instant> {
        let wait = Duration::from_secs_f64((1.0 - self.left).max(0.0) / self.per_second);
        self.holds.then(|| self.at + wait + Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_delays_messages_and_needs_no_timer_when_idle() {
        let start = crate::clock::Clock::system().now();
        let mut rate = Rate::new(10, start);
        assert!(rate.allows(start) && rate.next().is_none());
        rate.sent();
        // nothing more is asked for
        assert_eq!(rate.next(), None);
        assert!(!rate.allows(start));
        let next = rate.next().unwrap();
        assert_eq!(next - start, Duration::from_millis(101));
        // asked for again meanwhile, it does not wait longer
        assert!(!rate.allows(start + Duration::from_millis(50)));
        assert!(rate.next().unwrap() - next < Duration::from_millis(2));
        assert!(rate.allows(next));
        rate.sent();
        // unused allowance is kept for at most a tenth of a second
        let later = start + Duration::from_secs(10);
        assert!(rate.allows(later));
        rate.sent();
        assert!(!rate.allows(later));
    }
}
