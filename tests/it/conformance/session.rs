//! Sections 3.1.2.4 and 4.1: the session and its life.

use crate::support::raw::{Connect, Message};

#[test]
fn mqtt_3_1_2_4_clean_session_0_resumes_the_session() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.begin("sub");
    client.subscribe(&[(&topic, 2)]);
    client.disconnect();
    for number in ["1", "2", "3"] {
        // The subscription exists without a SUBSCRIBE, each time.
        let mut client = case.resume("sub");
        publisher.publish(Message::new(&topic, number).qos(2));
        client.expect_message(&topic, number, 2);
        client.expect_nothing_pending();
        client.disconnect();
    }
}

#[test]
fn mqtt_3_1_2_4_clean_session_0_creates_a_session() {
    let case = case!();
    case.begin("sub").abort();
    case.resume("sub").expect_nothing_pending();
}

#[test]
fn mqtt_3_1_2_5_messages_are_stored_while_away() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.begin("sub");
    client.subscribe(&[(&topic, 2)]);
    client.disconnect();
    for number in 1..=9 {
        publisher.publish(Message::new(&topic, &number.to_string()).qos(1 + number % 2));
    }
    publisher.publish(Message::new(&case.topic("other"), "unsubscribed").qos(1));
    let mut client = case.resume("sub");
    for number in 1..=9 {
        client.expect_message(&topic, &number.to_string(), 1 + number % 2);
    }
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_1_2_6_clean_session_1_discards_the_session() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.begin("sub");
    client.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "unacknowledged").qos(1));
    client.receive();
    client.disconnect();
    publisher.publish(Message::new(&topic, "queued").qos(1));
    // Neither the queue nor the subscription is left, now or later.
    let mut client = case.client("sub");
    client.expect_nothing_pending();
    publisher.publish(Message::new(&topic, "unsubscribed").qos(1));
    client.expect_nothing_pending();
    client.disconnect();
    publisher.publish(Message::new(&topic, "unsubscribed").qos(1));
    case.begin("sub").expect_nothing_pending();
}

#[test]
fn mqtt_3_1_2_6_clean_session_lasts_as_long_as_its_connection() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.client("sub");
    client.subscribe(&[(&topic, 1)]);
    client.disconnect();
    publisher.publish(Message::new(&topic, "for nobody").qos(1));
    let mut client = case.begin("sub");
    client.expect_nothing_pending();
    client.subscribe(&[(&case.topic("marker"), 1)]);
    publisher.publish(Message::new(&topic, "for nobody").qos(1));
    publisher.publish(Message::new(&case.topic("marker"), "first").qos(1));
    client.expect_message(&case.topic("marker"), "first", 1);
}

#[test]
fn mqtt_4_1_0_1_session_state_is_kept_for_the_whole_session() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.begin("sub");
    client.subscribe(&[(&topic, 1), (&case.topic("gone"), 1)]);
    client.unsubscribe(&[&case.topic("gone")]);
    client.abort();
    // After any end of a connection, subscriptions, queue and unacknowledged messages stay.
    case.resume("sub").disconnect();
    publisher.publish(Message::new(&case.topic("gone"), "gone").qos(1));
    publisher.publish(Message::new(&topic, "kept").qos(1));
    let mut client = case.resume("sub");
    let first = client.receive();
    client.send(&[0xF0, 0]);
    client.expect_closed();
    let mut client = case.resume("sub");
    assert_eq!(client.take(), first.dup());
    client.expect_nothing_pending();
    client.disconnect();
    case.resume("sub").expect_nothing_pending();
}

#[test]
fn mqtt_4_1_0_2_session_lasts_as_long_as_its_connection() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.client("sub");
    client.subscribe(&[(&topic, 1)]);
    // That other sessions begin and end, its own client id among the prefixes of theirs, is nothing to it.
    case.client("sub2").disconnect();
    case.begin("su").abort();
    publisher.publish(Message::new(&topic, "there").qos(1));
    client.expect_message(&topic, "there", 1);
}

#[test]
fn also_qos_0_is_not_queued_while_away() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut client = case.begin("sub");
    client.subscribe(&[(&topic, 1)]);
    client.disconnect();
    publisher.publish(Message::new(&topic, "QoS 0"));
    publisher.publish(Message::new(&topic, "kept").qos(1));
    let mut client = case.resume("sub");
    client.expect_message(&topic, "kept", 1);
    client.expect_nothing_pending();
}

#[test]
fn also_takeover_keeps_the_session() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut first = case.begin("same");
    first.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "unacknowledged").qos(1));
    let sent = first.receive();
    let mut second = case.resume("same");
    first.expect_closed();
    assert_eq!(second.take(), sent.dup());
    publisher.publish(Message::new(&topic, "next").qos(1));
    second.expect_message(&topic, "next", 1);
    second.expect_nothing_pending();
}

#[test]
fn also_takeover_by_a_clean_session_ends_the_session() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    let mut first = case.begin("same");
    first.subscribe(&[(&topic, 1)]);
    let mut second = case.client("same");
    first.expect_closed();
    publisher.publish(Message::new(&topic, "unsubscribed").qos(1));
    second.expect_nothing_pending();
    second.disconnect();
    case.begin("same").expect_nothing_pending();
}

#[test]
fn also_many_take_overs_leave_one_connection() {
    let case = case!();
    let topic = case.topic("t");
    let connect = Connect::new(&case.id("same")).persistent();
    let mut client = case.connect(&connect, 0);
    client.subscribe(&[(&topic, 1)]);
    for _ in 0..20 {
        let next = case.connect(&connect, 1);
        client.expect_closed();
        client = next;
    }
    case.client("pub").publish(Message::new(&topic, "for the last").qos(1));
    client.expect_message(&topic, "for the last", 1);
    client.expect_nothing_pending();
}
