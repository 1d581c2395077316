//! [`Received`]: a message that a client within this process received.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use crate::{
    clock::Clock,
    codec::Properties,
    router::Publisher,
    session::{Message, Taken},
    topic::TopicName,
    types::QoS,
};

/// A message that a client within this process received. A clone shares topic and payload.
#[derive(Clone)]
#[non_exhaustive]
pub struct Received {
    message: Message,
    number: u64,
    /// The lower one of the message's QoS and the subscription's.
    pub qos: QoS,
    /// RETAIN: true for a retained message of a new subscription; with Retain As Published, as its publisher set
    /// it.
    pub retain: bool,
    /// It was received before, and not acknowledged. (Messages that are repeated because of a crash may lack this.)
    pub dup: bool,
    /// The client that published it, also by its Will. `None`: the broker published it, or the publisher is
    /// unknown, as for retained messages and for messages from before a restart.
    pub publisher: Option<Publisher>,
    /// The time of publication; `None`: unknown, as for `publisher`.
    pub at: Option<SystemTime>,
    /// The rest of its Message Expiry Interval.
    pub expires_in: Option<Duration>,
    /// Needed to acknowledge it; `None` at QoS 0.
    pub ack: Option<Ack>,
}

/// Acknowledges a message, also after the [`Received`] was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack(pub(super) u64);

impl Received {
    pub(super) fn new(taken: Taken, clock: &Clock, now: Instant) -> Self {
        Self::at(taken, clock.wall(), now)
    }

    /// It is taken at this time, by both clocks.
    pub(super) fn at(taken: Taken, wall: SystemTime, now: Instant) -> Self {
        let Taken { message, number, qos, retain, dup, ack, note } = taken;
        let at = note.as_ref().and_then(|note| wall.checked_sub(now.saturating_duration_since(note.at)));
        let publisher = note.and_then(|note| Some(Publisher { client: note.client?, user: note.user }));
        let expires_in = message.expires().map(|at| at.saturating_duration_since(now));
        Self { message, number, qos, retain, dup, publisher, at, expires_in, ack: ack.map(Ack) }
    }

    /// Its number in the client's session. In the session of a durable client it is the same after a restart.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Topic Name.
    pub fn topic(&self) -> &str {
        self.message.topic().as_str()
    }

    /// The same, as a type.
    pub fn topic_name(&self) -> &TopicName {
        self.message.topic()
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.message.payload()
    }

    /// The payload, shared: it is not copied, and may outlive this.
    pub fn bytes(&self) -> Bytes {
        Bytes::from_owner(Payload(self.message.clone()))
    }

    /// Its properties, without Topic Alias and Message Expiry Interval; none if the publisher does not speak MQTT
    /// 5.
    pub fn properties(&self) -> Properties<'_> {
        self.message.extras().properties
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { qos, retain, dup, publisher, .. } = self;
        let mut all = f.debug_struct("Received");
        all.field("topic", &self.topic()).field("payload", &self.payload().len());
        all.field("qos", qos).field("retain", retain).field("dup", dup).field("publisher", publisher);
        all.finish_non_exhaustive()
    }
}

struct Payload(Message);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.0.payload()
    }
}
