//! [`Tally`]: the counts of one turn of a connection, for its `Presence`. They are the difference of the thread's
//! counters before and after the turn, so a message costs nothing.

use super::{
    super::sessions::Flow,
    counters::Count,
    local::RouterThread,
    traffic::{Load, Published},
};

/// The thread's counts so far of packets from and to the client whose turn it is.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    packets_received: u64,
    bytes_received: u64,
    /// Without Wills, which are those of clients that are gone.
    pub(crate) published: Published,
    /// Packets other than PUBLISH, which other clients may get too.
    answers: u64,
    bytes_sent: u64,
}

impl RouterThread {
    /// The current counts.
    #[inline]
    pub fn tally(&self) -> Tally {
        let get = |count| self.observers.counted(count);
        let traffic = self.observers.traffic();
        Tally {
            packets_received: traffic.packets_received(),
            bytes_received: get(Count::BytesReceived),
            published: traffic.published_so_far(),
            answers: traffic.answers(),
            bytes_sent: get(Count::BytesSent),
        }
    }
}

impl Tally {
    /// The counts since `before`, from the client and to it. `published`: PUBLISH packets that were written to it.
    #[inline]
    pub(crate) fn since(&self, before: &Self, published: u64) -> (Flow, Flow) {
        let messages = |published: &Published| {
            published.iter().fold(0, |sum: u64, Load { messages, .. }| sum.wrapping_add(*messages))
        };
        let received = Flow {
            packets: self.packets_received.wrapping_sub(before.packets_received),
            messages: messages(&self.published).wrapping_sub(messages(&before.published)),
            bytes: self.bytes_received.wrapping_sub(before.bytes_received),
        };
        let answers = self.answers.wrapping_sub(before.answers);
        let bytes = self.bytes_sent.wrapping_sub(before.bytes_sent);
        (received, Flow { packets: answers.wrapping_add(published), messages: published, bytes })
    }
}
