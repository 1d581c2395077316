//! Sections 3.3.4 and 4.9: the server's own Receive Maximum, and QoS 2 messages beyond it.

use dunlin::{
    Config,
    config::{Limits, MemoryBound},
};

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, ack_with, property},
    raw::ack,
};

#[test]
fn a_client_beyond_twice_the_receive_maximum_is_disconnected_with_a_reason() {
    let Some(case) = case_with!(Limits { receive_maximum: 2, ..Limits::default() }) else { return };
    let (topic, mut watcher) = (case.topic("t"), case.five("watcher"));
    watcher.subscribe(&[(&topic, 0)]);
    let mut client = case.five("pub");
    let publish = |id: u16| Publish::new(&topic, &id.to_string()).qos(2).id(id).frame();
    // within the window, again and again, at both QoS
    for _ in 0..10 {
        for qos in [1, 2] {
            client.publish(&Publish::new(&topic, "m").qos(qos));
            client.publish(&Publish::new(&topic, "m").qos(qos));
            assert_eq!((watcher.take().text(), watcher.take().text()), ("m", "m"));
        }
    }
    client.send(&(101..=104).flat_map(publish).collect::<Vec<_>>());
    client.expect(&ack(0x50, 101));
    client.expect(&ack(0x50, 102));
    // QoS 0 is not counted
    client.publish(&Publish::new(&topic, "0"));
    client.send(&publish(105));
    loop {
        let next = client.expect_any();
        if next.first == 0xE0 {
            assert_eq!(next.bytes(), [0xE0, 2, 0x93, 0]);
            break;
        }
    }
    client.expect_closed();
}

#[test]
fn also_waiting_messages_keep_topic_and_properties() {
    let Some(case) = case_with!(Limits { max_inflight_in: 1, ..Limits::default() }) else { return };
    let (topic, mut subscriber, mut client) = (case.topic("t"), case.five("sub"), case.five("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    let own = Properties::new().user("z", "1").user("a", "2").text(property::CORRELATION_DATA, [0, 0xFF]);
    let with = |topic: &str, payload: &str, id| {
        let Properties(alias) = Properties::new().short(property::TOPIC_ALIAS, 1);
        let properties = Properties([alias, own.0.clone()].concat());
        Publish::new(topic, payload).qos(2).id(id).with(properties)
    };
    client.send(&with(&topic, "1", 1).frame());
    client.expect(&ack(0x50, 1));
    let another = case.topic("another");
    // the alias stands for another topic before the second and third are taken
    client.send(&[with("", "2", 2).frame(), with(&another, "3", 3).frame(), with("", "4", 4).frame()].concat());
    client.expect_nothing_pending();
    for id in 1..=4 {
        client.send(&ack(0x62, id));
        let mut answers = vec![client.expect_any().bytes()];
        if id < 4 {
            answers.push(client.expect_any().bytes());
        }
        let taken = if id == 1 { ack(0x50, 2) } else { ack_with(0x50, id + 1, 0x10) };
        let mut expected = vec![ack(0x70, id), taken];
        expected.truncate(answers.len());
        answers.sort_by_key(|answer| std::cmp::Reverse(answer[0]));
        assert_eq!(answers, expected);
    }
    for payload in ["1", "2"] {
        let came = subscriber.take();
        assert_eq!((came.topic.as_str(), came.text(), &came.properties), (&topic[..], payload, &own));
    }
    subscriber.expect_nothing_pending();
}

#[test]
fn also_the_receive_maximum_in_connack_stays_valid_after_a_reload() {
    let limits = Limits { receive_maximum: 4, topic_alias_maximum: 3, ..Limits::default() };
    let mut broker = Broker::limits(limits);
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("pub"));
    let number = |id| connack.properties.number(id);
    assert_eq!([property::RECEIVE_MAXIMUM, property::TOPIC_ALIAS_MAXIMUM].map(number), [Some(4), Some(3)]);
    broker.reload(|config| (config.limits.receive_maximum, config.limits.topic_alias_maximum) = (1, 0));
    for id in 1..=4 {
        let alias = Properties::new().short(property::TOPIC_ALIAS, 3);
        client.send(&Publish::new(if id == 1 { "t" } else { "" }, "m").qos(2).id(id).with(alias).frame());
        client.expect(&ack_with(0x50, id, 0x10));
    }
    client.expect_nothing_pending();
    // a client that connects now gets this limit
    let (_, connack) = Five::connect(broker.address(), &Connect::new("other"));
    let number = |id| connack.properties.number(id);
    assert_eq!([property::RECEIVE_MAXIMUM, property::TOPIC_ALIAS_MAXIMUM].map(number), [Some(1), None]);
}

#[test]
fn also_an_identifier_that_is_released_with_an_error_is_free() {
    let case = case!();
    let (topic, mut subscriber, mut client) = (case.topic("t"), case.five("sub"), case.five("pub"));
    subscriber.subscribe(&[(&topic, 0)]);
    for payload in ["1", "2"] {
        client.send(&Publish::new(&topic, payload).qos(2).id(3).frame());
        client.expect(&ack(0x50, 3));
        client.send(&ack_with(0x62, 3, 0x92));
        client.expect(&ack(0x70, 3));
    }
    subscriber.expect_payloads(&["1", "2"]);
}

#[test]
fn also_topics_of_aliases_count_towards_the_bound_of_waiting_messages() {
    let limits =
        Limits { topic_alias_maximum: 100, max_queued_bytes_total: MemoryBound::Bytes(1 << 20), ..Limits::default() };
    // the sum over threads is updated twice a second: here there is one thread
    let broker = Broker::new(Config { limits, workers: Some(1), ..config() });
    let held = || broker.server.counters().held().cost;
    let topic = |size: usize| "t".repeat(size);
    let says = |number: u16, size| {
        let alias = Properties::new().short(property::TOPIC_ALIAS, number);
        Publish::new(&topic(size), "m").with(alias)
    };
    let before = held();
    let mut client = client_of(&broker, "pub");
    client.publish(&says(1, 60_000));
    assert!((before + 60_000..before + 62_000).contains(&held()), "{}", held() - before);
    // the same again, by its name and by its number, and another in its place
    client.publish(&says(1, 60_000));
    client.publish(&says(1, 0));
    client.publish(&says(1, 10_000));
    assert!((before + 10_000..before + 12_000).contains(&held()), "{}", held() - before);
    for number in 2..=18 {
        client.publish(&says(number, 60_000));
    }
    client.send(&says(19, 60_000).frame());
    client.expect_disconnect(0x97);
    assert_eq!(held(), before, "they end with their connection");
    // while another holds it all, a client has room for a few
    let mut other = client_of(&broker, "other");
    for number in 1..=17 {
        other.publish(&says(number, 60_000));
    }
    other.publish(&says(18, 27_000));
    let mut client = client_of(&broker, "pub");
    client.publish(&says(1, 2_000));
    client.publish(&says(1, 0));
    client.send(&says(2, 3_000).frame());
    client.expect_disconnect(0x97);
    other.leave();
    assert_eq!(held(), before);
}

#[test]
fn also_a_refused_message_frees_its_place_for_the_next() {
    // as many as one turn is too short for, too
    for refused in [1, 20_000_u16] {
        let Some(case) = case_with!(Limits { max_inflight_in: 1, ..Limits::default() }) else { return };
        let (topic, mut subscriber, mut client) = (case.topic("t"), case.five("sub"), case.five("pub"));
        subscriber.subscribe(&[(&topic, 0)]);
        client.send(&Publish::new(&topic, "1").qos(2).id(1).frame());
        client.expect(&ack(0x50, 1));
        // no client may publish to these
        let denied = (0..refused).flat_map(|n| Publish::new("$SYS/x", "").qos(2).id(2 + n).frame());
        client.send(&denied.chain(Publish::new(&topic, "2").qos(2).id(2 + refused).frame()).collect::<Vec<_>>());
        client.expect_nothing_pending();
        client.send(&ack(0x62, 1));
        client.expect(&ack(0x70, 1));
        (0..refused).for_each(|n| client.expect(&ack_with(0x50, 2 + n, 0x87)));
        client.expect(&ack(0x50, 2 + refused));
        subscriber.expect_payloads(&["1", "2"]);
    }
}
