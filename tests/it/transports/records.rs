//! The content of TLS records, for a client that takes one record at a time from the socket: each MQTT packet has its
//! own record, so that a client that reads one packet each time its socket is readable never misses one.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use dunlin::{
    Config,
    config::ListenerConfig,
    types::{TlsRecords, Transport},
};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::support::{
    Broker, config,
    raw::{Connect, Message, PINGREQ, PINGRESP, connack, puback, suback, subscribe},
    secure::{Certs, Secure, connect, expect, secure},
};

/// A client's TLS, taken one record at a time.
struct Records {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Records {
    fn new(secure: Secure) -> Self {
        let StreamOwned { conn, sock } = secure;
        Self { tls: conn, socket: sock }
    }

    /// The content of the next record of application data.
    fn next(&mut self) -> Vec<u8> {
        loop {
            let mut record = vec![0; 5];
            self.socket.read_exact(&mut record).unwrap();
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + length, 0);
            self.socket.read_exact(&mut record[5..]).unwrap();
            let mut rest = &record[..];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
                self.tls.process_new_packets().unwrap();
            }
            let mut plain = Vec::new();
            // an error only means that there is no record for now
            let _ = self.tls.reader().read_to_end(&mut plain);
            // without any, it was a session ticket
            if !plain.is_empty() {
                return plain;
            }
        }
    }
}

fn listener(certs: &Certs, transport: Transport, tls_records: TlsRecords) -> ListenerConfig {
    ListenerConfig { tls_records, ..certs.listener(transport) }
}

const MESSAGES: usize = 300;

fn messages() -> Vec<Vec<u8>> {
    (0..MESSAGES).map(|n| Message::new("burst", &format!("message {n}")).frame()).collect()
}

#[test]
fn each_packet_has_a_record_of_its_own() {
    let certs = Certs::new();
    let broker = Broker::new(Config { listeners: vec![certs.listener(Transport::Tls)], ..config() });
    let mut subscriber = secure(broker.address(), &certs.client());
    connect(&mut subscriber, "subscriber");
    subscriber.write_all(&[&subscribe(1, &[("#", 0)])[..], PINGREQ, PINGREQ].concat()).unwrap();
    let mut subscriber = Records::new(subscriber);
    // answers to packets of one record, too
    for answer in [&suback(1, &[0])[..], PINGRESP, PINGRESP] {
        assert_eq!(subscriber.next(), answer);
    }

    let mut publisher = secure(broker.address(), &certs.client());
    connect(&mut publisher, "publisher");
    publisher.write_all(&messages().concat()).unwrap();
    for message in messages() {
        assert_eq!(subscriber.next(), message);
    }

    // one that is longer than a record takes several, and shares none with its neighbours, however it was read and kept
    for size in [16_000, 20_000, 300_000] {
        let large = Message::new("large", &"x".repeat(size)).frame();
        let small = Message::new("small", "").frame();
        publisher.write_all(&[&small[..], &large, &small].concat()).unwrap();
        assert_eq!(subscriber.next(), small);
        let mut parts = Vec::new();
        while parts.len() < large.len() {
            parts.extend(subscriber.next());
        }
        assert_eq!(parts, large, "{size}");
        assert_eq!(subscriber.next(), small);
    }
}

#[test]
fn over_wss_each_packet_has_a_frame_and_a_record() {
    let certs = Certs::new();
    let broker = Broker::new(Config { listeners: vec![certs.listener(Transport::Wss)], ..config() });
    let mut subscriber = super::websocket::upgrade(secure(broker.address(), &certs.client()));
    let sends = |stream: &mut Secure, bytes: &[u8]| stream.write_all(&super::websocket::frame(0x82, bytes)).unwrap();
    sends(&mut subscriber, &[&Connect::new("subscriber").frame()[..], &subscribe(1, &[("#", 0)])].concat());
    let mut subscriber = Records::new(subscriber);
    let framed = |packet: &[u8]| [&[0x82, u8::try_from(packet.len()).unwrap()][..], packet].concat();
    assert_eq!(subscriber.next(), framed(&connack(0, 0)));
    assert_eq!(subscriber.next(), framed(&suback(1, &[0])));

    let mut publisher = super::websocket::upgrade(secure(broker.address(), &certs.client()));
    sends(&mut publisher, &[&Connect::new("publisher").frame()[..], &messages().concat()].concat());
    for message in messages() {
        assert_eq!(subscriber.next(), framed(&message));
    }
    let large = Message::new("large", &"x".repeat(20_000)).frame();
    sends(&mut publisher, &large);
    let head = [&[0x82, 126][..], &u16::try_from(large.len()).unwrap().to_be_bytes()].concat();
    let mut parts = Vec::new();
    while parts.len() < head.len() + large.len() {
        parts.extend(subscriber.next());
    }
    assert_eq!(parts, [head, large].concat());
}

#[test]
fn a_listener_may_put_many_packets_into_one_record() {
    let certs = Certs::new();
    let listeners = vec![listener(&certs, Transport::Tls, TlsRecords::Batch)];
    let broker = Broker::new(Config { listeners, ..config() });
    let mut client = secure(broker.address(), &certs.client());
    connect(&mut client, "c");
    client.write_all(&[&subscribe(1, &[("#", 0)])[..], PINGREQ].concat()).unwrap();
    let mut client = Records::new(client);
    assert_eq!(client.next(), [&suback(1, &[0])[..], PINGRESP].concat());
    assert_eq!(
        dunlin::config::parse(
            "[[listener]]\naddress='tls://0.0.0.0:1'\ncertificate_file='a'\nkey_file='b'\n\
        tls_records='batch'",
            "f"
        )
        .unwrap()
        .listeners[0]
            .tls_records,
        TlsRecords::Batch
    );
}

#[test]
fn a_client_that_pauses_reading_gets_every_record() {
    let certs = Certs::new();
    let broker = Broker::new(Config { listeners: vec![certs.listener(Transport::Tls)], ..config() });
    let mut subscriber = secure(broker.address(), &certs.client());
    connect(&mut subscriber, "subscriber");
    subscriber.write_all(&subscribe(1, &[("#", 0)])).unwrap();
    expect(&mut subscriber, &suback(1, &[0]));
    let mut publisher = secure(broker.address(), &certs.client());
    connect(&mut publisher, "publisher");
    // less than max_outbound_bytes, and more than sockets hold
    let payload = "x".repeat(1_000);
    let message = Message::new("t", &payload).frame();
    for _ in 0..6_000 {
        publisher.write_all(&message).unwrap();
    }
    crate::support::secure::ping(&mut publisher);
    for n in 0..6_000 {
        let mut got = vec![0; message.len()];
        subscriber.read_exact(&mut got).unwrap();
        assert!(got == message, "message {n}");
    }
}

#[test]
fn a_record_may_take_longer_than_the_keep_alive_while_it_makes_progress() {
    let certs = Certs::new();
    let broker = Broker::new(Config { listeners: vec![certs.listener(Transport::Tls)], workers: Some(1), ..config() });
    let mut slow = secure(broker.address(), &certs.client());
    slow.write_all(&Connect::new("slow").keep_alive(60).frame()).unwrap();
    expect(&mut slow, &connack(0, 0));
    // one record of 12 KB, in four times the Keep Alive: there is nothing to read until all of it has come
    let message = Message::new("large", &"x".repeat(12_000)).qos(1).id(1).frame();
    slow.conn.writer().write_all(&message).unwrap();
    let mut record = Vec::new();
    while slow.conn.wants_write() {
        slow.conn.write_tls(&mut record).unwrap();
    }
    let mut other = secure(broker.address(), &certs.client());
    other.write_all(&Connect::new("other").frame()).unwrap();
    expect(&mut other, &connack(0, 0));
    for part in record.chunks(200) {
        slow.sock.write_all(part).unwrap();
        // no event shows that a part of a record was read; later packets are answered by the same thread
        other.write_all(PINGREQ).unwrap();
        expect(&mut other, PINGRESP);
        broker.turn(Duration::from_secs(240).mul_f64(part.len() as f64 / record.len() as f64));
    }
    expect(&mut slow, &puback(1));
}
