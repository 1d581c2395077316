//! Resets, which remove what earlier tests left.

use serde_json::json;

use super::Bench;
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

#[test]
fn a_thousand_resets_leak_no_memory() {
    let bench = Bench::start();
    for round in 0..1000 {
        let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").persistent(), 0);
        client.subscribe(&[("b/#", 1)]);
        client.publish(Message::new("a/b", "x").qos(1).id(1).retain());
        let answer = bench.post("reset", json!({}));
        assert_eq!((&answer["sessions"], &answer["retained"]), (&json!(1), &json!(1)), "round {round}");
    }
    let (_, events) = bench.ask("GET", "events", &json!({}));
    assert_eq!((&events["data"], &events["lost"]), (&json!([]), &json!(0)));
    let broker = crate::http::get(bench.http, "/api/v1/clients");
    assert!(broker.body.contains("\"data\":[]"), "{}", broker.body);
}
