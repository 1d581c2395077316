//! Scripts of packets that a client sends whatever the answers are, and what the client and the broker receive then.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use super::super::{Bench, run};
use crate::support::{
    GUARD,
    five::{self, Properties, property},
    raw::{self, Connect, Message, frame, puback, pubcomp, pubrec, pubrel},
    scram::{Hash, Scram, auth, says},
};

/// One packet of a client.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Step {
    pub name: &'static str,
    send: Sends,
    /// Only so many bytes of it.
    pub cut: Option<usize>,
    /// [`corrupt`] changes it, with this number.
    pub corrupt: Option<usize>,
    /// Twice, at once.
    pub is_doubled: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Sends {
    Bytes(Vec<u8>),
    /// AUTH with the answer to the n-th challenge of SCRAM, from 0.
    Proof(usize),
}

/// Result of a script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Packets that arrived after each step; a part of a packet counts as one.
    pub steps: Vec<Vec<Vec<u8>>>,
    pub end: End,
    /// What the broker accepted.
    pub events: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum End {
    #[default]
    Open,
    Closed,
    Reset,
}

pub const TYPES: [&str; 15] = [
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

pub const BOB: (&str, &str) = ("bob", "pencil");
const HASH: Hash = Hash::Sha256;

/// The type of a packet.
pub fn name(packet: &[u8]) -> &'static str {
    TYPES[usize::from(packet[0] >> 4) - 1]
}

impl Trace {
    pub fn packets(&self) -> Vec<Vec<u8>> {
        self.steps.concat()
    }

    /// The packets in every order in which they may come: two that answer the same packet in any.
    pub fn orders(&self) -> Vec<Vec<Vec<u8>>> {
        let mut all = vec![Vec::new()];
        for step in &self.steps {
            let turned: Vec<_> = step.iter().rev().cloned().collect();
            let mut ways = vec![step.clone()];
            if step.len() == 2 && turned != *step {
                ways.push(turned);
            }
            all = all.iter().flat_map(|before| ways.iter().map(move |way| [&before[..], &way[..]].concat())).collect();
        }
        all
    }
}

/// A script with this packet, and which one of its type is meant, from 1. `None`: the version has no such packet.
pub fn script(version: u8, packet: &str, to_client: bool) -> Option<(Vec<Step>, usize)> {
    let steps = |all: Vec<Step>, places: &[usize]| (places.iter().map(|place| all[*place].clone()).collect(), 1);
    let places: &[usize] = match packet {
        "SUBSCRIBE" | "SUBACK" | "UNSUBSCRIBE" | "UNSUBACK" => &[0, 1, 9, 8],
        "PUBLISH" | "PUBACK" => &[0, 1, 2, 3, 8],
        "PUBREC" | "PUBREL" | "PUBCOMP" => &[0, 1, 4, 5, 6, 7, 8],
        _ => &[0, 8, 10],
    };
    match (version, packet) {
        (4, "AUTH") => None,
        (4, "DISCONNECT") if to_client => None,
        (4, _) => Some(steps(four(), places)),
        // the end of another authentication, while the client is connected
        (_, "AUTH") => Some((again(), 3)),
        (_, "DISCONNECT") if to_client => {
            // to a Topic Alias that the broker has not allowed
            let alias = Properties::new().short(property::TOPIC_ALIAS, 9_999);
            let wrong = five::Publish::new("q/1", "x").with(alias).frame();
            Some((vec![five().swap_remove(0), step("PUBLISH", wrong)], 1))
        }
        _ => Some(steps(five(), places)),
    }
}

fn step(name: &'static str, bytes: Vec<u8>) -> Step {
    Step { name, send: Sends::Bytes(bytes), cut: None, corrupt: None, is_doubled: false }
}

fn four() -> Vec<Step> {
    vec![
        step("CONNECT", Connect::new("c").frame()),
        step("SUBSCRIBE", raw::subscribe(9, &[("q/#", 2)])),
        step("PUBLISH", Message::new("q/1", "one").qos(1).id(1).frame()),
        step("PUBACK", puback(1)),
        step("PUBLISH", Message::new("q/2", "two").qos(2).id(2).frame()),
        step("PUBREL", pubrel(2)),
        step("PUBREC", pubrec(1)),
        step("PUBCOMP", pubcomp(1)),
        step("PINGREQ", raw::PINGREQ.into()),
        step("UNSUBSCRIBE", raw::unsubscribe(10, &["q/#"])),
        step("DISCONNECT", raw::DISCONNECT.into()),
    ]
}

fn five() -> Vec<Step> {
    vec![
        step("CONNECT", five::Connect::new("c").frame()),
        step("SUBSCRIBE", five::subscribe(9, &Properties::new(), &[("q/#", 2)])),
        step("PUBLISH", five::Publish::new("q/1", "one").qos(1).id(1).frame()),
        step("PUBACK", puback(1)),
        step("PUBLISH", five::Publish::new("q/2", "two").qos(2).id(2).frame()),
        step("PUBREL", pubrel(2)),
        step("PUBREC", pubrec(1)),
        step("PUBCOMP", pubcomp(1)),
        step("PINGREQ", raw::PINGREQ.into()),
        step("UNSUBSCRIBE", five::unsubscribe(10, &["q/#"])),
        step("DISCONNECT", five::disconnect(4)),
    ]
}

/// Logs in by SCRAM, and authenticates again.
fn again() -> Vec<Step> {
    let first = says(HASH.method(), bob().first());
    let proof = |n| Step { name: "AUTH", send: Sends::Proof(n), cut: None, corrupt: None, is_doubled: false };
    vec![
        step("CONNECT", five::Connect::new("c").with(first.clone()).frame()),
        proof(0),
        step("AUTH", auth(0x19, &first)),
        proof(1),
        step("PINGREQ", raw::PINGREQ.into()),
    ]
}

fn bob() -> Scram {
    Scram::with_nonce(HASH, BOB.0, BOB.1, "a-nonce-of-the-client")
}

/// Changes a byte as a fault with the seed 0 changes that of the nth packet.
pub fn corrupt(packet: &mut [u8], nth: usize) {
    /// Numbers of SplitMix64 with the seed 0: one for each packet, and one more for the packet that is hit.
    const DRAWN: [u64; 4] =
        [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F, 0xF88B_B8A8_724C_81EC];
    let (drawn, body) = (DRAWN[nth], packet.len() - header(packet));
    let at = packet.len() - 1 - usize::try_from(drawn % body as u64).unwrap();
    packet[at] ^= drawn.to_be_bytes()[3];
}

/// Time for the end of a connection to arrive.
const LAST: Duration = Duration::from_millis(20);

/// Sends all packets, each after the broker has handled the one before. `then`: continues with the socket.
pub fn play(bench: &Bench, steps: &[Step], then: impl FnOnce(&mut Player<'_>)) -> Trace {
    let socket = TcpStream::connect(bench.mqtt()).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut player = Player { bench, socket, rest: Vec::new(), proofs: HashMap::new(), trace: Trace::default() };
    for step in steps {
        let mut bytes = player.bytes(step);
        if let Some(nth) = step.corrupt {
            corrupt(&mut bytes, nth);
        }
        bytes.truncate(step.cut.unwrap_or(bytes.len()));
        if step.is_doubled {
            bytes.extend_from_within(..);
        }
        // a closed socket takes nothing
        let _ = player.socket.write_all(&bytes);
        player.wait();
    }
    then(&mut player);
    player.end()
}

pub struct Player<'a> {
    pub bench: &'a Bench,
    socket: TcpStream,
    /// Bytes of a packet that has not arrived completely.
    rest: Vec<u8>,
    proofs: HashMap<usize, Vec<u8>>,
    pub trace: Trace,
}

impl Player<'_> {
    fn bytes(&mut self, step: &Step) -> Vec<u8> {
        match &step.send {
            Sends::Bytes(bytes) => bytes.clone(),
            Sends::Proof(n) => self.proofs.entry(*n).or_insert_with(|| proof(&self.trace.packets(), *n)).clone(),
        }
    }

    /// Waits until the broker is idle, and takes what has arrived.
    pub fn wait(&mut self) {
        assert!(run(self.bench.broker.idle(GUARD)), "the broker is busy");
        self.take();
        let mut packets = Vec::new();
        while let Some(length) = packet_len(&self.rest) {
            packets.push(self.rest.drain(..length).collect());
        }
        self.trace.steps.push(packets);
    }

    /// Bytes of an incomplete packet.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    fn take(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.trace.end == End::Open {
            let mut space = [0; 4096];
            match self.socket.read(&mut space) {
                Ok(0) => self.trace.end = End::Closed,
                Ok(count) => self.rest.extend_from_slice(&space[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.trace.end = End::Reset,
            }
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    fn end(mut self) -> Trace {
        // the broker is idle before its FIN has arrived
        self.socket.set_read_timeout(Some(LAST)).unwrap();
        if self.trace.end == End::Open && matches!(self.socket.peek(&mut [0]), Ok(0)) {
            self.trace.end = End::Closed;
        }
        if !self.rest.is_empty() {
            self.trace.steps.push(vec![std::mem::take(&mut self.rest)]);
        }
        let (_, events) = self.bench.ask("GET", "events", &json!({}));
        let accepted = |event: &&Value| {
            ["connected", "message", "subscribed", "unsubscribed"].contains(&event["event"].as_str().unwrap())
        };
        let told = |event: &Value| {
            let of = event.get("topic").or(event.get("filter")).unwrap_or(&event["client"]);
            format!("{} {of}", event["event"].as_str().unwrap())
        };
        self.trace.events = events["data"].as_array().unwrap().iter().filter(accepted).map(told).collect();
        self.trace
    }
}

/// Length of the first packet, if it is complete. All packets are shorter than 16 KiB.
fn packet_len(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.get(1..)? {
        [low, ..] if low < 0x80 => 2 + usize::from(low),
        [low, high, ..] => 3 + usize::from(low & 0x7F) + (usize::from(high) << 7),
        _ => return None,
    };
    (length <= bytes.len()).then_some(length)
}

/// Length of the fixed header.
fn header(packet: &[u8]) -> usize {
    if packet[1] < 0x80 { 2 } else { 3 }
}

/// The AUTH that answers the n-th challenge; a wrong one if there is none.
fn proof(received: &[Vec<u8>], n: usize) -> Vec<u8> {
    let challenges = received.iter().filter(|packet| packet[0] == 0xF0 && packet.get(2) == Some(&0x18));
    let answer = match challenges.map(|packet| Properties::split(&packet[3..]).0).nth(n) {
        Some(properties) => bob().last(&properties.string(property::AUTHENTICATION_DATA).unwrap()),
        None => "c=biws,r=none,p=none".into(),
    };
    auth(0x18, &says(HASH.method(), answer))
}

/// The packet without Authentication Data, which contains random numbers.
pub fn normal(packet: &[u8]) -> Vec<u8> {
    let fields = match packet[0] {
        0x20 => 2,
        0xF0 => 1,
        _ => return packet.to_vec(),
    };
    if packet_len(packet) != Some(packet.len()) {
        return packet.to_vec();
    }
    let body = &packet[header(packet)..];
    if body.len() <= fields {
        return packet.to_vec();
    }
    let (properties, _) = Properties::split(&body[fields..]);
    frame(packet[0], &[&body[..fields], &without(&properties, property::AUTHENTICATION_DATA).framed()].concat())
}

/// All but this property.
pub fn without(properties: &Properties, id: u8) -> Properties {
    let others = properties.each().into_iter().filter(|(other, _)| *other != id);
    Properties(others.flat_map(|(id, value)| [vec![id], value].concat()).collect())
}
