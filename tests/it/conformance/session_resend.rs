//! Section 4.4: redelivery when a client reconnects; section 3.3.1.1: DUP.

use crate::support::raw::{Message, puback, pubcomp, pubrec, pubrel};

#[test]
fn mqtt_3_3_1_1_resent_publish_has_dup_1() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    for qos in [1, 2] {
        publisher.publish(Message::new(&topic, "payload").qos(qos));
        assert!(!client.receive().dup);
    }
    client.abort();
    // Each time anew.
    for _ in 0..2 {
        let mut client = case.resume("sub");
        assert!(client.receive().dup && client.receive().dup);
        client.abort();
    }
}

#[test]
fn mqtt_4_4_0_1_unacknowledged_publish_is_resent_with_its_id() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    let mut sent = Vec::new();
    for (number, qos) in [1, 2, 2, 1, 1].into_iter().enumerate() {
        publisher.publish(Message::new(&topic, &number.to_string()).qos(qos));
        sent.push(client.receive());
    }
    client.abort();
    let mut client = case.resume("sub");
    for first in &sent {
        let again = client.receive();
        assert_eq!(again, first.clone().dup());
    }
    // Acknowledged messages are not resent a third time.
    for message in &sent {
        if message.qos == 1 {
            client.send(&puback(message.id));
        } else {
            client.send(&pubrec(message.id));
            client.expect(&pubrel(message.id));
            client.send(&pubcomp(message.id));
        }
    }
    client.expect_nothing_pending();
    client.disconnect();
    case.resume("sub").expect_nothing_pending();
}

#[test]
fn mqtt_4_4_0_1_unacknowledged_pubrel_is_resent_with_its_id() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        publisher.publish(Message::new(&topic, "payload").qos(2));
        let id = client.receive().id;
        client.send(&pubrec(id));
        client.expect(&pubrel(id));
        ids.push(id);
    }
    client.abort();
    let mut client = case.resume("sub");
    for id in &ids {
        client.expect(&pubrel(*id));
    }
    for id in ids {
        client.send(&pubcomp(id));
    }
    client.expect_nothing_pending();
}

#[test]
fn mqtt_4_4_0_1_publish_and_pubrel_are_both_resent() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    publisher.publish(Message::new(&topic, "released").qos(2));
    publisher.publish(Message::new(&topic, "unanswered").qos(2));
    let (released, unanswered) = (client.receive(), client.receive());
    client.send(&pubrec(released.id));
    client.expect(&pubrel(released.id));
    client.abort();
    let mut client = case.resume("sub");
    // The standard orders each kind, not the one against the other.
    let mut frames = [client.expect_any().bytes(), client.expect_any().bytes()];
    frames.sort();
    assert_eq!(frames, [unanswered.dup().frame(), pubrel(released.id)]);
    client.expect_nothing_pending();
}

#[test]
fn also_resent_messages_go_before_queued_ones() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "unacknowledged").qos(1));
    let first = client.receive();
    client.disconnect();
    publisher.publish(Message::new(&topic, "queued").qos(1));
    let mut client = case.resume("sub");
    assert_eq!(client.take(), first.dup());
    let queued = client.take();
    assert_eq!((queued.text(), queued.dup), ("queued", false));
    client.expect_nothing_pending();
}

#[test]
fn also_window_is_20_and_moves_with_each_acknowledgement() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 1)]);
    for number in 1..=25 {
        publisher.publish(Message::new(&topic, &number.to_string()).qos(1));
    }
    let mut ids = Vec::new();
    for number in 1..=20 {
        let message = client.receive();
        assert_eq!(message.text(), number.to_string());
        ids.push(message.id);
    }
    client.expect_nothing_pending();
    // Any of them makes room for one.
    for (number, id) in (21..=25).zip([ids[7], ids[0], ids[19], ids[3], ids[4]]) {
        client.send(&puback(id));
        assert_eq!(client.receive().text(), number.to_string());
        client.expect_nothing_pending();
    }
}

#[test]
fn also_the_window_applies_after_a_reconnect() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 2)]);
    client.disconnect();
    for number in 1..=25 {
        publisher.publish(Message::new(&topic, &number.to_string()).qos(2));
    }
    let mut client = case.resume("sub");
    let sent: Vec<_> = (0..20).map(|_| client.receive()).collect();
    client.expect_nothing_pending();
    client.abort();
    let mut client = case.resume("sub");
    for first in &sent {
        assert_eq!(client.receive(), first.clone().dup());
    }
    client.expect_nothing_pending();
    // A QoS 2 message takes its place until PUBCOMP.
    client.send(&pubrec(sent[0].id));
    client.expect(&pubrel(sent[0].id));
    client.send(&pubcomp(sent[0].id));
    assert_eq!(client.receive().text(), "21");
    client.expect_nothing_pending();
}

#[test]
fn also_qos_0_does_not_wait_for_the_window() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 1), (&case.topic("zero"), 0)]);
    for _ in 0..21 {
        publisher.publish(Message::new(&topic, "payload").qos(1));
    }
    publisher.publish(Message::new(&case.topic("zero"), "at once"));
    // Where among the others it comes is free.
    let mut received: Vec<_> = (0..21).map(|_| client.receive().qos).collect();
    received.sort();
    assert_eq!((received[0], &received[1..]), (0, &[1; 20][..]));
    client.expect_nothing_pending();
}
