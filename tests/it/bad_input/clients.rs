//! A broker, two well-behaved clients, and malicious ones.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use dunlin::{Config, config::Limits};

use crate::support::{
    Broker, GUARD,
    raw::{
        Client, Connect, DISCONNECT, Message, PINGREQ, PINGRESP, ack, connack, puback, pubcomp, pubrec, pubrel, suback,
        subscribe, unsubscribe,
    },
    running::accepted,
};

/// A broker within this process.
pub fn broker(limits: Limits) -> Broker {
    // one thread: whatever keeps it busy or ends it is felt by all clients
    Broker::new(Config { limits, workers: Some(1), ..Config::ephemeral() })
}

/// Two clients that exchange messages during attacks by others.
pub struct Healthy {
    publisher: Client,
    subscriber: Client,
    exchanged: usize,
}

const HEALTHY_TOPIC: &str = "healthy";

impl Healthy {
    pub fn new(address: SocketAddr) -> Self {
        let mut subscriber = accepted(address, "healthy-subscriber");
        subscriber.subscribe(&[(HEALTHY_TOPIC, 2)]);
        Self { publisher: accepted(address, "healthy-publisher"), subscriber, exchanged: 0 }
    }

    /// A message of each QoS gets through, and nothing else does.
    #[track_caller]
    pub fn exchange(&mut self) {
        for qos in 0..=2 {
            self.exchanged += 1;
            let text = self.exchanged.to_string();
            self.publisher.publish(Message::new(HEALTHY_TOPIC, &text).qos(qos));
            self.subscriber.expect_message(HEALTHY_TOPIC, &text, qos);
        }
    }
}

/// A connection of which only the reason of its end matters.
pub struct Raw(TcpStream);

impl Raw {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker accepts connections");
        // ends a test whose event never comes
        stream.set_read_timeout(Some(GUARD)).expect("a read timeout");
        stream.set_write_timeout(Some(GUARD)).expect("a write timeout");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a local address")
    }

    /// Writes; `false` once the broker has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match self.0.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_close(error.kind()) => false,
            Err(error) => panic!("cannot write: {error}"),
        }
    }

    /// The client closes its side.
    pub fn end(&self) {
        // an error means that the broker has closed it already
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// All that comes until the broker closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.0.read_to_end(&mut all) {
            Err(error) if !is_close(error.kind()) => panic!("the broker did not close: {error}"),
            _ => all,
        }
    }

    pub fn read_exact(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        self.0.read_exact(&mut bytes).expect("an answer");
        assert_eq!(bytes, expected);
    }
}

fn is_close(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

/// Sends only these bytes; returns the answers until the broker closes.
pub fn said_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut raw = Raw::open(address);
    raw.send(bytes);
    raw.end();
    raw.read_to_end()
}

/// A session with every packet that a client sends, each with the answer it gets.
pub fn valid_session(id: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let connect = Connect::new(id).will(&Message::new("will", "gone").qos(1)).user("user", "password").keep_alive(60);
    let publish = |qos| Message::new("a/b", "payload").qos(qos).id(qos.into()).frame();
    vec![
        (connect.frame(), connack(0, 0)),
        (subscribe(1, &[("x/+/y", 1), ("x/#", 2)]), suback(1, &[1, 2])),
        (publish(0), vec![]),
        (publish(1), puback(1)),
        (publish(2), pubrec(2)),
        (pubrel(2), pubcomp(2)),
        (puback(9), vec![]),
        (pubrec(9), pubrel(9)),
        (pubcomp(9), vec![]),
        (unsubscribe(3, &["x/#"]), ack(0xB0, 3)),
        (PINGREQ.to_vec(), PINGRESP.to_vec()),
        (DISCONNECT.to_vec(), vec![]),
    ]
}

/// A fixed header that announces `length` more bytes.
pub fn header(first: u8, mut length: usize) -> Vec<u8> {
    let mut header = vec![first];
    while length >= 0x80 {
        header.push(length as u8 | 0x80);
        length >>= 7;
    }
    header.push(length as u8);
    header
}
