//! Server-sent events.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::Ordering},
};

use dunlin::{
    Builder, Config, Publication, QoS,
    inspect::{Ban, BanTarget},
};
use serde_json::{Value, json};

use super::{address, ask, broker, client, http};
use crate::{
    support::{
        GUARD, config,
        raw::{Client, Connect, Message},
        reload, run, shut_down, start, wait_until,
    },
    webhooks::Full,
};

/// A stream that is read: its head has come.
pub struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Reads until all have come or were reported as lost; some came, and some were lost.
    #[track_caller]
    fn expect_some_of(&mut self, all: u64) {
        let (mut got, mut lost) = (0, 0);
        while got + lost < all {
            match self.next() {
                (name, data) if name == "lost" => lost += data["lost"].as_u64().unwrap(),
                _ => got += 1,
            }
        }
        assert!(lost > 0 && got > 0, "{got} came, {lost} were lost");
    }

    pub fn open(at: SocketAddr, path: &str) -> Self {
        Self::open_with(at, path, &[])
    }

    /// With these lines as headers.
    pub fn open_with(at: SocketAddr, path: &str, headers: &[&str]) -> Self {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        socket.write_all(format!("GET /api/v1/{path} HTTP/1.0\r\nHost: {at}\r\n{lines}\r\n").as_bytes()).unwrap();
        let mut stream = Self(BufReader::new(socket));
        assert!(stream.line().starts_with("HTTP/1.0 200"));
        while stream.line() != ": dunlin" {}
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ends");
        line.trim_end().to_owned()
    }

    /// Nothing more comes.
    pub fn expect_end(&mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("the stream ends");
    }

    /// The next event.
    pub fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let line = self.line();
            if let Some(word) = line.strip_prefix("event: ") {
                word.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[test]
fn events_are_streamed_as_they_happen() {
    let broker = broker("");
    let at = address(&broker);
    let mut all = Stream::open(at, "events");
    let mut published = Stream::open(at, "events?types=publish&payload=true&client_id=lamp");
    let mut other = client(&broker, "other");
    let mut lamp = client(&broker, "lamp");
    lamp.subscribe(&[("a/b", 1)]);
    other.publish(Message::new("x", "not the lamp's").qos(1));
    lamp.publish(Message::new("x", "payload").qos(1));
    lamp.disconnect();
    let (name, event) = published.next();
    assert_eq!((name.as_str(), &event["payload"], &event["topic"]), ("publish", &"payload".into(), &"x".into()));

    // each thread's events are in order
    let mut of_lamp = Vec::new();
    while of_lamp.len() < 3 {
        let (name, event) = all.next();
        if event["client_id"] == "lamp" {
            of_lamp.push(name);
        }
    }
    assert_eq!(of_lamp, ["connect", "subscribe", "disconnect"]);
}

#[test]
fn events_of_the_broker_and_of_refused_clients_are_streamed() {
    let other = start(Builder::new(config()));
    let bridge = format!(
        "[[bridge]]\nname = 'b'\naddresses = ['{}']\nreconnect_min = '10ms'\ntopics = ['# out']",
        other.local_addrs()[0]
    );
    let bridges = dunlin::config::parse(&bridge, "test").expect("the bridge is right").bridges;
    let store = Arc::new(Full::default());
    // the broker waits, so that the last event is read
    let config = Config { http: http("drain_delay = \"1s\""), ..config() };
    let server = start(Builder::new(config.clone()).store(store.clone()));
    let at = server.http_urls()[0].strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = Stream::open(at, "events");
    let mut only = Stream::open(at, "events?types=bridge_down");
    let mut expect = |wanted: &str| loop {
        let (name, mut event) = stream.next();
        if name == wanted {
            event.as_object_mut().unwrap().remove("at").expect("a time");
            return event;
        }
    };
    let mut refused = Client::open(server.local_addrs()[0]);
    refused.send(&Connect::new("$own").user("eve", "x").frame());
    let event = expect("refuse");
    assert_eq!((&event["client_id"], &event["user"]), (&json!("$own"), &json!("eve")));
    assert!(event["reason"].as_str().unwrap().contains("begin with $"), "{event}");
    assert!(event["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
    let target = BanTarget { network: Some("192.0.2.0/24".parse().unwrap()), ..BanTarget::client("lamp") };
    run(server.ban(Ban { target, reason: "noise".into(), by: "ann".into(), until: None })).expect("a ban");
    let ban = json!({ "client_id": "lamp", "network": "192.0.2.0/24", "reason": "noise", "by": "ann", "until": null });
    assert_eq!(expect("ban"), ban);
    reload(&server, &Config { bridges, ..config }).unwrap();
    let address = other.local_addrs()[0].to_string();
    assert_eq!(expect("bridge_up"), json!({ "name": "b", "address": address }));
    shut_down(other);
    let down = expect("bridge_down");
    assert_eq!((&down["name"], &down["address"]), (&json!("b"), &json!(address)));
    assert!(!down["reason"].as_str().unwrap().is_empty(), "{down}");
    // of two events of one kind, the one that was asked for
    assert_eq!(only.next().0, "bridge_down");
    store.0.store(true, Ordering::Relaxed);
    assert_eq!(expect("store"), json!({ "condition": "full" }));
    std::thread::scope(|scope| {
        scope.spawn(|| shut_down(server));
        assert_eq!(expect("broker_stopping"), json!({ "version": env!("CARGO_PKG_VERSION") }));
    });
}

#[test]
fn messages_are_streamed_and_a_slow_reader_gets_the_number_of_lost_ones() {
    let broker = broker("");
    let at = address(&broker);
    let publish = |topic: &str, payload: Vec<u8>| {
        run(broker.server.publish(Publication::new(topic, payload).qos(QoS::AtLeastOnce).retain(topic == "old")))
            .unwrap()
    };
    publish("old", b"retained".to_vec());
    let mut quick = Stream::open(at, "messages?filter=%23&qos=1");
    let (name, message) = quick.next();
    assert_eq!((name.as_str(), &message["payload"], &message["retain"]), ("message", &"retained".into(), &true.into()));
    drop(quick);

    let mut slow = Stream::open(at, "messages?filter=big&qos=1");
    let (all, payload) = (1_500, vec![b'x'; 64 << 10]);
    for _ in 0..all {
        publish("big", payload.clone());
    }
    // others are answered
    assert_eq!(ask(at, "GET", "/api/v1/broker", &[]).status, 200);
    slow.expect_some_of(all);
}

#[test]
fn a_slow_reader_of_events_is_told_what_it_lost_and_slows_nobody() {
    let broker = broker("");
    let at = address(&broker);
    let mut slow = Stream::open(at, "events?types=publish&payload=true");
    let mut lamp = client(&broker, "lamp");
    let (all, payload) = (1_500, "x".repeat(64 << 10));
    // each is acknowledged, though nobody reads
    for _ in 0..all {
        lamp.publish(Message::new("big", &payload).qos(1));
    }
    slow.expect_some_of(all);
}

#[test]
fn streams_are_bounded() {
    let broker = broker("");
    let at = address(&broker);
    let streams: Vec<_> = (0..32).map(|_| Stream::open(at, "events?types=connect")).collect();
    let refused = ask(at, "GET", "/api/v1/messages?filter=a", &[]);
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
    // requests are answered beside them
    assert_eq!(ask(at, "GET", "/api/v1/broker", &[]).status, 200);
    drop(streams);
    wait_until(|| status(at, "events?types=connect") == 200, || "there is no room".into());
}

/// Of a stream that is not read.
fn status(at: SocketAddr, path: &str) -> u16 {
    let mut socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.write_all(format!("GET /api/v1/{path} HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}
