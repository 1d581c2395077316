//! Section 2.3.1: the Packet Identifier.

use std::collections::BTreeSet;

use crate::support::raw::{Message, frame, puback, pubcomp, pubrec, pubrel, suback, subscribe, text, unsubscribe};

#[test]
fn mqtt_2_3_1_1_packet_identifier_zero_closes() {
    let case = case!();
    let topic = case.topic("t");
    case.assert_closes(&subscribe(0, &[(&topic, 0)]));
    case.assert_closes(&unsubscribe(0, &[&topic]));
    case.assert_closes(&Message::new(&topic, "").qos(1).id(0).frame());
    case.assert_closes(&Message::new(&topic, "").qos(2).id(0).frame());
}

#[test]
fn mqtt_2_3_1_1_sent_packet_identifiers_are_not_zero() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    for qos in [1, 2] {
        publisher.publish(Message::new(&topic, "payload").qos(qos));
        assert_ne!(subscriber.take().id, 0);
    }
}

#[test]
fn mqtt_2_3_1_4_sent_packet_identifiers_are_unused_until_acknowledged() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    let mut unacknowledged = BTreeSet::new();
    for qos in [1, 2, 1, 2, 2, 1] {
        publisher.publish(Message::new(&topic, "payload").qos(qos));
        assert!(unacknowledged.insert(subscriber.receive().id), "an identifier was used while it was in use");
    }
    // A QoS 2 message keeps its identifier from PUBREC until PUBCOMP.
    let mut publish_to_second = |subscriber: &mut crate::support::raw::Client| {
        publisher.publish(Message::new(&topic, "payload").qos(2));
        let id = subscriber.receive().id;
        subscriber.send(&pubrec(id));
        subscriber.expect(&pubrel(id));
        id
    };
    for _ in 0..4 {
        let id = publish_to_second(&mut subscriber);
        assert!(unacknowledged.insert(id), "an identifier was used before its PUBCOMP");
    }
}

#[test]
fn mqtt_2_3_1_4_packet_identifiers_do_not_run_out() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    // One stays unacknowledged while all others are used and freed, in bursts below any window.
    publisher.publish(Message::new(&topic, "kept").qos(1));
    let kept = subscriber.receive().id;
    let burst: Vec<u8> = (1..=16).flat_map(|id| Message::new(&topic, "").qos(1).id(id).frame()).collect();
    for _ in 0..70_000 / 16 {
        publisher.send(&burst);
        for id in 1..=16 {
            publisher.expect(&puback(id));
        }
        let mut acknowledgements = Vec::new();
        for _ in 0..16 {
            let id = subscriber.receive().id;
            assert_ne!(id, kept, "an identifier was used while it was in use");
            acknowledgements.extend(puback(id));
        }
        subscriber.send(&acknowledgements);
    }
}

#[test]
fn mqtt_2_3_1_5_qos_0_has_no_packet_identifier() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 0)]);
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "payload").qos(qos));
        subscriber.expect(&frame(0x30, &[&text(&topic)[..], b"payload"].concat()));
    }
}

#[test]
fn mqtt_2_3_1_6_acknowledgements_carry_the_identifier_of_the_publish() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    for id in [1, 0x00FF, 0x0100, 0xABCD, u16::MAX] {
        client.send(&Message::new(&topic, "").qos(1).id(id).frame());
        client.expect(&puback(id));
        client.send(&Message::new(&topic, "").qos(2).id(id).frame());
        client.expect(&pubrec(id));
        client.send(&pubrel(id));
        client.expect(&pubcomp(id));
    }
}

#[test]
fn mqtt_2_3_1_6_pubrel_carries_the_identifier_of_the_publish() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    for _ in 0..3 {
        publisher.publish(Message::new(&topic, "payload").qos(2));
        let id = subscriber.receive().id;
        subscriber.send(&pubrec(id));
        subscriber.expect(&pubrel(id));
        subscriber.send(&pubcomp(id));
    }
}

#[test]
fn mqtt_2_3_1_7_suback_and_unsuback_carry_the_identifier_of_the_request() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("sub"));
    for id in [1, 0x00FF, 0x0100, 0xABCD, u16::MAX] {
        client.send(&subscribe(id, &[(&topic, 1)]));
        client.expect(&suback(id, &[1]));
        client.send(&unsubscribe(id, &[&topic]));
        client.expect(&crate::support::raw::ack(0xB0, id));
    }
}

#[test]
fn also_both_sides_may_use_one_identifier_at_once() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("both"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "to the client").qos(2));
    let id = client.receive().id;
    client.send(&Message::new(&case.topic("other"), "to the server").qos(2).id(id).frame());
    client.expect(&pubrec(id));
    client.send(&pubrec(id));
    client.expect(&pubrel(id));
    client.send(&pubrel(id));
    client.expect(&pubcomp(id));
    client.send(&pubcomp(id));
    client.expect_nothing_pending();
}
