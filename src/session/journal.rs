//! [`Journal`]: the observer of a session's messages, called in order under the session's lock: for each message that
//! is sent, and, if a store keeps the session, for each [`SessionChange`] that must survive the process.

use std::num::NonZeroU64;

use super::{CommitSeq, Message, Stored};
use crate::types::{ClientId, PacketId, QoS};

/// The number under which a store keeps a session: never given twice, not after a restart either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub NonZeroU64);

/// A change of the Session State of MQTT 3.1.1 section 4.1, without the subscriptions.
#[derive(Clone, Copy, Debug)]
pub enum SessionChange<'a> {
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
        /// Through a shared subscription: other members may get it instead.
        shared: bool,
        /// With these Subscription Identifiers, as properties on the wire.
        identifiers: &'a [u8],
        /// Its place in the order of sending, where it is sent at once; the Packet Identifier follows from it.
        sent: Option<u64>,
    },
    /// Messages left the queue and are sent.
    Sent {
        /// Of the first one's `Queued`; those of the others follow it.
        number: u64,
        /// The first one's place in the order of sending, from which the Packet Identifier follows; the others' follow
        /// it.
        sent: u64,
        /// How many, at least one.
        count: u32,
    },
    /// PUBREC came: the message may be forgotten, its Packet Identifier not.
    Released {
        /// Of its `Queued`.
        number: u64,
    },
    /// PUBACK or PUBCOMP came, or the message was dropped: all of it may be forgotten.
    Completed {
        /// Of the first one's `Queued`; those of the others follow it.
        number: u64,
        /// How many, at least one.
        count: u32,
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

/// What a session holds of messages for its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait or are in flight.
    pub messages: usize,
    /// Bytes (topics and payloads) of those that wait, without the retained messages of new subscriptions.
    pub bytes: usize,
    /// Bytes of memory for them, modulo the size of an address: only the sum over all sessions means anything. What
    /// several sessions hold is in it once: added where it was held first, taken off where it is held last.
    pub cost: usize,
}

impl Backlog {
    /// What is held beside messages: so many bytes of memory.
    pub(super) fn of_cost(cost: usize) -> Self {
        Self { cost, ..Self::default() }
    }
}

/// Why a message that was to be sent is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The queue had no place for it.
    QueueFull,
    /// Its Message Expiry Interval passed.
    Expired,
    /// It is larger than the client takes.
    TooLarge,
}

/// Is told what becomes of a session's messages.
pub trait Journal {
    /// A message that waited is on its way: to whom, and at which QoS.
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS);

    /// A message that waited, or came, is no more: whose it was, and why.
    fn dropped(&mut self, client: &ClientId, message: &Message, why: Gone);

    /// A change of a session that is kept. The answer says when it is durable.
    fn changed(&mut self, session: SessionNumber, change: SessionChange<'_>) -> Stored;

    /// The same, where nobody waits for it to be durable: it may be told with those that go on from it.
    fn coalesce(&mut self, session: SessionNumber, change: SessionChange<'static>) {
        let _ = self.changed(session, change);
    }

    /// Everything up to this commit is durable.
    fn done(&self) -> CommitSeq;

    /// All queues together hold as much as they may: this one is full, whatever it holds.
    fn queues_are_full(&self) -> bool {
        false
    }

    /// The session holds `now`, where it was said to hold `before`: for gauges over all sessions.
    fn holds(&mut self, before: Backlog, now: Backlog) {
        let _ = (before, now);
    }
}

/// For as long as a turn lasts.
impl<J: Journal> Journal for &mut J {
    fn sent(&mut self, client: &ClientId, message: &Message, qos: QoS) {
        (**self).sent(client, message, qos);
    }

    fn dropped(&mut self, client: &ClientId, message: &Message, why: Gone) {
        (**self).dropped(client, message, why);
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

    fn queues_are_full(&self) -> bool {
        (**self).queues_are_full()
    }

    #[inline]
    fn holds(&mut self, before: Backlog, now: Backlog) {
        (**self).holds(before, now);
    }
}

/// For sessions that nobody watches and no store keeps.
impl Journal for () {
    fn sent(&mut self, _: &ClientId, _: &Message, _: QoS) {}

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
    fn changes_that_go_on_from_one_another_are_one() {
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
