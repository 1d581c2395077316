//! [`Timed`]: a message that is timed from its PUBLISH until its subscriber's PUBACK or PUBCOMP.

use std::time::{Duration, Instant};

use crate::{topic::TopicName, types::QoS};

/// A message that is timed from its PUBLISH until its subscriber's PUBACK or PUBCOMP.
#[derive(Clone, Debug)]
pub struct Timed {
    pub(super) number: u64,
    pub(super) topic: Box<str>,
    /// The QoS of the delivery.
    pub qos: QoS,
    pub(super) published: Instant,
    /// `None`: it waits in the queue.
    pub(super) sent: Option<Instant>,
}

impl Timed {
    /// The Topic Name.
    pub fn topic(&self) -> &TopicName {
        TopicName::from_valid(&self.topic)
    }

    /// How long it waited until it was sent, and since then for its acknowledgement.
    pub fn times(&self, now: Instant) -> (Duration, Duration) {
        let sent = self.sent.unwrap_or(now);
        (sent.saturating_duration_since(self.published), now.saturating_duration_since(sent))
    }
}
