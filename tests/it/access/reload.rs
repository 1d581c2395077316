//! Changes of files under a running broker.

use std::sync::Arc;

use dunlin::{Config, auth, router::Count, session::Backlog};

use super::{Files, password};
use crate::support::{
    Broker, Recorder,
    raw::{Connect, Message, puback, pubcomp, pubrec, pubrel},
    reload,
};

#[test]
fn clients_of_deleted_users_are_disconnected() {
    let files = Files::new();
    let config = files.config(&["bob", "eve"], "user bob\ntopic #\nuser eve\ntopic #\n");
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let broker = Broker::build(config.clone(), |b| b.observe(observe));
    let connect = |user: &str| Connect::new(user).user(user, &password(user));
    let (mut bob, mut eve) = (broker.connect(&connect("bob"), 0), broker.connect(&connect("eve"), 0));
    auth::edit(&files.path("passwords"), "bob", auth::PasswordChange::Delete).unwrap();
    reload(&broker.server, &config).unwrap();
    // without a word of its own
    bob.expect_closed();
    recorder.wait_for("disconnect bob UserGone");
    eve.expect_nothing_pending();
    broker.refuses(&connect("bob"), 4);
}

#[test]
fn rules_change_at_the_next_packet() {
    let files = Files::new();
    let config = files.config(&[], "topic write a\nuser r\ntopic read a\n");
    let broker = Broker::new(config.clone());
    let change = |rules: &str, config: &Config| {
        files.write("acl", rules);
        reload(&broker.server, config).unwrap();
    };
    let mut reader = broker.connect(&Connect::new("r").user("r", "x"), 0);
    let mut away = broker.connect(&Connect::new("away").user("r", "x").persistent(), 0);
    reader.subscribe(&[("#", 1)]);
    away.subscribe(&[("#", 1)]);
    away.disconnect();
    let mut publisher = broker.client("p");
    let mut publish = |topic: &str| publisher.publish(Message::new(topic, "x").qos(1));
    publish("a");
    publish("a");
    reader.expect_message("a", "x", 1);
    reader.expect_message("a", "x", 1);
    // a topic that its publisher repeats
    change("topic write b\nuser r\ntopic read #\n", &config);
    publish("a");
    broker.expect_counts(&[(Count::DroppedNotAuthorized, 1)]);
    publish("b");
    reader.expect_message("b", "x", 1);
    // a topic that its subscriber may not read any more, and its queued messages
    change("topic write #\nuser r\ntopic read b\n", &config);
    publish("a");
    publish("b");
    reader.expect_message("b", "x", 1);
    reader.expect_nothing_pending();
    let mut away = broker.connect(&Connect::new("away").user("r", "x").persistent(), 1);
    away.expect_message("b", "x", 1);
    away.expect_message("b", "x", 1);
    away.expect_nothing_pending();
}

#[test]
fn a_reload_keeps_queued_messages() {
    const ALL: &str = "topic #\nuser r\ntopic read #\n";
    let files = Files::new();
    let config = files.config(&[], ALL);
    let broker = Broker::new(config.clone());
    let change = |rules: &str| {
        files.write("acl", rules);
        reload(&broker.server, &config).unwrap();
    };
    let connect = Connect::new("r").user("r", "x").persistent();
    let mut reader = broker.connect(&connect, 0);
    reader.subscribe(&[("#", 2)]);
    let mut publisher = broker.client("p");
    // one that was sent and is not acknowledged, and more that wait
    publisher.publish(Message::new("a", "sent").qos(2));
    let sent = reader.expect_any().message().expect("a PUBLISH");
    reader.abort();
    for n in 0..30 {
        publisher.publish(Message::new(["a", "b", "c"][n % 3], &format!("{n}")).qos(1));
    }
    change("topic #\nuser r\ntopic read b\n");
    broker.expect_counts(&[(Count::DeniedDeliveries, 21)]);
    let mut reader = broker.connect(&connect, 1);
    for n in (1..30).step_by(3) {
        reader.expect_message("b", &format!("{n}"), 1);
    }
    reader.expect_nothing_pending();
    // a part of the right returns while the client is connected
    change("topic #\nuser r\ntopic read b\ntopic read c\n");
    for n in (2..30).step_by(3) {
        reader.expect_message("c", &format!("{n}"), 1);
    }
    reader.expect_nothing_pending();
    // then all of it: messages that were sent before are resent as such
    change(ALL);
    let again = reader.expect_any().message().expect("a PUBLISH");
    assert_eq!((again.id, again.dup, again.text()), (sent.id, true, "sent"));
    reader.send(&pubrec(sent.id));
    let (mut texts, mut released) = (Vec::new(), false);
    while texts.len() < 10 || !released {
        let frame = reader.expect_any();
        if let Some(message) = frame.message() {
            texts.push(message.text().to_owned());
            reader.send(&puback(message.id));
        } else {
            assert_eq!(frame.bytes(), pubrel(sent.id));
            released = true;
            reader.send(&pubcomp(sent.id));
        }
    }
    assert_eq!(texts, (0..30).step_by(3).map(|n| n.to_string()).collect::<Vec<_>>());
    reader.expect_nothing_pending();
    assert_eq!(broker.server.counters().held(), Backlog::default());
}

#[test]
fn an_empty_acl_file_allows_nothing() {
    let files = Files::new();
    let config = files.config(&["bob"], "user bob\ntopic #\n");
    let broker = Broker::new(config.clone());
    let connect = Connect::new("bob").user("bob", &password("bob"));
    let mut bob = broker.connect(&connect, 0);
    for (name, key) in [("acl", "auth.acl_file"), ("passwords", "auth.password_file")] {
        let text = std::fs::read(files.path(name)).unwrap();
        files.write(name, "");
        let error = reload(&broker.server, &config).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("is empty (0 bytes)"), "{error}");
        assert_eq!(dunlin::server::check_files(&config).unwrap_err().to_string(), error);
        files.write(name, text);
    }
    bob.expect_nothing_pending();
    // the last user goes, and the file has a line
    auth::edit(&files.path("passwords"), "bob", auth::PasswordChange::Delete).unwrap();
    assert_eq!(std::fs::read_to_string(files.path("passwords")).unwrap(), "# no users\n");
    reload(&broker.server, &config).unwrap();
    bob.expect_closed();
    broker.refuses(&connect, 4);
}

#[test]
fn changed_rules_apply_to_connected_clients() {
    let files = Files::new();
    let without = crate::support::config();
    let with = files.config(&[], "topic read a\n");
    let broker = Broker::new(without.clone());
    let (mut reader, mut publisher) = (broker.client("r"), broker.client("p"));
    reader.subscribe(&[("#", 1)]);
    publisher.publish(Message::new("a", "1").qos(1));
    reader.expect_message("a", "1", 1);
    reload(&broker.server, &with).unwrap();
    publisher.publish(Message::new("a", "2").qos(1));
    reader.expect_nothing_pending();
    broker.expect_counts(&[(Count::DroppedNotAuthorized, 1)]);
    reload(&broker.server, &without).unwrap();
    publisher.publish(Message::new("a", "3").qos(1));
    reader.expect_message("a", "3", 1);
}

#[test]
fn an_invalid_file_changes_nothing() {
    let files = Files::new();
    let config = files.config(&["bob"], "user bob\ntopic a\n");
    let broker = Broker::new(config.clone());
    let connect = Connect::new("bob").user("bob", &password("bob"));
    let mut bob = broker.connect(&connect, 0);
    // the users are good, the rules are not: neither is taken
    auth::edit(&files.path("passwords"), "bob", auth::PasswordChange::Delete).unwrap();
    files.write("acl", "topic a\ntpic b\n");
    let error = reload(&broker.server, &config).unwrap_err().to_string();
    assert!(
        error.ends_with("acl:2: a line begins with \"topic\", \"user\", \"pattern\" or \"#\", not with \"tpic\""),
        "{error}"
    );
    bob.expect_nothing_pending();
    broker.connect(&Connect::new("again").user("bob", &password("bob")), 0);
}

#[test]
fn an_unproved_user_name_is_refused_once_there_are_users() {
    let files = Files::new();
    let broker = Broker::new(crate::support::config());
    let mut named = broker.connect(&Connect::new("c").user("bob", "x"), 0);
    let mut nameless = broker.client("d");
    reload(&broker.server, &files.config(&["bob"], "user bob\ntopic #\ntopic $SYS/#\n")).unwrap();
    named.expect_closed();
    nameless.expect_nothing_pending();
    broker.refuses(&Connect::new("e").user("bob", "x"), 4);
}

#[test]
fn a_client_is_disconnected_when_its_login_is_revoked() {
    let files = Files::new();
    let config = files.config(&["bob", "eve"], "topic #\nuser bob\ntopic #\nuser eve\ntopic #\n");
    let broker = Broker::new(config.clone());
    let connect = |user: &str| Connect::new(user).user(user, &password(user)).persistent();
    let (mut bob, mut eve) = (broker.connect(&connect("bob"), 0), broker.connect(&connect("eve"), 0));
    let mut nameless = broker.client("nameless");
    bob.subscribe(&[("t", 1)]);
    auth::edit(&files.path("passwords"), "bob", auth::PasswordChange::Set(b"new")).unwrap();
    reload(&broker.server, &config).unwrap();
    bob.expect_closed();
    // a user with only a new password loses nothing
    nameless.publish(Message::new("t", "meanwhile").qos(1));
    eve.expect_nothing_pending();
    let config = Config { allow_anonymous: Some(false), ..config };
    reload(&broker.server, &config).unwrap();
    nameless.expect_closed();
    eve.expect_nothing_pending();
    broker.refuses(&connect("bob"), 4);
    broker.connect(&Connect::new("bob").user("bob", "new").persistent(), 1).expect_message("t", "meanwhile", 1);
}
