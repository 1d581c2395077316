//! [`Tally`]: the counts of one turn of a connection, for its `Presence`. They are the difference of the thread's
//! counters before and after the turn, so a message costs nothing.

use super::{super::sessions::Flow, counters::Count, local::RouterThread};

/// The thread's counts so far of packets from and to the client whose turn it is.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    received: Flow,
    /// Packets other than PUBLISH, which other clients may get too.
    answers: u64,
    bytes_sent: u64,
}

impl RouterThread {
    /// The current counts.
    #[inline]
    pub fn tally(&self) -> Tally {
        let get = |count| self.observers.counted(count);
        // Wills count as published, but come from clients that are gone
        let messages = get(Count::PublishReceived).wrapping_sub(get(Count::Wills));
        Tally {
            received: Flow { packets: get(Count::MessagesReceived), messages, bytes: get(Count::BytesReceived) },
            answers: get(Count::MessagesSent).wrapping_sub(get(Count::PublishSent)),
            bytes_sent: get(Count::BytesSent),
        }
    }
}

impl Tally {
    /// The counts since `before`, from the client and to it. `published`: PUBLISH packets that were written to it.
    #[inline]
    pub(crate) fn since(&self, before: &Self, published: u64) -> (Flow, Flow) {
        let received = Flow {
            packets: self.received.packets.wrapping_sub(before.received.packets),
            messages: self.received.messages.wrapping_sub(before.received.messages),
            bytes: self.received.bytes.wrapping_sub(before.received.bytes),
        };
        let answers = self.answers.wrapping_sub(before.answers);
        let bytes = self.bytes_sent.wrapping_sub(before.bytes_sent);
        (received, Flow { packets: answers.wrapping_add(published), messages: published, bytes })
    }
}
