//! Sections 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.

use crate::support::raw::{Message, ack, frame, pubcomp, pubrec, pubrel, unsubscribe};

#[test]
fn mqtt_3_10_1_1_unsubscribe_with_other_flags_closes() {
    let case = case!();
    for flags in (0..16).filter(|flags| *flags != 2) {
        let mut bad = unsubscribe(1, &[&case.topic("t")]);
        bad[0] = 0xA0 | flags;
        case.assert_closes(&bad);
    }
}

#[test]
fn mqtt_3_10_3_1_filter_that_is_not_utf8_or_not_whole_closes() {
    let case = case!();
    case.assert_closes(&frame(0xA2, b"\0\x01\0\x04a/\xC3\x28"));
    case.assert_closes(&frame(0xA2, b"\0\x01\0\x01a\0\x04a/\xC3\x28"));
    // Packed contiguously: nothing between the filters, nothing after them.
    case.assert_closes(&frame(0xA2, b"\0\x01\0\x01a\0"));
    case.assert_closes(&frame(0xA2, b"\0\x01\0\x01a\0\x05b"));
}

#[test]
fn mqtt_3_10_3_2_unsubscribe_without_filters_closes() {
    case!().assert_closes(&unsubscribe(1, &[]));
}

#[test]
fn mqtt_3_10_4_1_filters_are_compared_byte_for_byte() {
    let case = case!();
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    let (plain, wild) = (case.topic("a/b"), case.topic("c/+"));
    client.subscribe(&[(&plain, 1), (&wild, 1)]);
    // Each of these matches or resembles a subscription and is none.
    let others = [case.topic("a/+"), case.topic("#"), case.topic("A/b"), case.topic("a/b/"), case.topic("c/d")];
    client.unsubscribe(&others.each_ref().map(String::as_str));
    publisher.publish(Message::new(&plain, "plain").qos(1));
    publisher.publish(Message::new(&case.topic("c/d"), "wild").qos(1));
    client.expect_message(&plain, "plain", 1);
    client.expect_message(&case.topic("c/d"), "wild", 1);
    client.unsubscribe(&[&wild]);
    publisher.publish(Message::new(&case.topic("c/d"), "gone").qos(1));
    publisher.publish(Message::new(&plain, "still here").qos(1));
    client.expect_message(&plain, "still here", 1);
}

#[test]
fn mqtt_3_10_4_2_no_new_messages_after_unsubscribe() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let (mut client, mut other) = (case.begin("sub"), case.client("other"));
    client.subscribe(&[(&topic, 2)]);
    other.subscribe(&[(&topic, 2)]);
    client.unsubscribe(&[&topic]);
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "payload").qos(qos));
        other.expect_message(&topic, "payload", qos);
    }
    client.expect_nothing_pending();
    client.disconnect();
    publisher.publish(Message::new(&topic, "payload").qos(2));
    case.resume("sub").expect_nothing_pending();
}

#[test]
fn mqtt_3_10_4_3_started_deliveries_are_completed() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "completed").qos(2));
    publisher.publish(Message::new(&topic, "resent").qos(1));
    let (completed, resent) = (client.receive(), client.receive());
    client.unsubscribe(&[&topic]);
    client.send(&pubrec(completed.id));
    client.expect(&pubrel(completed.id));
    client.send(&pubcomp(completed.id));
    client.abort();
    let mut client = case.resume("sub");
    assert_eq!(client.take(), resent.dup());
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_10_4_4_unsuback_has_the_id_of_unsubscribe() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("sub"));
    for id in [2, 0x1234, u16::MAX] {
        client.subscribe(&[(&topic, 0)]);
        client.send(&unsubscribe(id, &[&topic]));
        client.expect(&ack(0xB0, id));
    }
}

#[test]
fn mqtt_3_10_4_5_unknown_filter_gets_unsuback() {
    let case = case!();
    let mut client = case.client("sub");
    for filter in ["never", "never/#", "+/never"] {
        client.send(&unsubscribe(5, &[&case.topic(filter)]));
        client.expect(&ack(0xB0, 5));
    }
}

#[test]
fn mqtt_3_10_4_6_several_filters_get_one_unsuback() {
    let case = case!();
    let (a, b, c) = (case.topic("a"), case.topic("b"), case.topic("c"));
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    client.subscribe(&[(&a, 1), (&b, 1), (&c, 1)]);
    client.send(&unsubscribe(5, &[&a, &case.topic("never"), &c, &a]));
    client.expect(&ack(0xB0, 5));
    client.expect_nothing_pending();
    for topic in [&a, &c, &b] {
        publisher.publish(Message::new(topic, "payload").qos(1));
    }
    client.expect_message(&b, "payload", 1);
    client.expect_nothing_pending();
}

#[test]
fn also_filter_can_be_subscribed_again() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    publisher.publish(Message::new(&topic, "stored").qos(1).retain());
    for _ in 0..3 {
        assert_eq!(client.subscribe_retained(&[(&topic, 1)], 1).len(), 1);
        publisher.publish(Message::new(&topic, "live").qos(1));
        client.expect_message(&topic, "live", 1);
        client.unsubscribe(&[&topic]);
    }
}
