//! Read-only views of a session, for inspection.

use super::{
    Message, Session, StoredWill,
    inflight::SendState,
    outbound::Outbound,
    queue::{Queue, Queued},
};
use crate::types::{PacketId, QoS};

/// How much a session holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Filters that it subscribes to, without those of shared subscriptions.
    pub subscriptions: usize,
    /// Messages that wait.
    pub queued: usize,
    /// Bytes (topics and payloads) of those, without the retained messages of new subscriptions.
    pub queued_bytes: usize,
    /// Messages that were sent and not completed.
    pub in_flight: usize,
    /// Messages that its client may not receive now.
    pub skipped: usize,
    /// QoS 2 messages of its client that are not released.
    pub unreleased: usize,
}

/// A message that waits for a client.
#[derive(Clone, Debug)]
pub struct WaitingMessage {
    /// Topic, payload and properties.
    pub message: Message,
    /// At which it is to be sent.
    pub qos: QoS,
    /// It is sent with RETAIN.
    pub retain: bool,
}

/// A message that was sent and is not completed.
#[derive(Clone, Debug)]
pub struct SentMessage {
    /// Packet Identifier.
    pub packet_id: PacketId,
    /// How far it has come.
    pub stage: Stage,
    /// What is sent again; `None` where nothing is any more, or the session ends with its connection.
    pub message: Option<Message>,
}

/// How far a message in flight has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// PUBLISH was sent at this QoS, or is about to be; PUBACK or PUBREC is awaited.
    Published(QoS),
    /// PUBREC came, PUBREL was sent; PUBCOMP is awaited.
    Released,
}

impl Session {
    /// How much it holds.
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

    /// The first `most` of the messages that wait, in the order in which they came.
    pub fn waiting(&self, most: usize) -> Vec<WaitingMessage> {
        let queued = self.outbound.as_ref().map_or_else(Vec::new, |outbound| outbound.first_waiting(most));
        let waiting = |m: &Queued| WaitingMessage { message: m.message.clone(), qos: m.qos, retain: m.retain };
        queued.into_iter().map(waiting).collect()
    }

    /// The first `most` of those that were sent and are not completed, in the order in which they were sent.
    pub fn sent(&self, most: usize) -> Vec<SentMessage> {
        let inflight = self.outbound.iter().flat_map(|outbound| outbound.all_in_flight());
        let sent = inflight.take(most).map(|sent| SentMessage {
            packet_id: sent.packet_id(),
            stage: match sent.state {
                SendState::Published { qos, .. } => Stage::Published(qos),
                SendState::Released => Stage::Released,
            },
            message: sent.sent_again().cloned(),
        });
        sent.collect()
    }

    /// Names each message that it holds, and gives the bytes of the places for them: for tests.
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
    /// In the order in which they came.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = &Queued> + '_> {
        match self {
            Self::InOrder(queue) => Box::new(queue.iter()),
            Self::ByTopic(queue) => Box::new(queue.all()),
        }
    }
}
