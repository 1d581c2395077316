//! The rights of a client's user are not stored: the effect on its session after a restart.

use std::fs;

use super::place::{Place, text_of};
use crate::support::{
    raw::{Client, Connect, Message},
    running::Running,
};

/// A broker on the place's data directory, with this ACL file.
fn with_rules(place: &Place, rules: &str) -> Running {
    let acl = place.path().join("acl");
    fs::write(&acl, rules).expect("the rules can be written");
    place.configured(&format!("[auth]\nacl_file = {:?}\n", text_of(&acl)))
}

fn of(user: &str, id: &str) -> Connect {
    Connect::new(id).user(user, "x").persistent()
}

#[test]
fn rules_changed_after_a_restart_do_not_drop_queued_messages() {
    let place = Place::new();
    const RULES: &str = "user bob\ntopic a/#\n";
    let broker = with_rules(&place, RULES);
    let mut client = broker.connect(&of("bob", "c"), 0);
    client.subscribe(&[("a/#", 1)]);
    client.disconnect();
    let mut publisher = broker.connect(&of("bob", "p"), 0);
    publisher.publish(Message::new("a/1", "one").qos(1));
    broker.stop();

    let mut broker = with_rules(&place, RULES);
    fs::write(place.path().join("acl"), "user bob\ntopic a/#\nuser eve\ntopic b\n").unwrap();
    broker.signal("HUP");
    broker.wait_for("was read again");
    let mut publisher = broker.connect(&of("bob", "p"), 1);
    publisher.publish(Message::new("a/2", "two").qos(1));
    broker.kill();

    let broker = with_rules(&place, RULES);
    let mut client = broker.connect(&of("bob", "c"), 1);
    client.expect_message("a/1", "one", 1);
    client.expect_message("a/2", "two", 1);
    client.disconnect();
    // and one that may not read them does not get them
    broker.connect(&of("eve", "c"), 1).expect_nothing_pending();
}

#[test]
fn unreadable_messages_survive_a_restart_until_they_are_readable() {
    let place = Place::new();
    const ALL: &str = "user bob\ntopic #\n";
    let mut broker = with_rules(&place, ALL);
    let mut client = broker.connect(&of("bob", "c"), 0);
    client.subscribe(&[("#", 1)]);
    client.disconnect();
    let mut publisher = broker.connect(&of("bob", "p"), 0);
    for (topic, payload) in [("a", "1"), ("b", "2"), ("a", "3")] {
        publisher.publish(Message::new(topic, payload).qos(1));
    }
    broker.kill();
    // the ACL file has a mistake, for two starts and a reload
    for _ in 0..2 {
        let mut broker = with_rules(&place, "user bob\ntopic write #\n");
        broker.connect(&of("bob", "c"), 1).expect_nothing_pending();
        broker.signal("HUP");
        broker.wait_for("was read again");
        broker.kill();
    }
    let broker = with_rules(&place, "user bob\ntopic read b\n");
    let mut client = broker.connect(&of("bob", "c"), 1);
    client.expect_message("b", "2", 1);
    client.expect_nothing_pending();
    fs::write(place.path().join("acl"), ALL).unwrap();
    broker.signal("HUP");
    client.expect_message("a", "1", 1);
    client.expect_message("a", "3", 1);
    client.expect_nothing_pending();
    client.disconnect();
    broker.stop();
    with_rules(&place, ALL).connect(&of("bob", "c"), 1).expect_nothing_pending();
}

#[test]
fn only_an_authorized_will_is_published_after_a_restart() {
    let place = Place::new();
    // anonymous clients and bob have different rights
    const RULES: &str = "topic read #\ntopic write nameless\nuser bob\ntopic bobs\n";
    let mut broker = with_rules(&place, RULES);
    let will = |topic: &str| Message::new(topic, "bye").qos(1).retain();
    let _admitted = broker.connect(&of("bob", "one").will(&will("bobs")), 0);
    let _denied = broker.connect(&of("bob", "two").will(&will("nameless")), 0);
    broker.kill();

    let broker = with_rules(&place, RULES);
    let mut reader = broker.client("reader");
    let [got] = &reader.subscribe_retained(&[("#", 0)], 1)[..] else { panic!("one Will") };
    assert_eq!((got.topic.as_str(), got.text()), ("bobs", "bye"));
    reader.expect_nothing_pending();
}

#[test]
fn a_session_has_its_user_after_a_kill() {
    let place = Place::new();
    let (users, acl) = (place.path().join("users"), place.path().join("acl"));
    for user in ["bob", "eve"] {
        dunlin::auth::edit(&users, user, dunlin::auth::PasswordChange::Set(b"x")).unwrap();
    }
    fs::write(&acl, "topic #\nuser bob\ntopic #\nuser eve\ntopic #\n").unwrap();
    let config = format!(
        "allow_anonymous = true\n[auth]\npassword_file = {:?}\nacl_file = {:?}\n",
        text_of(&users),
        text_of(&acl)
    );
    let mut broker = place.configured(&config);
    let mut client = broker.connect(&of("bob", "c"), 0);
    client.subscribe(&[("t", 1)]);
    broker.begin("nameless").disconnect();
    broker.kill();

    let mut broker = place.configured(&config);
    broker.client("p").publish(Message::new("t", "for bob").qos(1));
    for connect in [of("eve", "c"), Connect::new("c")] {
        let mut refused = Client::open(broker.addresses[0]);
        refused.send(&connect.frame());
        refused.expect_refused(2);
    }
    let line = broker.wait_for("refused");
    for part in [
        "user \"bob\" (auth.password_file)",
        "user \"eve\" asks for it",
        "auth.session_owner = \"anyone\" and a reload",
    ] {
        assert!(line.replace("\\", "").contains(part), "{part} is not in {line}");
    }
    broker.connect(&of("bob", "c"), 1).expect_message("t", "for bob", 1);
    // bob's from now on
    broker.connect(&of("bob", "nameless"), 1).disconnect();
    broker.kill();
    let mut broker = place.configured(&config);
    let mut refused = Client::open(broker.addresses[0]);
    refused.send(&of("eve", "nameless").frame());
    refused.expect_refused(2);
    broker.kill();
    // one whose user is gone ends
    dunlin::auth::edit(&users, "bob", dunlin::auth::PasswordChange::Delete).unwrap();
    let mut broker = place.configured(&config);
    broker.connect(&of("eve", "c"), 0).disconnect();
    let line = broker.wait_for("session ended: its user was removed from the configuration");
    assert!(line.contains("client=c") && line.contains("user=bob"), "{line}");
}
