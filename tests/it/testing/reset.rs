//! Resets, which remove what earlier tests left.

use std::fs;

use serde_json::json;

use super::{Bench, ask, command::start};
use crate::support::raw::{Client, Connect, Message};

fn retained(bench: &Bench, topic: &str) {
    bench.client("r").publish(Message::new(topic, "kept").qos(1).id(1).retain());
}

#[test]
fn a_reset_removes_everything() {
    let bench = Bench::start();
    let persistent = Connect::new("away").persistent();
    let mut away = Client::accepted(bench.mqtt(), &persistent, 0);
    away.subscribe(&[("#", 1)]);
    away.disconnect();
    retained(&bench, "a");
    let mut connected = bench.client("here");
    let answer = bench.post("reset", json!({}));
    // "r" may have gone by itself
    assert!(
        answer["sessions"].as_u64().unwrap() >= 2 && answer["retained"] == 1 && answer["settled"] == true,
        "{answer}"
    );
    connected.expect_closed();
    let (_, events) = bench.ask("GET", "events", &json!({}));
    assert_eq!(events["data"], json!([]));
    Client::accepted(bench.mqtt(), &persistent, 0);
    assert!(bench.client("s").subscribe_retained(&[("#", 1)], 0).is_empty());
}

#[test]
fn a_reset_with_a_prefix_leaves_other_tests_alone() {
    let bench = Bench::start();
    for prefix in ["t1/", "t2/"] {
        let mut away = Client::accepted(bench.mqtt(), &Connect::new(&format!("{prefix}c")).persistent(), 0);
        away.subscribe(&[("t", 1)]);
        away.disconnect();
        retained(&bench, &format!("{prefix}a"));
    }
    let answer = bench.post("reset", json!({ "prefix": "t1/" }));
    assert_eq!((&answer["sessions"], &answer["retained"]), (&json!(1), &json!(1)));
    bench.post("expect", json!({ "client": "t1/c", "state": "gone" }));
    bench.post("expect", json!({ "client": "t2/c", "state": "away" }));
    bench.post("expect", json!({ "filter": "t1/#", "none": true }));
    bench.post("expect", json!({ "filter": "t2/#", "retained": true }));
    assert_eq!(bench.client("s").subscribe_retained(&[("+/a", 1)], 1)[0].topic, "t2/a");
    assert_eq!(bench.ask("POST", "reset", &json!({ "prefix": "" })).0, 400);
}

/// Each round leaves a session, a subscription, a retained message, a fault that hit, and events.
#[test]
fn a_thousand_resets_leave_memory_flat() {
    /// A leak of 1 KiB in each round is more.
    const MOST: u64 = 800 << 10;
    let (running, http) = start(&["--strict"], |_| {});
    let rounds = |rounds: std::ops::Range<u32>| {
        for round in rounds {
            let name = format!("c{round}");
            let mut client = running.begin(&name);
            client.subscribe(&[("b/#", 1)]);
            ask(http, "POST", "faults", &json!({ "when": { "client": name }, "do": "duplicate" }));
            client.publish(Message::new(&format!("a/{round}"), &"x".repeat(1_000)).qos(1).id(1).retain());
            let (_, answer) = ask(http, "POST", "reset", &json!({}));
            assert_eq!((&answer["sessions"], &answer["retained"]), (&json!(1), &json!(1)), "round {round}");
        }
        own_memory(running.id())
    };
    let before = rounds(0..200);
    let after = rounds(200..1_000);
    println!("{before} bytes after 200 resets, {after} after 1,000");
    assert!(after <= before + MOST, "{before} bytes after 200 resets, {after} after 1,000");
    let (_, events) = ask(http, "GET", "events", &json!({}));
    assert_eq!((&events["data"], &events["lost"]), (&json!([]), &json!(0)));
    let broker = crate::http::get(http, "/api/v1/clients");
    assert!(broker.body.contains("\"data\":[]"), "{}", broker.body);
    running.stop();
}

/// Bytes of a process that are no file's.
fn own_memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
