//! [`Traffic`]: one thread's counts of packets by type, and of messages by QoS and by version of MQTT. [`Loads`]: the
//! sums over all threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    codec::PacketType,
    types::{ProtocolVersion, QoS},
};

/// One thread's. Only that thread writes.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Packets from clients, by type. PUBLISH packets are added by [`heard_publishes`](Self::heard_publishes).
    received: [AtomicU64; TYPES],
    /// Of `received`, those that are not PUBLISH.
    received_others: AtomicU64,
    /// Packets to clients, by type: of PUBLISH those that were sent before.
    sent: [AtomicU64; TYPES],
    /// Of `sent`, those that are not PUBLISH.
    answers: AtomicU64,
    /// Messages from clients, by QoS.
    published: [Counted; QOS],
    /// Of `published`, those that no packet brought: Wills.
    wills: [Counted; QOS],
    /// Of `published`, those of packets: by version.
    by_version: [[Counted; QOS]; VERSIONS],
    /// Messages to clients, by QoS.
    delivered: [Counted; QOS],
    /// Of `delivered`, those to clients that speak MQTT 5.
    delivered_5: [Counted; QOS],
}

/// By the upper half of a packet's first byte.
const TYPES: usize = 16;
const QOS: usize = 3;
/// MQTT 3.1 and 3.1.1 are one: the bytes of their messages are the same.
const VERSIONS: usize = 2;

/// Messages and the bytes of their payloads, as they are counted.
#[derive(Debug, Default)]
struct Counted {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Messages and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.messages = self.messages.wrapping_add(other.messages);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }

    fn less(self, other: Self) -> Self {
        let messages = self.messages.wrapping_sub(other.messages);
        Self { messages, bytes: self.bytes.wrapping_sub(other.bytes) }
    }
}

impl Counted {
    #[inline]
    fn add(&self, Load { messages, bytes }: Load) {
        add_alone(&self.messages, messages);
        add_alone(&self.bytes, bytes);
    }

    #[inline]
    fn get(&self) -> Load {
        Load { messages: self.messages.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// One writer: no locked instruction is needed.
#[inline]
pub(super) fn add_alone(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// The messages that a thread's clients published, by QoS.
pub(crate) type Published = [Load; QOS];

impl Traffic {
    // ---- to be called by its own thread ----

    /// Counts a packet other than PUBLISH, by the upper half of its first byte.
    #[inline]
    pub(crate) fn heard(&self, packet: u8) {
        if packet != PacketType::Publish as u8 {
            self.heard_some(packet, 1);
        }
    }

    /// Counts packets of a type other than PUBLISH.
    #[inline]
    pub(crate) fn heard_some(&self, packet: u8, count: u64) {
        add_alone(&self.received[usize::from(packet) % TYPES], count);
        add_alone(&self.received_others, count);
    }

    /// Number of packets other than PUBLISH so far.
    #[inline]
    pub(crate) fn others(&self) -> u64 {
        self.received_others.load(Ordering::Relaxed)
    }

    /// Counts PUBLISH packets.
    #[inline]
    pub(crate) fn heard_publishes(&self, count: u64) {
        add_alone(&self.received[PacketType::Publish as usize], count);
    }

    /// Number of packets so far.
    #[inline]
    pub(crate) fn packets_received(&self) -> u64 {
        self.received[PacketType::Publish as usize].load(Ordering::Relaxed).wrapping_add(self.others())
    }

    /// A packet that is not PUBLISH is on its way to a client.
    #[inline]
    pub(crate) fn said(&self, packet: PacketType) {
        add_alone(&self.sent[packet as usize], 1);
        add_alone(&self.answers, 1);
    }

    /// A PUBLISH that the client was sent before is on its way again.
    pub(crate) fn sent_again(&self) {
        add_alone(&self.sent[PacketType::Publish as usize], 1);
    }

    /// Packets that are not PUBLISH, to clients.
    #[inline]
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// A client's message of so many bytes was accepted.
    #[inline]
    pub(crate) fn published(&self, qos: QoS, bytes: usize) {
        self.published[qos as usize].add(Load { messages: 1, bytes: bytes as u64 });
    }

    /// The last message that was accepted is a Will.
    pub(crate) fn was_will(&self, qos: QoS, bytes: usize) {
        self.wills[qos as usize].add(Load { messages: 1, bytes: bytes as u64 });
    }

    /// A message of so many bytes is on its way to a client.
    #[inline]
    pub(crate) fn delivered(&self, qos: QoS, bytes: usize) {
        self.delivered[qos as usize].add(Load { messages: 1, bytes: bytes as u64 });
    }

    /// The same to a client that speaks MQTT 5.
    #[inline]
    pub(crate) fn delivered_5(&self, qos: QoS, bytes: usize) {
        // in this order: see `Loads::keep_up`
        self.delivered_5[qos as usize].add(Load { messages: 1, bytes: bytes as u64 });
        self.delivered(qos, bytes);
    }

    /// What clients published so far.
    #[inline]
    pub(crate) fn published_so_far(&self) -> Published {
        std::array::from_fn(|qos| self.published[qos].get().less(self.wills[qos].get()))
    }

    /// Counts messages that a client of this version published since.
    pub(crate) fn published_by(&self, version: ProtocolVersion, since: &Published) {
        let now = self.published_so_far();
        let of_version = &self.by_version[usize::from(version == ProtocolVersion::V5)];
        for ((counted, now), since) in of_version.iter().zip(now).zip(since) {
            counted.add(now.less(*since));
        }
    }
}

/// What all threads counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// Packets from clients, by the number of their type.
    pub packets_received: [u64; TYPES],
    /// The same to clients.
    pub packets_sent: [u64; TYPES],
    /// Messages of PUBLISH packets that were accepted from clients: of those that speak MQTT 3.1 or 3.1.1, and MQTT 5;
    /// by QoS.
    pub received: [[Load; QOS]; VERSIONS],
    /// The same to clients, those that were sent again not among them.
    pub sent: [[Load; QOS]; VERSIONS],
    /// All messages of clients, also Wills.
    pub published: Load,
}

impl Loads {
    pub(super) fn add(&mut self, thread: &Traffic) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (sum, counter) in self.packets_received.iter_mut().zip(&thread.received) {
            *sum += get(counter);
        }
        for (sum, counter) in self.packets_sent.iter_mut().zip(&thread.sent) {
            *sum += get(counter);
        }
        for (sums, counters) in self.received.iter_mut().zip(&thread.by_version) {
            sums.iter_mut().zip(counters).for_each(|(sum, counter)| sum.add(counter.get()));
        }
        let [plain, five] = &mut self.sent;
        for qos in 0..QOS {
            let all = thread.delivered[qos].get();
            let of_5 = thread.delivered_5[qos].get();
            five[qos].add(of_5);
            let messages = all.messages.saturating_sub(of_5.messages);
            plain[qos].add(Load { messages, bytes: all.bytes.saturating_sub(of_5.bytes) });
            self.packets_sent[PacketType::Publish as usize] += all.messages;
            self.published.add(thread.published[qos].get());
        }
    }

    /// All messages to clients.
    pub fn delivered(&self) -> Load {
        let mut sum = Load::default();
        self.sent.iter().flatten().for_each(|load| sum.add(*load));
        sum
    }

    /// A message to a client of MQTT 5 is counted first for its version, then for all, so that between both the others
    /// seem to have one less. A shown value never decreases: a falling counter would look like a restart.
    pub(super) fn keep_up(&mut self, shown: &Shown) {
        for (load, shown) in self.sent[0].iter_mut().zip(&shown.0) {
            let keep = |value: &mut u64, shown: &AtomicU64| {
                *value = (*value).max(shown.fetch_max(*value, Ordering::Relaxed));
            };
            keep(&mut load.messages, &shown.messages);
            keep(&mut load.bytes, &shown.bytes);
        }
    }
}

/// The shown numbers of messages to clients before MQTT 5.
#[derive(Debug, Default)]
pub(super) struct Shown([Counted; QOS]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_qos_and_by_the_version_of_their_clients() {
        let traffic = Traffic::default();
        let before = traffic.published_so_far();
        traffic.published(QoS::AtMostOnce, 5);
        traffic.published(QoS::ExactlyOnce, 7);
        traffic.published(QoS::AtMostOnce, 100);
        traffic.was_will(QoS::AtMostOnce, 100);
        traffic.published_by(ProtocolVersion::V5, &before);
        traffic.delivered(QoS::AtLeastOnce, 3);
        traffic.delivered_5(QoS::AtLeastOnce, 4);
        traffic.sent_again();
        traffic.heard(PacketType::Publish as u8);
        traffic.heard(PacketType::Pingreq as u8);
        traffic.heard_publishes(2);
        traffic.said(PacketType::Pingresp);
        let mut loads = Loads::default();
        loads.add(&traffic);
        let load = |messages, bytes| Load { messages, bytes };
        assert_eq!(loads.received, [[load(0, 0); 3], [load(1, 5), load(0, 0), load(1, 7)]]);
        assert_eq!(loads.sent, [[load(0, 0), load(1, 3), load(0, 0)], [load(0, 0), load(1, 4), load(0, 0)]]);
        assert_eq!((loads.published, loads.delivered()), (load(3, 112), load(2, 7)));
        let packets = [PacketType::Publish, PacketType::Pingreq, PacketType::Pingresp].map(|packet| packet as usize);
        assert_eq!(packets.map(|packet| loads.packets_received[packet]), [2, 1, 0]);
        assert_eq!(packets.map(|packet| loads.packets_sent[packet]), [3, 0, 1]);
        assert_eq!((traffic.packets_received(), traffic.answers()), (3, 1));
    }

    #[test]
    fn shown_counters_never_decrease() {
        let (shown, mut loads) = (Shown::default(), Loads::default());
        loads.sent[0][1].messages = 5;
        loads.keep_up(&shown);
        loads.sent[0][1].messages = 4;
        loads.keep_up(&shown);
        assert_eq!(loads.sent[0][1].messages, 5);
    }
}
