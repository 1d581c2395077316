//! Sections 3.8 and 3.9: SUBSCRIBE and SUBACK.

use crate::support::raw::{Connect, Message, PINGREQ, PINGRESP, ack, frame, suback, subscribe, unsubscribe};

#[test]
fn mqtt_3_8_1_1_subscribe_with_other_flags_closes() {
    let case = case!();
    for flags in (0..16).filter(|flags| *flags != 2) {
        let mut bad = subscribe(1, &[(&case.topic("t"), 0)]);
        bad[0] = 0x80 | flags;
        case.assert_closes(&bad);
    }
}

#[test]
fn mqtt_3_8_3_1_filter_that_is_not_utf8_closes() {
    let case = case!();
    case.assert_closes(&frame(0x82, b"\0\x01\0\x04a/\xC3\x28\0"));
    // Also if it is not the first filter.
    case.assert_closes(&frame(0x82, b"\0\x01\0\x01a\0\0\x04a/\xC3\x28\0"));
}

#[test]
fn mqtt_3_8_3_2_filters_with_wildcards_are_granted() {
    let case = case!();
    let filters = [case.topic("#"), case.topic("+"), case.topic("+/a/+"), case.topic("a/+/#")];
    let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
    case.client("sub").subscribe(&filters);
}

#[test]
fn mqtt_3_8_3_3_subscribe_without_filters_closes() {
    case!().assert_closes(&subscribe(1, &[]));
}

#[test]
fn mqtt_3_8_3_4_reserved_bits_and_qos_3_close() {
    let case = case!();
    let topic = case.topic("t");
    for bad in [3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x81, 0xFF] {
        case.assert_closes(&subscribe(1, &[(&topic, bad)]));
        case.assert_closes(&subscribe(1, &[(&topic, 1), (&topic, bad)]));
    }
}

#[test]
fn mqtt_3_8_4_1_subscribe_gets_suback() {
    let case = case!();
    let mut client = case.client("sub");
    for filter in ["a", "a/b/c", "+", "#"] {
        client.send(&subscribe(1, &[(&case.topic(filter), 0)]));
        client.expect(&suback(1, &[0]));
    }
}

#[test]
fn mqtt_3_8_4_2_suback_has_the_id_of_subscribe() {
    let case = case!();
    let mut client = case.client("sub");
    for id in [1, 2, 0x1234, u16::MAX] {
        client.send(&subscribe(id, &[(&case.topic("t"), 0)]));
        client.expect(&suback(id, &[0]));
    }
}

#[test]
fn mqtt_3_8_4_3_identical_filter_replaces() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    for qos in [0, 2, 1, 1] {
        client.subscribe(&[(&topic, qos)]);
        publisher.publish(Message::new(&topic, "payload").qos(2));
        client.expect_message(&topic, "payload", qos);
        client.expect_nothing_pending();
    }
    // One subscription it is, which one UNSUBSCRIBE ends.
    client.unsubscribe(&[&topic]);
    publisher.publish(Message::new(&topic, "payload").qos(2));
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_8_4_3_identical_filter_gets_retained_again() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    publisher.publish(Message::new(&topic, "stored").qos(2).retain());
    for qos in [0, 1, 0] {
        let messages = client.subscribe_retained(&[(&topic, qos)], 1);
        let found: Vec<_> = messages.iter().map(|message| (message.text(), message.qos, message.retain)).collect();
        assert_eq!(found, [("stored", qos, true)]);
    }
}

#[test]
fn mqtt_3_8_4_3_flow_is_not_interrupted_while_a_filter_is_replaced() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 0)]);
    let burst: Vec<u8> = (1..=90).flat_map(|id| Message::new(&topic, &id.to_string()).qos(1).id(id).frame()).collect();
    publisher.send(&burst);
    let again: Vec<u8> = (101..=120).flat_map(|id| subscribe(id, &[(&topic, 0)])).collect();
    client.send(&again);
    let (mut messages, mut subacks) = (0, 0);
    while messages < 90 || subacks < 20 {
        let frame = client.expect_any();
        match frame.message() {
            Some(message) => {
                messages += 1;
                assert_eq!(message.text(), messages.to_string());
            }
            None => {
                subacks += 1;
                assert_eq!(frame.bytes(), suback(100 + subacks, &[0]));
            }
        }
    }
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_8_4_4_several_filters_are_handled_as_several_subscribes() {
    let case = case!();
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    let (a, b, c) = (case.topic("a"), case.topic("b"), case.topic("c"));
    // The second subscription to `a` replaces the first; there is one SUBACK.
    client.send(&subscribe(7, &[(&a, 0), (&b, 1), (&c, 2), (&a, 2)]));
    client.expect(&suback(7, &[0, 1, 2, 2]));
    for (topic, qos) in [(&a, 2), (&b, 1), (&c, 2)] {
        publisher.publish(Message::new(topic, "payload").qos(2));
        client.expect_message(topic, "payload", qos);
    }
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_8_4_5_suback_has_a_code_for_each_filter() {
    let case = case!();
    let mut client = case.client("sub");
    let topics: Vec<_> = (0..100).map(|number| case.topic(&number.to_string())).collect();
    for count in [1, 2, 3, 50, 100] {
        let filters: Vec<_> = topics[..count].iter().map(String::as_str).zip([0, 1, 2].into_iter().cycle()).collect();
        client.send(&subscribe(9, &filters));
        let codes: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        client.expect(&suback(9, &codes));
    }
}

#[test]
fn mqtt_3_8_4_6_delivered_qos_is_the_lesser_of_published_and_granted() {
    let case = case!();
    let mut publisher = case.client("pub");
    for granted in 0..=2 {
        let (topic, mut client) = (case.topic(&granted.to_string()), case.client(&format!("sub{granted}")));
        client.subscribe(&[(&topic, granted)]);
        for published in 0..=2 {
            publisher.publish(Message::new(&topic, "payload").qos(published));
            client.expect_message(&topic, "payload", published.min(granted));
        }
    }
}

#[test]
fn mqtt_3_9_3_1_codes_are_in_the_order_of_the_filters() {
    let case = case!();
    let (a, b, c) = (case.topic("a"), case.topic("b/#"), case.topic("+/c"));
    let mut client = case.client("sub");
    for codes in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
        client.send(&subscribe(3, &[(&c, codes[0]), (&a, codes[1]), (&b, codes[2])]));
        client.expect(&suback(3, &codes));
    }
}

#[test]
fn mqtt_3_9_3_2_no_other_codes_are_used() {
    let case = case!();
    let mut client = case.client("sub");
    // Filters that a server might refuse, well-formed all the same.
    let filters = ["$SYS/#", "$share/group/topic", "/", "//", "$", "$queue/topic", " ", "a/\u{1F4A9}/b"];
    for (id, filter) in (1..).zip(filters) {
        client.send(&subscribe(id, &[(filter, 2)]));
        loop {
            let frame = client.expect_any();
            if frame.message().is_none() {
                assert_eq!((frame.first, frame.body.len()), (0x90, 3));
                assert!(matches!(frame.body[2], 0..=2 | 0x80), "{filter}: {:#04x}", frame.body[2]);
                break;
            }
        }
    }
}

#[test]
fn also_suback_comes_first_then_retained_messages_then_answers_to_later_packets() {
    let case = case!();
    let mut publisher = case.client("pub");
    let topics: Vec<_> = (0..1_000).map(|n| case.topic(&format!("first/{n}"))).collect();
    topics.iter().for_each(|topic| publisher.publish(Message::new(topic, "retained").retain()));
    publisher.expect_nothing_pending();
    let filter = case.topic("first/#");
    for (role, persistent) in [("clean", false), ("kept", true)] {
        let connect = Connect::new(&case.id(role));
        let mut client = case.connect(&if persistent { connect.persistent() } else { connect }, 0);
        // twice, as both subscriptions bring them
        for id in [1, 2] {
            let unsubscribe = unsubscribe(9, &[&case.topic("other")]);
            client.send(&[&subscribe(id, &[(&filter, 1)])[..], &unsubscribe, PINGREQ].concat());
            client.expect(&suback(id, &[1]));
            for _ in &topics {
                assert_eq!(client.take().text(), "retained");
            }
            client.expect(&ack(0xB0, 9));
            client.expect(PINGRESP);
        }
    }
}

#[test]
fn also_suback_precedes_a_message_that_the_client_publishes_after_its_subscribe() {
    let case = case!();
    let topic = case.topic("own");
    for role in ["clean", "kept"] {
        let connect = Connect::new(&case.id(role));
        let mut client = case.connect(&if role == "kept" { connect.persistent() } else { connect }, 0);
        for id in [1, 2] {
            let own = Message::new(&topic, "own");
            client.send(&[&subscribe(id, &[(&topic, 1)])[..], &own.frame(), &own.qos(1).id(id + 10).frame()].concat());
            client.expect(&suback(id, &[1]));
            client.expect_message(&topic, "own", 0);
            client.expect_message(&topic, "own", 1);
            client.expect(&ack(0x40, id + 10));
            client.unsubscribe(&[&topic]);
        }
    }
}

#[test]
fn also_a_shared_subscription_is_granted_and_a_malformed_one_refused() {
    let case = case!();
    let (topic, mut client, mut other) = (case.topic("t"), case.client("sub"), case.client("other"));
    let shared = format!("$share/group/{topic}");
    client.send(&subscribe(
        1,
        &[(&shared, 1), ("$share/+/#", 0), ("$share/g+/t", 0), ("$share//t", 0), ("$shared/t", 2)],
    ));
    client.expect(&suback(1, &[1, 0x80, 0x80, 0x80, 2]));
    other.subscribe(&[(&shared, 1)]);
    let mut publisher = case.client("pub");
    ["1", "2"].iter().for_each(|payload| publisher.publish(Message::new(&topic, payload).qos(1)));
    // each has one
    for member in [&mut client, &mut other] {
        assert!(member.expect_any().message().is_some());
        member.expect_nothing_pending();
    }
}

#[test]
fn also_a_subscriber_gets_no_earlier_message() {
    let case = case!();
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    publisher.publish(Message::new(&topic, "too early").qos(1));
    client.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "in time").qos(1));
    client.expect_message(&topic, "in time", 1);
}

#[test]
fn also_a_filter_of_many_in_one_packet_is_not_lost() {
    let case = case!();
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    let topics: Vec<_> = (0..500).map(|number| case.topic(&format!("many/{number}"))).collect();
    let filters: Vec<_> = topics.iter().map(|topic| (topic.as_str(), 1)).collect();
    client.subscribe(&filters);
    for number in [0, 1, 250, 498, 499] {
        publisher.publish(Message::new(&topics[number], "payload").qos(1));
        client.expect_message(&topics[number], "payload", 1);
    }
    let filters: Vec<_> = topics.iter().map(String::as_str).collect();
    client.unsubscribe(&filters[1..]);
    for number in [499, 1, 0] {
        publisher.publish(Message::new(&topics[number], "payload").qos(1));
    }
    client.expect_message(&topics[0], "payload", 1);
    client.expect_nothing_pending();
}
