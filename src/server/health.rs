//! `dunlin health`: checks whether the configured broker answers. It connects like a client to the first suitable
//! listener. The check runs on a separate thread, which is abandoned after the timeout.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::mpsc,
    time::Duration,
};

use super::tls_client::{Trust, secured};
use crate::{
    clock::Stopwatch,
    codec::{self, Connect, Packet, Properties},
    config::{Cli, ConfigError, Health, ListenerConfig},
    net::HEALTH_CHECK,
    platform::UnixStream,
    types::{Endpoint, ProtocolVersion, Transport},
};

/// Why the broker is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No listener has a known address and port.
    #[error("the configuration has no listener with a known address and port; write --listen ADDRESS:PORT")]
    NoListener,
    /// No HTTP with a known address and port.
    #[error("[http] has no listen with a known address and port; write --listen ADDRESS:PORT")]
    NoHttp,
    /// It does not answer like a broker.
    #[error("not healthy: {address}: {problem}")]
    Dead {
        /// The address.
        address: String,
        /// The problem.
        problem: String,
    },
}

/// The answer of a healthy broker.
#[derive(Debug, PartialEq, Eq)]
pub struct Alive {
    address: String,
    /// The return code of its CONNACK; `None`: it only accepted a connection.
    code: Option<u8>,
}

impl fmt::Display for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match self.code {
            Some(0) => write!(f, "healthy: {address} answers"),
            Some(code) => {
                write!(f, "healthy: {address} answers (it refuses a client without a user name, code {code})")
            }
            None => write!(f, "healthy: {address} accepts connections"),
        }
    }
}

/// Checks the broker of this command line.
pub(super) fn ask(cli: &Cli, health: &Health) -> Result<Alive, HealthError> {
    let listeners = listeners(cli, health)?;
    let listener = chosen(&listeners).ok_or(HealthError::NoListener)?.clone();
    let endpoint = reachable(&listener.address);
    let address = endpoint.with(listener.transport).to_string();
    let (sender, attempts) = mpsc::channel();
    std::thread::spawn(move || attempt_until_answered(&listener, &endpoint, &sender));
    let asking = Stopwatch::start();
    let mut problem = "no answer".to_owned();
    loop {
        match attempts.recv_timeout(health.timeout.saturating_sub(asking.took())) {
            Ok(Attempt::Answered(Ok(code))) => return Ok(Alive { address, code }),
            Ok(Attempt::Answered(Err(error))) => {
                return Err(HealthError::Dead { address, problem: error.to_string() });
            }
            Ok(Attempt::Closed) => problem = CLOSED.into(),
            Err(_) => {
                let timeout = humantime::format_duration(health.timeout);
                return Err(HealthError::Dead { address, problem: format!("{problem} within {timeout} (--timeout)") });
            }
        }
    }
}

/// The broker's listeners. Errors elsewhere in the configuration do not matter for a running broker.
fn listeners(cli: &Cli, health: &Health) -> Result<Vec<ListenerConfig>, HealthError> {
    if let Some(address) = &health.listen {
        let transport = address.transport().unwrap_or_default();
        let endpoints = address.endpoints(transport);
        let endpoints =
            endpoints.map_err(|error| ConfigError::Argument { argument: "--listen", problem: error.to_string() })?;
        return Ok(endpoints.into_iter().map(|endpoint| ListenerConfig::new(endpoint, transport)).collect());
    }
    let (config, errors) = cli.with_config(health.config.as_deref()).resolve_all();
    match errors.into_iter().find(is_unread) {
        Some(error) => Err(error.into()),
        None => Ok(config.listeners),
    }
}

/// Is nothing of the configuration known?
pub(super) fn is_unread(error: &ConfigError) -> bool {
    matches!(error, ConfigError::Unreadable { .. } | ConfigError::Syntax { .. } | ConfigError::Foreign { .. })
}

/// The first listener that can answer a CONNECT, with WebSocket last; if there is none, the first listener.
fn chosen(listeners: &[ListenerConfig]) -> Option<&ListenerConfig> {
    let is_known = |endpoint: &Endpoint| match endpoint {
        Endpoint::Ip(address) => address.port() != 0,
        Endpoint::Unix(_) => true,
        // its address is in the socket unit
        Endpoint::Passed(_) => false,
    };
    let known = || listeners.iter().filter(|one| is_known(&one.address));
    let plain = known().find(|one| is_usable(one) && !one.transport.has_websocket());
    plain.or_else(|| known().find(|one| is_usable(one))).or_else(|| known().next())
}

fn is_usable(listener: &ListenerConfig) -> bool {
    !listener.proxy_protocol && !listener.demands_certificates()
}

/// The address to connect to: for a listener on all interfaces, loopback.
pub(super) fn reachable(endpoint: &Endpoint) -> Endpoint {
    match endpoint {
        Endpoint::Ip(address) => {
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            Endpoint::Ip(SocketAddr::new(ip, address.port()))
        }
        unix => unix.clone(),
    }
}

enum Attempt {
    Answered(io::Result<Option<u8>>),
    /// The connection was closed without an answer.
    Closed,
}

/// Repeats the attempt if the connection is closed: a broker that has reached its limit of connections may have space a
/// moment later. Ends when the receiver of attempts is gone.
fn attempt_until_answered(listener: &ListenerConfig, endpoint: &Endpoint, attempts: &mpsc::Sender<Attempt>) {
    loop {
        let attempt = match ask_once(listener, endpoint) {
            Err(error) if is_closed(&error) => Attempt::Closed,
            answered => Attempt::Answered(answered),
        };
        let is_last = matches!(attempt, Attempt::Answered(_));
        if attempts.send(attempt).is_err() || is_last {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn ask_once(listener: &ListenerConfig, endpoint: &Endpoint) -> io::Result<Option<u8>> {
    let socket = match endpoint {
        Endpoint::Unix(path) => return connack(UnixStream::connect(path)?).map(Some),
        Endpoint::Ip(address) => TcpStream::connect(address)?,
        Endpoint::Passed(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    if !is_usable(listener) {
        return Ok(None);
    }
    let path = listener.path.as_deref().unwrap_or("/mqtt");
    let code = match listener.transport {
        Transport::Tcp | Transport::Unix => connack(socket),
        Transport::Tls => connack(tls(socket)?),
        Transport::Ws => connack_in_websocket(socket, path),
        Transport::Wss => connack_in_websocket(tls(socket)?, path),
    };
    code.map(Some)
}

/// Sends a CONNECT. Returns the return code of the CONNACK (MQTT 3.1.1 sections 3.1 and 3.2).
fn connack(mut stream: impl Read + Write) -> io::Result<u8> {
    stream.write_all(&connect())?;
    stream.flush()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    return_code(answer)
}

fn return_code(answer: [u8; 4]) -> io::Result<u8> {
    match answer {
        [0x20, 2, _, code] => Ok(code),
        _ => Err(io::Error::other("the program at that address is not an MQTT broker")),
    }
}

/// A CONNECT with Clean Session and a Keep Alive of 10 s.
fn connect() -> Vec<u8> {
    let connect = Connect {
        version: ProtocolVersion::V311,
        bridge: false,
        clean_session: true,
        keep_alive: 10,
        client_id: HEALTH_CHECK,
        will: None,
        username: None,
        password: None,
        properties: Properties::default(),
    };
    let mut packet = Vec::new();
    codec::encode(connect.version, &Packet::Connect(Box::new(connect)), &mut packet).expect("the identifier is short");
    packet
}

/// The same in WebSocket frames (RFC 6455).
fn connack_in_websocket(mut stream: impl Read + Write, path: &str) -> io::Result<u8> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > LONGEST_HEAD {
            return Err(io::Error::other("what answers there speaks no WebSocket"));
        }
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        return Err(io::Error::other(format!("it opens no WebSocket at {path}: {line}")));
    }
    // a binary frame with a mask of zeros
    let connect = connect();
    let mut frame = vec![0x82, 0x80 | connect.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(&connect);
    stream.write_all(&frame)?;
    stream.flush()?;
    let mut answer = [0; 6];
    stream.read_exact(&mut answer)?;
    match answer {
        [0x82, 4, rest @ ..] => return_code(rest),
        _ => Err(io::Error::other("the program at that address is not an MQTT broker")),
    }
}

/// TLS that accepts any certificate: no secrets are sent, and an expired certificate, or one for another name, does not
/// mean that the broker is dead.
fn tls(socket: TcpStream) -> io::Result<impl Read + Write> {
    let host = socket.peer_addr()?.ip().to_string();
    secured(socket, &host, &Trust::Any)
}

/// Any 16 bytes in base64: the answer to them is not checked.
const KEY: &str = "ZHVubGluIGlzIGFsaXZlLg==";
const LONGEST_HEAD: usize = 8 << 10;
const CLOSED: &str = "it closes connections without an answer (limits.max_connections?); no other answer";
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str, transport: Transport) -> ListenerConfig {
        ListenerConfig::new(address.parse::<SocketAddr>().unwrap(), transport)
    }

    #[test]
    fn the_health_check_uses_the_first_suitable_listener() {
        use crate::config::ClientCertificates::Required;
        let free = listener("127.0.0.1:0", Transport::Tcp);
        let proxied = ListenerConfig { proxy_protocol: true, ..listener("127.0.0.1:1", Transport::Tcp) };
        let closed = ListenerConfig { client_certificates: Required, ..listener("127.0.0.1:2", Transport::Tls) };
        let ws = listener("127.0.0.1:3", Transport::Ws);
        let tls = listener("127.0.0.1:4", Transport::Tls);
        let unix = ListenerConfig::new(Endpoint::Unix("s".into()), Transport::Unix);
        let all = [free, proxied, closed, ws, tls, unix];
        assert_eq!(chosen(&all), Some(&all[4]));
        assert_eq!(chosen(&[&all[..4], &all[5..]].concat()), Some(&all[5]));
        assert_eq!(chosen(&all[..4]), Some(&all[3]));
        assert_eq!(chosen(&all[..3]), Some(&all[1]), "where nothing can be asked");
        assert_eq!(chosen(&all[..1]), None);
        let passed = ListenerConfig::new(Endpoint::Passed("mqtt".into()), Transport::Tcp);
        assert_eq!(chosen(&[passed.clone(), all[5].clone()]), Some(&all[5]));
        assert_eq!(chosen(&[passed]), None, "where it listens is written in its socket unit");
    }

    #[test]
    fn every_address_is_loopback() {
        for (from, to) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("192.0.2.1:3", "192.0.2.1:3")] {
            let [from, to] = [from, to].map(|text| Endpoint::Ip(text.parse().unwrap()));
            assert_eq!(reachable(&from), to);
        }
    }
}
