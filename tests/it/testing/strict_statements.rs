//! Every statement that strict mode can name is provoked, with the number of the client's version.

use std::{collections::BTreeSet, fs, path::Path};

use dunlin::{
    Config,
    auth::{PasswordChange, edit},
    config::{AuthConfig, Limits},
    testing::{Mode, Options},
};
use serde_json::json;

use super::{Bench, conformance::EXPECTED, strict::found};
use crate::support::{
    five::{self, Five, Properties, property},
    malformed::MALFORMED,
    raw::{Client, Connect, Message, PINGREQ, frame, puback, pubcomp, pubrec},
    scram::{Hash, Scram, auth, says},
};

/// Statements of the sources that are no violation by an accepted or refused client.
const NOT_OF_CLIENTS: &[(&str, &str)] = &[
    ("MQTT-3.1.2-2", "a Protocol Level that the broker does not serve"),
    ("MQTT-3.1.3-5", "a warning names it: longer Client Identifiers are legal"),
    ("MQTT-3.1.4-2", "a take-over"),
    ("MQTT-3.2.2-4", "only servers send CONNACK"),
    ("MQTT-3.9.3-2", "only servers send SUBACK"),
    ("MQTT-4.7.3-3", "no length of a topic is larger than its field"),
    ("MQTT-4.8.2-1", "answered with a Reason Code for the filter"),
    ("MQTT-4.8.2-2", "answered with a Reason Code for the filter"),
];

/// What tests of this file provoke.
const HERE: &[(&str, &str)] = &[
    ("puback-4", "MQTT-4.3.2-2"),
    ("pubrec-4", "MQTT-4.3.3-2"),
    ("pubcomp-4", "MQTT-4.3.3-2"),
    ("puback-5", "MQTT-4.3.2-4"),
    ("pubrec-5", "MQTT-4.3.3-8"),
    ("pubcomp-5", "MQTT-4.3.3-11"),
    ("reuse-4", "MQTT-2.3.1-2"),
    ("reuse-5", "MQTT-2.2.1-3"),
    ("resend-5", "MQTT-4.4.0-1"),
    ("silent-4", "MQTT-3.1.2-23"),
    ("silent-5", "MQTT-3.1.2-20"),
    ("no-dup-4", "MQTT-3.3.1-1"),
    ("server-4", "MQTT-4.8.0-1"),
    ("server-5", "MQTT-4.13.1-1"),
    ("unbidden-5", "MQTT-4.12.0-7"),
    ("early-5", "MQTT-3.1.2-30"),
    ("method-5", "MQTT-4.12.0-5"),
    ("qos-5", "MQTT-3.2.2-11"),
    ("retain-5", "MQTT-3.2.2-14"),
    ("maximum-5", "MQTT-3.3.4-7"),
];

/// A broker with limits, and with bob.
fn strict(dir: &Path, limits: Limits) -> Bench {
    let file = dir.join("passwords");
    let iterations = 4096.try_into().unwrap();
    edit(&file, "bob", PasswordChange::SetScram { password: b"pencil", iterations }).unwrap();
    let auth = AuthConfig { password_file: Some(file), ..AuthConfig::default() };
    let config = Config { auth, limits, allow_anonymous: Some(true), ..Config::ephemeral() };
    Bench::with(Options { config, strict: Some(Mode::Report), ..Options::default() })
}

#[test]
fn each_violation_of_a_connected_client_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { max_qos: 1, retain_available: false, receive_maximum: 1, ..Limits::default() };
    let (bench, limited) = (strict(dir.path(), Limits::default()), strict(dir.path(), limits));
    let publish = |payload: &str| Message::new("a", payload).qos(2).id(1);
    let publish_5 = |qos| five::Publish::new("a", "x").qos(qos).id(1);
    // two at once, before PUBREC
    let again = [publish("x").frame(), publish("y").frame()].concat();
    let again_5 = [publish_5(2).frame(), publish_5(2).frame()].concat();
    let resent_5 = [publish_5(1).frame(), publish_5(1).dup().frame()].concat();
    let sent: Vec<(&str, &Bench, Vec<u8>)> = vec![
        ("puback-4", &bench, puback(5)),
        ("pubrec-4", &bench, pubrec(5)),
        ("pubcomp-4", &bench, pubcomp(5)),
        ("puback-5", &bench, puback(5)),
        ("pubrec-5", &bench, pubrec(5)),
        ("pubcomp-5", &bench, pubcomp(5)),
        ("reuse-4", &bench, again),
        ("reuse-5", &bench, again_5),
        ("resend-5", &bench, resent_5),
        ("server-4", &bench, vec![0xD0, 0]),
        ("server-5", &bench, vec![0xD0, 0]),
        ("unbidden-5", &bench, auth(0x18, &says("SCRAM-SHA-256", "x"))),
        ("qos-5", &limited, publish_5(2).frame()),
        ("retain-5", &limited, publish_5(0).retain().frame()),
    ];
    for (name, bench, bytes) in sent {
        let mut four = name.ends_with("-4").then(|| bench.client(name));
        let mut five = name.ends_with("-5").then(|| Five::accepted(bench.mqtt(), &five::Connect::new(name), 0));
        four.iter_mut().for_each(|client| client.send(&bytes));
        five.iter_mut().for_each(|client| client.send(&bytes));
        assert_eq!(found(bench, name), [statement(name)], "{name}");
    }
    // the store of a PUBREC that the client does not answer with PUBREL takes its place
    let mut client = Five::accepted(limited.mqtt(), &five::Connect::new("maximum-5"), 0);
    client.send(&[1, 2, 3, 4].map(|id| publish_5(1).id(id).frame()).concat());
    assert!(found(&limited, "maximum-5").iter().all(|found| found == statement("maximum-5")));
    assert!(!found(&limited, "maximum-5").is_empty());
    // without DUP, on another connection
    let connect = Connect::new("no-dup-4").persistent();
    let mut client = Client::accepted(bench.mqtt(), &connect, 0);
    client.send(&publish("x").frame());
    client.expect(&pubrec(1));
    client.abort();
    Client::accepted(bench.mqtt(), &connect, 1).send(&publish("x").frame());
    assert_eq!(found(&bench, "no-dup-4"), [statement("no-dup-4")]);
}

#[test]
fn silence_is_found_even_if_the_broker_does_not_close() {
    let dir = tempfile::tempdir().unwrap();
    let bench = strict(dir.path(), Limits::default());
    bench.post("clock", json!({ "pause": true }));
    let mut four = Client::accepted(bench.mqtt(), &Connect::new("silent-4").keep_alive(1), 0);
    let mut five = Five::accepted(bench.mqtt(), &five::Connect::new("silent-5").keep_alive(1), 0);
    bench.unmet(json!({ "filter": "never", "within": "1600ms" }));
    four.send(PINGREQ);
    five.send(PINGREQ);
    for name in ["silent-4", "silent-5"] {
        assert_eq!(found(&bench, name), [statement(name)], "{name}");
    }
}

#[test]
fn violations_of_clients_that_were_not_accepted_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let bench = strict(dir.path(), Limits::default());
    let scram = Scram::new(Hash::Sha256, "bob", "pencil");
    let method = Properties::new().text(property::AUTHENTICATION_METHOD, "SCRAM-SHA-256");
    for (name, bytes) in [("early-5", PINGREQ.to_vec()), ("method-5", auth(0x18, &says("SCRAM-SHA-512", "x")))] {
        let mut client = Five::open(bench.mqtt());
        client.send(&five::Connect::new(name).with(says("SCRAM-SHA-256", scram.first())).frame());
        client.expect_auth(0x18, "SCRAM-SHA-256");
        client.send(&bytes);
        assert_eq!(found(&bench, name), [statement(name)], "{name}");
    }
    // a client of a later version, and one with a method that is not served, are not to blame
    let mut client = Client::open(bench.mqtt());
    client.send(&frame(0x10, b"\0\x04MQTT\x09\x02\0\x3C\0\x01c"));
    let mut client = Five::open(bench.mqtt());
    let unknown = Properties(method.0.iter().map(|byte| if *byte == b'S' { b'T' } else { *byte }).collect());
    client.send(&five::Connect::new("unknown").with(unknown).frame());
    client.expect_refused(0x8C);
    assert_eq!(bench.broker.violations().len(), 2, "{:?}", bench.broker.violations());
}

#[test]
fn each_malformed_packet_is_found_with_its_statement() {
    let dir = tempfile::tempdir().unwrap();
    let bench = strict(dir.path(), Limits::default());
    for row in MALFORMED {
        let before = bench.broker.violations().len();
        let is_connect = row.bytes[0] >> 4 == 1;
        let mut client = if is_connect { Client::open(bench.mqtt()) } else { bench.client("bad") };
        client.send(row.bytes);
        while client.read().is_some() {}
        bench.post("idle", json!({}));
        let all = bench.broker.violations();
        let statements: Vec<_> = all[before..].iter().map(|one| one.statement.as_deref().unwrap()).collect();
        match row.statement {
            "MQTT-3.1.2-2" => assert!(statements.is_empty(), "{}: {statements:?}", row.name),
            // what a server may send is malformed as well, and the broker does not look into it
            _ if [0x2, 0x9, 0xB].contains(&(row.bytes[0] >> 4)) => assert_eq!(statements.len(), 1, "{}", row.name),
            // the statements of the two fields are more exact
            "MQTT-3.1.2-11" => assert!(["MQTT-3.1.2-13", "MQTT-3.1.2-15"].contains(&statements[0]), "{statements:?}"),
            statement => assert_eq!(statements, [statement], "{}", row.name),
        }
    }
}

#[test]
fn every_statement_that_the_sources_name_is_provoked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut named = BTreeSet::new();
    for source in ["strict/track.rs", "strict/report.rs", "strict/closed.rs"].map(|name| format!("testing/{name}")) {
        let text = fs::read_to_string(root.join(&source)).expect(&source);
        named.extend(statements(text.split("#[cfg(test)]").next().unwrap(), |line| !line.starts_with("//")));
    }
    for source in ["codec/error.rs", "session/close.rs", "topic/name.rs", "topic/shared.rs"] {
        let text = fs::read_to_string(root.join(source)).expect(source);
        named.extend(statements(&text, |line| line.contains('"')));
    }
    let mut provoked = BTreeSet::new();
    provoked.extend(EXPECTED.iter().flat_map(|(_, statements)| statements.split(' ')).map(str::to_owned));
    provoked.extend(HERE.iter().map(|(_, statement)| (*statement).to_owned()));
    provoked.extend(MALFORMED.iter().map(|row| row.statement.to_owned()));
    for (statement, why) in NOT_OF_CLIENTS {
        assert!(named.contains(*statement), "{statement} is not named in the sources ({why})");
        provoked.insert((*statement).to_owned());
    }
    let differences: Vec<_> = named.symmetric_difference(&provoked).collect();
    assert!(differences.is_empty(), "named or provoked, not both: {differences:?}");
}

/// The statements in these lines.
fn statements(text: &str, is_meant: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim).filter(|line| is_meant(line));
    let ends = |c: char| !(c.is_ascii_digit() || c == '.' || c == '-');
    let each = lines.flat_map(|line| line.split("MQTT-").skip(1).map(move |rest| rest.split(ends).next().unwrap()));
    each.filter(|number| number.contains('.')).map(|number| format!("MQTT-{number}")).collect()
}

fn statement(name: &str) -> &'static str {
    HERE.iter().find(|row| row.0 == name).expect(name).1
}
