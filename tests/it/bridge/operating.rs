//! What an operator sees and does: the API, `dunlin ctl`, lines of the log, and the bridges of a `mosquitto.conf`.

use std::{fs, net::SocketAddr, path::Path};

use dunlin::Config;
use serde_json::{Value, json};

use super::{
    bridged,
    scripted::{Far, accepts},
};
use crate::{
    http::{Answer, address, ask, http},
    support::{
        Broker,
        command::{refused, told},
        config,
        five::{Properties, Publish, ack_with, property},
        raw::{Message, puback},
        running::Running,
        wait_until,
    },
};

fn api(at: SocketAddr, method: &str, path: &str) -> Answer {
    ask(at, method, &format!("/api/v1/{path}"), &["Content-Length: 0"])
}

fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn the_api_lists_pauses_and_resumes_bridges() {
    let there = Broker::new(config());
    let bridges = bridged("b", there.address(), &["# out 1"], "client_id = 'c'\nprotocol = '5'").bridges;
    let here = Broker::new(Config { bridges, http: http(""), ..config() });
    let at = address(&here);
    let bridge = || done(&api(at, "GET", "bridges"))["data"][0].clone();
    let is = |state: &str| wait_until(|| bridge()["state"] == state, || bridge().to_string());
    is("connected");
    let seen = bridge();
    assert_eq!(
        (&seen["name"], &seen["address"], &seen["protocol"], &seen["error"]),
        (&json!("b"), &json!(there.address().to_string()), &json!("5"), &json!(null))
    );
    assert!(seen["since"].is_string() && seen["error_at"].is_null(), "{seen}");
    assert_eq!(done(&api(at, "POST", "bridges/b/pause")), json!({ "name": "b", "paused": true }));
    is("paused");
    here.client("p").publish(Message::new("a", "x").qos(1));
    assert_eq!((&bridge()["counters"]["queued"], &bridge()["counters"]["connects"]), (&json!(1), &json!(1)));
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("a", 1)]);
    assert_eq!(done(&api(at, "POST", "bridges/b/resume")), json!({ "name": "b", "paused": false }));
    subscriber.expect_message("a", "x", 1);
    wait_until(|| bridge()["counters"]["sent"] == 1, || bridge().to_string());
    for act in ["pause", "resume"] {
        let answer = api(at, "POST", &format!("bridges/other/{act}"));
        assert_eq!((answer.status, answer.code().as_str()), (404, "no-bridge"));
    }
}

/// A broker with a bridge to that address, and its socket of HTTP in the same directory.
fn running(dir: &Path, far: &Far, more: &str) -> Running {
    let socket = dir.join("admin.sock");
    let text = format!(
        "[http]\nlisten = 'unix:{}'\n[[bridge]]\nname = 'b'\naddresses = ['{}']\ntopics = ['# out 2']\nprotocol = \
         '5'\nnotifications = 'off'\nreconnect_min = '5ms'\nreconnect_max = '20ms'\n{more}",
        socket.display(),
        far.address()
    );
    fs::write(dir.join("dunlin.toml"), text).unwrap();
    Running::start(&["--config", dir.join("dunlin.toml").to_str().unwrap()])
}

#[test]
fn ctl_lists_pauses_and_resumes_bridges() {
    let (dir, far) = (tempfile::tempdir().unwrap(), Far::new());
    let broker = running(dir.path(), &far, "");
    let (mut line, _) = far.accept(&accepts(false, &Properties::new()));
    let ctl = |words: &[&str]| told(dir.path(), &[], &[&["ctl", "-c", "dunlin.toml", "bridges"], words].concat());
    let is = |state: &str| wait_until(|| ctl(&[]).lines().any(|row| row.contains(state)), || ctl(&[]));
    is("connected");
    assert!(ctl(&[]).starts_with("NAME"), "{}", ctl(&[]));
    assert_eq!(ctl(&["--pause", "b"]), "The bridge b is paused.\n");
    assert_eq!(line.expect_any().first, 0xE0, "DISCONNECT");
    is("paused");
    assert_eq!(ctl(&["--resume", "b"]), "The bridge b runs again.\n");
    let _line = far.accept(&accepts(false, &Properties::new()));
    is("connected");
    for flag in ["--pause", "--resume"] {
        let words = ["ctl", "-c", "dunlin.toml", "bridges", flag, "other"];
        let unknown = refused(dir.path(), &[], &words, 1);
        assert!(unknown.contains("there is no bridge \"other\"") && unknown.contains("(404 no-bridge)"), "{unknown}");
    }
    broker.stop();
}

fn lines(broker: &Running, words: &str) -> usize {
    broker.read.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn the_reason_why_a_bridge_is_not_connected_is_logged_once() {
    let (dir, far) = (tempfile::tempdir().unwrap(), Far::new());
    let mut broker = running(dir.path(), &far, "");
    let refuses = |times: usize, code: u8| {
        (0..times).for_each(|_| drop(far.accept(&[&[0x20, 3, 0, code], &[0][..]].concat())));
    };
    refuses(5, 0x87);
    refuses(5, 0x88);
    drop(far.accept(&accepts(false, &Properties::new())));
    refuses(5, 0x88);
    let _line = far.accept(&accepts(false, &Properties::new()));
    (0..2).for_each(|_| drop(broker.wait_for("bridge connected")));
    let reasons = ["0x87", "0x88"].map(|code| {
        let is_one = |line: &&String| line.contains("bridge not connected") && line.contains(code);
        broker.read.iter().filter(is_one).count()
    });
    // again after a connection that worked
    assert_eq!(reasons, [1, 2], "{:#?}", broker.read);
    broker.stop();
}

#[test]
fn messages_that_are_not_delivered_are_logged_once_for_each_reason() {
    let (dir, far) = (tempfile::tempdir().unwrap(), Far::new());
    let mut broker = running(dir.path(), &far, "max_packet_size = 500\n");
    let (mut line, _) = far.accept(&accepts(false, &Properties::new()));
    let mut publisher = broker.client("p");
    for (n, code) in [0x87, 0x87, 0x97, 0x87, 0x97].into_iter().enumerate() {
        publisher.publish(Message::new("a", &"x".repeat(500)).qos(1));
        publisher.publish(Message::new("a", &n.to_string()).qos(1));
        let sent = Publish::parse(&line.expect_any()).expect("a PUBLISH");
        assert_eq!(sent.text(), n.to_string());
        line.send(&ack_with(0x40, sent.id, code));
    }
    let counts = || told(dir.path(), &[], &["ctl", "-c", "dunlin.toml", "bridges", "--json"]);
    wait_until(|| counts().contains("\"refused\":5"), counts);
    broker.signal("TERM");
    assert_eq!(broker.exit_code(), Some(0));
    assert_eq!(lines(&broker, "a message is too large to be sent"), 1);
    assert_eq!(lines(&broker, "the other broker refused a message"), 2);
    // the rest is summed up, at the latest when the bridge ends
    for (words, count) in [
        ("messages are too large to be sent", "count=4"),
        ("the other broker refused messages", "count=2"),
        ("the other broker refused messages", "count=1"),
    ] {
        let is_it = |line: &&String| line.contains(words) && line.contains(count);
        assert_eq!(broker.read.iter().filter(is_it).count(), 1, "{words} {count}: {:#?}", broker.read);
    }
}

#[test]
fn the_bridges_of_a_mosquitto_conf_pass_messages() {
    let (dir, far, there) = (tempfile::tempdir().unwrap(), Far::new(), Broker::new(config()));
    let file = dir.path().join("mosquitto.conf");
    let conf = format!(
        "connection real\naddress {}\nremote_clientid real\ntopic a/# both 1 l/ r/\nrestart_timeout 1\n\nconnection \
         five\naddress {}\nremote_clientid five\nbridge_protocol_version mqttv50\nnotifications false\ntopic other/# out 1\n",
        there.address(),
        far.address()
    );
    fs::write(&file, conf).unwrap();
    let here = Running::start(&["--config", file.to_str().unwrap()]);
    let (mut line, connect) = far.accept(&accepts(false, &Properties::new()));
    // as mosquitto has it: the session ends with the connection
    assert_eq!((connect.level, connect.client_id.as_str()), (5, "five"));
    assert_eq!(connect.properties.number(property::SESSION_EXPIRY).unwrap_or(0), 0);
    let mut at = [here.client("here"), there.client("there")];
    at[0].subscribe(&[("l/#", 1)]);
    at[1].subscribe(&[("r/#", 1), ("$SYS/broker/connection/real/state", 0)]);
    at[0].publish_apart("other/x", "five", 1);
    let sent = Publish::parse(&line.expect_any()).expect("a PUBLISH");
    assert_eq!((sent.topic.as_str(), sent.text()), ("other/x", "five"));
    line.send(&puback(sent.id));
    at[0].publish_apart("l/a/b", "out", 1);
    at[0].expect_message("l/a/b", "out", 1);
    let out = loop {
        let message = at[1].take();
        if message.topic != "$SYS/broker/connection/real/state" {
            break message;
        }
    };
    assert_eq!((out.topic.as_str(), out.text()), ("r/a/b", "out"));
    there.client("p").publish(Message::new("r/a/c", "retained").qos(1).retain());
    at[0].expect_message("l/a/c", "retained", 1);
    here.stop();
}
