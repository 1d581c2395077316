//! Faults as tests use them; `fault_table` has each fault with each packet type.

use std::{io::Read, net::TcpStream};

use dunlin::{
    Config,
    auth::{PasswordChange, edit},
    config::AuthConfig,
    testing::Options,
};
use serde_json::{Value, json};

use super::Bench;
use crate::support::{
    five,
    raw::{self, Client, Connect, Message, frame, puback, text},
};

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

#[test]
fn delayed_packets_arrive_after_the_broker_has_closed_unless_it_is_reset() {
    let bench = Bench::start();
    for is_reset in [false, true] {
        bench.post("clock", json!({ "pause": true }));
        let when = json!({ "client": "c", "packet": "PINGRESP" });
        bench.post("faults", json!({ "when": when, "do": { "delay": "1m" } }));
        let mut client = bench.client("c");
        client.send(&[raw::PINGREQ, raw::DISCONNECT].concat());
        bench.post("expect", json!({ "client": "c", "state": "gone" }));
        client.expect_no_bytes();
        if is_reset {
            assert_eq!(bench.post("reset", json!({}))["settled"], true);
        } else {
            bench.post("clock", json!({ "advance": "1m" }));
            client.expect(raw::PINGRESP);
        }
        client.expect_closed();
        bench.post("reset", json!({}));
    }
}

#[test]
fn faults_and_expectations_of_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let iterations = 4096.try_into().unwrap();
    for user in ["alice", "bob"] {
        edit(&file, user, PasswordChange::SetScram { password: b"pencil", iterations }).unwrap();
    }
    let auth = AuthConfig { password_file: Some(file), ..AuthConfig::default() };
    let bench = Bench::with(Options { config: Config { auth, ..Config::ephemeral() }, ..Options::default() });
    let [mut alice, mut bob] =
        ["alice", "bob"].map(|user| Client::accepted(bench.mqtt(), &Connect::new(user).user(user, "pencil"), 0));
    bench.post("faults", json!({ "when": { "user": "alice", "packet": "PUBACK" }, "do": "drop" }));
    bob.publish(Message::new("a", "of bob").qos(1).id(1));
    alice.send(&Message::new("a", "of alice").qos(1).id(1).frame());
    bench.post("expect", json!({ "packet": "PUBACK", "user": "alice", "fault": "drop" }));
    alice.expect_nothing_pending();
    for user in ["alice", "bob"] {
        let met = bench.post("expect", json!({ "filter": "a", "user": user, "count": 1, "at_most": 1 }));
        assert_eq!(met["messages"][0]["payload"], format!("of {user}"));
    }
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
