//! Sections 3.8 to 3.11: subscriptions, their options and identifiers, and how they are answered.

use dunlin::config::Limits;

use crate::support::{
    five::{
        Connect, Five, NO_LOCAL, Properties, Publish, RETAIN_AS_PUBLISHED, property, suback, subscribe, unsuback,
        unsubscribe,
    },
    raw::{ack, frame, text},
};

#[test]
fn no_local_withholds_a_client_s_own_messages() {
    let case = case!();
    let topic = case.topic("t");
    let (mut client, mut other) = (case.lasting("client", 0), case.five("other"));
    client.subscribe(&[(&topic, 2 | NO_LOCAL)]);
    other.subscribe(&[(&topic, 2 | NO_LOCAL)]);
    for qos in 0..3 {
        client.publish(&Publish::new(&topic, "mine").qos(qos));
        assert_eq!(other.take().text(), "mine");
        other.publish(&Publish::new(&topic, "the other's").qos(qos));
        assert_eq!(client.take().text(), "the other's");
    }
    client.expect_nothing_pending();
    other.expect_nothing_pending();
    // it holds for the Client Identifier, not for the connection
    client.leave();
    let mut client = case.lasting("client", 1);
    client.publish(&Publish::new(&topic, "mine still").qos(1));
    client.expect_nothing_pending();
    // another subscription of its own does not ask for it
    client.subscribe_as(7, &case.topic("#"), 0);
    client.publish(&Publish::new(&topic, "mine").qos(1));
    let came = client.take();
    assert_eq!((came.text(), came.properties.identifiers()), ("mine", vec![7]));
    client.give_up(&[&case.topic("#")]);
    // subscribed anew without it
    client.subscribe(&[(&topic, 1)]);
    client.publish(&Publish::new(&topic, "mine now"));
    client.expect_payloads(&["mine now"]);
}

#[test]
fn a_message_has_the_identifiers_of_all_matching_subscriptions() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("a/b"), case.five("pub"));
    let mut client = case.lasting("sub", 0);
    client.subscribe_as(1, &topic, 0);
    client.subscribe_as(2, &case.topic("a/+"), 2);
    client.subscribe_as(2, &case.topic("+/b"), 1);
    client.subscribe_as(268_435_455, &case.topic("#"), 1);
    client.subscribe(&[(&case.topic("a/#"), 1)]);
    client.subscribe_as(5, &case.topic("other"), 2);
    let mut one = case.five("one");
    one.subscribe_as(9, &topic, 2);
    let expected = |came: &Publish| {
        let mut identifiers = came.properties.identifiers();
        identifiers.dedup();
        assert_eq!(identifiers, [1, 2, 268_435_455]);
    };
    for qos in 0..3 {
        publisher.publish(&Publish::new(&topic, "m").qos(qos).with(Properties::new().user("a", "b")));
        let came = client.take();
        // the highest of those that match [MQTT-3.3.4-2]
        assert_eq!(came.qos, qos);
        expected(&came);
        client.expect_nothing_pending();
        let came = one.take();
        assert_eq!(came.properties.identifiers(), [9]);
    }
    // queued, and sent again
    client.leave();
    publisher.publish(&Publish::new(&topic, "queued").qos(2));
    let mut client = case.lasting("sub", 1);
    let came = client.receive();
    expected(&came);
    client.leave();
    assert_eq!(case.lasting("sub", 1).receive(), came.dup());
}

#[test]
fn an_equal_subscription_is_replaced() {
    let case = case!();
    let (topic, mut publisher, mut client) = (case.topic("t"), case.five("pub"), case.five("sub"));
    let mut publish = |retain| {
        publisher.publish(&Publish { retain, ..Publish::new(&topic, "m").qos(2) });
    };
    client.subscribe_as(1, &topic, 0);
    publish(false);
    let came = client.take();
    assert_eq!((came.qos, came.properties.identifiers()), (0, vec![1]));
    client.subscribe_as(2, &topic, 2 | RETAIN_AS_PUBLISHED);
    publish(true);
    let came = client.take();
    assert_eq!((came.qos, came.retain, came.properties.identifiers()), (2, true, vec![2]));
    let id = client.fresh_id();
    client.send(&subscribe(id, &Properties::new(), &[(&topic, 1)]));
    client.expect(&suback(id, &[1]));
    let came = client.take();
    assert_eq!((came.retain, came.properties.identifiers()), (true, vec![]));
    publish(true);
    let came = client.take();
    assert_eq!((came.qos, came.retain, came.properties.identifiers()), (1, false, vec![]));
    client.expect_nothing_pending();
}

#[test]
fn no_message_is_lost_while_a_subscription_is_replaced() {
    let case = case!();
    let (topic, mut publisher, mut client) = (case.topic("t"), case.five("pub"), case.five("sub"));
    client.subscribe(&[(&topic, 1)]);
    let frames = (1..=50).map(|id| Publish::new(&topic, &id.to_string()).qos(1).id(id).frame());
    publisher.send(&frames.collect::<Vec<_>>().concat());
    for id in 1..=50 {
        client.send(&subscribe(id, &Properties::new(), &[(&topic, 1)]));
    }
    let (mut messages, mut answers) = (0, 0);
    while messages < 50 || answers < 50 {
        let next = client.expect_any();
        match Publish::parse(&next) {
            Some(publish) => {
                messages += 1;
                assert_eq!(publish.text(), messages.to_string());
                client.send(&ack(0x40, publish.id));
            }
            None => answers += 1,
        }
    }
    client.expect_nothing_pending();
}

#[test]
fn a_message_arrives_at_the_lower_of_its_qos_and_the_granted_one() {
    let case = case!();
    let mut publisher = case.five("pub");
    for granted in 0..3 {
        let (topic, mut client) = (case.topic(&granted.to_string()), case.five(&format!("sub{granted}")));
        client.subscribe(&[(&topic, granted)]);
        for qos in 0..3 {
            publisher.publish(&Publish::new(&topic, "m").qos(qos));
            assert_eq!(client.take().qos, qos.min(granted));
        }
    }
}

#[test]
fn each_filter_is_answered_in_its_place() {
    let limits = Limits { max_subscriptions: 4, max_topic_length: 40, ..Limits::default() };
    let Some(case) = case_with!(limits) else { return };
    let mut client = case.five("sub");
    let long = "x".repeat(41);
    let filters = [("a", 2), (&long, 0), ("b", 0), ("$share/g", 1), ("c", 1), ("a", 1), ("d", 1), ("e", 1)];
    assert_eq!(client.ask(&Properties::new(), &filters), [2, 0x8F, 0, 0x8F, 1, 1, 1, 0x97]);
    // the granted filters are in force; of equal ones the last
    let mut publisher = case.five("pub");
    for topic in ["a", "b", "c", "d", "e", "g"] {
        publisher.publish(&Publish::new(topic, topic).qos(2));
    }
    let came: Vec<_> = (0..4).map(|_| client.take()).map(|came| (came.topic, came.qos)).collect();
    assert_eq!(came, [("a".into(), 1), ("b".into(), 0), ("c".into(), 1), ("d".into(), 1)]);
    client.expect_nothing_pending();
    assert_eq!(client.give_up(&["e", "a", "a", "b", "+", "d"]), [0x11, 0, 0x11, 0, 0x11, 0]);
    publisher.publish(&Publish::new("a", "gone").qos(1));
    publisher.publish(&Publish::new("c", "there").qos(1));
    client.expect_payloads(&["there"]);
}

#[test]
fn unsubscribe_removes_the_equal_filter_and_is_always_answered() {
    let case = case!();
    let (mut publisher, mut client) = (case.five("pub"), case.five("sub"));
    client.subscribe(&[(&case.topic("a/b"), 1)]);
    for filter in ["a/+", "#", "a/B", "a/b/", "a/b/#", "/a/b"] {
        assert_eq!(client.give_up(&[&case.topic(filter)]), [0x11]);
    }
    publisher.publish(&Publish::new(&case.topic("a/b"), "there").qos(1));
    client.expect_payloads(&["there"]);
    client.send(&unsubscribe(65_535, &[&case.topic("a/b")]));
    client.expect(&unsuback(65_535, &[0]));
    assert_eq!(publisher.publish(&Publish::new(&case.topic("a/b"), "gone").qos(1)), 0x10);
    client.expect_nothing_pending();
}

#[test]
fn exchanges_begun_before_unsubscribe_are_completed() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut client = case.lasting("sub", 0);
    client.subscribe(&[(&topic, 2)]);
    publisher.publish(&Publish::new(&topic, "1").qos(1));
    publisher.publish(&Publish::new(&topic, "2").qos(2));
    let (one, two) = (client.receive(), client.receive());
    assert_eq!(client.give_up(&[&topic]), [0]);
    client.send(&ack(0x50, two.id));
    client.expect(&ack(0x62, two.id));
    client.leave();
    let mut client = case.lasting("sub", 1);
    assert_eq!(client.take(), one.dup());
    client.expect(&ack(0x62, two.id));
    client.send(&ack(0x70, two.id));
    client.expect_nothing_pending();
}

#[test]
fn packets_with_wrong_flags_or_filters_are_malformed() {
    let case = case!();
    let good = [subscribe(1, &Properties::new(), &[("a", 0)]), unsubscribe(1, &["a"]), vec![0x62, 2, 0, 1]];
    for flags in (0..16).filter(|flags| *flags != 2) {
        for packet in &good {
            let mut client = case.five("flags");
            client.send(&[&[packet[0] & 0xF0 | flags], &packet[1..]].concat());
            client.expect_disconnect(0x81);
        }
    }
    for filter in ["a#", "a/#/b", "#/a", "a+", "a/+b", "", "a\0"] {
        for packet in [subscribe(1, &Properties::new(), &[("a", 0), (filter, 0)]), unsubscribe(1, &["a", filter])] {
            let mut client = case.five("filter");
            client.context = filter.to_owned();
            client.send(&packet);
            client.expect_disconnect(0x81);
        }
    }
}

#[test]
fn ill_formed_filters_are_malformed() {
    let case = case!();
    for filter in [&b"\xFF"[..], b"a/\xC3(", b"\xED\xA0\x80"] {
        let filter = text(filter);
        for packet in
            [frame(0x82, &[b"\0\x01\0", &filter[..], &[0]].concat()), frame(0xA2, &[b"\0\x01\0", &filter[..]].concat())]
        {
            let mut client = case.five("ill-formed");
            client.send(&packet);
            client.expect_disconnect(0x81);
        }
    }
}

#[test]
fn filters_match_byte_by_byte() {
    let case = case_apart!();
    let (mut publisher, mut client) = (case.five("pub"), case.five("sub"));
    client.subscribe(&[("#", 0)]);
    client.subscribe(&[("+/x", 0)]);
    publisher.publish(&Publish::new("$SYS/x", "m"));
    publisher.publish(&Publish::new("$other/x", "m"));
    publisher.publish(&Publish::new("first", "first"));
    client.expect_payloads(&["first"]);
    client.give_up(&["#", "+/x"]);
    // composed and decomposed, cases, a byte order mark
    let names = ["\u{e9}", "e\u{301}", "\u{c9}", "E", "e", "\u{FEFF}e", "e/", "/e"];
    for name in names {
        client.subscribe(&[(name, 0)]);
        for topic in names {
            publisher.publish(&Publish::new(topic, topic));
        }
        let came = client.take();
        assert_eq!((came.topic.as_str(), came.text()), (name, name));
        client.expect_nothing_pending();
        client.give_up(&[name]);
    }
    for filter in ["+/a", "a/+/b", "+", "a/#", "+/+"] {
        client.subscribe(&[(filter, 0)]);
        client.give_up(&[filter]);
    }
}

#[test]
fn also_subscription_identifiers_survive_small_packet_limits() {
    let case = case!();
    let topic = case.topic("t");
    let with_identifier = Properties::new().variable(property::SUBSCRIPTION_IDENTIFIER, 300);
    let whole = Publish::new(&topic, "fits").qos(1).id(1).with(with_identifier).frame().len() as u32;
    let properties = Properties::new().int(property::MAXIMUM_PACKET_SIZE, whole);
    let mut client = Five::accepted(case.address(), &Connect::new(&case.id("sub")).with(properties), 0);
    client.subscribe_as(300, &topic, 1);
    let mut publisher = case.five("pub");
    for payload in ["fits", "does not", "fits", "fits!"] {
        publisher.publish(&Publish::new(&topic, payload).qos(1));
    }
    client.expect_payloads(&["fits", "fits"]);
}
