//! [`StoredWill`]: the Will of a client, until it is published or discarded.

use std::time::{Duration, Instant};

use super::{Message, Outgoing};

/// A Will Message. It is kept until its client's connection ends, or longer if it has a delay (MQTT 5 section
/// 3.1.3.2.2).
#[derive(Clone, Debug)]
pub struct StoredWill {
    /// Topic, payload, QoS and forwarded properties.
    pub message: Message,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval, in seconds; 0 before MQTT 5.
    pub delay: u32,
    /// Message Expiry Interval, in seconds from its publication.
    pub expiry: Option<u32>,
}

impl StoredWill {
    /// A Will of MQTT 3.1 or 3.1.1.
    pub fn plain(message: Message, retain: bool) -> Self {
        Self { message, retain, delay: 0, expiry: None }
    }

    /// How long to wait after the connection has ended, unless the session ends before. `None`: no delay.
    pub fn delay(&self) -> Option<Duration> {
        (self.delay > 0).then(|| Duration::from_secs(self.delay.into()))
    }

    /// The message to publish now.
    pub fn outgoing(&self, now: Instant) -> Outgoing<'_> {
        let outgoing = Outgoing::from(&self.message).with_retain(self.retain);
        match self.expiry.and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into()))) {
            // a copy, because the stored message does not expire
            Some(at) => outgoing.expiring(at),
            None => outgoing,
        }
    }

    /// Approximate bytes of memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.message.size()
    }
}
