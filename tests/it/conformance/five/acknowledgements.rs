//! Sections 3.4 to 3.7 and 4.3: Reason Codes in acknowledgements of the server, and the effect of those of a client.

use std::{fs, sync::Arc};

use dunlin::{
    ClientId, Config, TopicFilter, TopicName,
    config::AuthConfig,
    router::{Authorize, Identity, Rights},
};

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, ack_with, property, subscribe, unsubscribe},
    raw::{self, Message, PINGREQ, ack},
};

#[test]
fn a_message_without_subscribers_is_acknowledged_with_0x10() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    for qos in [1, 2] {
        assert_eq!(publisher.publish(&Publish::new(&topic, "nobody's").qos(qos)), 0x10);
    }
    let mut subscriber = case.five("sub");
    subscriber.subscribe(&[(&topic, 0)]);
    for qos in [1, 2] {
        assert_eq!(publisher.publish(&Publish::new(&topic, "somebody's").qos(qos)), 0);
    }
    subscriber.expect_payloads(&["somebody's", "somebody's"]);
    // a retained message is stored even without subscribers
    publisher.publish(&Publish::new(&case.topic("kept"), "kept").qos(1).retain());
    assert_eq!(case.retained(&case.topic("kept"), 1)[0].text(), "kept");
    // 3.1.1 has no word for it
    let mut old = case.client("old");
    old.publish(Message::new(&case.topic("other"), "m").qos(1));
    old.publish(Message::new(&case.topic("other"), "m").qos(2));
}

/// A broker with these rules for anonymous clients.
fn ruled(rules: &str) -> (tempfile::TempDir, Broker) {
    let files = tempfile::tempdir().expect("a folder");
    let path = files.path().join("acl");
    std::fs::write(&path, rules).expect("a file");
    let auth = AuthConfig { acl_file: Some(path), ..AuthConfig::default() };
    let broker = Broker::new(Config { auth, allow_anonymous: Some(true), ..crate::support::config() });
    (files, broker)
}

#[test]
fn a_message_that_may_not_be_published_is_refused_with_0x87_and_its_identifier_is_free() {
    let (_files, broker) = ruled("topic readwrite open\ntopic read closed\n");
    let mut subscriber = client_of(&broker, "sub");
    subscriber.subscribe(&[("open", 2), ("closed", 2)]);
    let mut publisher = client_of(&broker, "pub");
    for qos in [1, 2] {
        for dup in [false, true] {
            let publish = |topic: &str| Publish { dup, ..Publish::new(topic, "m").qos(qos).id(9) };
            assert_eq!(publisher.publish(&publish("closed")), 0x87);
            assert_eq!(publisher.publish(&publish("open")), 0);
            let came = subscriber.take();
            assert_eq!((came.topic.as_str(), came.qos), ("open", qos));
        }
    }
    publisher.publish(&Publish::new("closed", "m"));
    // the flow is over: nothing is left to release
    publisher.send(&ack(0x62, 9));
    assert_eq!(publisher.expect_ack(0x70, 9), 0x92);
    // 3.1.1 has no word for it: it is acknowledged
    let mut old = broker.client("old");
    old.publish(Message::new("closed", "m").qos(1));
    old.publish(Message::new("closed", "m").qos(2));
    subscriber.expect_nothing_pending();
}

/// Everybody may subscribe to filters that begin with "open", and to no others.
struct Open;

impl Authorize for Open {
    fn rights(&self, _: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        Some(Arc::new(Self))
    }
}

impl Rights for Open {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        filter.as_str().starts_with("open")
    }
}

#[test]
fn filters_that_may_not_be_subscribed_are_refused_with_0x87_in_their_place() {
    let broker = Broker::build(crate::support::config(), |builder| builder.authorize(Arc::new(Open)));
    let mut client = client_of(&broker, "sub");
    let filters = [("open/a", 2), ("closed", 1), ("open/b", 0), ("$share/g/closed", 0), ("open/c", 1)];
    assert_eq!(client.ask(&Properties::new(), &filters), [2, 0x87, 0, 0x87, 1]);
    assert_eq!(client.give_up(&["open/b", "closed", "open/a", "open/b"]), [0, 0x11, 0, 0x11]);
    // an older client gets 0x80 for every reason
    let mut old = broker.client("old");
    old.send(&raw::subscribe(1, &[("open/a", 2), ("closed", 1)]));
    old.expect(&raw::suback(1, &[2, 0x80]));
}

#[test]
fn also_a_filter_without_a_readable_topic_is_refused_with_0x87() {
    const RULES: &str = "topic read open/#\ntopic deny open/no/#\ntopic write out/#\npattern read own/%c/#\n";
    let directory = tempfile::tempdir().expect("a directory");
    let acl_file = directory.path().join("acl");
    fs::write(&acl_file, RULES).expect("an ACL file");
    let auth = AuthConfig { acl_file: Some(acl_file.clone()), ..AuthConfig::default() };
    let mut broker = Broker::new(Config { auth, ..config() });
    let mut client = client_of(&broker, "sub");
    let filters = [("open/a", 2), ("open/no/a", 0), ("+/no/+", 1), ("out/#", 0), ("own/sub/+", 1), ("own/+/a", 0)];
    let none = [("other/#", 0), ("own/others/#", 0), ("$SYS/#", 0), ("#", 2), ("open/#", 1)];
    assert_eq!(client.ask(&Properties::new(), &filters), [2, 0x87, 0x87, 0x87, 1, 0]);
    assert_eq!(client.ask(&Properties::new(), &none), [0x87, 0x87, 0x87, 2, 1]);
    // granted in 3.1.1, as ever and by mosquitto: nothing comes
    let mut old = broker.client("old");
    old.subscribe(&[("open/no/a", 0), ("other/#", 2)]);
    // granted subscriptions stay, and new rules decide about later messages
    fs::write(&acl_file, "topic readwrite other/#\n").expect("an ACL file");
    broker.reload(|_| {});
    assert_eq!(client.ask(&Properties::new(), &[("open/a", 2), ("other/#", 2)]), [0x87, 2]);
    client.publish(&Publish::new("other/x", "m"));
    client.expect_payloads(&["m"]);
    old.expect_message("other/x", "m", 0);
}

#[test]
fn identifiers_that_are_not_known_are_answered_with_0x92() {
    let case = case!();
    let mut client = case.five("lost");
    client.send(&ack(0x62, 7));
    client.expect(&ack_with(0x70, 7, 0x92));
    client.send(&ack(0x50, 7));
    client.expect(&ack_with(0x62, 7, 0x92));
    // a client that answers, that it does not know it either, is believed
    client.send(&ack_with(0x70, 7, 0x92));
    client.send(&ack(0x40, 7));
    client.expect_nothing_pending();
    // an old one is answered without a word
    let mut old = case.client("old");
    old.send(&ack(0x62, 7));
    old.expect(&ack(0x70, 7));
}

#[test]
fn an_error_of_the_subscriber_ends_the_exchange_and_frees_its_place() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let connect =
        Connect::new(&case.id("sub")).with(Properties::new().short(property::RECEIVE_MAXIMUM, 1)).lasting(1_000);
    let mut subscriber = case.accepted(&connect, 0);
    subscriber.subscribe(&[(&topic, 2)]);
    let errors = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let mut seen = Vec::new();
    for code in errors {
        for qos in [1, 2] {
            let payload = format!("{code:x} {qos}");
            publisher.publish(&Publish::new(&topic, &payload).qos(qos));
            let came = subscriber.receive();
            assert_eq!(came.text(), payload);
            subscriber.send(&ack_with(if qos == 1 { 0x40 } else { 0x50 }, came.id, code));
            seen.push(payload);
        }
    }
    // no PUBREL, and nothing of it comes again
    subscriber.expect_nothing_pending();
    subscriber.leave();
    let mut subscriber = case.accepted(&connect, 1);
    subscriber.expect_nothing_pending();
    publisher.publish(&Publish::new(&topic, "last").qos(2));
    subscriber.expect_payloads(&["last"]);
}

#[test]
fn also_success_of_a_subscriber_may_have_a_reason_and_properties() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.five("both"));
    client.subscribe(&[(&topic, 2)]);
    client.send(&Publish::new(&topic, "1").qos(1).id(1).frame());
    let (mut id, mut acknowledged) = (0, false);
    while id == 0 || !acknowledged {
        let next = client.expect_any();
        match next.message() {
            Some(message) => id = message.id,
            None => acknowledged = next.bytes() == ack(0x40, 1),
        }
    }
    // 0x10 with a Reason String and a User Property
    let properties = Properties::new().text(0x1F, "nobody").user("a", "b");
    let body = [&id.to_be_bytes()[..], &[0x10, properties.0.len() as u8], &properties.0].concat();
    client.send(&raw::frame(0x40, &body));
    client.expect_nothing_pending();
}

#[test]
fn answers_have_only_a_reason_code_for_a_client_with_a_small_limit() {
    let case = case!();
    // the size of the largest answer: a client with this limit gets all answers
    let small = Properties::new().int(property::MAXIMUM_PACKET_SIZE, 20).byte(property::REQUEST_PROBLEM_INFORMATION, 0);
    let large = Properties::new().byte(property::REQUEST_PROBLEM_INFORMATION, 1);
    for (role, properties) in [("small", small), ("large", large)] {
        let topic = "t";
        let (mut client, connack) = Five::connect(case.address(), &Connect::new(&case.id(role)).with(properties));
        assert!(connack.properties.ids().iter().all(|id| ![0x1F, property::USER_PROPERTY].contains(id)));
        client.send(&Publish::new(topic, "m").qos(1).id(1).frame());
        client.expect(&ack_with(0x40, 1, 0x10));
        client.send(&Publish::new(topic, "m").qos(2).id(2).frame());
        client.expect(&ack_with(0x50, 2, 0x10));
        client.send(&ack(0x62, 3));
        client.expect(&ack_with(0x70, 3, 0x92));
        client.send(&ack(0x50, 3));
        client.expect(&ack_with(0x62, 3, 0x92));
        client.send(&subscribe(4, &Properties::new(), &[("$share/+/t", 0)]));
        client.expect(&[0x90, 4, 0, 4, 0, 0x8F]);
        client.send(&unsubscribe(5, &["none"]));
        client.expect(&[0xB0, 4, 0, 5, 0, 0x11]);
        client.send(&[PINGREQ, &[0xF0, 0]].concat());
        client.expect(&[0xD0, 0]);
        client.expect_disconnect(0x82);
    }
}
