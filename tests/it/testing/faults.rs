//! Faults, by a table of effect, direction and packet type. The result must equal that of the same exchange in which
//! the client, or the broker, had done the same itself.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use super::Bench;
use crate::support::{
    five,
    raw::{self, Client, Connect, Message, frame, puback, pubcomp, pubrec, pubrel, text},
};

/// The packets of a client, in this order, whatever the answers are.
fn script() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("CONNECT", Connect::new("c").frame()),
        ("SUBSCRIBE", raw::subscribe(9, &[("q/#", 2)])),
        ("PUBLISH", Message::new("q/1", "one").qos(1).id(1).frame()),
        ("PUBACK", puback(1)),
        ("PUBLISH", Message::new("q/2", "two").qos(2).id(2).frame()),
        ("PUBREL", pubrel(2)),
        ("PUBREC", pubrec(2)),
        ("PUBCOMP", pubcomp(2)),
        ("PINGREQ", vec![0xC0, 0]),
        ("UNSUBSCRIBE", raw::unsubscribe(10, &["q/#"])),
        ("DISCONNECT", vec![0xE0, 0]),
    ]
}

/// The packets that the client receives, and whether the connection ends.
#[derive(Debug, PartialEq)]
struct Trace {
    bytes: Vec<u8>,
    ended: bool,
    /// How many bytes had come after each packet that was sent.
    steps: Vec<usize>,
}

/// Sends all packets, each after the broker has handled the one before.
fn play(bench: &Bench, sent: &[Vec<u8>]) -> Trace {
    let mut socket = TcpStream::connect(bench.mqtt()).unwrap();
    socket.set_nodelay(true).unwrap();
    let (mut bytes, mut ended, mut steps) = (Vec::new(), false, Vec::new());
    for packet in sent {
        // one that is closed takes nothing
        let _ = socket.write_all(packet);
        bench.post("idle", json!({}));
        ended |= take(&mut socket, &mut bytes);
        steps.push(bytes.len());
    }
    Trace { bytes, ended, steps }
}

/// Reads everything that has arrived. `true`: there will be no more.
fn take(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    socket.set_nonblocking(true).unwrap();
    let ended = loop {
        let mut space = [0; 4096];
        match socket.read(&mut space) {
            Ok(0) => break true,
            Ok(count) => bytes.extend_from_slice(&space[..count]),
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    socket.set_nonblocking(false).unwrap();
    ended
}

/// The packets in it.
fn packets(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (packet, behind) = rest.split_at((2 + usize::from(rest[1])).min(rest.len()));
        packets.push(packet.to_vec());
        rest = behind;
    }
    packets
}

/// The packets in it, in every order in which they may come: those that answer the same packet in any.
fn orders(trace: &Trace) -> Vec<Vec<Vec<u8>>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for to in &trace.steps {
        let step = packets(&trace.bytes[from..*to]);
        from = *to;
        assert!(step.len() <= 2, "{step:?}");
        let turned: Vec<_> = step.iter().rev().cloned().collect();
        let mut ways = vec![step];
        if ways[0] != turned {
            ways.push(turned);
        }
        all = all.iter().flat_map(|before| ways.iter().map(move |way| [&before[..], &way[..]].concat())).collect();
    }
    all
}

const TYPES: [&str; 16] = [
    "",
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

fn name(packet: &[u8]) -> &'static str {
    TYPES[usize::from(packet[0] >> 4)]
}

/// Plays it under a fault, which has to hit once.
fn under(bench: &Bench, does: &Value, packet: &str, direction: &str) -> Trace {
    bench.post("reset", json!({}));
    let when = json!({ "packet": packet, "direction": direction, "times": 1 });
    bench.post("faults", json!({ "when": when, "do": does }));
    let trace = play(bench, &script().into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>());
    let (_, faults) = bench.ask("GET", "faults", &json!({}));
    assert_eq!(faults["data"][0]["hits"], 1, "{does} {packet} {direction}");
    bench.post(
        "expect",
        json!({ "packet": packet, "direction": direction, "fault": faults["data"][0]["does"], "within": 0 }),
    );
    trace
}

fn plain(bench: &Bench, sent: Vec<Vec<u8>>) -> Trace {
    bench.post("reset", json!({}));
    play(bench, &sent)
}

/// The effect of faults as an exchange without them, and whether the connection ends.
fn done(does: &str, packets: &[Vec<u8>], at: usize) -> (Vec<Vec<u8>>, bool) {
    let mut packets = packets.to_vec();
    match does {
        "drop" => drop(packets.remove(at)),
        "duplicate" => packets.insert(at, packets[at].clone()),
        "close" | "reset" | "half_open" => packets.truncate(at),
        "truncate" => {
            packets.truncate(at + 1);
            packets[at].truncate(1);
        }
        "reorder" if at + 1 < packets.len() => packets.swap(at, at + 1),
        "reorder" | "delay" => {}
        other => panic!("{other}"),
    }
    (packets, ["close", "reset", "truncate"].contains(&does))
}

fn table() -> Vec<(&'static str, Value)> {
    let mut all: Vec<_> = ["drop", "duplicate", "close", "reset", "half_open", "reorder"]
        .into_iter()
        .map(|does| (does, json!(does)))
        .collect();
    all.push(("delay", json!({ "delay": "5ms" })));
    all.push(("truncate", json!({ "truncate": 1 })));
    all
}

#[test]
fn faults_on_packets_of_the_client_change_what_the_broker_receives() {
    let bench = Bench::start();
    let sent = script();
    let all: Vec<_> = sent.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut seen = Vec::new();
    for (at, (packet, _)) in sent.iter().enumerate() {
        if seen.contains(packet) {
            continue;
        }
        seen.push(packet);
        for (does, asked) in table() {
            let (mut sent, ends) = done(does, &all, at);
            if does == "reorder" && at + 1 == all.len() {
                // there is no next one
                sent.pop();
            }
            let (mut expected, mut found) = (plain(&bench, sent), under(&bench, &asked, packet, "to_server"));
            // the broker closes a client that has sent DISCONNECT or an invalid packet
            expected.ended |= ends;
            if does == "half_open" {
                expected.ended = false;
            }
            // two that come at once are answered together
            [&mut expected, &mut found].into_iter().for_each(|trace| {
                let mut all = packets(&trace.bytes);
                all.sort();
                (trace.bytes, trace.steps) = (all.concat(), Vec::new());
            });
            assert_eq!(found, expected, "{does} {packet}");
        }
    }
}

#[test]
fn faults_on_packets_of_the_broker_do_not_change_its_state() {
    let bench = Bench::start();
    let sent: Vec<_> = script().into_iter().map(|(_, bytes)| bytes).collect();
    let orders = orders(&plain(&bench, sent.clone()));
    let mut seen: Vec<_> = orders[0].iter().map(|packet| name(packet)).collect();
    seen.sort();
    seen.dedup();
    for packet in &seen {
        for (does, asked) in table() {
            let cuts = ["close", "reset", "truncate", "half_open"].contains(&does);
            let expected: Vec<_> = orders
                .iter()
                .map(|all| done(does, all, all.iter().position(|one| name(one) == *packet).unwrap()).0.concat())
                .collect();
            let found = under(&bench, &asked, packet, "to_client");
            assert!(expected.contains(&found.bytes), "{does} {packet}: {:?}, none of {expected:?}", found.bytes);
            // all but this one ends, by the fault or by the client's own DISCONNECT
            assert_eq!(found.ended, does != "half_open", "{does} {packet}");
            // the broker has processed the client's packets before that
            if !(cuts && ["CONNACK", "SUBACK"].contains(packet)) {
                bench.post("expect", json!({ "filter": "q/1", "payload": "one", "within": 0 }));
            }
        }
    }
    assert_eq!(seen, ["CONNACK", "PINGRESP", "PUBACK", "PUBCOMP", "PUBLISH", "PUBREC", "PUBREL", "SUBACK", "UNSUBACK"]);
}

#[test]
fn a_client_without_a_puback_sends_again() {
    let bench = Bench::start();
    bench
        .post("faults", json!({ "when": { "packet": "PUBACK", "direction": "to_client", "times": 1 }, "do": "close" }));
    let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").persistent(), 0);
    client.send(&Message::new("a", "x").qos(1).id(1).frame());
    client.expect_closed();
    // it was processed
    bench.post("expect", json!({ "filter": "a", "payload": "x", "count": 1, "at_most": 1 }));
    let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").persistent(), 1);
    client.publish(Message::new("a", "x").qos(1).id(1).dup());
    let resent = json!({ "packet": "PUBLISH", "direction": "to_server", "client": "c", "dup": true, "fault": "none" });
    bench.post("expect", resent);
    bench.post("expect", json!({ "packet": "PUBACK", "fault": "none", "packet_id": 1, "count": 1 }));
    bench.unmet(json!({ "packet": "PUBACK", "fault": "none", "count": 2, "within": "10ms" }));
}

#[test]
fn a_fault_corrupts_one_byte() {
    let bench = Bench::start();
    for seed in 0..20 {
        bench.post("reset", json!({}));
        bench.post("faults", json!({ "when": { "packet": "PUBACK" }, "do": "corrupt", "seed": seed }));
        let mut client = bench.client("c");
        client.send(&Message::new("a", "x").qos(1).id(0x0102).frame());
        let got = client.expect_any().bytes();
        let sent = puback(0x0102);
        assert_eq!(got[..2], sent[..2]);
        assert_eq!(got.iter().zip(&sent).filter(|(got, sent)| got != sent).count(), 1, "{got:?}");
    }
}

#[test]
fn a_stalled_client_gets_its_bytes_slowly() {
    let bench = Bench::start();
    bench.post("clock", json!({ "pause": true }));
    let mut client = bench.client("c");
    client.subscribe(&[("a", 0)]);
    bench.post("faults", json!({ "when": { "client": "c", "packet": "PUBLISH" }, "do": { "stall": 10 } }));
    bench.client("p").publish(Message::new("a", "0123456789").qos(1).id(1));
    bench.post("expect", json!({ "packet": "PUBLISH", "client": "c", "fault": "stall" }));
    client.expect_no_bytes();
    bench.post("clock", json!({ "advance": "1s" }));
    let mut first = [0; 10];
    client.read_exact(&mut first);
    assert_eq!(first, *b"\x30\x0d\x00\x01a01234");
    client.expect_no_bytes();
    bench.post("clock", json!({ "resume": true }));
    let mut rest = [0; 5];
    client.read_exact(&mut rest);
    assert_eq!(rest, *b"56789");
}

#[test]
fn a_half_open_connection_outlasts_the_keep_alive_of_the_broker() {
    let bench = Bench::start();
    let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").keep_alive(60), 0);
    bench.post("faults", json!({ "when": { "client": "c" }, "do": "half_open" }));
    client.send(&[0xC0, 0]);
    bench.post("expect", json!({ "packet": "PINGREQ", "fault": "half_open" }));
    bench.post("clock", json!({ "advance": "91s", "keep_alive": true }));
    // for the broker it is over, and its client does not find out
    bench.post("expect", json!({ "client": "c", "state": "gone" }));
    client.expect_no_bytes();
    assert_eq!(bench.ask("DELETE", "faults", &json!({})).1["removed"], 1);
    client.expect_closed();
}

#[test]
fn reason_codes_refusals_and_ends_in_both_versions() {
    let bench = Bench::start();
    let set = |when: Value, does: Value| {
        bench.ask("DELETE", "faults", &json!({}));
        bench.post("faults", json!({ "when": when, "do": does }));
    };
    let connect = five::Connect::new("five");
    // refused
    set(json!({}), json!({ "refuse": 0x88 }));
    let mut refused = five::Five::open(bench.mqtt());
    refused.send(&connect.frame());
    refused.expect_refused(0x88);
    set(json!({}), json!({ "refuse": 3 }));
    let mut refused = Client::open(bench.mqtt());
    refused.send(&Connect::new("four").frame());
    refused.expect_refused(3);
    set(json!({ "packet": "CONNACK" }), json!({ "reason_code": 0x97 }));
    let mut refused = five::Five::open(bench.mqtt());
    refused.send(&connect.frame());
    refused.expect_refused(0x97);
    // the broker has processed it, or never gets it
    for (when, arrives) in [
        (json!({ "packet": "PUBACK", "direction": "to_client" }), true),
        (json!({ "packet": "PUBLISH", "direction": "to_server" }), false),
    ] {
        bench.post("reset", json!({}));
        set(when, json!({ "reason_code": 0x97 }));
        let mut client = five::Five::accepted(bench.mqtt(), &connect, 0);
        client.send(&five::Publish::new("a", "x").qos(1).id(7).frame());
        assert_eq!(client.expect_ack(0x40, 7), 0x97);
        bench.post("expect", json!({ "filter": "a", "count": usize::from(arrives), "at_most": usize::from(arrives) }));
        client.abort();
    }
    bench.post("reset", json!({}));
    set(json!({ "packet": "SUBSCRIBE" }), json!({ "reason_code": 0x80 }));
    let mut client = bench.client("four");
    client.send(&raw::subscribe(3, &[("a", 0), ("b", 1)]));
    client.expect(&raw::suback(3, &[0x80, 0x80]));
    bench.post("expect", json!({ "client": "four", "state": "connected" }));
    // ends
    set(json!({ "packet": "PINGREQ" }), json!({ "disconnect": 0x8B }));
    client.send(&[0xC0, 0]);
    client.expect_closed();
    let mut client = five::Five::accepted(bench.mqtt(), &connect, 0);
    client.send(&[0xC0, 0]);
    client.expect(&frame(0xE0, &[0x8B, 0]));
    client.expect_closed();
    set(json!({ "packet": "PINGREQ" }), json!({ "redirect": "other:1883" }));
    let mut client = five::Five::accepted(bench.mqtt(), &connect, 0);
    client.send(&[0xC0, 0]);
    let server = [&[0x1C][..], &text("other:1883")].concat();
    client.expect(&frame(0xE0, &[&[0x9C, server.len() as u8][..], &server].concat()));
    client.expect_closed();
}

#[test]
fn a_refused_connection_is_reset_before_it_is_read() {
    let bench = Bench::start();
    bench.post("faults", json!({ "when": { "times": 2 }, "do": "refuse_tcp" }));
    for _ in 0..2 {
        let mut socket = TcpStream::connect(bench.mqtt()).unwrap();
        assert!(socket.read(&mut [0]).is_err(), "it was reset");
    }
    bench.client("c");
}

#[test]
fn presets() {
    let bench = Bench::start();
    let (_, presets) = bench.ask("GET", "presets", &json!({}));
    for preset in presets["data"].as_array().unwrap() {
        bench.post("faults", json!({ "preset": preset["name"], "client": "c" }));
    }
    assert_eq!(bench.ask("POST", "faults", &json!({ "preset": "no" })).0, 400);
    bench.post("reset", json!({}));
    bench.post("faults", json!({ "preset": "receive-maximum-1" }));
    let (_client, connack) = five::Five::connect(bench.mqtt(), &five::Connect::new("five"));
    assert_eq!(connack.properties.number(0x21), Some(1));
    bench.post("reset", json!({}));
    bench.post("faults", json!({ "preset": "packet-id-exhaustion", "client": "c" }));
    let mut client = bench.client("c");
    for id in 1..=100 {
        client.send(&Message::new("a", "x").qos(1).id(id).frame());
    }
    bench.post("expect", json!({ "packet": "PUBACK", "client": "c", "fault": "drop", "count": 100 }));
    client.expect_no_bytes();
}

/// Tests that run side by side have faults of their own.
#[test]
fn a_reset_with_a_prefix_removes_its_faults() {
    let bench = Bench::start();
    for when in [json!({ "client": "t1/c" }), json!({ "client": "t2/c" }), json!({ "topic": "t1/#" }), json!({})] {
        bench.post("faults", json!({ "when": when, "do": "duplicate" }));
    }
    bench.post("reset", json!({ "prefix": "t1/" }));
    let (_, faults) = bench.ask("GET", "faults", &json!({}));
    let ids: Vec<_> = faults["data"].as_array().unwrap().iter().map(|fault| fault["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [2, 4]);
    bench.post("reset", json!({}));
    assert_eq!(bench.ask("GET", "faults", &json!({})).1["data"], json!([]));
}
