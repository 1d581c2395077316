//! Section 3.3: the properties of a PUBLISH, and the ones that subscribers receive.

use std::time::Duration;

use dunlin::config::Limits;

use crate::support::{
    five::{Connect, Properties, Publish, ack_with, property, subscribe},
    raw::{Message, ack, frame, text},
};

const SECOND: Duration = Duration::from_secs(1);

/// Everything that is passed on, in an order that nothing else would give, with User Properties that repeat.
fn all() -> Properties {
    Properties::new()
        .user("z", "1")
        .text(property::CORRELATION_DATA, [0, 0xFF, 0xC3, 0x28])
        .user("a", "2")
        .text(property::CONTENT_TYPE, "text/\u{FEFF}plain")
        .byte(property::PAYLOAD_FORMAT, 1)
        .user("z", "1")
        .user("", "")
        .text(property::RESPONSE_TOPIC, "answers/\u{FEFF}here")
        .user("z", "0")
}

#[test]
fn properties_reach_subscribers_as_they_are_and_in_their_order() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut subscriber = case.five("sub");
    subscriber.subscribe(&[(&topic, 2)]);
    case.lasting("away", 0).subscribe(&[(&topic, 2)]);
    let mut old = case.client("old");
    old.subscribe(&[(&topic, 2)]);
    let large = "large ".repeat(5_000);
    let payloads = ["", "short", &large];
    for qos in 0..3 {
        for payload in payloads {
            publisher.publish(&Publish::new(&topic, payload).qos(qos).with(all()));
            let came = subscriber.take();
            assert_eq!((came.text(), came.qos, &came.properties), (payload, qos, &all()));
            // nothing of it for a client of 3.1.1: `take` would have it in the payload
            let came = old.take();
            assert_eq!((came.text(), came.qos), (payload, qos));
        }
    }
    let mut away = case.lasting("away", 1);
    for _ in 1..3 {
        for payload in payloads {
            let came = away.take();
            assert_eq!((came.text(), &came.properties), (payload, &all()));
        }
    }
}

#[test]
fn properties_of_a_retained_message_are_kept_with_it() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    publisher.publish(&Publish::new(&topic, "kept").qos(1).retain().with(all()));
    let mut subscriber = case.five("sub");
    subscriber.subscribe(&[(&topic, 1)]);
    let came = subscriber.take();
    assert_eq!((came.text(), came.retain, &came.properties), ("kept", true, &all()));
    assert_eq!(case.retained(&topic, 1)[0].text(), "kept");
}

#[test]
fn a_message_of_3_1_1_reaches_clients_of_5_with_property_length_0() {
    let case = case!();
    let (topic, mut old, mut new) = (case.topic("t"), case.client("old"), case.five("new"));
    old.subscribe(&[(&topic, 1)]);
    new.subscribe(&[(&topic, 1)]);
    let expected = |first: u8, rest: &[u8]| frame(first, &[&text(&topic), rest].concat());
    for (number, publish) in [Message::new(&topic, "m").frame(), Publish::new(&topic, "m").frame()].iter().enumerate() {
        if number == 0 {
            old.send(publish)
        } else {
            new.send(publish)
        }
        old.expect(&expected(0x30, b"m"));
        new.expect(&expected(0x30, b"\0m"));
    }
    old.send(&Message::new(&topic, "m").qos(1).id(9).frame());
    new.expect(&expected(0x32, b"\0\x01\0m"));
}

#[test]
fn a_publish_that_is_sent_again_is_not_passed_on_as_such() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.five("both"));
    client.subscribe(&[(&topic, 2)]);
    for qos in [1, 2] {
        client.send(&Publish::new(&topic, "again").qos(qos).id(7).dup().frame());
        let mut dups = Vec::new();
        for _ in 0..2 {
            let next = client.expect_any();
            dups.extend(next.message().map(|message| message.dup));
        }
        assert_eq!(dups, [false]);
    }
}

#[test]
fn topic_aliases_of_a_client_are_valid_until_its_connection_ends() {
    let case = case!();
    let (mut publisher, mut subscriber) = (case.lasting("pub", 0), case.five("sub"));
    subscriber.subscribe(&[(&case.topic("#"), 1)]);
    let send = |topic: &str, alias| {
        let topic = if topic.is_empty() { String::new() } else { case.topic(topic) };
        Publish::new(&topic, "m").qos(1).with(Properties::new().short(property::TOPIC_ALIAS, alias).user("n", "v"))
    };
    // 10 is what CONNACK allows
    let steps = [("one", 1, "one"), ("", 1, "one"), ("ten", 10, "ten"), ("", 1, "one"), ("", 10, "ten")];
    let again = [("new", 1, "new"), ("", 1, "new"), ("", 10, "ten"), ("new", 10, "new"), ("", 10, "new")];
    for (topic, alias, stands_for) in steps.into_iter().chain(again) {
        assert_eq!(publisher.publish(&send(topic, alias)), 0);
        let came = subscriber.take();
        assert_eq!(came.topic, case.topic(stands_for));
        // it is between the client and the broker
        assert_eq!(came.properties, Properties::new().user("n", "v"));
    }
    publisher.leave();
    let mut publisher = case.lasting("pub", 1);
    publisher.send(&send("", 1).id(1).frame());
    publisher.expect_disconnect(0x82);
    for (topic, alias, code) in [("t", 11, 0x94), ("t", 65_535, 0x94), ("t", 0, 0x94), ("", 0, 0x94), ("", 5, 0x82)] {
        let mut client = case.five("wrong");
        client.send(&send(topic, alias).id(1).frame());
        client.expect_disconnect(code);
    }
    subscriber.expect_nothing_pending();
}

#[test]
fn also_a_topic_alias_is_not_retained() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let alias = Properties::new().short(property::TOPIC_ALIAS, 3);
    publisher.publish(&Publish::new(&topic, "kept").with(alias.clone()));
    publisher.publish(&Publish::new("", "kept").retain().with(alias));
    let mut subscriber = case.five("sub");
    subscriber.subscribe(&[(&topic, 0)]);
    let came = subscriber.take();
    assert_eq!((came.topic, came.properties), (topic, Properties::new()));
}

#[test]
fn no_topic_alias_is_sent_to_a_client_without_them() {
    let Some(case) = case_with!(Limits { topic_alias_maximum: 0, ..Limits::default() }) else { return };
    let (topic, mut publisher) = (case.topic("a topic that is long"), case.five("pub"));
    publisher.send(&Publish::new(&topic, "m").with(Properties::new().short(property::TOPIC_ALIAS, 1)).frame());
    publisher.expect_disconnect(0x94);
    let case = case!();
    let mut publisher = case.five("pub");
    let none = [Properties::new(), Properties::new().short(property::TOPIC_ALIAS_MAXIMUM, 0)];
    let mut subscribers: Vec<_> = none.into_iter().zip(["a", "b"]).map(|(none, id)| case.says(id, none)).collect();
    subscribers.iter_mut().for_each(|subscriber| subscriber.subscribe(&[(&topic, 1)]));
    for _ in 0..5 {
        publisher.publish(&Publish::new(&topic, "m").qos(1));
        for subscriber in &mut subscribers {
            let came = subscriber.take();
            assert_eq!((came.topic, came.properties), (topic.clone(), Properties::new()));
        }
    }
}

#[test]
fn topic_aliases_towards_a_client_are_within_its_maximum_and_end_with_its_connection() {
    let case = case!();
    let connect =
        Connect::new(&case.id("sub")).with(Properties::new().short(property::TOPIC_ALIAS_MAXIMUM, 2)).lasting(1_000);
    let (mut publisher, mut subscriber) = (case.five("pub"), case.accepted(&connect, 0));
    subscriber.subscribe(&[(&case.topic("#"), 1)]);
    for connection in 0..2 {
        let mut known = [None, None];
        let mut saved = 0;
        for round in 0..20 {
            let often = ["often/1", "often/2"].map(|often| case.topic(often));
            for topic in often.into_iter().chain([case.topic(&format!("rare/{round}"))]) {
                publisher.publish(&Publish::new(&topic, "m").qos(round % 2));
                let came = subscriber.take();
                let Some(alias) = came.properties.number(property::TOPIC_ALIAS) else {
                    assert_eq!(came.topic, topic);
                    continue;
                };
                assert!((1..=2).contains(&alias), "the Topic Alias {alias}");
                let place = &mut known[alias as usize - 1];
                if came.topic.is_empty() {
                    saved += 1;
                    assert_eq!(place.as_ref(), Some(&topic));
                } else {
                    assert_eq!(came.topic, topic);
                    *place = Some(topic);
                }
            }
        }
        assert!(saved >= 36, "{saved} of 60 on connection {connection}");
        if connection == 0 {
            subscriber.leave();
            subscriber = case.accepted(&connect, 1);
        }
    }
}

#[test]
fn also_topic_aliases_are_right_for_retained_queued_and_large_messages_and_those_sent_again() {
    let case = case!();
    let connect =
        Connect::new(&case.id("sub")).with(Properties::new().short(property::TOPIC_ALIAS_MAXIMUM, 3)).lasting(1_000);
    let (topics, mut publisher) = (["one", "two"].map(|topic| case.topic(topic)), case.five("pub"));
    let large = "large ".repeat(20_000);
    for topic in &topics {
        publisher.publish(&Publish::new(topic, topic).qos(1).retain());
    }
    let mut subscriber = case.accepted(&connect, 0);
    for connection in 0..3 {
        let mut known = std::collections::BTreeMap::new();
        let mut expect = |came: Publish, topic: &str, payload: &str| {
            if let Some(alias) = came.properties.number(property::TOPIC_ALIAS) {
                let meant = known.entry(alias).or_insert_with(|| came.topic.clone());
                assert!(came.topic.is_empty() || came.topic == *meant);
                assert_eq!(*meant, topic);
            } else {
                assert_eq!(came.topic, topic);
            }
            assert!(came.text() == payload);
        };
        for topic in &topics {
            if connection > 0 {
                // in flight, then queued
                for payload in ["small", &large] {
                    expect(subscriber.take(), topic, payload);
                }
            }
        }
        for topic in &topics {
            let id = subscriber.fresh_id();
            subscriber.send(&subscribe(id, &Properties::new(), &[(topic, 1)]));
            subscriber.expect_any();
            expect(subscriber.take(), topic, topic);
        }
        for topic in &topics {
            for payload in [&large, "small", &large] {
                publisher.publish(&Publish::new(topic, payload).qos(1));
                expect(subscriber.take(), topic, payload);
            }
        }
        publisher.publish(&Publish::new(&topics[0], "small").qos(1));
        expect(subscriber.receive(), &topics[0], "small");
        subscriber.leave();
        for (topic, payload) in [(0, &large[..]), (1, "small"), (1, &large)] {
            publisher.publish(&Publish::new(&topics[topic], payload).qos(1));
        }
        subscriber = case.accepted(&connect, 1);
    }
}

#[test]
fn the_expiry_interval_is_counted_down_while_a_message_waits() {
    let Some(case) = case_with!(Limits::default()) else { return };
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    case.lasting("away", 0).leave_subscribed(&topic);
    let mut live = case.five("live");
    live.subscribe(&[(&topic, 1)]);
    publisher.publish(&Publish::new(&topic, "short").qos(1).expires(20).retain());
    publisher.publish(&Publish::new(&topic, "long").qos(1).expires(100));
    publisher.publish(&Publish::new(&topic, "never").qos(1));
    for (payload, expiry) in [("short", Some(20)), ("long", Some(100)), ("never", None)] {
        let came = live.take();
        assert_eq!((came.text(), came.properties.number(property::MESSAGE_EXPIRY)), (payload, expiry));
    }
    case.turn(10 * SECOND);
    let mut late = case.five("late");
    late.subscribe(&[(&topic, 1)]);
    let came = late.take();
    assert_eq!((came.text(), came.retain), ("short", true));
    assert_eq!(rounded(&came), Some(10));
    case.turn(20 * SECOND);
    let mut away = case.lasting("away", 1);
    let came = away.take();
    assert_eq!((came.text(), rounded(&came)), ("long", Some(70)));
    let came = away.take();
    assert_eq!((came.text(), rounded(&came)), ("never", None));
    away.expect_nothing_pending();
}

#[test]
fn expired_messages_are_not_delivered_in_any_version() {
    let Some(case) = case_with!(Limits { max_inflight_out: 1, ..Limits::default() }) else { return };
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    case.lasting("away", 0).leave_subscribed(&topic);
    let mut old = case.begin("old");
    old.subscribe(&[(&topic, 1)]);
    old.disconnect();
    // this one is connected, and has no room for a second message
    let mut slow = case.five("slow");
    slow.subscribe(&[(&topic, 1)]);
    publisher.publish(&Publish::new(&topic, "first").qos(1));
    let first = slow.receive();
    publisher.publish(&Publish::new(&topic, "expires").qos(1).retain().expires(5));
    publisher.publish(&Publish::new(&topic, "last").qos(1).expires(60));
    case.turn(6 * SECOND);
    slow.send(&ack(0x40, first.id));
    slow.expect_payloads(&["last"]);
    case.lasting("away", 1).expect_payloads(&["first", "last"]);
    let mut old = case.resume("old");
    old.expect_message(&topic, "first", 1);
    old.expect_message(&topic, "last", 1);
    old.expect_nothing_pending();
    // nor a retained one
    let mut late = case.five("late");
    late.subscribe(&[(&topic, 1)]);
    late.expect_nothing_pending();
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn a_sent_message_does_not_expire() {
    let Some(case) = case_with!(Limits::default()) else { return };
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut subscriber = case.lasting("sub", 0);
    subscriber.subscribe(&[(&topic, 2)]);
    publisher.send(&Publish::new(&topic, "twice").qos(2).id(1).expires(5).frame());
    assert_eq!(publisher.expect_ack(0x50, 1), 0);
    let sent = subscriber.receive();
    assert!(!sent.dup);
    case.turn(10 * SECOND);
    subscriber.leave();
    let mut subscriber = case.lasting("sub", 1);
    let again = subscriber.take();
    assert_eq!((again.text(), again.dup, again.id), ("twice", true, sent.id));
    publisher.send(&ack(0x62, 1));
    assert_eq!(publisher.expect_ack(0x70, 1), 0);
}

#[test]
fn ill_formed_text_is_not_passed_on() {
    let case = case!();
    let topic = case.topic("t");
    let mut watcher = case.five("watcher");
    watcher.subscribe(&[(&case.topic("#"), 0), (&topic, 0)]);
    let bad: [&[u8]; 4] = [b"\xFF", b"a\0b", b"\xED\xA0\x80", b"\xC3("];
    for (number, bad) in bad.into_iter().enumerate() {
        let pair = Properties([&[property::USER_PROPERTY][..], &text(bad), &text("v")].concat());
        let value = Properties([&[property::USER_PROPERTY][..], &text("n"), &text(bad)].concat());
        let texts = [property::CONTENT_TYPE, property::RESPONSE_TOPIC].map(|id| Properties::new().text(id, bad));
        for properties in [pair, value].into_iter().chain(texts) {
            let mut client = case.five(&format!("bad{number}"));
            client.send(&Publish::new(&topic, "bad").with(properties).frame());
            client.expect_disconnect(0x81);
        }
        let mut client = case.five(&format!("bad{number}"));
        client.send(&frame(0x30, &[&text(bad)[..], b"\0bad"].concat()));
        client.expect_disconnect(0x81);
    }
    watcher.expect_nothing_pending();
}

#[test]
fn a_publish_of_qos_3_is_malformed() {
    let case = case!();
    for first in [0x36, 0x37, 0x3E, 0x3F] {
        let mut client = case.five("three");
        client.send(&frame(first, &[&text(case.topic("t"))[..], b"\0\x01\0m"].concat()));
        client.expect_disconnect(0x81);
    }
}

#[test]
fn a_topic_of_the_longest_length_is_forwarded() {
    let Some(case) = case_with!(Limits { max_topic_length: 65_535, ..Limits::default() }) else { return };
    let (topic, mut client) = ("t".repeat(65_535), case.five("both"));
    client.subscribe(&[(&topic, 1)]);
    client.publish(&Publish::new(&topic, "m").qos(1));
    let came = client.take();
    assert_eq!((came.topic, came.payload), (topic, b"m".to_vec()));
}

#[test]
fn also_the_longest_expiry_interval_is_passed_on() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.five("both"));
    client.subscribe(&[(&topic, 1)]);
    for seconds in [u32::MAX, u32::MAX - 1, 1 << 31] {
        client.publish(&Publish::new(&topic, "m").qos(1).expires(seconds));
        assert_eq!(client.take().properties.number(property::MESSAGE_EXPIRY), Some(seconds));
    }
}

#[test]
fn topics_with_wildcards_are_refused() {
    let case = case!();
    for topic in ["a/+", "a/#", "#", "+"] {
        let mut client = case.five("wild");
        client.send(&Publish::new(topic, "m").frame());
        client.expect_disconnect(0x81);
        let mut client = case.five("wild");
        let response = Properties::new().text(property::RESPONSE_TOPIC, topic);
        client.send(&Publish::new("a", "m").with(response).frame());
        client.expect_disconnect(0x81);
    }
}

#[test]
fn also_a_subscription_identifier_of_a_publisher_is_not_passed_on() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("t"), case.five("watcher"));
    watcher.send(&subscribe(1, &Properties::new(), &[(&topic, 0)]));
    watcher.expect_any();
    let mut client = case.five("pub");
    let properties = Properties::new().variable(property::SUBSCRIPTION_IDENTIFIER, 1);
    client.send(&Publish::new(&topic, "m").qos(1).id(1).with(properties).frame());
    client.expect_disconnect(0x82);
    watcher.expect_nothing_pending();
}

#[test]
fn an_acknowledgement_has_the_packet_identifier_of_its_packet() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.five("pub"));
    for id in [1, 2, 255, 256, 65_535] {
        client.send(&Publish::new(&topic, "m").qos(1).id(id).frame());
        client.expect(&ack_with(0x40, id, 0x10));
        client.send(&Publish::new(&topic, "m").qos(2).id(id).frame());
        client.expect(&ack_with(0x50, id, 0x10));
        client.send(&ack(0x62, id));
        client.expect(&ack(0x70, id));
    }
}

/// The Message Expiry Interval; the clock goes on while a test runs, so that a second may be missing.
fn rounded(publish: &Publish) -> Option<u32> {
    publish.properties.number(property::MESSAGE_EXPIRY).map(|seconds| seconds.div_ceil(10) * 10)
}

#[test]
fn also_an_expired_message_makes_room_in_a_full_queue() {
    let Some(case) = case_with!(Limits { max_queued_messages: 3, ..Limits::default() }) else { return };
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    case.lasting("away", 0).leave_subscribed(&topic);
    for _ in 0..3 {
        publisher.publish(&Publish::new(&topic, "old").qos(1).expires(5));
    }
    case.turn(6 * SECOND);
    publisher.publish(&Publish::new(&topic, "fresh").qos(1));
    case.lasting("away", 1).expect_payloads(&["fresh"]);
}
