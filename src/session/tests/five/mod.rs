//! The broker's side and a client's side of one session of MQTT 5, and a link between them. The link breaks after any
//! packet and loses packets; it loses acknowledgements, repeats packets, and reorders acknowledgements. Each connection
//! has other values of Receive Maximum, Maximum Packet Size and Topic Alias Maximum on both sides. Time passes by a
//! clock that the history advances.
//!
//! A history follows from its seed, which is printed when one fails.

mod broker;
mod client;

use std::{collections::VecDeque, time::Duration};

use super::*;
use crate::types::QueueFull;
use broker::Broker;
use client::Client;
use random::Random;

#[path = "../../../../tests/it/support/random.rs"]
mod random;

const HISTORIES: u64 = 4_000;
const TOPICS: [&str; 4] = ["a", "sensors/b", "sensors/kitchen/c", "sensors/kitchen/d"];

/// The number of a message, with which its payload begins.
type Number = u32;

/// The arrived messages: number, topic, QoS.
type Log = Vec<(Number, usize, QoS)>;

/// The limits that both sides announce at the beginning of a connection.
#[derive(Clone, Copy, Debug)]
struct Terms {
    says: ClientSays,
    server_receive_maximum: u16,
    server_aliases: u16,
}

/// The fate of a message in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It must arrive as often as its QoS demands.
    Arrives,
    /// The receiver refuses it with an error.
    Refused,
    /// It is dropped before it is sent.
    Dropped,
    /// It is dropped, and may have arrived before.
    DroppedLater,
}

struct Pair {
    random: Random,
    now: Instant,
    broker: Broker,
    client: Client,
    // the link, packet by packet
    to_client: VecDeque<Vec<u8>>,
    to_broker: VecDeque<Vec<u8>>,
    /// It lost an acknowledgement: the exchange is completed on the next connection.
    is_lossy: bool,
}

#[test]
fn no_message_is_lost_repeated_reordered_or_stalled_in_mqtt_5() {
    let mut counts = Counts::default();
    for seed in 1..=HISTORIES {
        let counted = std::panic::catch_unwind(|| history(seed));
        counts.add(&counted.unwrap_or_else(|_| panic!("the history with the seed {seed} failed")));
    }
    counts.check();
}

/// How often each tested event happened.
#[derive(Debug, Default)]
struct Counts {
    delivered: usize,
    published: usize,
    expired: usize,
    too_large: usize,
    aliases: usize,
    again: usize,
    full_windows: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let Self { delivered, published, expired, too_large, aliases, again, full_windows } = other;
        self.delivered += delivered;
        self.published += published;
        self.expired += expired;
        self.too_large += too_large;
        self.aliases += aliases;
        self.again += again;
        self.full_windows += full_windows;
    }

    fn check(&self) {
        let Self { delivered, published, expired, too_large, aliases, again, full_windows } = *self;
        let seen = [delivered, published, expired, too_large, aliases, again, full_windows];
        assert!(seen.iter().all(|&n| n > HISTORIES as usize / 4), "the histories test little of it: {self:?}");
    }
}

fn history(seed: u64) -> Counts {
    let mut random = Random::new(seed << 20 | 1);
    let limits = any_limits(&mut random);
    let is_kept = random.once_in(2);
    let mut pair = Pair {
        now: Instant::now(),
        broker: Broker::new(limits, is_kept),
        client: Client::default(),
        to_client: VecDeque::new(),
        to_broker: VecDeque::new(),
        is_lossy: false,
        random,
    };
    pair.connect();
    for _ in 0..20 + pair.random.below(150) {
        pair.step();
    }
    pair.finish()
}

fn any_limits(random: &mut Random) -> SessionLimits {
    SessionLimits {
        max_inflight_out: 1 + random.below(6),
        max_inflight_in: 1 + random.below(4),
        max_queued_messages: [2, 8, 1_000][random.below(3)],
        max_queued_bytes: [4_000, 100_000][random.below(2)],
        queue_full: [QueueFull::DropNewest, QueueFull::DropOldest, QueueFull::KeepLast][random.below(3)],
        queue_qos0: random.once_in(2),
        max_outbound_bytes: [100, 1_000, 100_000][random.below(3)],
    }
}

impl Pair {
    fn step(&mut self) {
        match self.random.below(40) {
            0..12 => self.broker.deliver_any(&mut self.random, self.now),
            12..17 => self.client.publish_any(&mut self.random),
            17..22 => (0..1 + self.random.below(5)).for_each(|_| _ = self.client_reads()),
            22..27 => (0..1 + self.random.below(5)).for_each(|_| _ = self.client_answers()),
            27..32 => (0..1 + self.random.below(5)).for_each(|_| _ = self.broker_reads()),
            32 => self.broker.block(self.random.below(3) * 200, self.now),
            33 => self.lose(),
            34 => self.repeat(),
            35 => self.swap(),
            36 if self.broker.is_blocked() => {}
            36 => self.now += Duration::from_millis(self.random.below(3_000) as u64),
            37 => self.broker.commit(self.now),
            38 => self.disconnect(),
            _ => self.connect(),
        }
        self.pump();
    }

    /// Puts the packets that each side sends by itself on the link.
    fn pump(&mut self) {
        self.broker.flush(self.now);
        self.to_client.extend(self.broker.sent.drain(..));
        if self.broker.is_connected() {
            self.to_broker.extend(self.client.due(&mut self.random));
        }
    }

    fn client_reads(&mut self) -> bool {
        let Some(frame) = self.to_client.pop_front() else { return false };
        self.client.read(&frame, &self.broker.terms);
        true
    }

    fn client_answers(&mut self) -> bool {
        self.client.answers.pop_front().map(|answer| self.to_broker.push_back(answer)).is_some()
    }

    fn broker_reads(&mut self) -> bool {
        let Some(frame) = self.to_broker.pop_front() else { return false };
        self.broker.read(&frame, self.now);
        self.pump();
        true
    }

    // ---- the link ----

    /// Loses one acknowledgement.
    fn lose(&mut self) {
        let link = if self.random.once_in(2) { &mut self.to_client } else { &mut self.to_broker };
        let acks: Vec<_> = (0..link.len()).filter(|&at| is_ack(&link[at])).collect();
        if !acks.is_empty() {
            link.remove(acks[self.random.below(acks.len())]);
            self.is_lossy = true;
        }
    }

    /// Repeats one packet.
    fn repeat(&mut self) {
        let link = if self.random.once_in(2) { &mut self.to_client } else { &mut self.to_broker };
        let again: Vec<_> = (0..link.len()).filter(|&at| packet_id(&link[at]).is_some()).collect();
        if !again.is_empty() {
            let at = again[self.random.below(again.len())];
            link.insert(at, link[at].clone());
        }
    }

    /// Swaps two packets of different messages, of which one is an acknowledgement.
    fn swap(&mut self) {
        let link = if self.random.once_in(2) { &mut self.to_client } else { &mut self.to_broker };
        let may = |at: usize| {
            let (one, two) = (&link[at], &link[at + 1]);
            let both = (packet_id(one), packet_id(two));
            (is_ack(one) || is_ack(two)) && matches!(both, (Some(one), Some(two)) if one != two)
        };
        let places: Vec<_> = (1..link.len()).map(|at| at - 1).filter(|&at| may(at)).collect();
        if !places.is_empty() {
            let at = places[self.random.below(places.len())];
            link.swap(at, at + 1);
        }
    }

    /// Breaks the link.
    fn disconnect(&mut self) {
        if self.broker.is_connected() {
            self.broker.detach(self.now);
            self.client.detach();
            self.to_client.clear();
            self.to_broker.clear();
        }
    }

    fn connect(&mut self) {
        if self.broker.is_connected() {
            return;
        }
        let random = &mut self.random;
        let terms = Terms {
            says: ClientSays {
                receive_maximum: [1, 2, 3, 5, u16::MAX][random.below(5)],
                maximum_packet_size: [50, 120, 1_000, u32::MAX][random.below(4)],
                topic_alias_maximum: random.below(4) as u16,
            },
            server_receive_maximum: [1, 2, 4, u16::MAX][random.below(4)],
            server_aliases: random.below(3) as u16,
        };
        self.client.attach(&terms);
        self.broker.attach(&terms, self.now);
        self.is_lossy = false;
        self.pump();
    }

    /// Lets every packet arrive, and checks the fate of each message.
    fn finish(mut self) -> Counts {
        if self.is_lossy {
            self.disconnect();
        }
        self.connect();
        self.broker.block(0, self.now);
        loop {
            self.broker.commit(self.now);
            self.pump();
            if !(self.client_reads() | self.client_answers() | self.broker_reads()) {
                break;
            }
        }
        let Self { broker, client, .. } = self;
        broker.expect_idle();
        client.expect_idle(&broker.fates());
        check(&broker.fates(), &client.received, "to the client");
        check(&client.fates(), &broker.published, "from the client");
        let (expired, too_large) = broker.dropped();
        Counts {
            delivered: client.received.len(),
            published: broker.published.len(),
            expired,
            too_large,
            aliases: client.by_alias,
            again: client.again,
            full_windows: broker.full_windows,
        }
    }
}

/// Each message arrived often enough, not too often, and in order.
fn check(sent: &[(Number, usize, QoS, Fate)], arrived: &Log, way: &str) {
    for &(number, topic, qos, fate) in sent {
        let times = arrived.iter().filter(|a| a.0 == number).count();
        assert!(arrived.iter().filter(|a| a.0 == number).all(|a| *a == (number, topic, qos)));
        let allowed = match (fate, qos) {
            (Fate::Refused | Fate::Dropped, _) => times == 0,
            (Fate::Arrives, QoS::AtLeastOnce) => times >= 1,
            (Fate::DroppedLater, QoS::AtLeastOnce) => true,
            (Fate::Arrives, QoS::ExactlyOnce) => times == 1,
            // a packet that the link repeats appears twice
            (_, QoS::AtMostOnce) | (Fate::DroppedLater, QoS::ExactlyOnce) => times <= 1,
        };
        assert!(allowed, "{number} of {qos:?}, {fate:?}, arrived {times} times {way}");
    }
    assert!(arrived.iter().all(|a| sent.iter().any(|s| s.0 == a.0)), "something arrived {way} that was not sent");
    for (topic, name) in TOPICS.iter().enumerate() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut firsts = Vec::new();
            for (number, ..) in arrived.iter().filter(|(_, t, q)| (*t, *q) == (topic, qos)) {
                if !firsts.contains(number) {
                    firsts.push(*number);
                }
            }
            assert!(firsts.is_sorted(), "{name} at {qos:?} {way}: out of order: {firsts:?}");
        }
    }
}

fn decode(frame: &[u8]) -> Packet<'_> {
    match codec::frame(ProtocolVersion::V5, frame, usize::MAX) {
        Ok(codec::Cut::Frame(frame)) => codec::decode(ProtocolVersion::V5, frame).expect("a packet of MQTT 5"),
        other => panic!("{frame:02x?} is {other:?}"),
    }
}

fn is_ack(frame: &[u8]) -> bool {
    matches!(frame[0] >> 4, 4..=7)
}

fn packet_id(frame: &[u8]) -> Option<PacketId> {
    match decode(frame) {
        Packet::Publish(publish) => publish.packet_id,
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => Some(ack.packet_id),
        _ => None,
    }
}

fn any_qos(random: &mut Random) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][random.below(3)]
}

fn payload(number: Number, padding: usize) -> Vec<u8> {
    [&number.to_be_bytes()[..], &vec![0; padding]].concat()
}

fn number_of(payload: &[u8]) -> Number {
    Number::from_be_bytes(payload[..4].try_into().expect("a payload begins with its number"))
}

fn topic_index(topic: &str) -> usize {
    TOPICS.iter().position(|t| *t == topic).expect("a topic that messages go to")
}
