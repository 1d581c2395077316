//! [`Far`]: the other broker as the test plays it, packet by packet.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Instant,
};

use crate::support::{
    GUARD,
    five::Properties,
    raw::{Client, Frame, frame},
};

/// Where a bridge connects to.
pub struct Far(TcpListener);

/// A CONNECT as received.
#[derive(Debug)]
pub struct Connect {
    /// Protocol Level.
    pub level: u8,
    pub flags: u8,
    /// Of MQTT 5; empty before.
    pub properties: Properties,
    pub client_id: String,
    /// Topic and payload.
    pub will: Option<(String, String)>,
}

impl Far {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // so that a bridge that does not connect ends the test
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection, after its CONNECT and this CONNACK.
    pub fn accept(&self, connack: &[u8]) -> (Client, Connect) {
        let mut client = Client::on(self.accept_tcp());
        let connect = Connect::parse(&client.expect_any());
        client.send(connack);
        (client, connect)
    }

    pub fn accept_tcp(&self) -> TcpStream {
        let begin = Instant::now();
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return stream;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && begin.elapsed() < GUARD => thread::yield_now(),
                Err(error) => panic!("no connection came: {error}"),
            }
        }
    }
}

impl Connect {
    fn parse(frame: &Frame) -> Self {
        assert_eq!((frame.first, &frame.body[..6]), (0x10, &b"\0\x04MQTT"[..]));
        let (level, flags, mut rest) = (frame.body[6], frame.body[7], &frame.body[10..]);
        let mut properties = Properties::new();
        if level == 5 {
            (properties, rest) = Properties::split(rest);
        }
        let client_id = text(&mut rest);
        let will = (flags & 4 != 0).then(|| {
            if level == 5 {
                rest = Properties::split(rest).1;
            }
            (text(&mut rest), text(&mut rest))
        });
        Self { level, flags, properties, client_id, will }
    }
}

fn text(bytes: &mut &[u8]) -> String {
    let (length, rest) = bytes.split_at(2);
    let (text, rest) = rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
    *bytes = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

/// CONNACK of MQTT 5 with Session Present.
pub fn accepts(session_present: bool, properties: &Properties) -> Vec<u8> {
    frame(0x20, &[vec![u8::from(session_present), 0], properties.framed()].concat())
}
