//! Strict mode reports violations by clients, and only those.

use std::process::Command;

use dunlin::testing::{Mode, Options};
use serde_json::{Value, json};

use super::Bench;
use crate::support::{
    five,
    raw::{self, Client, Connect, Message, frame, puback, pubcomp, pubrec, pubrel},
    running::Running,
};

fn strict(mode: Mode) -> Bench {
    Bench::with(Options { strict: Some(mode), ..Options::default() })
}

/// Statements and warnings of a client, in their order.
pub fn found(bench: &Bench, client: &str) -> Vec<String> {
    bench.post("idle", json!({}));
    let (_, events) = bench.ask("GET", "events", &json!({}));
    let of_client = |event: &&Value| event["client"] == client && event["text"].is_string();
    let told = |event: &Value| event["statement"].as_str().unwrap_or("warning").to_owned();
    events["data"].as_array().unwrap().iter().filter(of_client).map(told).collect()
}

#[test]
fn each_violation_is_found_with_its_statement() {
    let bench = strict(Mode::Report);
    let plain: &[(&str, Vec<Vec<u8>>, &str)] = &[
        ("wildcard", vec![frame(0x30, b"\x00\x03a/#x")], "MQTT-3.3.2-2"),
        ("dup", vec![frame(0x38, b"\x00\x01ax")], "MQTT-3.3.1-2"),
        ("qos3", vec![frame(0x36, b"\x00\x01a\x00\x01x")], "MQTT-3.3.1-4"),
        ("identifier0", vec![frame(0x32, b"\x00\x01a\x00\x00x")], "MQTT-2.3.1-1"),
        ("connect", vec![Connect::new("connect").frame()], "MQTT-3.1.0-2"),
        ("nothing", vec![puback(5)], "MQTT-4.3.2-2"),
        ("nothing2", vec![pubcomp(5)], "MQTT-4.3.3-2"),
        // one after the other, without waiting for PUBREC
        (
            "reuse",
            vec![[Message::new("a", "x").qos(2).id(1).frame(), Message::new("a", "y").qos(2).id(1).frame()].concat()],
            "MQTT-2.3.1-2",
        ),
    ];
    for (name, sent, statement) in plain {
        let mut client = bench.client(name);
        sent.iter().for_each(|bytes| client.send(bytes));
        assert_eq!(found(&bench, name), [*statement], "{name}");
    }
    let mut client = five::Five::accepted(bench.mqtt(), &five::Connect::new("five"), 0);
    let twice = [1, 1].map(|id| five::Publish::new("a", "x").qos(2).id(id).frame()).concat();
    client.send(&twice);
    client.send(&puback(9));
    assert_eq!(found(&bench, "five"), ["MQTT-2.2.1-3", "MQTT-4.3.2-4"]);
}

#[test]
fn strict_mode_requires_dup_in_a_resend() {
    let bench = strict(Mode::Report);
    let connect = |name| Connect::new(name).persistent();
    for (name, dup) in [("with", true), ("without", false)] {
        let mut client = Client::accepted(bench.mqtt(), &connect(name), 0);
        bench.post("faults", json!({ "when": { "packet": "PUBACK", "client": name, "times": 1 }, "do": "close" }));
        client.send(&Message::new("a", "x").qos(1).id(1).frame());
        client.expect_closed();
        let mut client = Client::accepted(bench.mqtt(), &connect(name), 1);
        let again = Message::new("a", "x").qos(1).id(1);
        client.publish(if dup { again.dup() } else { again });
        let expected: &[&str] = if dup { &[] } else { &["MQTT-3.3.1-1"] };
        assert_eq!(found(&bench, name), expected, "{name}");
    }
}

#[test]
fn receive_maximum_is_counted() {
    let bench = strict(Mode::Report);
    bench.post("faults", json!({ "preset": "receive-maximum-1" }));
    let mut client = five::Five::accepted(bench.mqtt(), &five::Connect::new("c"), 0);
    client.publish(&five::Publish::new("a", "x").qos(1));
    assert_eq!(found(&bench, "c"), Vec::<String>::new());
    client.send(&[10, 11].map(|id| five::Publish::new("a", "x").qos(1).id(id).frame()).concat());
    assert_eq!(found(&bench, "c"), ["MQTT-3.3.4-7"]);
}

#[test]
fn strict_mode_reports_nothing_for_a_correct_client() {
    let bench = strict(Mode::Fail);
    let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").persistent().keep_alive(60), 0);
    client.send(&raw::subscribe(9, &[("q/#", 2)]));
    client.expect(&raw::suback(9, &[2]));
    bench.client("p").publish(Message::new("q/1", "one").qos(1).id(1));
    client.expect_message("q/1", "one", 1);
    bench.client("p").publish(Message::new("q/2", "two").qos(2).id(2));
    client.expect_message("q/2", "two", 2);
    for id in [3, 3, 4] {
        client.publish(Message::new("a", "x").qos(1).id(id));
        client.publish(Message::new("a", "x").qos(2).id(id));
    }
    // in flight both ways when the connection ends
    client.send(&Message::new("a", "x").qos(2).id(7).frame());
    client.expect(&pubrec(7));
    client.abort();
    let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").persistent(), 1);
    client.send(&pubrel(7));
    client.expect(&pubcomp(7));
    client.send(&[0xC0, 0]);
    client.expect(&[0xD0, 0]);
    assert_eq!(found(&bench, "c"), Vec::<String>::new());
    assert!(bench.broker.violations().is_empty(), "{:?}", bench.broker.violations());
}

#[test]
fn strict_mode_does_not_blame_a_client_for_a_fault() {
    let bench = strict(Mode::Fail);
    for (does, packet) in
        [("duplicate", "PUBACK"), ("drop", "PUBACK"), ("corrupt", "PUBLISH"), ("duplicate", "CONNECT")]
    {
        bench.post("reset", json!({}));
        bench.post(
            "faults",
            json!({ "when": { "packet": packet, "direction": "to_server", "client": "c" }, "do": does }),
        );
        let mut client = Client::open(bench.mqtt());
        client.send(&Connect::new("c").frame());
        client.send(&raw::subscribe(9, &[("q", 1)]));
        client.send(&Message::new("q", "x").qos(1).id(1).frame());
        // a PUBACK before the message has come is the client's own fault
        bench.post("idle", json!({}));
        client.send(&puback(1));
        bench.post("idle", json!({}));
    }
    assert!(bench.broker.violations().is_empty(), "{:?}", bench.broker.violations());
}

#[test]
fn a_client_is_silent_by_real_time_alone() {
    let bench = strict(Mode::Report);
    let keeps_alive = |name, seconds| Client::accepted(bench.mqtt(), &Connect::new(name).keep_alive(seconds), 0);
    let mut turned = keeps_alive("turned", 60);
    bench.post("clock", json!({ "advance": "91s", "keep_alive": true }));
    turned.expect_closed();
    assert_eq!(found(&bench, "turned"), Vec::<String>::new());
    let mut silent = keeps_alive("silent", 1);
    silent.expect_closed();
    assert_eq!(found(&bench, "silent"), ["MQTT-3.1.2-24"]);
    // and a client that a fault keeps from being heard is not to blame
    let mut unheard = keeps_alive("unheard", 1);
    bench.post("faults", json!({ "when": { "client": "unheard" }, "do": "half_open" }));
    unheard.send(&[0xC0, 0]);
    bench.post("expect", json!({ "client": "unheard", "state": "gone" }));
    assert_eq!(found(&bench, "unheard"), Vec::<String>::new());
}

#[test]
fn each_legal_behaviour_that_breaks_elsewhere_is_a_warning() {
    let bench = strict(Mode::Fail);
    let long = "a-client-identifier-of-thirty-bytes";
    let publish = || Message::new("a", "x").qos(2).id(1);
    let rows = [
        (long, vec![], "a Client Identifier of 35 bytes"),
        ("slash", vec![Message::new("/a", "x").frame()], "topic \"/a\" begins with a slash"),
        ("pubrel", vec![pubrel(9)], "PUBREL with Packet Identifier 9, which is not in flight"),
        ("dup", vec![publish().dup().frame()], "DUP in the first PUBLISH with Packet Identifier 1"),
        ("again", vec![publish().frame(), publish().dup().frame()], "comes again on the same connection"),
    ];
    for (name, sent, text) in &rows {
        let mut client = bench.client(name);
        client.send(&sent.concat());
        assert_eq!(found(&bench, name), ["warning"], "{name}");
        let violations = bench.broker.violations();
        let last = violations.last().unwrap();
        assert!(last.text.contains(text), "{last}");
        // it goes on
        bench.post("expect", json!({ "client": name, "state": "connected", "within": 0 }));
    }
    let source = include_str!("../../../src/testing/strict/track.rs");
    // without the function itself
    assert_eq!(source.matches("warn(").count() - 1, rows.len(), "a warning is not provoked here");
}

#[test]
fn fail_ends_the_connection_and_exits_with_4() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().args(["--log-level", "info", "test", "--strict=fail"]);
    let mut running = Running::run(&mut command);
    let line = running.wait_for("ready listeners=");
    let address = line.split("listeners=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    running.wait_for("test bench");
    let mut client = Client::accepted(address, &Connect::new("c"), 0);
    client.send(&puback(7));
    client.expect_closed();
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(4));
    let told = running.read.iter().any(|line| {
        line.starts_with("client \"c\": PUBACK with Packet Identifier 7") && line.ends_with("[MQTT-4.3.2-2]")
    });
    assert!(told, "{:?}", running.read);
}
