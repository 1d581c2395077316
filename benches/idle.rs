//! Memory of an idle connection: `cargo bench --bench idle`. 10,000 clients connect, subscribe to a topic each and stay
//! silent; the bench prints the growth of the broker's resident memory for each of them, for MQTT 3.1.1 and for MQTT 5.
//! This includes the task, the session, the subscription and the tables, but not the kernel's memory for the socket.
//! The bench fails above the bounds.

#[path = "common/broker.rs"]
mod broker;
#[allow(dead_code)]
mod common;
#[path = "common/median.rs"]
mod median;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
};

use broker::Broker;
use clap::Parser;
use dunlin::types::{ProtocolVersion, QoS};
use median::median;

/// Measures idle connections.
#[derive(Parser)]
struct Options {
    /// How many there are
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// How often each version is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A version, how many bytes a connection may hold, and its CONNECT up to the Client Identifier, with Clean Session 1.
const VERSIONS: [(ProtocolVersion, f64, &[u8]); 2] = [
    (ProtocolVersion::V311, 1_100.0, b"\x00\x04MQTT\x04\x02\x00\x00"),
    (ProtocolVersion::V5, 1_200.0, b"\x00\x04MQTT\x05\x02\x00\x00\x00"),
];

/// Connections before the first counted one: each thread has set up its buffers by then.
const FIRST: usize = 500;

fn main() -> ExitCode {
    let options = Options::parse();
    let mut good = true;
    for (version, most, connect) in VERSIONS {
        let bytes = median((0..options.rounds).map(|_| measure(version, connect, options.connections)).collect());
        println!("{version:?}: {bytes:.0} bytes for an idle connection, of {most:.0}");
        good &= bytes <= most;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Bytes of each connection.
fn measure(version: ProtocolVersion, connect: &[u8], connections: usize) -> f64 {
    let config = tempfile::NamedTempFile::new().expect("a temporary file");
    let broker = Broker::start(config.path());
    let mut clients: Vec<TcpStream> = Vec::with_capacity(FIRST + connections);
    let mut open = |count: usize| {
        for _ in 0..count {
            clients.push(idle(&broker, version, connect, clients.len()));
        }
        settled_kib(&broker)
    };
    let (before, after) = (open(FIRST), open(connections));
    (after - before) as f64 * 1024.0 / connections as f64
}

/// One that has connected and subscribed.
fn idle(broker: &Broker, version: ProtocolVersion, connect: &[u8], number: usize) -> TcpStream {
    let id = format!("idle-{number:06}");
    let mut packet = vec![0x10, (connect.len() + 2 + id.len()) as u8];
    packet.extend_from_slice(connect);
    packet.extend_from_slice(&[0, id.len() as u8]);
    packet.extend_from_slice(id.as_bytes());
    let mut client = TcpStream::connect(broker.address()).expect("the broker listens");
    client.write_all(&packet).expect("it reads");
    expect(&mut client, 0x20);
    let filter = format!("idle/{number:06}");
    client.write_all(&common::subscribe_as(version, &filter, QoS::AtMostOnce)).expect("it reads");
    expect(&mut client, 0x90);
    client
}

/// Reads a packet of this type.
fn expect(client: &mut TcpStream, first: u8) {
    let mut header = [0; 2];
    client.read_exact(&mut header).expect("an answer");
    assert_eq!(header[0], first);
    let mut body = vec![0; header[1].into()];
    client.read_exact(&mut body).expect("all of it");
}

/// KiB of resident memory, once three looks in a row find the same.
fn settled_kib(broker: &Broker) -> i64 {
    let mut seen = Vec::new();
    loop {
        seen.push(broker.resident_kib() as i64);
        if let [.., one, two, three] = seen[..]
            && one == two
            && two == three
        {
            return three;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
