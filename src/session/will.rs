//! [`StoredWill`]: the Will of a client, until it is published or its client takes it back.

use std::time::{Duration, Instant};

use super::{Message, Outgoing};

/// A Will Message, kept until its client's connection ends; one with a delay, longer (MQTT 5 section 3.1.3.2.2).
#[derive(Clone, Debug)]
pub struct StoredWill {
    /// Topic, payload, QoS and the properties that are passed on.
    pub message: Message,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval, in seconds; 0 before MQTT 5.
    pub delay: u32,
    /// Message Expiry Interval, in seconds from its publication on.
    pub expiry: Option<u32>,
}

impl StoredWill {
    /// As a client of a version before MQTT 5 has it.
    pub fn plain(message: Message, retain: bool) -> Self {
        Self { message, retain, delay: 0, expiry: None }
    }

    /// How long it waits once its client's connection ended, if the session does not end before; `None`: it does not.
    pub fn delay(&self) -> Option<Duration> {
        (self.delay > 0).then(|| Duration::from_secs(self.delay.into()))
    }

    /// What is published now.
    pub fn outgoing(&self, now: Instant) -> Outgoing<'_> {
        let outgoing = Outgoing::from(&self.message).with_retain(self.retain);
        match self.expiry.and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into()))) {
            // another message than the one that is kept: that one does not expire
            Some(at) => outgoing.expiring(at),
            None => outgoing,
        }
    }

    /// Bytes of memory for it, about.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.message.size()
    }
}
