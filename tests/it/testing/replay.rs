//! `dunlin replay`: the messages of a recording, at another broker.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use dunlin::{
    Config,
    auth::{PasswordChange, edit},
    config::AuthConfig,
    testing::Options,
};
use serde_json::{Value, json};

use super::{Bench, run};
use crate::{
    http::send,
    support::{
        Broker,
        command::{dunlin, refused, text, told},
        config,
        mosquitto::Mosquitto,
        raw::{Client, Connect, Message},
    },
};

/// A recording with the messages of one client: a/1, b/1, a/2, a/3, at QoS 0, 1, 1 and 2, the third one retained.
fn recording(dir: &Path) -> PathBuf {
    let path = dir.join("run.jsonl");
    let bench = Bench::with(Options { record: Some(path.clone()), ..Options::default() });
    let mut client = bench.client("c");
    for (topic, qos) in [("a/1", 0), ("b/1", 1), ("a/2", 1), ("a/3", 2)] {
        let message = Message::new(topic, "x").qos(qos).id(qos.into());
        client.publish(if topic == "a/2" { message.retain() } else { message });
    }
    bench.post("expect", json!({ "packet": "PUBREC", "client": "c" }));
    run(bench.broker.stop());
    path
}

fn replay(dir: &Path, to: SocketAddr, speed: &str, more: &[&str]) -> String {
    let to = format!("mqtt://{to}");
    told(dir, &[], &[&["replay", "run.jsonl", "--to", &to, "--speed", speed][..], more].concat())
}

/// Checks that a subscriber of everything gets the messages of a replay.
fn arrive(subscriber: &mut Client, topics: &[(&str, u8)]) {
    for (topic, qos) in topics {
        subscriber.expect_message(topic, "x", *qos);
    }
}

#[test]
fn messages_are_published_again_in_order_and_topics_are_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let broker = Broker::new(config());
    let mut subscriber = broker.client("s");
    subscriber.subscribe(&[("#", 2)]);
    let printed = replay(dir.path(), broker.address(), "max", &["--filter", "a/#", "--rewrite", "a/=copy/"]);
    assert!(printed.starts_with("3 messages sent in "), "{printed}");
    arrive(&mut subscriber, &[("copy/1", 0), ("copy/2", 1), ("copy/3", 2)]);
    assert_eq!(broker.retained("#", 1), [("copy/2".to_owned(), "x".to_owned())]);
}

#[test]
fn messages_are_replayed_to_mosquitto() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let Some(mosquitto) = Mosquitto::start(dir.path(), "allow_anonymous true\n") else { return };
    let mut subscriber = Client::accepted(mosquitto.address, &Connect::new("s"), 0);
    subscriber.subscribe(&[("#", 2)]);
    assert!(replay(dir.path(), mosquitto.address, "max", &[]).starts_with("4 messages sent in "));
    arrive(&mut subscriber, &[("a/1", 0), ("b/1", 1), ("a/2", 1), ("a/3", 2)]);
}

#[test]
fn replayed_messages_keep_their_pauses_divided_by_the_speed() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"dunlin":"recording","version":1}"#,
        r#"{"at":"2026-11-30T10:00:00Z","topic":"a","payload":"1"}"#,
        r#"{"at":"2026-11-30T10:00:02Z","topic":"a","payload":"2"}"#,
    ];
    fs::write(dir.path().join("run.jsonl"), lines.join("\n")).unwrap();
    let broker = Broker::new(config());
    let printed = replay(dir.path(), broker.address(), "10", &[]);
    let seconds: f64 = printed.split_whitespace().nth(4).unwrap().parse().unwrap();
    assert!(seconds >= 0.2, "{printed}");
}

#[test]
fn a_replay_reports_refused_messages() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let acl = dir.path().join("acl");
    fs::write(&acl, "topic readwrite a/#\n").unwrap();
    let mut settings = config();
    (settings.auth.acl_file, settings.allow_anonymous) = (Some(acl), Some(true));
    let broker = Broker::new(settings);
    let to = format!("mqtt://{}", broker.address());
    let output = dunlin(dir.path(), &[], &["replay", "run.jsonl", "--to", &to, "--speed", "max"]);
    let (printed, code) = (text(&output.stdout), output.status.code());
    assert!(code == Some(1) && printed.starts_with("4 messages sent in "), "{printed} {code:?}");
    assert!(printed.contains("refused: 1 (0x87, "), "{printed}");
}

#[test]
fn a_replay_reports_invalid_options_and_missing_brokers() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("mqtt://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let cases: [(&[&str], i32, &str); 5] = [
        (&[], 1, "cannot connect to 127.0.0.1:"),
        (&["--filter", "a/#/b"], 1, "is not a Topic Filter"),
        (&["--rewrite", "a/=#/"], 1, "rewrite: \"#/1\" of \"a/1\" is not a Topic Name"),
        (&["--speed", "0"], 2, "a number from 0.001 to 1000000, or max"),
        (&["--rewrite", "a"], 2, "write FROM=TO"),
    ];
    for (flags, code, expected) in cases {
        let told = refused(dir.path(), &[], &[&["replay", "run.jsonl", "--to", &to][..], flags].concat(), code);
        assert!(told.contains(expected), "{told}");
    }
}

/// Settings of a broker on which only alice may log in, by "pencil".
fn of_alice(dir: &Path) -> Config {
    let file = dir.join("passwords");
    edit(&file, "alice", PasswordChange::SetScram { password: b"pencil", iterations: 4096.try_into().unwrap() })
        .unwrap();
    Config { auth: AuthConfig { password_file: Some(file), ..AuthConfig::default() }, ..Config::ephemeral() }
}

#[test]
fn a_replay_logs_in_by_a_password_file() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let broker = Broker::new(of_alice(dir.path()));
    for (name, password) in [("right", "pencil\n"), ("wrong", "pen")] {
        fs::write(dir.path().join(name), password).unwrap();
    }
    let login = |file| ["--user", "alice", "--password-file", file];
    assert!(replay(dir.path(), broker.address(), "max", &login("right")).starts_with("4 messages sent in "));
    let to = format!("mqtt://{}", broker.address());
    let all = ["replay", "run.jsonl", "--to", &to];
    for (more, code, expected) in [
        (&login("wrong")[..], 1, "bad user name or password"),
        (&[], 1, "not authorized"),
        (&login("missing"), 1, "--password-file missing: "),
        (&["--password-file", "right"], 2, "--user"),
    ] {
        let told = refused(dir.path(), &[], &[&all[..], more].concat(), code);
        assert!(told.contains(expected), "{told}");
    }
}

/// `POST /test/v1/replay`: the status, and the answer.
fn replay_here(bench: &Bench, query: &str, recording: &[u8], more: &str) -> (u16, Value) {
    let length = recording.len();
    let head = format!("POST /test/v1/replay{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}", bench.http);
    let answer = send(bench.http, &[format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(), recording].concat());
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[test]
fn a_recording_is_replayed_at_the_test_broker() {
    let dir = tempfile::tempdir().unwrap();
    let recording = fs::read(recording(dir.path())).unwrap();
    let bench = Bench::start();
    let mut subscriber = bench.client("s");
    subscriber.subscribe(&[("#", 2)]);
    let (status, answer) = replay_here(&bench, "?speed=max&filter=a/%23&rewrite=a/=copy/", &recording, "");
    assert_eq!((status, &answer["sent"]), (200, &json!(3)), "{answer}");
    arrive(&mut subscriber, &[("copy/1", 0), ("copy/2", 1), ("copy/3", 2)]);
    // compressed, and with a fault
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &recording).unwrap();
    let packed = packed.finish().unwrap();
    let when = json!({ "client": "dunlin-replay-*", "topic": "b/1" });
    bench.post("faults", json!({ "when": when, "do": { "reason_code": 151 } }));
    let (status, answer) = replay_here(&bench, "?speed=max", &packed, "");
    assert_eq!((status, answer["code"].as_str()), (409, Some("replay")), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("refused: 1 (0x97, "), "{answer}");
    for (query, body, detail) in [
        ("?speed=0", &recording[..], "speed: allowed: a number from 0.001 to 1000000, or max"),
        ("?sped=1", &recording, "\"sped\": the parameters are speed, filter and rewrite"),
        ("?filter=a/%23/b", &recording, "filter: \"a/#/b\" is not a Topic Filter"),
        ("?rewrite=a/=%23/", &recording, "rewrite: \"#/1\" of \"a/1\" is not a Topic Name"),
        ("?filter=%ff", &recording, "is not UTF-8"),
        ("", b"{}", "the body:1: not the first line of a recording"),
    ] {
        let (status, answer) = replay_here(&bench, query, body, "");
        assert_eq!((status, answer["code"].as_str()), (400, Some("body")), "{query}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(detail), "{query}: {answer}");
    }
}

#[test]
fn a_replay_at_the_test_broker_logs_in() {
    let dir = tempfile::tempdir().unwrap();
    let recording = fs::read(recording(dir.path())).unwrap();
    let bench = Bench::with(Options { config: of_alice(dir.path()), ..Options::default() });
    for (login, status) in [("alice:pencil", 200), ("alice:pen", 409)] {
        let header = format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(login));
        let (found, answer) = replay_here(&bench, "?speed=max", &recording, &header);
        assert_eq!(found, status, "{answer}");
    }
    assert_eq!(replay_here(&bench, "", &recording, "").0, 409);
}
