//! Events as messages to topics that begin with `$events/` (`sys.events`).

use std::{fs, path::Path};

use dunlin::{Builder, Config, InsideClient, Server, config::SysConfig};
use serde_json::{Value, json};

use super::client;
use crate::support::{
    argon2id, config,
    five::{Connect as Connect5, Five, Properties},
    raw::{self, Client, Connect, Message},
    run, shut_down, start,
};

/// A broker that publishes events, with these rules, if there are any, and the users `ann` and `eve`.
fn publishing(dir: &Path, rules: Option<&str>) -> Server {
    let mut config = Config { allow_anonymous: Some(true), ..config() };
    config.sys = SysConfig { events: true, ..config.sys };
    let users = ["ann", "eve"].map(|user| format!("{user}:{}\n", argon2id("secret", 32)));
    fs::write(dir.join("passwords"), users.concat()).unwrap();
    config.auth.password_file = Some(dir.join("passwords"));
    if let Some(rules) = rules {
        fs::write(dir.join("acl"), rules).unwrap();
        config.auth.acl_file = Some(dir.join("acl"));
    }
    start(Builder::new(config))
}

fn user(server: &Server, name: &str) -> Client {
    Client::accepted(server.local_addrs()[0], &Connect::new(name).user(name, "secret"), 0)
}

fn next(client: &mut Client) -> (String, Value) {
    let message = client.take();
    let event = serde_json::from_str(message.text()).expect("an event is JSON");
    (message.topic, event)
}

#[test]
fn an_operator_with_a_rule_reads_the_events_of_another_client_as_messages() {
    const RULES: &str = "topic readwrite #\ntopic readwrite $SYS/#\nuser ann\ntopic readwrite $events/#\nuser eve\n\
                         topic readwrite #\ntopic readwrite $SYS/#\n";
    let dir = tempfile::tempdir().unwrap();
    let server = publishing(dir.path(), Some(RULES));
    let (mut ann, mut eve) = (user(&server, "ann"), user(&server, "eve"));
    eve.subscribe(&[("#", 0), ("$events/#", 0), ("$events/client/connected/+", 0)]);
    ann.subscribe(&[("$events/client/+/dev%2F1%2B", 0), ("$events/broker/stopping", 0)]);
    // not even with a rule
    ann.publish(Message::new("$events/client/connected/dev%2F1%2B", "forged").qos(1));
    let mut device = client(&server, "dev/1+");
    device.subscribe(&[("a/b", 1)]);
    device.publish_apart("a/b", "no event", 1);
    device.expect_message("a/b", "no event", 1);
    device.disconnect();
    let (topic, event) = next(&mut ann);
    assert_eq!(topic, "$events/client/connected/dev%2F1%2B");
    assert_eq!((&event["type"], &event["specversion"]), (&json!("dunlin.client.connected"), &json!("1.0")));
    assert_eq!(event["data"]["client_id"], "dev/1+");
    assert!(event["source"].as_str().unwrap().ends_with("/clients/dev%2F1%2B"), "{event}");
    let (topic, event) = next(&mut ann);
    assert_eq!((&*topic, &event["data"]["filter"]), ("$events/client/subscribed/dev%2F1%2B", &json!("a/b")));
    let (topic, _) = next(&mut ann);
    assert_eq!(topic, "$events/client/disconnected/dev%2F1%2B");
    // a rule for # does not let it read them
    eve.expect_message("a/b", "no event", 0);
    eve.publish_apart("last", "", 1);
    eve.expect_message("last", "", 0);
    shut_down(server);
    let (topic, event) = next(&mut ann);
    assert_eq!((&*topic, &event["type"]), ("$events/broker/stopping", &json!("dunlin.broker.stopping")));
}

/// The codes of the SUBACK for these filters at QoS 0, for a client of MQTT 3.1.1 and one of MQTT 5 without a login.
fn granted(server: &Server, filters: &[&str; 4]) -> [Vec<u8>; 2] {
    let filters: Vec<_> = filters.iter().map(|filter| (*filter, 0)).collect();
    let mut plain = client(server, "plain");
    plain.send(&raw::subscribe(7, &filters));
    let suback = plain.expect_any().bytes();
    assert_eq!(suback[..4], [0x90, 6, 0, 7]);
    let mut five = Five::accepted(server.local_addrs()[0], &Connect5::new("five"), 0);
    [suback[4..].to_vec(), five.ask(&Properties::new(), &filters)]
}

const OF_EVENTS: [&str; 4] = ["$events/#", "$events/client/connected/+", "$share/g/$events/#", "t"];

#[test]
fn subscriptions_to_events_without_a_rule_are_refused_to_clients_of_mqtt_5() {
    const RULES: &str = "topic readwrite #\ntopic readwrite $SYS/#\nuser ann\ntopic read $events/#\n";
    let dir = tempfile::tempdir().unwrap();
    for rules in [None, Some(RULES)] {
        let server = publishing(dir.path(), rules);
        // before MQTT 5 every filter is granted, and nothing is delivered
        assert_eq!(granted(&server, &OF_EVENTS), [[0, 0, 0, 0], [0x87, 0x87, 0x87, 0]], "{rules:?}");
        shut_down(server);
    }
}

/// With dynamic security, clients of all versions are refused filters that they may not subscribe to.
#[test]
fn the_defaults_of_dynamic_security_do_not_allow_events() {
    let acl = |kind: &str| json!({ "acltype": kind, "topic": "$events/#", "allow": true });
    let with_role = |acls: &[Value]| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dynsec.json");
        let yes = true;
        let text = json!({
            "clients": [],
            "groups": [{ "groupname": "all", "roles": [{ "rolename": "reader" }] }],
            "roles": [{ "rolename": "reader", "acls": acls }],
            "anonymousGroup": "all",
            "defaultACLAccess": {
                "publishClientSend": yes, "publishClientReceive": yes, "subscribe": yes, "unsubscribe": yes,
            },
        });
        fs::write(&file, text.to_string()).unwrap();
        let mut config = Config { allow_anonymous: Some(true), ..config() };
        config.sys = SysConfig { events: true, ..config.sys };
        config.auth.dynsec_file = Some(file);
        (start(Builder::new(config)), dir)
    };
    let (server, _dir) = with_role(&[]);
    assert_eq!(granted(&server, &OF_EVENTS), [[0x80, 0x80, 0x80, 0], [0x87, 0x87, 0x87, 0]]);
    shut_down(server);
    let (server, _dir) = with_role(&[acl("subscribePattern"), acl("publishClientReceive")]);
    assert_eq!(granted(&server, &OF_EVENTS), [[0; 4]; 2]);
    let mut reader = client(&server, "reader");
    reader.subscribe(&[("$events/client/connected/#", 0)]);
    let _other = client(&server, "other");
    // those of clients that came before may be late
    while next(&mut reader).0 != "$events/client/connected/other" {}
    shut_down(server);
}

#[test]
fn events_about_messages_are_not_published_as_messages() {
    let dir = tempfile::tempdir().unwrap();
    let server = publishing(dir.path(), None);
    let asked = InsideClient { id: "$reader".into(), filters: vec!["$events/#".into()], ..InsideClient::default() };
    let reader = run(server.client(asked)).expect("a client within the process");
    let mut one =
        Client::accepted(server.local_addrs()[0], &Connect::new("one").will(&Message::new("a/will", "gone").qos(1)), 0);
    let mut two = client(&server, "two");
    two.subscribe(&[("a/#", 1)]);
    one.publish(Message::new("a/b", "1").qos(1));
    // dropped
    one.publish(Message::new("$SYS/a", "2").qos(1));
    two.expect_message("a/b", "1", 1);
    one.abort();
    two.expect_message("a/will", "gone", 1);
    drop(client(&server, "last"));
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != "$events/client/connected/last") {
        topics.push(run(reader.recv()).expect("an event").topic().to_owned());
    }
    let expected = [
        "$events/client/connected/one",
        "$events/client/connected/two",
        "$events/client/subscribed/two",
        "$events/client/disconnected/one",
        "$events/client/connected/last",
    ];
    assert_eq!(topics, expected);
    shut_down(server);
}

#[test]
fn without_rules_no_client_of_the_network_reads_events() {
    let dir = tempfile::tempdir().unwrap();
    let server = publishing(dir.path(), None);
    let asked = InsideClient { id: "$reader".into(), filters: vec!["$events/#".into()], ..InsideClient::default() };
    let reader = run(server.client(asked)).expect("a client within the process");
    let (mut anonymous, mut eve) = (client(&server, "anonymous"), user(&server, "eve"));
    for one in [&mut anonymous, &mut eve] {
        one.subscribe(&[("$events/#", 0), ("$share/g/$events/#", 0), ("$SYS/#", 0), ("t", 0)]);
    }
    let _other = client(&server, "other");
    while run(reader.recv()).expect("an event").topic() != "$events/client/connected/other" {}
    eve.publish_apart("t", "1", 1);
    eve.expect_message("t", "1", 0);
    anonymous.expect_message("t", "1", 0);
    shut_down(server);
}
