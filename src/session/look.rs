//! Read-only views of a session, for inspection.

use super::{
    Message, Session, StoredWill,
    inflight::SendState,
    outbound::Outbound,
    queue::{Queue, Queued},
};
use crate::types::{PacketId, QoS};

/// The contents of a session in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Filters of its subscriptions, without shared subscriptions.
    pub subscriptions: usize,
    /// Queued messages.
    pub queued: usize,
    /// Bytes (topics and payloads) of queued messages, without retained messages of new subscriptions.
    pub queued_bytes: usize,
    /// Messages in flight.
    pub in_flight: usize,
    /// Messages that its client may not read now.
    pub skipped: usize,
    /// Unreleased QoS 2 messages of its client.
    pub unreleased: usize,
}

/// A queued message.
#[derive(Clone, Debug)]
pub struct WaitingMessage {
    /// Topic, payload and properties.
    pub message: Message,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// RETAIN of the delivery.
    pub retain: bool,
}

/// A message in flight.
#[derive(Clone, Debug)]
pub struct SentMessage {
    /// Its Packet Identifier.
    pub packet_id: PacketId,
    /// Its state.
    pub stage: Stage,
    /// The message to send again. `None`: a PUBREC arrived, or the session ends with its connection.
    pub message: Option<Message>,
}

/// The state of a message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// PUBLISH was sent at this QoS, or is in the output; PUBACK or PUBREC is expected.
    Published(QoS),
    /// PUBREC arrived and PUBREL was sent; PUBCOMP is expected.
    Released,
}

impl Session {
    /// Calls `each` with the Topic Aliases of its connection: whether it is one of the client's, its number, its topic.
    pub(crate) fn topic_aliases(&self, each: &mut dyn FnMut(bool, u16, &str)) {
        let dialect = self.attached.as_ref().and_then(|attached| attached.dialect.as_ref());
        dialect.into_iter().for_each(|dialect| dialect.agreed(each));
    }

    /// The contents in numbers.
    pub fn holds(&self) -> Holds {
        let outbound = self.outbound.as_deref();
        let of = |count: fn(&Outbound) -> usize| outbound.map_or(0, count);
        Holds {
            subscriptions: self.subscriptions.len(),
            queued: of(Outbound::waiting),
            queued_bytes: self.backlog().bytes,
            in_flight: of(Outbound::in_flight),
            skipped: self.skipped(),
            unreleased: self.unreleased(),
        }
    }

    /// The first `most` queued messages, in order of arrival.
    pub fn waiting(&self, most: usize) -> Vec<WaitingMessage> {
        let queued = self.outbound.as_ref().map_or_else(Vec::new, |outbound| outbound.first_waiting(most));
        let waiting = |m: &Queued| WaitingMessage { message: m.message.clone(), qos: m.qos, retain: m.retain };
        queued.into_iter().map(waiting).collect()
    }

    /// The first `most` messages in flight, in order of sending.
    pub fn sent(&self, most: usize) -> Vec<SentMessage> {
        let inflight = self.outbound.iter().flat_map(|outbound| outbound.all_in_flight());
        let sent = inflight.take(most).map(|sent| SentMessage {
            packet_id: sent.packet_id(),
            stage: match sent.state {
                SendState::Published { qos, .. } => Stage::Published(qos),
                SendState::Released { .. } => Stage::Released,
            },
            message: sent.sent_again().cloned(),
        });
        sent.collect()
    }

    /// Calls `name` for each message, and returns the bytes of their places: for tests.
    #[cfg(test)]
    pub(crate) fn costs(&self, name: impl FnMut(&Message)) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.costs(name))
    }

    /// The Will of the connected client.
    pub fn will(&self) -> Option<&StoredWill> {
        self.attached.as_ref()?.will.as_deref()
    }
}

impl Queue {
    /// In order of arrival.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = &Queued> + '_> {
        match self {
            Self::InOrder(queue) => Box::new(queue.iter()),
            Self::ByTopic(queue) => Box::new(queue.all()),
        }
    }
}
