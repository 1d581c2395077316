//! Clients of MQTT 3.1: `MQIsdp`, level 3.

use super::case::Case;
use crate::support::raw::{Client, Connect, Message, pubcomp, pubrec};

fn v31(case: &Case, role: &str) -> Connect {
    Connect::new(&case.id(role)).protocol("MQIsdp", 3)
}

#[test]
fn also_version_3_1_is_served() {
    let case = case!();
    let topic = case.topic("t");
    let mut subscriber = case.connect(&v31(&case, "sub").user("name", "word").keep_alive(60), 0);
    let mut publisher = case.connect(&v31(&case, "pub"), 0);
    subscriber.subscribe(&[(&topic, 2)]);
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "payload").qos(qos));
        subscriber.expect_message(&topic, "payload", qos);
    }
    subscriber.unsubscribe(&[&topic]);
    subscriber.disconnect();
}

#[test]
fn also_versions_3_1_and_3_1_1_meet() {
    let case = case!();
    let topic = case.topic("t");
    let (mut old, mut new) = (case.connect(&v31(&case, "old"), 0), case.client("new"));
    old.subscribe(&[(&topic, 1)]);
    new.subscribe(&[(&topic, 1)]);
    new.publish_own(&topic, "from 3.1.1");
    old.expect_message(&topic, "from 3.1.1", 1);
    case.connect(&v31(&case, "pub"), 0).publish(Message::new(&topic, "from 3.1").qos(1));
    old.expect_message(&topic, "from 3.1", 1);
    new.expect_message(&topic, "from 3.1", 1);
}

impl Client {
    /// Publishes with QoS 1 to a topic that the client itself subscribes to.
    fn publish_own(&mut self, topic: &str, payload: &str) {
        self.send(&Message::new(topic, payload).qos(1).id(1).frame());
        for _ in 0..2 {
            if let Some(own) = self.expect_any().message() {
                self.send(&crate::support::raw::puback(own.id));
            }
        }
    }
}

#[test]
fn also_version_3_1_name_and_level_belong_together() {
    let case = case!();
    for (name, level) in [("MQIsdp", 4), ("MQTT", 3), ("MQIsdp", 2)] {
        let mut client = case.open();
        client.send(&Connect::new(&case.id("mixed")).protocol(name, level).frame());
        // A refusal or a close, as the server likes.
        if let Some(frame) = client.read() {
            assert_eq!(frame.first, 0x20);
            assert_ne!(frame.body[1], 0, "{name} with level {level} was accepted");
            client.expect_closed();
        }
    }
}

#[test]
fn also_version_3_1_has_no_session_present() {
    let case = case!();
    let topic = case.topic("t");
    // Its byte is reserved in 3.1; the session exists all the same.
    let connect = v31(&case, "sub").persistent();
    let mut client = case.connect(&connect, 0);
    client.subscribe(&[(&topic, 1)]);
    client.disconnect();
    case.client("pub").publish(Message::new(&topic, "queued").qos(1));
    let mut client = case.connect(&connect, 0);
    client.expect_message(&topic, "queued", 1);
}

#[test]
fn also_version_3_1_may_repeat_with_dup() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.connect(&v31(&case, "dup"), 0));
    // 3.1 has a DUP flag in PUBREL, SUBSCRIBE and UNSUBSCRIBE, which 3.1.1 reserves.
    client.send(&Message::new(&topic, "payload").qos(2).id(1).frame());
    client.expect(&pubrec(1));
    client.send(&[0x6A, 2, 0, 1]);
    client.expect(&pubcomp(1));
    let mut subscribe = crate::support::raw::subscribe(2, &[(&topic, 1)]);
    subscribe[0] = 0x8A;
    client.send(&subscribe);
    client.expect(&crate::support::raw::suback(2, &[1]));
    let mut unsubscribe = crate::support::raw::unsubscribe(3, &[&topic]);
    unsubscribe[0] = 0xAA;
    client.send(&unsubscribe);
    client.expect(&crate::support::raw::ack(0xB0, 3));
}

#[test]
fn also_version_3_1_does_not_use_some_header_bits() {
    let case = case!();
    let (topic, own, mut other) = (case.topic("t"), case.topic("own"), case.client("other"));
    other.subscribe(&[(&topic, 2)]);
    // 3.1 calls these bits "not used": their values have no meaning
    let with = |first: u8, mut bytes: Vec<u8>| {
        bytes[0] = first;
        bytes
    };
    let will = Message::new(&topic, "will");
    let connect = with(0x14, v31(&case, "bits").will(&will).frame());
    let mut client = case.open();
    client.send(&connect);
    client.expect(&crate::support::raw::connack(0, 0));
    client.send(&[0xC2, 0]);
    client.expect(crate::support::raw::PINGRESP);
    // its QoS is 1, and the upper bits of a requested QoS are not used either
    for first in [0x82, 0x83, 0x8A, 0x8B] {
        client.send(&with(first, crate::support::raw::subscribe(2, &[(&own, 0xF5)])));
        client.expect(&crate::support::raw::suback(2, &[1]));
    }
    for first in [0x42, 0x4F] {
        other.publish(Message::new(&own, "payload").qos(1));
        let message = client.take();
        client.send(&with(first, crate::support::raw::puback(message.id)));
    }
    client.publish(Message::new(&topic, "one").qos(1));
    client.send(&Message::new(&topic, "two").qos(2).id(7).frame());
    client.expect(&pubrec(7));
    client.send(&[0x60, 2, 0, 7]);
    client.expect(&pubcomp(7));
    for first in [0xA2, 0xA3] {
        client.send(&with(first, crate::support::raw::unsubscribe(3, &[&own])));
        client.expect(&crate::support::raw::ack(0xB0, 3));
    }
    // a DISCONNECT is one: the Will is not published
    client.send(&[0xE2, 0]);
    client.expect_closed();
    for text in ["one", "two"] {
        assert_eq!(other.receive().text(), text);
    }
    other.expect_nothing_pending();
}

#[test]
fn also_version_3_1_does_not_use_some_header_bits_of_acknowledgements() {
    let case = case!();
    let topic = case.topic("t");
    let mut client = case.connect(&v31(&case, "sub"), 0);
    client.subscribe(&[(&topic, 2)]);
    case.client("pub").publish(Message::new(&topic, "payload").qos(2));
    let id = client.take().id;
    let [high, low] = id.to_be_bytes();
    client.send(&[0x5D, 2, high, low]);
    client.expect(&crate::support::raw::pubrel(id));
    client.send(&[0x73, 2, high, low]);
    client.expect_nothing_pending();
}
