//! State from a file that another broker exported.

use std::{fs, path::Path};

use dunlin::{
    Config,
    auth::{PasswordChange, edit, user_lines},
    store::tools,
    testing::{Broker, Options},
};
use serde_json::{Value, json};

use super::{Bench, run};
use crate::{
    http::send,
    support::{
        self,
        raw::{Client, Connect, Message, suback, subscribe},
    },
};

/// The export of a broker that has a retained message, and a session of "away" with a queued message.
fn exported(dir: &Path) -> Vec<u8> {
    let data_dir = dir.join("data");
    let broker = support::Broker::new(Config { data_dir: Some(data_dir.clone()), ..support::config() });
    let mut away = broker.begin("away");
    away.send(&subscribe(1, &[("news", 1)]));
    away.expect(&suback(1, &[1]));
    away.disconnect();
    let mut publisher = broker.client("p");
    publisher.publish(Message::new("lamp", "on").qos(1).retain());
    publisher.publish(Message::new("news", "missed").qos(1));
    support::shut_down(broker.server);
    let mut lines = Vec::new();
    tools::export(&data_dir, &mut lines).unwrap();
    lines
}

/// The state is there, once.
fn expect_state(bench: &Bench, user: Option<(&str, &str)>) {
    let login = |connect: Connect| match user {
        Some((name, password)) => connect.user(name, password),
        None => connect,
    };
    let mut away = Client::accepted(bench.mqtt(), &login(Connect::new("away").persistent()), 1);
    away.expect_message("news", "missed", 1);
    let mut other = Client::accepted(bench.mqtt(), &login(Connect::new("other")), 0);
    assert_eq!(other.subscribe_retained(&[("lamp", 0)], 1)[0].text(), "on");
}

/// POST of the lines.
fn seed(bench: &Bench, lines: &[u8]) -> (u16, Value) {
    let head = format!("POST /test/v1/seed HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", bench.http);
    let head = format!("{head}Content-Length: {}\r\n\r\n", lines.len());
    let answer = send(bench.http, &[head.as_bytes(), lines].concat());
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[test]
fn a_seed_replaces_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let lines = exported(dir.path());
    let bench = Bench::start();
    bench.client("p").publish(Message::new("old", "x").qos(1).retain());
    // the time of an export does not matter, nor that of the broker
    bench.post("clock", json!({ "advance": "48h" }));
    for _ in 0..2 {
        let (status, answer) = seed(&bench, &lines);
        assert_eq!(status, 200, "{answer}");
        assert!(answer["kept"].as_str().unwrap().starts_with("1 sessions, 1 subscriptions, 1 messages"), "{answer}");
        expect_state(&bench, None);
    }
    assert!(bench.client("looks").subscribe_retained(&[("old", 0)], 0).is_empty());
}

#[test]
fn a_seed_that_is_damaged_changes_nothing() {
    let bench = Bench::start();
    bench.client("p").publish(Message::new("old", "x").qos(1).retain());
    for (lines, wrong) in [
        (&b"{}\n"[..], "line 1"),
        (b"{\"record\": \"end\", \"lines\": 7}\n", "some are missing"),
        (b"{\"record\": \"user\", \"line\": \"ann:x\"}\n", "--seed-file"),
    ] {
        let (status, answer) = seed(&bench, lines);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(wrong), "{answer}");
    }
    assert_eq!(bench.client("looks").subscribe_retained(&[("old", 0)], 1).len(), 1);
}

#[test]
fn a_bench_starts_with_the_state_and_the_users_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, passwords) = (dir.path().join("export"), dir.path().join("passwords"));
    let iterations = 4096.try_into().unwrap();
    edit(&passwords, "ann", PasswordChange::SetScram { password: b"secret", iterations }).unwrap();
    let mut lines = exported(dir.path());
    for line in user_lines(&passwords).unwrap() {
        lines.extend_from_slice(json!({ "record": "user", "line": line }).to_string().as_bytes());
        lines.push(b'\n');
    }
    fs::write(&file, lines).unwrap();
    let bench = Bench::with(Options { seed_file: Some(file.clone()), ..Options::default() });
    let mut anonymous = Client::open(bench.mqtt());
    anonymous.send(&Connect::new("anonymous").frame());
    anonymous.expect_refused(5);
    expect_state(&bench, Some(("ann", "secret")));
    // a restart keeps both
    bench.post("restart", json!({}));
    Client::accepted(bench.mqtt(), &Connect::new("away").persistent().user("ann", "secret"), 1);
    let missing = Options { seed_file: Some(dir.path().join("missing")), ..Options::default() };
    let told = run(Broker::with(missing)).err().unwrap().to_string();
    assert!(told.contains("--seed-file"), "{told}");
}
