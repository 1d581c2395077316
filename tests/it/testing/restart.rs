//! The broker ends and starts again, with exactly the synced state.

use std::time::Duration;

use dunlin::{Config, config::SyncMode, testing::Options};
use serde_json::json;

use super::Bench;
use crate::support::{
    five,
    raw::{Client, Connect, Message, puback},
};

#[test]
fn acknowledged_messages_survive_a_kill_of_the_test_broker() {
    let bench = Bench::start();
    let persistent = Connect::new("away").persistent();
    let mut away = Client::accepted(bench.mqtt(), &persistent, 0);
    away.subscribe(&[("a/#", 1)]);
    away.disconnect();
    let mut publisher = bench.client("p");
    publisher.publish(Message::new("a/kept", "x").qos(1).id(1).retain());
    bench.post("restart", json!({}));
    publisher.expect_closed();
    bench.post("expect", json!({ "client": "p", "state": "gone" }));
    let mut away = Client::accepted(bench.mqtt(), &persistent, 1);
    away.expect_message("a/kept", "x", 1);
    assert_eq!(bench.client("s").subscribe_retained(&[("#", 1)], 1)[0].topic, "a/kept");
}

/// With `sync = "interval"`, an acknowledged message need not be synced: only then does a test see the difference.
#[test]
fn a_message_that_was_not_synced_is_gone_after_a_kill() {
    let hour = Duration::from_secs(3600);
    let config = Config { sync: SyncMode::Interval, sync_interval: hour, ..Config::ephemeral() };
    let bench = Bench::with(Options { config, ..Options::default() });
    let persistent = Connect::new("away").persistent();
    let mut away = Client::accepted(bench.mqtt(), &persistent, 0);
    away.subscribe(&[("a", 1)]);
    away.disconnect();
    let publish = |payload| bench.client("p").publish(Message::new("a", payload).qos(1).id(1));
    publish("synced");
    // an orderly end writes everything
    bench.post("restart", json!({ "kill": false }));
    publish("not synced");
    bench.post("idle", json!({}));
    bench.post("restart", json!({}));
    let mut away = Client::accepted(bench.mqtt(), &persistent, 1);
    away.expect_message("a", "synced", 1);
    away.expect_nothing_pending();
}

#[test]
fn a_killed_broker_publishes_wills_at_its_restart() {
    let bench = Bench::start();
    for (kill, expected) in [(true, ["restarted", "message"]), (false, ["message", "restarted"])] {
        bench.post("reset", json!({}));
        let will = Message::new("will", "gone").qos(1);
        let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").will(&will), 0);
        // there is no acknowledgement of a stored Will
        bench.post("idle", json!({}));
        bench.post("restart", json!({ "kill": kill }));
        client.expect_closed();
        bench.post("expect", json!({ "filter": "will", "count": 1, "at_most": 1 }));
        let (_, events) = bench.ask("GET", "events", &json!({}));
        let names = events["data"].as_array().unwrap().iter().filter_map(|event| event["event"].as_str());
        let order: Vec<_> = names.filter(|name| expected.contains(name)).collect();
        assert_eq!(order, expected, "kill: {kill}");
    }
}

#[test]
fn a_killed_broker_sends_nothing_to_its_clients() {
    let bench = Bench::start();
    for (kill, told) in [(true, 0), (false, 1)] {
        bench.post("reset", json!({}));
        let mut client = five::Five::accepted(bench.mqtt(), &five::Connect::new("c"), 0);
        bench.post("restart", json!({ "kill": kill }));
        if !kill {
            // it shuts down
            client.expect_disconnect(0x8B);
        }
        client.expect_closed();
        bench.post("expect", json!({ "packet": "DISCONNECT", "client": "c", "count": told, "at_most": told }));
    }
}

#[test]
fn clients_are_refused_while_it_is_down() {
    let bench = Bench::start();
    std::thread::scope(|scope| {
        let mut client = bench.client("c");
        let restarts = scope.spawn(|| bench.post("restart", json!({ "down": "300ms" })));
        client.expect_closed();
        while std::net::TcpStream::connect(bench.mqtt()).is_ok() {}
        restarts.join().unwrap();
        bench.client("c");
    });
}

#[test]
fn a_message_in_flight_is_resent_after_a_restart() {
    let bench = Bench::start();
    let persistent = Connect::new("s").persistent();
    let mut subscriber = Client::accepted(bench.mqtt(), &persistent, 0);
    subscriber.subscribe(&[("a", 1)]);
    bench.client("p").publish(Message::new("a", "x").qos(1).id(1));
    let first = subscriber.receive();
    bench.post("restart", json!({}));
    let mut subscriber = Client::accepted(bench.mqtt(), &persistent, 1);
    let again = subscriber.receive();
    assert_eq!((again.text(), again.dup, again.id), ("x", true, first.id));
    subscriber.send(&puback(again.id));
    bench.post("expect", json!({ "client": "s", "acknowledged": true }));
}

#[test]
fn snapshots() {
    let bench = Bench::start();
    let retain = |payload| bench.client("p").publish(Message::new("a", payload).qos(1).id(1).retain());
    let retained = || bench.client("s").subscribe_retained(&[("a", 0)], 1)[0].text().to_owned();
    retain("one");
    bench.post("snapshot", json!({ "name": "one" }));
    retain("two");
    assert_eq!(retained(), "two");
    bench.post("restore", json!({ "name": "one" }));
    assert_eq!(retained(), "one");
    retain("three");
    bench.post("restore", json!({ "name": "one" }));
    assert_eq!(retained(), "one");
    bench.post("restart", json!({ "empty": true }));
    assert!(bench.client("s").subscribe_retained(&[("a", 0)], 0).is_empty());
    assert_eq!(bench.ask("POST", "restore", &json!({ "name": "two" })).0, 404);
}
