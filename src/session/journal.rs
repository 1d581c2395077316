//! [`Journal`]: who is told, under the session's lock and in order, of what becomes of a session's messages: that one is
//! on its way, and each [`Change`] that has to survive the process where the session is one that a store keeps.

use std::num::NonZeroU64;

use super::{CommitSeq, Message, Stored};
use crate::types::{ClientId, PacketId, QoS};

/// The number under which a store keeps a session: never given twice, not after a restart either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub NonZeroU64);

/// A change of the Session State of MQTT 3.1.1 section 4.1, without the subscriptions.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A QoS 1 or 2 message that the session is to be sent.
    Queued {
        /// Its number: rises with each message of the session, is never given twice; the order in which messages wait.
        number: u64,
        /// Shared by all sessions that it is queued for.
        message: &'a Message,
        /// At which QoS it is to be sent.
        qos: QoS,
        /// With RETAIN: for a new subscription.
        retain: bool,
        /// Its place in the order of sending, where it is sent at once; the Packet Identifier follows from it.
        sent: Option<u64>,
    },
    /// It left the queue and is sent.
    Sent {
        /// Of its `Queued`.
        number: u64,
        /// Its place in the order of sending; the Packet Identifier follows from it.
        sent: u64,
    },
    /// PUBREC came: the message may be forgotten, its Packet Identifier not.
    Released {
        /// Of its `Queued`.
        number: u64,
    },
    /// PUBACK or PUBCOMP came, or the message was dropped: all of it may be forgotten.
    Completed {
        /// Of its `Queued`.
        number: u64,
    },
    /// A QoS 2 message of the client was taken.
    Received {
        /// Of its PUBLISH.
        packet_id: PacketId,
    },
    /// PUBREL came for it.
    ReceiptReleased {
        /// Of its PUBLISH.
        packet_id: PacketId,
    },
}

/// Is told what becomes of a session's messages.
pub trait Journal {
    /// A message that waited is on its way: to whom, and at which QoS.
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS);

    /// A message that waited, or came, found the queue full and is no more: whose it was.
    fn dropped(&mut self, client: &ClientId, message: &Message);

    /// A change of a session that is kept. The answer says when it is durable.
    fn changed(&mut self, session: SessionNumber, change: Change<'_>) -> Stored;

    /// Everything up to this commit is durable.
    fn done(&self) -> CommitSeq;
}

/// For sessions that nobody watches and no store keeps.
impl Journal for () {
    fn sent(&mut self, _: &ClientId, _: &Message, _: QoS) {}

    fn dropped(&mut self, _: &ClientId, _: &Message) {}

    fn changed(&mut self, _: SessionNumber, _: Change<'_>) -> Stored {
        Stored::Done
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(u64::MAX)
    }
}
