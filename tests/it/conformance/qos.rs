//! Sections 4.3.1 and 4.3.2: QoS 0 and QoS 1; 4.5: the server owns what it has acknowledged.

use crate::support::raw::{Message, frame, puback, text};

#[test]
fn mqtt_4_3_1_1_qos_0_is_sent_with_qos_0_and_dup_0() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "payload"));
    subscriber.expect(&frame(0x30, &[&text(&topic)[..], b"payload"].concat()));
}

#[test]
fn mqtt_4_3_2_1_qos_1_is_sent_with_an_unused_id_and_dup_0() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "first").qos(1));
    publisher.publish(Message::new(&topic, "second").qos(1));
    let (first, second) = (subscriber.receive(), subscriber.receive());
    assert_ne!(first.id, second.id);
    assert_eq!([first.dup, second.dup], [false, false]);
    assert_eq!([first.qos, second.qos], [1, 1]);
}

#[test]
fn mqtt_4_3_2_1_qos_1_is_unacknowledged_until_puback() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "acknowledged").qos(1));
    publisher.publish(Message::new(&topic, "unacknowledged").qos(1));
    let (first, second) = (subscriber.receive(), subscriber.receive());
    subscriber.send(&puback(first.id));
    subscriber.expect_nothing_pending();
    subscriber.abort();
    let mut subscriber = case.resume("sub");
    assert_eq!(subscriber.receive(), second.dup());
    subscriber.expect_nothing_pending();
}

#[test]
fn mqtt_4_3_2_2_qos_1_is_answered_with_its_id() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    for id in [9, 1, u16::MAX] {
        client.send(&Message::new(&topic, "payload").qos(1).id(id).frame());
        client.expect(&puback(id));
    }
}

#[test]
fn mqtt_4_3_2_2_acknowledged_id_is_a_new_publication() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    let message = Message::new(&topic, "payload").qos(1).id(5);
    for message in [message.clone(), message.clone(), message.dup()] {
        publisher.publish(message);
        subscriber.expect_message(&topic, "payload", 1);
    }
}

#[test]
fn mqtt_4_5_0_1_message_is_added_to_every_matching_session() {
    let case = case!();
    let topic = case.topic("t");
    let mut away = case.begin("away");
    away.subscribe(&[(&topic, 2)]);
    away.disconnect();
    let (mut first, mut second, mut other) = (case.begin("first"), case.client("second"), case.client("other"));
    first.subscribe(&[(&topic, 1)]);
    second.subscribe(&[(&case.topic("+"), 2)]);
    other.subscribe(&[(&case.topic("other"), 2)]);

    let mut publisher = case.client("pub");
    publisher.publish(Message::new(&topic, "for three").qos(2));
    publisher.publish(Message::new(&case.topic("other"), "for one").qos(2));
    first.expect_message(&topic, "for three", 1);
    second.expect_message(&topic, "for three", 2);
    other.expect_message(&case.topic("other"), "for one", 2);
    case.resume("away").expect_message(&topic, "for three", 2);
}

#[test]
fn also_message_outlives_its_publisher() {
    let case = case!();
    let topic = case.topic("t");
    let mut away = case.begin("away");
    away.subscribe(&[(&topic, 2)]);
    away.disconnect();
    let mut publisher = case.client("pub");
    publisher.publish(Message::new(&topic, "left behind").qos(2));
    publisher.abort();
    case.resume("away").expect_message(&topic, "left behind", 2);
}

#[test]
fn also_unknown_acknowledgements_do_no_harm() {
    let case = case!();
    let mut client = case.client("acks");
    // The standard requires no answer, only that later packets work. A PUBREC may be answered with a PUBREL.
    client.send(&puback(77));
    client.send(&crate::support::raw::pubcomp(78));
    client.expect_nothing_pending();
    client.publish(Message::new(&case.topic("t"), "payload").qos(2));
}
