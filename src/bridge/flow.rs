//! What an exchange keeps account of: messages in flight, SUBSCRIBE packets that are due, the rate, and what is wished
//! of its bridge.

use std::time::{Duration, Instant};

use crate::types::{PacketId, QoS};

/// What is wished of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// That it is connected.
    Run,
    /// That it is not, for now.
    Pause,
    /// That it ends; its session stays.
    End,
    /// That it ends, and what waits in its session is given up.
    EndWithSession,
}

/// A message that was sent and is not completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
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
    last: u16,
    pub(super) due: Vec<(PacketId, Vec<String>)>,
}

impl Asked {
    /// One for these filters: its Packet Identifier, from the end of those that there are.
    pub(super) fn begin(&mut self, filters: Vec<String>) -> PacketId {
        self.last += 1;
        let id = PacketId::new(u16::MAX - self.last).unwrap_or(PacketId::MIN);
        self.due.push((id, filters));
        id
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
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.into(), left: 1.0, at: now }
    }

    /// One more may be sent.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let burst = (self.per_second / 10.0).max(1.0);
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(burst);
        self.at = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }

    /// When the next one may be sent; `None`: now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let lacks = 1.0 - self.left;
        (lacks > 0.0).then(|| now + Duration::from_secs_f64(lacks / self.per_second) + Duration::from_millis(1))
    }
}
