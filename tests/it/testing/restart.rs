//! The broker ends and starts again, with exactly the synced state.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use dunlin::{Config, config::SyncMode, testing::Options};
use serde_json::json;

use super::Bench;
use crate::{
    http::{
        api::{api, column, done},
        mqtt::request,
        send,
    },
    support::{
        GUARD, five,
        raw::{Client, Connect, Message, puback},
    },
    transports::websocket::{BINARY, frame, read_head},
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

#[test]
fn the_console_s_client_is_served_on_the_address_of_http_also_after_a_restart() {
    let bench = Bench::start();
    let page = |name: &str| {
        let request = request(bench.http, &format!("Origin: http://{}\r\n", bench.http));
        let (first, second) = request.split_at(40);
        let mut socket = TcpStream::connect(bench.http).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(first.as_bytes()).unwrap();
        socket.write_all(&[second.as_bytes(), &frame(BINARY, &Connect::new(name).frame())].concat()).unwrap();
        let head = String::from_utf8(read_head(&mut socket)).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut connack = [0; 6];
        socket.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [BINARY, 4, 0x20, 2, 0, 0]);
        socket
    };
    // the clock stands, and the head comes in two parts all the same
    bench.post("clock", json!({ "pause": true }));
    let mut before = page("before");
    // it passes the journal and the faults as any connection
    bench.post("expect", json!({ "packet": "CONNECT", "client": "before" }));
    bench.post("restart", json!({}));
    assert_eq!(before.read(&mut [0; 1]).unwrap_or_default(), 0, "it is served by the broker that ended");
    let _after = page("after");
    let clients = done(&api(bench.http, "GET", "clients", None));
    assert_eq!((column(&clients, "client_id"), column(&clients, "listener")), (vec!["after"], vec!["http"]));
    // a page of another server is refused, as by a broker's own HTTP
    let foreign =
        request(bench.http, "Origin: http://evil.example\r\n").replace("Connection: Upgrade", "Connection: close");
    assert_eq!(send(bench.http, foreign.as_bytes()).status, 403);
}
