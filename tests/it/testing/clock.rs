//! The clock is advanced: what would happen after a day happens at once, and has happened when the call returns.

use serde_json::json;

use super::Bench;
use crate::support::{
    five::{Connect, Five, Publish},
    raw,
};

const HOUR: u32 = 3600;

#[test]
fn sessions_expire_when_the_clock_is_advanced_by_a_day() {
    let bench = Bench::start();
    let connect = Connect::new("c").lasting(24 * HOUR);
    Five::accepted(bench.mqtt(), &connect, 0).leave();
    let answer = bench.post("clock", json!({ "advance": "23h" }));
    assert_eq!((&answer["settled"], &answer["advanced"]), (&json!(true), &json!("23h")));
    Five::accepted(bench.mqtt(), &connect, 1).leave();
    bench.post("clock", json!({ "advance": "25h" }));
    bench.post("expect", json!({ "client": "c", "state": "gone", "within": 0 }));
    Five::accepted(bench.mqtt(), &connect, 0);
}

#[test]
fn messages_expire_when_the_clock_is_advanced() {
    let bench = Bench::start();
    let connect = Connect::new("away").lasting(48 * HOUR);
    let mut away = Five::accepted(bench.mqtt(), &connect, 0);
    away.subscribe(&[("a/#", 1)]);
    away.leave();
    let mut publisher = Five::accepted(bench.mqtt(), &Connect::new("p"), 0);
    for (payload, seconds) in [("short", HOUR), ("long", 20 * HOUR)] {
        publisher.publish(&Publish::new("a/b", payload).qos(1).expires(seconds));
    }
    bench.post("clock", json!({ "advance": "2h" }));
    let mut away = Five::accepted(bench.mqtt(), &connect, 1);
    away.expect_payloads(&["long"]);
    away.expect_nothing_pending();
}

#[test]
fn a_delayed_will_is_published_when_the_clock_is_advanced() {
    let bench = Bench::start();
    let delay = crate::support::five::Properties::new().int(0x18, 2 * HOUR);
    // it expires before the second half of the day is over
    let will = Publish::new("will", "gone").qos(1).with(delay.int(0x02, HOUR));
    Five::accepted(bench.mqtt(), &Connect::new("c").lasting(48 * HOUR).will(&will), 0).abort();
    bench.post("expect", json!({ "client": "c", "state": "away" }));
    let kept = Connect::new("s").lasting(48 * HOUR);
    let mut subscriber = Five::accepted(bench.mqtt(), &kept, 0);
    subscriber.subscribe(&[("will", 1)]);
    subscriber.leave();
    bench.post("clock", json!({ "advance": "90m" }));
    bench.post("expect", json!({ "filter": "will", "none": true }));
    bench.post("clock", json!({ "advance": "1h" }));
    bench.post("expect", json!({ "filter": "will", "payload": "gone", "client": "c", "within": 0 }));
    bench.post("clock", json!({ "advance": "12h" }));
    Five::accepted(bench.mqtt(), &kept, 1).expect_nothing_pending();
}

#[test]
fn keep_alive_follows_real_time_unless_requested() {
    let bench = Bench::start();
    let mut client = raw::Client::accepted(bench.mqtt(), &raw::Connect::new("c").keep_alive(60), 0);
    bench.post("clock", json!({ "advance": "25h" }));
    client.expect_nothing_pending();
    bench.post("clock", json!({ "advance": "89s", "keep_alive": true }));
    bench.post("expect", json!({ "client": "c", "state": "connected" }));
    bench.post("clock", json!({ "advance": "2s", "keep_alive": true }));
    client.expect_closed();
    bench.post("expect", json!({ "client": "c", "state": "gone", "within": 0 }));
}

#[test]
fn the_broker_works_with_a_paused_clock() {
    let bench = Bench::start();
    let paused = bench.post("clock", json!({ "pause": true }));
    let (mut publisher, mut subscriber) = (bench.client("p"), bench.client("s"));
    subscriber.subscribe(&[("a", 1)]);
    publisher.publish(raw::Message::new("a", "x").qos(1).id(1));
    subscriber.expect_message("a", "x", 1);
    let (status, now) = bench.ask("GET", "clock", &json!({}));
    assert_eq!((status, &now["now"], &now["paused"]), (200, &paused["now"], &json!(true)));
    let resumed = bench.post("clock", json!({ "resume": true }));
    assert_eq!(resumed["paused"], false);
}

#[test]
fn an_invalid_change_of_the_clock_is_refused() {
    let bench = Bench::start();
    for body in [
        json!({ "advance": "yesterday" }),
        json!({ "advance": "200y" }),
        json!({ "pause": true, "resume": true }),
        json!({ "advanced": "1h" }),
        json!(["1h"]),
    ] {
        let (status, answer) = bench.ask("POST", "clock", &body);
        assert_eq!((status, answer["code"].as_str()), (400, Some("body")), "{body}: {answer}");
    }
}
