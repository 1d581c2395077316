//! The time of a scrape of the metrics with 100,000 sessions, some of which are connected: `cargo bench --bench
//! scrape`. The goal is 5 ms at most, measured by a client on the same machine.
//!
//! `-- --sessions 10000` for fewer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use dunlin::{Config, Server};

/// Of how many sessions one has a connected client.
const CONNECTED: usize = 1_000;
const SCRAPES: usize = 200;
const GOAL: Duration = Duration::from_millis(5);

/// Measures scrapes of the metrics.
#[derive(Parser)]
struct Options {
    /// How many sessions there are
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Options { sessions, .. } = Options::parse();
    let http = dunlin::config::parse("[http]\nlisten = \"127.0.0.1:0\"", "bench").expect("a configuration").http;
    let config = Config { http, ..Config::ephemeral() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(Server::start(config)).expect("it starts");
    let url = server.http_urls().remove(0);
    let http: SocketAddr = url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
    let _connected = fill(server.local_addrs()[0], sessions);

    let mut socket = TcpStream::connect(http).expect("HTTP is served");
    socket.set_nodelay(true).expect("a socket");
    let mut length = 0;
    let mut times: Vec<_> = (0..SCRAPES)
        .map(|_| {
            let begin = Instant::now();
            length = scrape(&mut socket, http);
            begin.elapsed()
        })
        .collect();
    times.sort();
    let [median, p99, most] = [times[SCRAPES / 2], times[SCRAPES * 99 / 100], times[SCRAPES - 1]];
    println!("{sessions} sessions: a scrape of {length} bytes takes {median:.3?}, p99 {p99:.3?}, at most {most:.3?}");
    if p99 <= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sessions that outlive their connections. Gives the connections that stay.
fn fill(address: SocketAddr, sessions: usize) -> Vec<TcpStream> {
    let mut connected = Vec::new();
    for n in 0..sessions {
        let id = format!("client-{n:06}");
        let mut bytes = vec![0x10, 10 + 2 + id.len() as u8];
        bytes.extend(b"\0\x04MQTT\x04\0\0\0\0");
        bytes.push(id.len() as u8);
        bytes.extend(id.bytes());
        let mut socket = TcpStream::connect(address).expect("the broker accepts");
        socket.write_all(&bytes).expect("the broker takes it");
        let mut connack = [0; 4];
        socket.read_exact(&mut connack).expect("the broker answers");
        assert_eq!(connack, [0x20, 2, 0, 0]);
        if n % CONNECTED == 0 {
            connected.push(socket);
        }
    }
    connected
}

/// Gives how long the answer is.
fn scrape(socket: &mut TcpStream, address: SocketAddr) -> usize {
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("HTTP is served");
    let (mut answer, mut bytes) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = socket.read(&mut bytes).expect("an answer");
        assert!(read > 0, "the server closed the connection");
        answer.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next().and_then(|length| length.parse::<usize>().ok()));
        if body.len() >= length.expect("its length") {
            return answer.len();
        }
    }
}
