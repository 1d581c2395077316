//! [`Publishing`]: one connection, from CONNACK to DISCONNECT.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{Replayed, read::Message};
use crate::{
    clock::Clock,
    codec::{self, Cut, Disconnect, Packet, Properties, Publish, ReasonCode, encode},
    config::Speed,
    outbound::{Accepted, Line, reason_string},
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS},
};

/// The messages, and the progress.
pub(super) struct Publishing<'a> {
    messages: &'a [Message],
    speed: Speed,
    version: ProtocolVersion,
    accepted: Accepted,
    clock: Clock,
    /// Index of the next message.
    next: usize,
    began: Instant,
    last_sent: Instant,
    /// When an acknowledgement came, or a message was sent, last.
    moved: Instant,
    /// Unacknowledged QoS 1 and 2 messages. `true`: PUBREL was sent.
    in_flight: HashMap<PacketId, bool>,
    last_id: u16,
    out: Vec<u8>,
    replayed: Replayed,
}

/// Messages in flight if the broker sets no Receive Maximum.
const MOST_IN_FLIGHT: u16 = 100;
/// Size at which collected bytes are written.
const FILL_BELOW: usize = 256 << 10;
/// The longest wait for the next packet of the broker while messages are unacknowledged.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Size of a read.
const READ: usize = 64 << 10;

impl<'a> Publishing<'a> {
    pub(super) fn new(
        messages: &'a [Message],
        speed: Speed,
        version: ProtocolVersion,
        accepted: Accepted,
        clock: Clock,
    ) -> Self {
        let now = clock.now();
        let (in_flight, out, replayed) = Default::default();
        Self {
            messages,
            speed,
            version,
            accepted,
            clock,
            next: 0,
            began: now,
            last_sent: now,
            moved: now,
            in_flight,
            last_id: 0,
            out,
            replayed,
        }
    }

    pub(super) fn replayed(&self) -> Replayed {
        self.replayed.clone()
    }

    /// Number of unacknowledged QoS 1 and 2 messages.
    pub(super) fn waiting(&self) -> usize {
        self.in_flight.len()
    }

    /// Sends all messages and waits for their acknowledgements. The error is the reason of an early end.
    pub(super) async fn run(&mut self, line: Box<dyn Line>, mut read: Vec<u8>) -> Result<(), String> {
        let (mut from, mut to) = tokio::io::split(line);
        let clock = self.clock.clone();
        loop {
            let len = self.handle_packets(&read)?;
            read.drain(..len);
            let wake = self.fill();
            let given_up = self.moved + LONGEST_WAIT;
            if !self.in_flight.is_empty() && clock.now() >= given_up {
                return Err(format!("no acknowledgement came for {} s", LONGEST_WAIT.as_secs()));
            }
            if self.next == self.messages.len() && self.in_flight.is_empty() {
                return self.end(&mut to).await;
            }
            tokio::select! {
                got = read_some(&mut from, &mut read) => got?,
                written = to.write(&self.out), if !self.out.is_empty() => {
                    let written = written.map_err(lost)?;
                    self.out.drain(..written);
                    self.last_sent = clock.now();
                    if self.out.is_empty() {
                        to.flush().await.map_err(lost)?;
                    }
                }
                () = clock.sleep_until(if self.in_flight.is_empty() { wake } else { wake.min(given_up) }) => {}
            }
        }
    }

    /// Appends the packets that are due. Returns the time of the next call.
    fn fill(&mut self) -> Instant {
        let now = self.clock.now();
        let most = usize::from(self.accepted.receive_maximum.min(MOST_IN_FLIGHT));
        while self.out.len() < FILL_BELOW
            && let Some(message) = self.messages.get(self.next)
        {
            let due = self.due(message);
            if due > now {
                return due.min(self.ping(now));
            }
            let qos = message.qos.min(self.accepted.max_qos);
            if qos != QoS::AtMostOnce && self.in_flight.len() >= most {
                break;
            }
            self.next += 1;
            self.append(message, qos);
        }
        self.ping(now)
    }

    fn due(&self, message: &Message) -> Instant {
        match self.speed {
            Speed::Max => self.began,
            Speed::Times(times) => self.began + Duration::from_secs_f64(message.at.as_secs_f64() / times),
        }
    }

    /// Appends a PINGREQ after a time without packets. Returns the time of the next one.
    fn ping(&mut self, now: Instant) -> Instant {
        let every = match self.accepted.keep_alive {
            0 => Duration::from_secs(3_600),
            seconds => Duration::from_secs(seconds.into()) * 3 / 4,
        };
        if now >= self.last_sent + every {
            // every packet size limit allows a PINGREQ
            let _ = codec::encode(self.version, &Packet::Pingreq, &mut self.out);
            self.last_sent = now;
        }
        self.last_sent + every
    }

    fn append(&mut self, message: &'a Message, qos: QoS) {
        let topic = TopicName::from_valid(&message.topic);
        let is_5 = self.version == ProtocolVersion::V5;
        let properties = message.properties.as_properties();
        let packet_id = (qos != QoS::AtMostOnce).then(|| self.free_id());
        let publish = Publish {
            dup: false,
            qos,
            retain: message.retain && self.accepted.retain,
            topic,
            packet_id,
            payload: &message.payload,
            properties: if is_5 { properties } else { Properties::default() },
        };
        let before = self.out.len();
        let written = codec::encode(self.version, &Packet::Publish(publish), &mut self.out);
        if written.is_err() || self.out.len() - before > self.accepted.max_packet_size {
            self.out.truncate(before);
            self.replayed.too_large += 1;
            return;
        }
        self.replayed.sent += 1;
        if let Some(id) = packet_id {
            self.in_flight.insert(id, false);
            self.moved = self.clock.now();
        }
    }

    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.in_flight.contains_key(&id)
            {
                return id;
            }
        }
    }

    /// Handles all whole packets. Returns their length in bytes.
    fn handle_packets(&mut self, read: &[u8]) -> Result<usize, String> {
        let mut at = 0;
        let malformed = |error| format!("the broker sent a malformed packet: {error}");
        while let Cut::Frame(frame) = codec::frame(self.version, &read[at..], usize::MAX).map_err(malformed)? {
            at += frame.len;
            match codec::decode(self.version, frame).map_err(malformed)? {
                Packet::Puback(ack) => self.complete(ack.packet_id, ack.reason),
                Packet::Pubrec(ack) if ack.reason.is_error() => self.complete(ack.packet_id, ack.reason),
                Packet::Pubrec(ack) => {
                    if let Some(released) = self.in_flight.get_mut(&ack.packet_id) {
                        *released = true;
                        self.moved = self.clock.now();
                    }
                    encode::pubrel(&mut self.out, ack.packet_id);
                }
                Packet::Pubcomp(ack) => self.complete(ack.packet_id, ReasonCode::Success),
                Packet::Disconnect(disconnect) => {
                    let (reason, text) = (disconnect.reason, reason_string(&disconnect.properties));
                    return Err(format!("the broker ended the connection (0x{:02x}): {reason}{text}", reason as u8));
                }
                Packet::Pingresp => {}
                _ => return Err("the broker sent a packet that a server does not send to a publisher".into()),
            }
        }
        Ok(at)
    }

    fn complete(&mut self, id: PacketId, reason: ReasonCode) {
        if self.in_flight.remove(&id).is_some() {
            self.moved = self.clock.now();
            if reason.is_error() {
                *self.replayed.refused.entry(reason as u8).or_default() += 1;
            }
        }
    }

    /// Sends the rest and DISCONNECT.
    async fn end(&mut self, to: &mut WriteHalf<Box<dyn Line>>) -> Result<(), String> {
        let disconnect = Disconnect { reason: ReasonCode::Success, properties: Properties::default() };
        codec::encode(self.version, &Packet::Disconnect(disconnect), &mut self.out).map_err(|e| e.to_string())?;
        to.write_all(&self.out).await.map_err(lost)?;
        to.shutdown().await.map_err(lost)
    }
}

async fn read_some(from: &mut ReadHalf<Box<dyn Line>>, read: &mut Vec<u8>) -> Result<(), String> {
    read.reserve(READ);
    match from.read_buf(read).await.map_err(lost)? {
        0 => Err("the broker closed the connection".into()),
        _ => Ok(()),
    }
}

fn lost(error: std::io::Error) -> String {
    format!("the connection is lost: {error}")
}
