//! Section 3.3: PUBLISH, except RETAIN.

use crate::support::raw::{Message, frame, puback, pubcomp, pubrec, pubrel, text};

#[test]
fn mqtt_3_3_1_2_qos_0_is_sent_with_dup_0() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 0)]);
    for message in [Message::new(&topic, "x"), Message::new(&topic, "x").qos(1).dup()] {
        publisher.publish(message);
        assert!(!subscriber.receive().dup);
    }
}

#[test]
fn mqtt_3_3_1_3_dup_is_not_passed_on() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    for qos in [1, 2] {
        publisher.publish(Message::new(&topic, "payload").qos(qos).dup());
        let message = subscriber.take();
        assert_eq!((message.qos, message.dup), (qos, false));
    }
}

#[test]
fn mqtt_3_3_1_4_qos_3_closes() {
    let case = case!();
    for first in [0x36, 0x37, 0x3E, 0x3F] {
        case.assert_closes(&frame(first, &[&text(case.topic("t"))[..], &[0, 1], b"payload"].concat()));
    }
}

#[test]
fn mqtt_3_3_2_1_topic_name_that_is_not_utf8_closes() {
    case!().assert_closes(&frame(0x30, &[&text(b"a/\xC3\x28")[..], b"payload"].concat()));
}

#[test]
fn mqtt_3_3_2_1_missing_topic_name_closes() {
    let case = case!();
    case.assert_closes(&frame(0x30, &[]));
    case.assert_closes(&frame(0x30, &[0, 9, b't', b'o', b'p']));
}

#[test]
fn mqtt_3_3_2_2_topic_name_with_wildcards_closes() {
    let case = case!();
    for wild in ["#", "+", "a/#", "a/+", "+/a", "a/+/b", "a#", "a+b"] {
        for qos in 0..=2 {
            case.assert_closes(&Message::new(&case.topic(wild), "payload").qos(qos).id(1).frame());
            case.assert_closes(&Message::new(wild, "payload").qos(qos).id(1).frame());
        }
    }
}

#[test]
fn mqtt_3_3_2_3_delivered_topic_matches_the_filter() {
    let case = case!();
    let (mut subscriber, mut publisher) = (case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&case.topic("+/x"), 1)]);
    for rest in ["a/y", "a/x", "a/b/x", "x", "b/x"] {
        publisher.publish(Message::new(&case.topic(rest), rest).qos(1));
    }
    // The name that was published, not the filter.
    subscriber.expect_message(&case.topic("a/x"), "a/x", 1);
    subscriber.expect_message(&case.topic("b/x"), "b/x", 1);
}

#[test]
fn mqtt_3_3_4_1_response_is_that_of_the_qos() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    client.send(&Message::new(&topic, "none").frame());
    client.expect_nothing_pending();
    client.send(&Message::new(&topic, "PUBACK").qos(1).id(10).frame());
    client.expect(&puback(10));
    client.send(&Message::new(&topic, "PUBREC").qos(2).id(11).frame());
    client.expect(&pubrec(11));
    client.send(&pubrel(11));
    client.expect(&pubcomp(11));
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_3_5_1_overlapping_filters_deliver_at_their_highest_qos() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("a/b"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&case.topic("a/#"), 0), (&case.topic("+/b"), 2), (&topic, 1)]);
    publisher.publish(Message::new(&topic, "payload").qos(2));
    publisher.publish(Message::new(&case.topic("a/end"), "end").qos(2));
    // Further copies, one for each filter, are allowed by this statement.
    let mut best = 0;
    loop {
        let message = subscriber.receive();
        if message.text() == "end" {
            break;
        }
        best = best.max(message.qos);
    }
    assert_eq!(best, 2);
}

#[test]
fn also_overlapping_filters_deliver_once() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("a/b"), case.client("sub"), case.client("pub"));
    let filters = [case.topic("a/#"), case.topic("+/b"), case.topic("a/+"), topic.clone(), case.topic("#")];
    for granted in [[0, 1, 2, 1, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 2], [1, 1, 1, 1, 1], [0; 5]] {
        let subscriptions: Vec<_> = filters.iter().map(String::as_str).zip(granted).collect();
        subscriber.subscribe(&subscriptions);
        for qos in 0..=2 {
            publisher.publish(Message::new(&topic, "payload").qos(qos));
            let highest = granted.into_iter().max().expect("five of them");
            subscriber.expect_message(&topic, "payload", qos.min(highest));
            subscriber.expect_nothing_pending();
        }
    }
}

#[test]
fn mqtt_3_3_5_2_refused_publish_is_acknowledged_or_closed() {
    let case = case!();
    let mut client = case.client("pub");
    // No client may publish to $SYS; it is acknowledged as usual, or closed.
    client.send(&Message::new("$SYS/broker/conformance", "refused").qos(1).id(1).frame());
    if let Some(answer) = client.read() {
        assert_eq!(answer.bytes(), puback(1));
    }
}

#[test]
fn also_sys_publishes_of_clients_are_dropped() {
    let case = case!();
    let topic = format!("$SYS/broker/{}", case.topic("t"));
    let (mut subscriber, mut publisher) = (case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2), (&case.topic("marker"), 2)]);
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "dropped").qos(qos));
        publisher.publish(Message::new(&topic, "dropped").qos(qos).retain());
    }
    publisher.publish(Message::new(&case.topic("marker"), "first").qos(2));
    subscriber.expect_message(&case.topic("marker"), "first", 2);
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn also_qos_0_with_dup_closes() {
    // [MQTT-3.3.1-2] binds the sender; a server that meets such a PUBLISH has met a violation: [MQTT-4.8.0-1].
    let case = case!();
    case.assert_closes(&Message::new(&case.topic("t"), "payload").dup().frame());
}

#[test]
fn also_empty_payload_is_delivered() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "").qos(qos));
        subscriber.expect_message(&topic, "", qos);
    }
}

#[test]
fn also_publisher_gets_its_own_message() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("both"));
    client.subscribe(&[(&topic, 1)]);
    client.send(&Message::new(&topic, "own").qos(1).id(7).frame());
    // In whichever order.
    let mut frames = [client.expect_any(), client.expect_any()];
    frames.sort_by_key(|frame| frame.first);
    assert_eq!(frames[1].bytes(), puback(7));
    let own = frames[0].message().expect("a PUBLISH");
    assert_eq!((own.topic.as_str(), own.text(), own.qos), (topic.as_str(), "own", 1));
}
