//! Access rules, in addition to the comparison in `acl_against_mosquitto`.

use std::sync::Arc;

use dunlin::{config::DeniedPublish, router::Count};

use super::{Files, password};
use crate::support::{
    Broker, Recorder,
    five::{self, Five},
    raw::{Connect, Message, PINGREQ, PINGRESP, connack, subscribe},
};

#[test]
fn a_shared_response_topic_rule_covers_only_the_client_s_own() {
    let files = Files::new();
    let config = files.config(&[], "topic write t\nuser one\ntopic read t\nuser two\ntopic read other\n");
    let broker = Broker::new(config);
    let named = |user| broker.connect(&Connect::new(user).user(user, "x"), 0);
    let (mut one, mut two, mut publisher) = (named("one"), named("two"), broker.client("p"));
    one.subscribe(&[("#", 1)]);
    two.subscribe(&[("#", 1)]);
    // the same answer, remembered, many times
    for n in 1..=20 {
        publisher.publish(Message::new("t", "x").qos(1));
        one.expect_message("t", "x", 1);
        two.expect_nothing_pending();
        broker.expect_counts(&[(Count::DeniedDeliveries, n), (Count::PublishDropped, 0)]);
    }
}

#[test]
fn a_denied_message_may_end_its_connection() {
    let files = Files::new();
    let recorder = Arc::<Recorder>::default();
    let mut config = files.config(&[], "topic write ok\n");
    config.auth.denied_publish = DeniedPublish::Disconnect;
    let observe = recorder.clone();
    let broker = Broker::build(config, |b| b.observe(observe));
    let mut client = broker.client("c");
    client.publish(Message::new("ok", "").qos(1));
    client.send(&Message::new("no", "").qos(1).id(9).frame());
    client.expect_closed();
    recorder.wait_for("disconnect c NotAuthorized");
    broker.expect_counts(&[(Count::DroppedNotAuthorized, 1)]);
    // in MQTT 5 a PUBACK or PUBREC could report it, but the key closes the connection in all versions
    let denied = || five::Publish::new("no", "");
    for publish in [denied(), denied().qos(1).id(9), denied().qos(2).id(9)] {
        let mut client = Five::accepted(broker.address(), &five::Connect::new("five"), 0);
        client.send(&publish.frame());
        client.expect_disconnect(0x87);
    }
}

#[test]
fn a_client_that_returns_as_another_user_gets_only_readable_messages() {
    let files = Files::new();
    let broker = Broker::new(files.config(&[], "topic #\nuser one\ntopic read #\nuser two\ntopic read b\n"));
    let one = Connect::new("c").user("one", "x").persistent();
    let two = Connect::new("c").user("two", "x").persistent();
    let mut client = broker.connect(&one, 0);
    client.subscribe(&[("#", 1)]);
    let mut publisher = broker.client("p");
    // one that is not acknowledged, and two that wait
    publisher.publish(Message::new("a", "1").qos(1));
    assert_eq!(client.receive().text(), "1");
    client.disconnect();
    publisher.publish(Message::new("a", "2").qos(1));
    publisher.publish(Message::new("b", "3").qos(1));
    let mut client = broker.connect(&two, 1);
    client.expect_message("b", "3", 1);
    client.expect_nothing_pending();
}

#[test]
fn packets_after_a_connect_wait_for_the_login() {
    let files = Files::new();
    let broker = Broker::new(files.config(&["bob"], "user bob\ntopic #\n"));
    let connect = Connect::new("c").user("bob", &password("bob")).frame();
    let mut client = broker.open();
    let publish = Message::new("t", "early").qos(1).id(7).frame();
    // all at once, and the last frame in two parts
    let all = [&connect[..], &subscribe(1, &[("t", 0)]), &publish, PINGREQ].concat();
    client.send(&all[..all.len() - 1]);
    client.expect(&connack(0, 0));
    let mut seen = Vec::new();
    client.send(&all[all.len() - 1..]);
    loop {
        let frame = client.expect_any();
        if frame.bytes() == PINGRESP {
            break;
        }
        seen.push(frame.first);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0x30, 0x40, 0x90], "message, PUBACK, SUBACK");
}

#[test]
fn refused_logins_are_counted() {
    let files = Files::new();
    let broker = Broker::new(files.config(&["bob"], "# none\n"));
    broker.refuses(&Connect::new("c").user("bob", "wrong"), 4);
    broker.refuses(&Connect::new("c").user("eve", "wrong"), 4);
    broker.connect(&Connect::new("c").user("bob", &password("bob")), 0).expect_nothing_pending();
    broker.expect_counts(&[(Count::RefusedLogins, 2), (Count::Connects, 1)]);
}
