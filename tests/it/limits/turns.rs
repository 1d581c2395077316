//! The work of a turn is bounded, whatever a client requests; and every request is completed.

use std::{collections::BTreeMap, io::Write};

use dunlin::{
    config::Limits,
    router::{DELIVERIES_A_TURN, LongestTurn, NODES_A_TURN, WHOLE_FANOUT, WHOLE_MATCH},
};

use crate::support::{
    Broker,
    raw::{Client, Connect, Message, PINGREQ, PINGRESP, puback, suback, subscribe, unsubscribe},
};

fn broker() -> Broker {
    Broker::limits(Limits {
        max_subscriptions: 100_000,
        max_retained_messages: 200_000,
        max_retained_bytes: 1 << 30,
        ..Limits::default()
    })
}

/// The bound, and what of a turn is not worth to be left.
#[track_caller]
fn expect_bounded(broker: &Broker) -> LongestTurn {
    let longest = broker.server.counters().longest_turn();
    assert!(longest.nodes <= u64::from(NODES_A_TURN) + 3 * WHOLE_MATCH as u64, "{longest:?}");
    assert!(longest.deliveries <= u64::from(DELIVERIES_A_TURN) + WHOLE_FANOUT as u64, "{longest:?}");
    longest
}

/// The same, in a case that reaches it.
#[track_caller]
fn expect_full_turns(broker: &Broker) {
    let longest = expect_bounded(broker);
    assert!(longest.nodes + longest.deliveries >= u64::from(NODES_A_TURN) / 2, "{longest:?}");
}

/// Retains one message for each of so many topics.
fn retain(broker: &Broker, count: usize, topic: impl Fn(usize) -> String) {
    let mut client = broker.client("retains");
    let frames = (0..count).map(|n| Message::new(&topic(n), "x").retain().frame());
    publish_many(&mut client, frames);
}

/// QoS 0 messages of a client that receives nothing.
fn publish_many(client: &mut Client, frames: impl Iterator<Item = Vec<u8>>) {
    client.send(&frames.collect::<Vec<_>>().concat());
    client.expect_nothing_pending();
}

#[test]
fn many_filters_over_many_retained_messages() {
    let broker = broker();
    retain(&broker, 20_000, |n| format!("a/{n}/b"));
    let filters: Vec<_> = (0..20).map(|n| format!("a/+/z{n}")).collect();
    let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    let mut client = broker.client("filters");
    client.subscribe(&filters);
    expect_full_turns(&broker);
    // those that match come all, and once where a filter comes again
    let messages = client.subscribe_retained(&[("a/1/+", 0), ("a/2/b", 0), ("a/1/+", 0), ("a/1/+", 1)], 3);
    let topics: Vec<_> = messages.iter().map(|m| m.topic.as_str()).collect();
    assert_eq!(topics, ["a/1/b", "a/2/b", "a/1/b"]);
}

#[test]
fn many_filters_that_match_in_part() {
    let broker = broker();
    let filter = |n: usize| (0..13).map(|bit| if n >> bit & 1 == 0 { "x" } else { "+" }).collect::<Vec<_>>().join("/");
    let mut holders = [broker.client("even"), broker.client("odd")];
    for (holder, client) in holders.iter_mut().enumerate() {
        let filters: Vec<_> = (holder..1 << 13).step_by(2).map(filter).collect();
        let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), (holder + 1) as u8)).collect();
        client.subscribe(&filters);
    }
    let mut publisher = broker.client("publisher");
    let topic = |last: &str| format!("{}{last}", "x/".repeat(12));
    for (qos, last) in [(0, "x"), (1, "x"), (2, "x"), (0, "y"), (1, "z"), (2, "w")] {
        publisher.publish(Message::new(&topic(last), last).qos(qos));
        for (holder, client) in holders.iter_mut().enumerate() {
            // filters with `+` in the last place match each of them
            let message = client.take();
            assert_eq!((message.topic, message.qos), (topic(last), qos.min(holder as u8 + 1)));
        }
    }
    holders.iter_mut().for_each(Client::expect_nothing_pending);
    expect_full_turns(&broker);
}

#[test]
fn retained_messages_arrive_in_steps_before_newer_messages() {
    const TOPICS: usize = 30_000;
    let broker = broker();
    retain(&broker, TOPICS, |n| format!("r/{}/{n}", n % 100));
    let (mut subscriber, mut publisher) = (broker.client("subscriber"), broker.client("publisher"));
    let mut request = subscribe(1, &[("r/#", 0)]);
    request.extend_from_slice(PINGREQ);
    request.extend(unsubscribe(2, &["r/#"]));
    request.extend(Message::new("own", "last").qos(1).id(3).frame());
    subscriber.send(&request);
    // at the same time: each twice, the second time with another value
    let (changed, values) = (100, ["1", "2"]);
    let frames = (0..changed)
        .flat_map(|n| values.map(|value| Message::new(&format!("r/{}/{n}", n % 100), value).retain().frame()));
    publish_many(&mut publisher, frames);
    let mut seen = BTreeMap::<String, Vec<String>>::new();
    let answers = [suback(1, &[0]), PINGRESP.to_vec(), vec![0xB0, 2, 0, 2], puback(3)];
    let mut answers = answers.iter();
    subscriber.expect(answers.next().expect("the SUBACK"));
    let mut next = answers.next();
    while let Some(answer) = next {
        let frame = subscriber.expect_any();
        match frame.message() {
            Some(message) => seen.entry(message.topic.clone()).or_default().push(message.text().to_owned()),
            None => {
                assert_eq!(frame.bytes(), *answer);
                next = answers.next();
            }
        }
    }
    subscriber.send(PINGREQ);
    loop {
        let frame = subscriber.expect_any();
        match frame.message() {
            Some(message) => seen.entry(message.topic.clone()).or_default().push(message.text().to_owned()),
            None => break assert_eq!(frame.bytes(), PINGRESP),
        }
    }
    assert_eq!(seen.len(), TOPICS);
    for (topic, values) in seen {
        // after any handled part, before the UNSUBSCRIBE: messages are in order
        let order = |value: &String| ["x", "1", "2"].iter().position(|v| v == value).expect("one of them");
        assert!(values.windows(2).all(|two| order(&two[0]) <= order(&two[1])), "{topic}: {values:?}");
    }
    expect_full_turns(&broker);
}

#[test]
fn a_subscriber_that_disconnects_during_retained_messages_leaves_no_state() {
    let broker = broker();
    retain(&broker, 20_000, |n| format!("r/{n}"));
    for _ in 0..10 {
        let mut gone = broker.client("gone");
        gone.send(&subscribe(1, &[("#", 0)]));
        gone.abort();
        let mut taken_over = broker.connect(&Connect::new("taken-over"), 0);
        taken_over.send(&subscribe(1, &[("#", 0)]));
        drop(broker.connect(&Connect::new("taken-over"), 0));
    }
    assert_eq!(broker.retained("r/+", 20_000).len(), 20_000);
    let mut client = broker.client("clears");
    publish_many(&mut client, (0..20_000).map(|n| Message::new(&format!("r/{n}"), "").retain().frame()));
    assert_eq!(broker.retained("#", 0), []);
    expect_full_turns(&broker);
}

#[test]
fn packets_that_a_turn_is_too_short_for_are_handled_in_their_order() {
    const PACKETS: u16 = 30_000;
    let broker = broker();
    let mut client = broker.client("client");
    client.subscribe(&[("own", 0)]);
    let mut writer = client.writer();
    let writes = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for id in 1..=PACKETS {
            bytes.extend(Message::new("own", &id.to_string()).qos(1).id(id).frame());
        }
        bytes.extend_from_slice(PINGREQ);
        writer.write_all(&bytes)
    });
    let (mut acknowledged, mut received) = (0, 0);
    loop {
        let frame = client.expect_any();
        match frame.message() {
            Some(message) => {
                received += 1;
                assert_eq!(message.text(), received.to_string());
            }
            None if frame.bytes() == PINGRESP => break,
            None => {
                acknowledged += 1;
                assert_eq!(frame.bytes(), puback(acknowledged));
            }
        }
    }
    writes.join().expect("no panic").expect("the broker reads");
    while received < PACKETS {
        received += 1;
        client.expect_message("own", &received.to_string(), 0);
    }
    assert_eq!(acknowledged, PACKETS);
    expect_bounded(&broker);
}

#[test]
fn large_messages_to_many_clients_do_not_delay_others() {
    let broker = broker();
    let mut subscribers: Vec<_> = (0..60).map(|n| broker.client(&format!("s{n}"))).collect();
    subscribers.iter_mut().for_each(|subscriber| subscriber.subscribe(&[("large", 0)]));
    broker.begin("away").subscribe(&[("large", 1)]);
    let mut publisher = broker.client("publisher");
    let payload = "x".repeat(64 << 10);
    for _ in 0..20 {
        publisher.publish(Message::new("large", &payload).qos(1));
        // the first one does not read
        subscribers[1..].iter_mut().for_each(|subscriber| subscriber.expect_message("large", &payload, 0));
    }
    for _ in 0..3 {
        // resent messages are bounded in bytes: it acknowledges nothing, and others have their turn
        let mut back = broker.resume("away");
        assert_eq!(back.receive().text().len(), payload.len());
        publisher.publish(Message::new("other", "x").qos(1));
        back.abort();
    }
    for _ in 0..200 {
        drop(broker.client("short"));
    }
    expect_bounded(&broker);
}
