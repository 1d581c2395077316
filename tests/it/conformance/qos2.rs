//! Section 4.3.3: QoS 2, exactly once.

use crate::support::raw::{Message, puback, pubcomp, pubrec, pubrel};

#[test]
fn mqtt_4_3_3_1_qos_2_is_sent_with_an_unused_id_and_dup_0() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "first").qos(2));
    publisher.publish(Message::new(&topic, "second").qos(2));
    let (first, second) = (subscriber.receive(), subscriber.receive());
    assert_ne!(first.id, second.id);
    assert_eq!([first.dup, second.dup], [false, false]);
    assert_eq!([first.qos, second.qos], [2, 2]);
}

#[test]
fn mqtt_4_3_3_1_pubrec_is_answered_with_pubrel() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "payload").qos(2));
    let id = subscriber.receive().id;
    subscriber.send(&pubrec(id));
    subscriber.expect(&pubrel(id));
    // Again for a PUBREC that is repeated, and nothing more once PUBCOMP has come.
    subscriber.send(&pubrec(id));
    subscriber.expect(&pubrel(id));
    subscriber.send(&pubcomp(id));
    subscriber.expect_nothing_pending();
}

#[test]
fn mqtt_4_3_3_1_publish_is_unacknowledged_until_pubrec() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "payload").qos(2));
    let first = subscriber.receive();
    subscriber.abort();
    let mut subscriber = case.resume("sub");
    let second = subscriber.receive();
    assert_eq!(second, first.dup());
    subscriber.send(&pubrec(second.id));
    subscriber.expect(&pubrel(second.id));
}

#[test]
fn mqtt_4_3_3_1_pubrel_is_unacknowledged_until_pubcomp() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "payload").qos(2));
    let id = subscriber.receive().id;
    subscriber.send(&pubrec(id));
    subscriber.expect(&pubrel(id));
    subscriber.abort();
    // The PUBREL comes again, the PUBLISH does not; after PUBCOMP neither does.
    for _ in 0..2 {
        let mut subscriber = case.resume("sub");
        subscriber.expect(&pubrel(id));
        subscriber.expect_nothing_pending();
        subscriber.abort();
    }
    let mut subscriber = case.resume("sub");
    subscriber.expect(&pubrel(id));
    subscriber.send(&pubcomp(id));
    subscriber.expect_nothing_pending();
    subscriber.abort();
    case.resume("sub").expect_nothing_pending();
}

#[test]
fn mqtt_4_3_3_2_qos_2_is_answered_with_its_id() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    for id in [9, 1, u16::MAX] {
        client.send(&Message::new(&topic, "payload").qos(2).id(id).frame());
        client.expect(&pubrec(id));
        client.send(&pubrel(id));
        client.expect(&pubcomp(id));
    }
}

#[test]
fn mqtt_4_3_3_2_repeated_publish_is_delivered_once() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    let message = Message::new(&topic, "once").qos(2).id(3);
    for message in [message.clone(), message.clone().dup(), message.dup()] {
        publisher.send(&message.frame());
        publisher.expect(&pubrec(3));
    }
    publisher.send(&pubrel(3));
    publisher.expect(&pubcomp(3));
    publisher.publish(Message::new(&topic, "next").qos(2));
    subscriber.expect_message(&topic, "once", 2);
    subscriber.expect_message(&topic, "next", 2);
}

#[test]
fn mqtt_4_3_3_2_repeated_publish_without_dup_is_delivered_once() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    // The sender should have set DUP; the statement does not ask the receiver to look at it.
    for _ in 0..2 {
        publisher.send(&Message::new(&topic, "once").qos(2).id(3).frame());
        publisher.expect(&pubrec(3));
    }
    publisher.send(&pubrel(3));
    publisher.expect(&pubcomp(3));
    publisher.publish(Message::new(&topic, "next").qos(2));
    subscriber.expect_message(&topic, "once", 2);
    subscriber.expect_message(&topic, "next", 2);
}

#[test]
fn mqtt_4_3_3_2_repeated_publish_on_a_new_connection_is_delivered_once() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.begin("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    let message = Message::new(&topic, "once").qos(2).id(3);
    publisher.send(&message.frame());
    publisher.expect(&pubrec(3));
    publisher.abort();
    let mut publisher = case.resume("pub");
    publisher.send(&message.dup().frame());
    publisher.expect(&pubrec(3));
    publisher.send(&pubrel(3));
    publisher.expect(&pubcomp(3));
    publisher.publish(Message::new(&topic, "next").qos(2));
    subscriber.expect_message(&topic, "once", 2);
    subscriber.expect_message(&topic, "next", 2);
}

#[test]
fn mqtt_4_3_3_2_pubrel_is_always_answered_with_pubcomp() {
    let case = case!();
    let mut client = case.client("pub");
    client.send(&Message::new(&case.topic("t"), "payload").qos(2).id(3).frame());
    client.expect(&pubrec(3));
    // A PUBREL that is repeated because the PUBCOMP was lost, and one that the server knows nothing of.
    for id in [3, 3, 999] {
        client.send(&pubrel(id));
        client.expect(&pubcomp(id));
    }
}

#[test]
fn mqtt_4_3_3_2_pubrel_on_a_new_connection_is_answered() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.begin("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.send(&Message::new(&topic, "once").qos(2).id(3).frame());
    publisher.expect(&pubrec(3));
    publisher.abort();
    let mut publisher = case.resume("pub");
    publisher.send(&pubrel(3));
    publisher.expect(&pubcomp(3));
    publisher.publish(Message::new(&topic, "next").qos(2).id(3));
    subscriber.expect_message(&topic, "once", 2);
    subscriber.expect_message(&topic, "next", 2);
}

#[test]
fn mqtt_4_3_3_2_completed_id_is_a_new_publication() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    for number in ["1", "2", "3"] {
        publisher.publish(Message::new(&topic, number).qos(2).id(3));
        subscriber.expect_message(&topic, number, 2);
    }
}

#[test]
fn also_a_missing_pubrel_does_not_stop_others() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    publisher.send(&Message::new(&case.topic("elsewhere"), "never released").qos(2).id(3).frame());
    publisher.expect(&pubrec(3));
    publisher.send(&Message::new(&topic, "goes on").qos(1).id(4).frame());
    publisher.expect(&puback(4));
    subscriber.expect_message(&topic, "goes on", 1);
}
