//! The rate of a bridge: `cargo bench --bench bridge` sends messages at QoS 1 from a publisher at one broker to a
//! subscriber at another one, with a bridge between them, and the same messages through one broker alone. The rounds
//! alternate. The goal is 0.4 of the rate of one broker. With `-- --durable`, each broker has a `data_dir`.

#[allow(dead_code)]
#[path = "common/broker.rs"]
mod broker;
#[path = "common/median.rs"]
mod median;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use broker::Broker;
use clap::Parser;
use median::median;

/// Bytes of a payload, which begins with the number of its message.
const PAYLOAD: usize = 64;
const TOPIC: &[u8] = b"bench/t";
/// Bytes of a PUBLISH: the fixed header, the topic, the Packet Identifier and the payload.
const PUBLISH: usize = 2 + 2 + TOPIC.len() + 2 + PAYLOAD;
/// PUBLISH packets that the publisher sends before the first of them is acknowledged, as with `loadgen`.
const IN_FLIGHT: u64 = 100;
/// Messages that are on their way to the subscriber: fewer than a session queues.
const UNDER_WAY: u64 = 500;
const GOAL: f64 = 0.4;

/// Compares a bridge between two brokers with one broker.
#[derive(Parser)]
struct Options {
    /// Messages of a round
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Rounds of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Each broker keeps what it acknowledges on disk
    #[arg(long)]
    durable: bool,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Options { messages, rounds, durable, .. } = Options::parse();
    let dir = tempfile::tempdir().expect("a folder");
    let start = |name: &str, bridges: &str| {
        let file = dir.path().join(format!("{name}.toml"));
        let data = if durable { format!("data_dir = '{}'\n", dir.path().join(name).display()) } else { String::new() };
        let text = format!("{data}workers = 1\n[http]\nlisten = 'off'\n{bridges}");
        fs::write(&file, text).expect("the folder can be written");
        Broker::start(&file)
    };
    let (one, there) = (start("one", ""), start("there", ""));
    let bridge =
        format!("[[bridge]]\nname = 'there'\naddresses = ['{}']\ntopics = ['bench/# out 1']\n", there.address());
    let here = start("here", &bridge);
    let (mut alone, mut bridged) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        alone.push(rate(&one, &one, messages));
        bridged.push(rate(&here, &there, messages));
        println!(
            "round {round}: one broker {:.0}, a bridge {:.0} messages a second",
            alone[round - 1],
            bridged[round - 1]
        );
    }
    let (alone, bridged) = (median(alone), median(bridged));
    let part = bridged / alone;
    println!("median: one broker {alone:.0}, a bridge {bridged:.0} messages a second: {part:.2} (goal {GOAL})");
    if part >= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Messages a second from a publisher at one broker to a subscriber at another, in their order and each once.
fn rate(from: &Broker, to: &Broker, messages: u64) -> f64 {
    let mut subscriber = connect(to.address(), "subscriber");
    let length = (2 + 2 + TOPIC.len() + 1) as u8;
    let filter = [&[0x82, length, 0, 1, 0, TOPIC.len() as u8][..], TOPIC, &[1]].concat();
    subscriber.write_all(&filter).expect("SUBSCRIBE");
    subscriber.read_exact(&mut [0; 5]).expect("SUBACK");
    let mut publisher = connect(from.address(), "publisher");
    let received = AtomicU64::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| publish(&mut publisher, messages, &received));
        receive(&mut subscriber, messages, &received);
    });
    messages as f64 / begin.elapsed().as_secs_f64()
}

/// A client of MQTT 3.1.1.
fn connect(address: &str, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let connect = [&[0x10, 12 + id.len() as u8, 0, 4][..], b"MQTT", &[4, 2, 0, 0, 0, id.len() as u8], id.as_bytes()];
    stream.write_all(&connect.concat()).expect("CONNECT");
    stream.read_exact(&mut [0; 4]).expect("CONNACK");
    stream
}

fn publish(stream: &mut TcpStream, messages: u64, received: &AtomicU64) {
    let (mut sent, mut acked) = (0_u64, 0_u64);
    let (mut out, mut acks, mut pending) = (Vec::new(), [0; 4 * IN_FLIGHT as usize], 0);
    while acked < messages {
        let in_flight = IN_FLIGHT - (sent - acked);
        let room =
            in_flight.min(UNDER_WAY.saturating_sub(sent - received.load(Ordering::Relaxed))).min(messages - sent);
        out.clear();
        for number in sent..sent + room {
            out.extend([0x32, (PUBLISH - 2) as u8, 0, TOPIC.len() as u8]);
            out.extend(TOPIC);
            out.extend(((number % 65_535) as u16 + 1).to_be_bytes());
            out.extend(number.to_be_bytes());
            out.resize(out.len() + PAYLOAD - 8, b'x');
        }
        stream.write_all(&out).expect("PUBLISH");
        sent += room;
        if sent == acked {
            thread::yield_now();
            continue;
        }
        pending += stream.read(&mut acks).expect("PUBACK");
        acked += (pending / 4) as u64;
        pending %= 4;
    }
}

fn receive(stream: &mut TcpStream, messages: u64, received: &AtomicU64) {
    let (mut bytes, mut held, mut acks) = (vec![0; 1 << 16], 0, Vec::new());
    let mut expected = 0;
    while expected < messages {
        let read = stream.read(&mut bytes[held..]).expect("PUBLISH");
        assert!(read > 0, "the broker closed the connection");
        held += read;
        acks.clear();
        let whole = held - held % PUBLISH;
        for packet in bytes[..whole].chunks_exact(PUBLISH) {
            let (id, payload) = packet[2 + 2 + TOPIC.len()..].split_at(2);
            assert_eq!(payload[..8], u64::to_be_bytes(expected), "lost, repeated or out of order");
            acks.extend([0x40, 2, id[0], id[1]]);
            expected += 1;
        }
        bytes.copy_within(whole..held, 0);
        held -= whole;
        stream.write_all(&acks).expect("PUBACK");
        received.store(expected, Ordering::Relaxed);
    }
}
