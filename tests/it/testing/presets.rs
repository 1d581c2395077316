//! What a client sees of each preset; `faults` has `receive-maximum-1` and `packet-id-exhaustion`.

use std::{io::Read, net::TcpStream};

use serde_json::{Value, json};

use super::Bench;
use crate::support::{
    five::{self, Five},
    raw::{Client, Connect, PINGREQ, PINGRESP, connack},
};

/// A bench with a paused clock, and with this preset for the client "c".
fn preset(name: &str) -> Bench {
    let bench = Bench::start();
    bench.post("clock", json!({ "pause": true }));
    bench.post("faults", json!({ "preset": name, "client": "c" }));
    bench
}

/// Number of hits of the faults with this effect.
fn hits(bench: &Bench, does: &str) -> u64 {
    let (_, faults) = bench.ask("GET", "faults", &json!({}));
    let faults = faults["data"].as_array().unwrap().iter();
    faults.filter(|fault| fault["does"] == does).map(|fault| fault["hits"].as_u64().unwrap()).sum()
}

fn advance(bench: &Bench, by: &str) {
    bench.post("clock", json!({ "advance": by }));
}

#[test]
fn lossy_3g_delays_every_packet_and_closes_at_some() {
    let bench = preset("lossy-3g");
    let mut client = Client::open(bench.mqtt());
    client.send(&Connect::new("c").frame());
    let connect = |fault| json!({ "packet": "CONNECT", "fault": fault });
    bench.post("expect", connect("delay"));
    advance(&bench, "140ms");
    bench.post("expect", json!({ "client": "c", "state": "gone", "within": 0 }));
    advance(&bench, "10ms");
    bench.post("expect", json!({ "client": "c", "state": "connected" }));
    bench.post("expect", json!({ "packet": "CONNACK", "fault": "delay" }));
    client.expect_no_bytes();
    advance(&bench, "150ms");
    client.expect(&connack(0, 0));
    bench.post("clock", json!({ "resume": true }));
    // others have no faults
    bench.client("other").expect_nothing_pending();
    // far more packets than are likely to pass
    let _ = client.try_send(&PINGREQ.repeat(4_000));
    while let Some(frame) = client.read() {
        assert_eq!(frame.bytes(), PINGRESP);
    }
    bench.post("expect", json!({ "client": "c", "state": "gone" }));
    assert!(hits(&bench, "close") >= 1);
}

#[test]
fn nat_timeout_makes_connections_half_open_after_30_seconds() {
    let bench = preset("nat-timeout");
    let mut client = bench.client("c");
    advance(&bench, "29s");
    client.expect_nothing_pending();
    advance(&bench, "1s");
    client.send(PINGREQ);
    bench.post("expect", json!({ "client": "c", "packet": "PINGREQ", "fault": "half_open" }));
    bench.post("idle", json!({}));
    client.expect_no_bytes();
    bench.post("expect", json!({ "client": "c", "state": "connected", "within": 0 }));
    // a new connection dies, too
    let mut client = Client::open(bench.mqtt());
    client.send(&Connect::new("c").frame());
    bench.post("expect", json!({ "client": "c", "packet": "CONNECT", "fault": "half_open" }));
    client.expect_no_bytes();
}

#[test]
fn broker_restart_resets_connections_and_refuses_new_ones_for_2_seconds() {
    let bench = Bench::start();
    bench.post("clock", json!({ "pause": true }));
    let mut client = bench.client("c");
    bench.post("faults", json!({ "preset": "broker-restart", "client": "c" }));
    client.send(PINGREQ);
    client.expect_closed();
    assert_eq!(hits(&bench, "reset"), 1);
    let refused = || TcpStream::connect(bench.mqtt()).unwrap().read(&mut [0]).is_err();
    assert!(refused());
    advance(&bench, "1900ms");
    assert!(refused());
    advance(&bench, "100ms");
    bench.client("c").expect_nothing_pending();
}

#[test]
fn takeover_storm_tells_the_client_that_its_session_was_taken_over() {
    let bench = preset("takeover-storm");
    let connect = five::Connect::new("c").lasting(60);
    for round in 0..3 {
        let mut client = Five::accepted(bench.mqtt(), &connect, u8::from(round > 0));
        let mut pings = 0;
        let last = loop {
            client.send(PINGREQ);
            match client.expect_any().bytes() {
                pong if pong == PINGRESP => pings += 1,
                other => break other,
            }
            assert!(pings < 10, "no DISCONNECT");
        };
        assert_eq!(last[..3], [0xE0, 2, 0x8E], "{last:?}");
        client.expect_closed();
        assert_eq!(hits(&bench, "disconnect"), round + 1);
    }
    let (_, events) = bench.ask("GET", "events", &json!({}));
    let names: Vec<&Value> = events["data"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert_eq!(names.iter().filter(|name| **name == "fault").count(), 3, "{names:?}");
}
