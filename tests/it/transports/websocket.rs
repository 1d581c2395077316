//! WebSocket: the request, valid frames, and invalid ones.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use dunlin::{
    Config,
    config::{Limits, ListenerConfig},
    router::Count,
    types::{Endpoint, Transport},
};

use crate::support::{
    Broker, config,
    raw::{Connect, Message, PINGREQ, PINGRESP, connack, suback, subscribe},
    secure::{Certs, connect, expect, ping, rest, secure, tcp},
};

pub fn listener() -> ListenerConfig {
    ListenerConfig::new(Endpoint::Ip(([127, 0, 0, 1], 0).into()), Transport::Ws)
}

fn broker(limits: Limits) -> Broker {
    Broker::new(Config { listeners: vec![listener()], limits, ..config() })
}

pub const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
pub const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

pub const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;

/// A frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 0, 255, 3];
    let mut bytes = vec![first];
    match payload.len() {
        n @ 0..126 => bytes.push(0x80 | n as u8),
        n @ 126..65_536 => bytes.extend([&[0x80 | 126][..], &(n as u16).to_be_bytes()].concat()),
        n => bytes.extend([&[0x80 | 127][..], &(n as u64).to_be_bytes()].concat()),
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A close frame as the broker sends it.
fn close(code: u16) -> Vec<u8> {
    [&[CLOSE, 2][..], &code.to_be_bytes()].concat()
}

/// Sends the request and reads the head of the answer.
pub fn upgrade<S: Read + Write>(mut socket: S) -> S {
    socket.write_all(format!("{REQUEST}{MQTT}").as_bytes()).unwrap();
    let head = String::from_utf8(read_head(&mut socket)).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{head}");
    socket
}

/// One that is a client's already; the CONNECT comes with the request, as it may not, but does.
fn open(address: SocketAddr) -> TcpStream {
    let mut socket = tcp(address);
    let connect = frame(BINARY, &Connect::new("c").frame());
    socket.write_all(&[format!("{REQUEST}{MQTT}").as_bytes(), &connect].concat()).unwrap();
    read_head(&mut socket);
    expect(&mut socket, &[&[BINARY, 4][..], &connack(0, 0)].concat());
    socket
}

/// The head of the answer, and nothing behind it.
pub fn read_head(socket: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    head
}

/// The payload of frames, as a stream.
pub struct Frames<S> {
    socket: S,
    left: usize,
}

impl<S> Frames<S> {
    pub fn new(socket: S) -> Self {
        Self { socket, left: 0 }
    }
}

impl<S: Read> Read for Frames<S> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            let mut head = [0; 2];
            self.socket.read_exact(&mut head)?;
            assert_eq!(head[0], BINARY);
            let extra = match head[1] {
                126 => 2,
                127 => 8,
                short => {
                    self.left = short.into();
                    continue;
                }
            };
            let mut length = [0; 8];
            self.socket.read_exact(&mut length[8 - extra..])?;
            self.left = usize::from_be_bytes(length);
        }
        let part = buf.len().min(self.left);
        let n = self.socket.read(&mut buf[..part])?;
        self.left -= n;
        Ok(n)
    }
}

impl<S: Write> Write for Frames<S> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.socket.write_all(&frame(BINARY, buf))?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}

/// Publishes messages of many sizes and gets them back; they wait for one another where they are large.
pub fn echo_many(client: &mut (impl Read + Write)) {
    connect(client, "echo");
    client.write_all(&subscribe(1, &[("echo", 0)])).unwrap();
    expect(client, &suback(1, &[0]));
    for size in [0, 1, 100, 118, 119, 125, 126, 127, 4_000, 16_384, 65_500, 65_536, 200_000, 900_000] {
        let payload: String = (0..size).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        let message = Message::new("echo", &payload).frame();
        client.write_all(&message).unwrap();
        expect(client, &message);
    }
    let many: Vec<u8> = (0..500).flat_map(|at| Message::new("echo", &format!("message {at}")).frame()).collect();
    client.write_all(&many).unwrap();
    expect(client, &many);
    ping(client);
}

#[test]
fn messages_of_all_sizes_pass_both_ways_also_over_tls() {
    let broker = broker(Limits::default());
    echo_many(&mut Frames::new(upgrade(tcp(broker.address()))));
    let certs = Certs::new();
    let wss = Broker::new(Config { listeners: vec![certs.listener(Transport::Wss)], ..config() });
    echo_many(&mut Frames::new(upgrade(secure(wss.address(), &certs.client()))));
}

#[test]
fn a_client_that_publishes_too_fast_is_slowed_here_too_also_over_tls() {
    fn flood(broker: &Broker, mut client: impl Read + Write) {
        connect(&mut client, "fast");
        // one frame with many packets, then many frames
        let message = |at: u8| Message::new("t", &at.to_string()).frame();
        client.write_all(&(0..50).flat_map(message).collect::<Vec<_>>()).unwrap();
        (50..100).for_each(|at| client.write_all(&message(at)).unwrap());
        broker.turn_until(Duration::from_secs(1), || broker.count(Count::PublishReceived) == 100);
        ping(&mut client);
        broker.expect_counts(&[(Count::PublishReceived, 100), (Count::PublishRate, 1)]);
    }
    let limits = Limits { publish_rate: Some(20), ..Limits::default() };
    let ws = broker(limits.clone());
    let socket = tcp(ws.address());
    // the packets have arrived before the clock is advanced to the next ping
    socket.set_nodelay(true).unwrap();
    flood(&ws, Frames::new(upgrade(socket)));
    let certs = Certs::new();
    for transport in [Transport::Wss, Transport::Tls] {
        let listeners = vec![certs.listener(transport)];
        let broker = Broker::new(Config { listeners, limits: limits.clone(), ..config() });
        let socket = secure(broker.address(), &certs.client());
        socket.sock.set_nodelay(true).unwrap();
        match transport {
            Transport::Wss => flood(&broker, Frames::new(upgrade(socket))),
            _ => flood(&broker, socket),
        }
    }
}

#[test]
fn packets_may_span_frames_and_share_one() {
    let broker = broker(Limits::default());
    let mut socket = open(broker.address());
    // each answer has a frame of its own: Paho C reads one packet of a frame, and the next when something else arrives
    socket.write_all(&frame(BINARY, &[PINGREQ; 3].concat())).unwrap();
    expect(&mut socket, &[&[BINARY, 2][..], PINGRESP].concat().repeat(3));
    // a packet in three fragments with a ping between them, which is answered before the packet is
    let parts =
        [frame(0x02, &PINGREQ[..1]), frame(PING, b"still there?"), frame(0x00, b""), frame(0x80, &PINGREQ[1..])];
    socket.write_all(&parts.concat()).unwrap();
    expect(&mut socket, b"\x8a\x0cstill there?");
    expect(&mut socket, &[&[BINARY, 2][..], PINGRESP].concat());
    // byte by byte
    for byte in frame(BINARY, PINGREQ) {
        socket.write_all(&[byte]).unwrap();
    }
    expect(&mut socket, &[&[BINARY, 2][..], PINGRESP].concat());
}

#[test]
fn each_packet_has_its_own_frame_even_after_a_full_socket() {
    let broker = Broker::new(Config {
        listeners: vec![listener(), ListenerConfig::tcp(([127, 0, 0, 1], 0).into())],
        ..config()
    });
    let mut subscriber = Frames::new(upgrade(tcp(broker.address())));
    connect(&mut subscriber, "subscriber");
    subscriber.write_all(&subscribe(1, &[("#", 0)])).unwrap();
    expect(&mut subscriber, &suback(1, &[0]));
    let mut publisher = tcp(broker.server.local_addrs()[1]);
    connect(&mut publisher, "publisher");
    // less than max_outbound_bytes, and more than sockets hold; large payloads are not copied
    let messages: Vec<_> = [10, 200_000, 1_000, 130_000, 500]
        .map(|size| Message::new("t", &"x".repeat(size)).frame())
        .into_iter()
        .cycle()
        .take(100)
        .collect();
    publisher.write_all(&messages.concat()).unwrap();
    ping(&mut publisher);
    for message in messages {
        assert_eq!(subscriber.left, 0);
        let mut got = vec![0; message.len()];
        subscriber.read_exact(&mut got).unwrap();
        assert!(got == message && subscriber.left == 0, "a message of {} bytes", message.len());
    }
}

#[test]
fn a_websocket_close_is_answered_and_logged() {
    let broker = broker(Limits::default());
    let mut socket = open(broker.address());
    socket.write_all(&frame(CLOSE, &[&1001u16.to_be_bytes()[..], b"going"].concat())).unwrap();
    assert_eq!(rest(&mut socket), close(1001));
    let mut socket = open(broker.address());
    socket.write_all(&frame(CLOSE, b"")).unwrap();
    assert_eq!(rest(&mut socket), [CLOSE, 0]);
    // DISCONNECT ends the WebSocket in order, a violation of MQTT does not
    for (packet, code) in [(&[0xe0, 0][..], 1000), (&[0x00, 0], 1002)] {
        let mut socket = open(broker.address());
        socket.write_all(&frame(BINARY, packet)).unwrap();
        assert_eq!(rest(&mut socket), close(code));
    }
}

#[test]
fn a_websocket_violation_closes_one_connection_with_its_code() {
    let broker = broker(Limits { max_packet_size: 1000, ..Limits::default() });
    let mut healthy = Frames::new(upgrade(tcp(broker.address())));
    connect(&mut healthy, "healthy");
    let mut unmasked = frame(BINARY, PINGREQ);
    unmasked[1] &= 0x7f;
    let huge = [&[BINARY, 0xff][..], &[0, 0, 0, 9, 0, 0, 0, 0], &[0; 4]].concat();
    let table: &[(Vec<u8>, u16)] = &[
        (frame(0x81, b"text"), 1003),
        (unmasked, 1002),
        (huge, 1009),
        (frame(BINARY, &[0; 1001]), 1009),
        (frame(0xc2, PINGREQ), 1002),
        (frame(0x83, b""), 1002),
        (frame(0x80, PINGREQ), 1002),
        (frame(PING, &[0; 126]), 1002),
        (frame(CLOSE, &[1]), 1002),
    ];
    for (at, (bytes, code)) in table.iter().enumerate() {
        let mut socket = open(broker.address());
        socket.write_all(bytes).unwrap();
        assert_eq!(rest(&mut socket), close(*code), "{:?}", &bytes[..bytes.len().min(20)]);
        broker.wait_for_count(Count::ProtocolErrors, at as u64 + 1);
        ping(&mut healthy);
    }
}

#[test]
fn requests_that_are_refused() {
    let allowed_origins = vec!["https://good.example".into()];
    let listener = ListenerConfig { path: Some("/mqtt".into()), allowed_origins, ..listener() };
    let broker = Broker::new(Config { listeners: vec![listener], ..config() });
    let origin = |origin: &str| format!("{REQUEST}Origin: {origin}\r\n{MQTT}");
    let table: &[(String, &str)] = &[
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), "HTTP/1.1 200 OK"),
        ("GET /mqtt HTTP/1.0\r\nHost: h\r\n\r\n".into(), "HTTP/1.1 505 "),
        ("POST /mqtt HTTP/1.1\r\nHost: h\r\n\r\n".into(), "HTTP/1.1 405 "),
        (format!("{REQUEST}\r\n"), "HTTP/1.1 400 "),
        (format!("{REQUEST}Sec-WebSocket-Protocol: amqp\r\n\r\n"), "HTTP/1.1 400 "),
        (format!("{REQUEST}{MQTT}").replace("/mqtt", "/other"), "HTTP/1.1 404 "),
        (format!("{REQUEST}{MQTT}").replace("Version: 13", "Version: 8"), "HTTP/1.1 426 "),
        (origin("https://bad.example"), "HTTP/1.1 403 "),
        (origin("null"), "HTTP/1.1 403 "),
        (format!("GET /mqtt HTTP/1.1\r\nX: {}", "a".repeat(8192)), "HTTP/1.1 431 "),
        ("\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c".into(), "HTTP/1.1 400 "),
    ];
    for (request, expected) in table {
        let mut socket = tcp(broker.address());
        socket.write_all(request.as_bytes()).unwrap();
        let answer = String::from_utf8(rest(&mut socket)).unwrap();
        assert!(answer.starts_with(expected), "{request:?}: {answer:?}");
        assert!(answer.ends_with(".\n") && answer.contains("MQTT over WebSocket"), "{answer:?}");
    }
    let mut socket = tcp(broker.address());
    socket.write_all(origin("https://GOOD.example").as_bytes()).unwrap();
    expect(&mut socket, b"HTTP/1.1 101 ");
}

#[test]
fn mqtt_is_served_at_every_path_or_the_configured_one() {
    let named = ListenerConfig { path: Some("/mqtt".into()), ..listener() };
    let broker = Broker::new(Config { listeners: vec![listener(), named], ..config() });
    let addresses = broker.server.local_addrs();
    for (path, statuses) in [("/", [101, 404]), ("/mqtt", [101, 101]), ("/mqtt/", [101, 101]), ("/a/b?c=d", [101, 404])]
    {
        for (address, status) in addresses.iter().zip(statuses) {
            let mut socket = tcp(*address);
            socket.write_all(format!("{REQUEST}{MQTT}").replace("/mqtt", path).as_bytes()).unwrap();
            expect(&mut socket, format!("HTTP/1.1 {status} ").as_bytes());
        }
    }
    // without Upgrade: a line of text, of which HEAD gets the length alone
    let answer = |method: &str| {
        let mut socket = tcp(broker.address());
        socket.write_all(format!("{method} /anything HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        String::from_utf8(rest(&mut socket)).unwrap()
    };
    let (page, head) = (answer("GET"), answer("HEAD"));
    let (before, text) = page.split_once("\r\n\r\n").unwrap();
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("at every path"), "{page}");
    assert!(before.contains(&format!("\r\nContent-Length: {}\r\n", text.len())), "{page}");
    assert_eq!(head, format!("{before}\r\n\r\n"));
}

#[test]
fn a_silent_websocket_is_pinged_and_its_keep_alive_applies() {
    fn pinged(broker: &Broker, mut client: impl Read + Write) {
        let connect = Connect::new("c").keep_alive(60).frame();
        client.write_all(&frame(BINARY, &connect)).unwrap();
        expect(&mut client, &[&[BINARY, 4][..], &connack(0, 0)].concat());
        let mut pings = 0;
        loop {
            broker.turn(Duration::from_secs(21));
            let mut head = [0; 2];
            client.read_exact(&mut head).unwrap();
            if head[0] == CLOSE {
                break;
            }
            assert_eq!(head, [PING, 0]);
            // paho-mqtt for Python answers without a mask
            client.write_all(&if pings % 2 == 0 { vec![PONG, 0] } else { frame(PONG, b"") }).unwrap();
            pings += 1;
        }
        // within one and a half minutes
        assert_eq!(pings, 4);
    }
    let websocket_ping = Some(Duration::from_secs(20));
    let broker = Broker::new(Config { listeners: vec![ListenerConfig { websocket_ping, ..listener() }], ..config() });
    pinged(&broker, upgrade(tcp(broker.address())));
    let certs = Certs::new();
    let listener = ListenerConfig { websocket_ping, ..certs.listener(Transport::Wss) };
    let wss = Broker::new(Config { listeners: vec![listener], ..config() });
    pinged(&wss, upgrade(secure(wss.address(), &certs.client())));
}

#[test]
fn a_slow_http_head_closes_its_connection() {
    let limits = Limits::default();
    let (broker, late) = (broker(limits.clone()), limits.connect_timeout + Duration::from_secs(1));
    let mut slow = tcp(broker.address());
    slow.write_all(b"GET /mqtt HTTP/1.1\r\nX:").unwrap();
    broker.wait_for_count(Count::SocketsOpened, 1);
    broker.turn(late);
    assert_eq!(rest(&mut slow), b"");
    broker.wait_for_count(Count::ConnectTimeouts, 1);
    // and a silent WebSocket
    let mut silent = upgrade(tcp(broker.address()));
    broker.turn(late);
    assert_eq!(rest(&mut silent), close(1000));
    broker.wait_for_count(Count::ConnectTimeouts, 2);
}
