//! [`Journal`]: the observer of a session's messages, called in order while the session is locked: for each message
//! that is sent, and, if a store keeps the session, for each [`SessionChange`] that must survive the process.

use std::{num::NonZeroU64, time::Instant};

use super::{CommitSeq, Message, Stored, Timed};
use crate::{
    codec::{PacketType, ReasonCode},
    types::{ClientId, PacketId, QoS},
};

/// The number of a session in the store. Numbers are never reused, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub NonZeroU64);

/// A change of the Session State of MQTT 3.1.1 section 4.1, except subscriptions; and of the retained messages that
/// are due to another broker.
#[derive(Clone, Copy, Debug)]
pub enum SessionChange<'a> {
    /// A QoS 1 or 2 message was queued or sent.
    Queued {
        /// Its number in the session. Numbers rise in order of arrival and are never reused.
        number: u64,
        /// The message, shared by all sessions that it is queued for.
        message: &'a Message,
        /// The QoS of the delivery.
        qos: QoS,
        /// RETAIN: it was retained when the client subscribed.
        retain: bool,
        /// It matched a shared subscription, and another member may get it instead.
        shared: bool,
        /// Its Subscription Identifiers, as properties on the wire.
        identifiers: &'a [u8],
        /// Its place in the order of sending, if it is sent at once. The Packet Identifier follows from it.
        sent: Option<u64>,
    },
    /// Queued messages were sent.
    Sent {
        /// The number of the first one. The others follow.
        number: u64,
        /// The first one's place in the order of sending, from which its Packet Identifier follows. The others follow.
        sent: u64,
        /// Number of messages, at least one.
        count: u32,
    },
    /// A PUBREC arrived: the Packet Identifier is still in use, the message is not needed any more.
    Released {
        /// The number of its `Queued`.
        number: u64,
    },
    /// A PUBACK or PUBCOMP arrived, or the messages were dropped: nothing of them is needed any more.
    Completed {
        /// The number of the first one. The others follow.
        number: u64,
        /// Number of messages, at least one.
        count: u32,
    },
    /// A QoS 2 message of the client was accepted.
    Received {
        /// The Packet Identifier of its PUBLISH.
        packet_id: PacketId,
    },
    /// A PUBREL arrived for such a message.
    ReceiptReleased {
        /// The Packet Identifier of its PUBLISH.
        packet_id: PacketId,
    },
    /// The retained message of a topic was set or cleared, and is due to the other broker.
    RetainedDue {
        /// The topic; empty: all retained messages are due.
        topic: &'a str,
    },
    /// The other broker has it, or it is queued at QoS 1 or 2.
    RetainedSent {
        /// The topic of its `RetainedDue`.
        topic: &'a str,
    },
}

impl SessionChange<'_> {
    /// Merges `next` into this change if it continues it. `false`: it does not.
    #[inline]
    pub fn extend(&mut self, next: &Self) -> bool {
        let (count, more) = match (self, next) {
            (Self::Completed { number, count }, &Self::Completed { number: next, count: more })
                if next == *number + u64::from(*count) =>
            {
                (count, more)
            }
            (Self::Sent { number, sent, count }, &Self::Sent { number: next, sent: place, count: more })
                if next == *number + u64::from(*count) && place == *sent + u64::from(*count) =>
            {
                (count, more)
            }
            _ => return false,
        };
        count.checked_add(more).map(|all| *count = all).is_some()
    }
}

/// The messages that a session holds for its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Queued messages and messages in flight.
    pub messages: usize,
    /// Bytes (topics and payloads) of queued messages, without retained messages of new subscriptions.
    pub bytes: usize,
    /// Bytes of memory for them, modulo the size of an address: only the sum over all sessions is meaningful. A message
    /// of several sessions counts once: it is added where it was held first, and subtracted where it is released last.
    pub cost: usize,
}

impl Backlog {
    /// Only memory: `cost` bytes.
    pub(super) fn of_cost(cost: usize) -> Self {
        Self { cost, ..Self::default() }
    }
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The queue was full.
    QueueFull,
    /// Its Message Expiry Interval passed.
    Expired,
    /// It is larger than the client accepts.
    TooLarge,
}

/// How a client is sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By MQTT 3.1 or 3.1.1.
    Plain,
    /// By MQTT 5.
    Five,
    /// It is within this process, and takes it.
    Inside,
}

/// The observer of a session's messages.
pub trait Journal {
    /// A queued message was sent: to which client, at which QoS, and how.
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS, by: Way);

    /// A PUBLISH or PUBREL that the client was sent before is on its way again.
    fn sent_again(&mut self, packet: PacketType) {
        let _ = packet;
    }

    /// A message for this client was dropped.
    fn dropped(&mut self, client: &ClientId, message: &Message, why: Gone);

    /// Must [`acknowledged`](Self::acknowledged) be called? Then the session keeps each message until it is.
    fn follows(&self) -> bool {
        false
    }

    /// The client acknowledged a message that it was sent at this QoS. `reason`: of its PUBACK or PUBCOMP, or of a
    /// PUBREC that refuses the message.
    fn acknowledged(&mut self, client: &ClientId, message: &Message, qos: QoS, reason: ReasonCode) {
        let _ = (client, message, qos, reason);
    }

    /// The client acknowledged a message that was timed.
    fn timed(&mut self, client: &ClientId, timed: &Timed, now: Instant) {
        let _ = (client, timed, now);
    }

    /// A stored session changed. Returns when the change is durable.
    fn changed(&mut self, session: SessionNumber, change: SessionChange<'_>) -> Stored;

    /// The same for a change that no task waits for: it may be merged with changes that continue it.
    fn coalesce(&mut self, session: SessionNumber, change: SessionChange<'static>) {
        let _ = self.changed(session, change);
    }

    /// The last commit that is durable.
    fn done(&self) -> CommitSeq;

    /// The time in the router's count of moments; `None`: no observer needs it.
    fn moment(&self) -> Option<u32> {
        None
    }

    /// Do all queues together hold as much as they may? Then each queue counts as full.
    fn queues_are_full(&self) -> bool {
        false
    }

    /// The session's backlog changed from `before` to `now`: for gauges over all sessions.
    fn holds(&mut self, before: Backlog, now: Backlog) {
        let _ = (before, now);
    }
}

/// For calls that pass on a borrowed journal.
impl<J: Journal> Journal for &mut J {
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS, by: Way) {
        (**self).sent(client, message, qos, by);
    }

    fn sent_again(&mut self, packet: PacketType) {
        (**self).sent_again(packet);
    }

    fn dropped(&mut self, client: &ClientId, message: &Message, why: Gone) {
        (**self).dropped(client, message, why);
    }

    #[inline]
    fn follows(&self) -> bool {
        (**self).follows()
    }

    fn acknowledged(&mut self, client: &ClientId, message: &Message, qos: QoS, reason: ReasonCode) {
        (**self).acknowledged(client, message, qos, reason);
    }

    fn timed(&mut self, client: &ClientId, timed: &Timed, now: Instant) {
        (**self).timed(client, timed, now);
    }

    fn changed(&mut self, session: SessionNumber, change: SessionChange<'_>) -> Stored {
        (**self).changed(session, change)
    }

    fn coalesce(&mut self, session: SessionNumber, change: SessionChange<'static>) {
        (**self).coalesce(session, change);
    }

    fn done(&self) -> CommitSeq {
        (**self).done()
    }

    fn moment(&self) -> Option<u32> {
        (**self).moment()
    }

    fn queues_are_full(&self) -> bool {
        (**self).queues_are_full()
    }

    #[inline]
    fn holds(&mut self, before: Backlog, now: Backlog) {
        (**self).holds(before, now);
    }
}

/// For sessions without observers and without a store.
impl Journal for () {
    fn sent(&mut self, _: &ClientId, _: &Message, _: QoS, _: Way) {}

    fn dropped(&mut self, _: &ClientId, _: &Message, _: Gone) {}

    fn changed(&mut self, _: SessionNumber, _: SessionChange<'_>) -> Stored {
        Stored::Done
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_changes_are_merged() {
        let completed = |number, count| SessionChange::Completed { number, count };
        let sent = |number, sent, count| SessionChange::Sent { number, sent, count };
        let table = [
            (completed(1, 2), completed(3, 4), Some(completed(1, 6))),
            (completed(1, 2), completed(4, 1), None),
            (completed(1, 2), completed(2, 1), None),
            (completed(1, u32::MAX), completed(1 + u64::from(u32::MAX), 1), None),
            (sent(1, 7, 2), sent(3, 9, 1), Some(sent(1, 7, 3))),
            (sent(1, 7, 2), sent(3, 10, 1), None),
            (sent(1, 7, 2), sent(4, 9, 1), None),
            (sent(1, 7, 2), completed(3, 1), None),
            (completed(1, 2), sent(3, 9, 1), None),
            (SessionChange::Released { number: 1 }, SessionChange::Released { number: 2 }, None),
        ];
        for (mut change, next, both) in table {
            let before = format!("{change:?}");
            assert_eq!(change.extend(&next), both.is_some(), "{before}, {next:?}");
            assert_eq!(format!("{change:?}"), both.map_or(before, |both| format!("{both:?}")));
        }
    }
}
