//! The number of retained messages, and their total size.

use dunlin::{
    Config,
    config::{Limits, SysConfig},
    router::Count,
};

use crate::support::{
    Broker, config,
    raw::{Client, Message},
};

fn retain(client: &mut Client, topic: &str, payload: &str) {
    client.publish(Message::new(topic, payload).qos(1).retain());
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect()
}

#[test]
fn one_retained_message_too_many_is_delivered_and_not_retained() {
    let (broker, recorder) = Broker::observed(Limits { max_retained_messages: 2, ..Limits::default() });
    let (mut subscriber, mut publisher) = (broker.client("sub"), broker.client("pub"));
    subscriber.subscribe(&[("#", 0)]);
    for (topic, payload) in [("a", "1"), ("b", "1"), ("c", "12"), ("a", "2")] {
        retain(&mut publisher, topic, payload);
        subscriber.expect_message(topic, payload, 0);
    }
    broker.expect_counts(&[
        (Count::DroppedRetainedFull, 1),
        (Count::PublishDropped, 1),
        (Count::PublishBytesDropped, 2),
        (Count::PublishReceived, 4),
        (Count::PublishSent, 4),
    ]);
    assert_eq!(recorder.lines("drop"), ["drop pub c 2 bytes RetainedFull"]);
    // the one whose topic had one before is replaced
    assert_eq!(broker.retained("#", 2), pairs(&[("a", "2"), ("b", "1")]));
    // clearing a topic makes room for another
    retain(&mut publisher, "b", "");
    retain(&mut publisher, "c", "3");
    assert_eq!(broker.retained("#", 2), pairs(&[("a", "2"), ("c", "3")]));
    broker.expect_counts(&[(Count::DroppedRetainedFull, 1)]);
}

#[test]
fn retained_bytes_are_bounded_and_the_old_message_stays_if_the_new_one_does_not_fit() {
    // each takes a little more than its payload: all of them less than the last 700
    let broker = Broker::limits(Limits { max_retained_bytes: 10_700, ..Limits::default() });
    let mut publisher = broker.client("pub");
    let of = |thousands: usize| "x".repeat(1_000 * thousands);
    let mut retain = |topic: &str, thousands: usize| retain(&mut publisher, topic, &of(thousands));
    retain("a", 5);
    retain("b", 5);
    broker.expect_counts(&[(Count::DroppedRetainedFull, 0)]);
    retain("c", 2);
    retain("a", 6);
    broker.expect_counts(&[(Count::DroppedRetainedFull, 2), (Count::PublishBytesDropped, 8_000)]);
    assert_eq!(broker.retained("#", 2), pairs(&[("a", &of(5)), ("b", &of(5))]));
    retain("a", 3);
    retain("c", 2);
    retain("b", 0);
    retain("c", 7);
    broker.expect_counts(&[(Count::DroppedRetainedFull, 2)]);
    assert_eq!(broker.retained("#", 2), pairs(&[("a", &of(3)), ("c", &of(7))]));
}

#[test]
fn a_retained_limit_of_0_retains_no_message() {
    let none = [
        Limits { max_retained_messages: 0, ..Limits::default() },
        Limits { max_retained_bytes: 0, ..Limits::default() },
    ];
    for limits in none {
        let broker = Broker::limits(limits);
        let (mut subscriber, mut publisher) = (broker.client("sub"), broker.client("pub"));
        subscriber.subscribe(&[("#", 0)]);
        retain(&mut publisher, "a", "1");
        // clearing an empty topic has no effect
        retain(&mut publisher, "a", "");
        subscriber.expect_message("a", "1", 0);
        subscriber.expect_message("a", "", 0);
        assert_eq!(broker.retained("#", 0), []);
        broker.expect_counts(&[(Count::DroppedRetainedFull, 1)]);
    }
}

#[test]
fn messages_retained_by_the_broker_do_not_count() {
    let sys = SysConfig { interval: Some(std::time::Duration::from_secs(3600)), ..Config::default().sys };
    let limits = Limits { max_retained_messages: 1, max_retained_bytes: 400, ..Limits::default() };
    let broker = Broker::new(Config { limits, sys, ..config() });
    let (mut watcher, mut publisher) = (broker.client("watcher"), broker.client("pub"));
    // the last of them
    watcher.send(&crate::support::raw::subscribe(1, &[("$SYS/broker/load/connections/15min", 0)]));
    watcher.expect(&crate::support::raw::suback(1, &[0]));
    watcher.receive();
    retain(&mut publisher, "a", "1");
    assert_eq!(broker.retained("#", 1), pairs(&[("a", "1")]));
    broker.expect_counts(&[(Count::DroppedRetainedFull, 0)]);
    retain(&mut publisher, "b", "1");
    broker.expect_counts(&[(Count::DroppedRetainedFull, 1)]);
}

#[test]
fn retained_messages_queued_for_one_client_are_bounded() {
    const SUBSCRIPTIONS: u64 = 50;
    let limits = Limits { max_inflight_out: 1, max_queued_messages: 10, ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits);
    let (mut greedy, mut publisher) = (broker.client("greedy"), broker.client("pub"));
    for topic in ["a", "b", "c", "d", "e"] {
        retain(&mut publisher, topic, topic);
    }
    // each subscription brings five, and none is acknowledged
    for _ in 0..SUBSCRIPTIONS {
        greedy.send(&crate::support::raw::subscribe(1, &[("#", 1)]));
    }
    greedy.send(crate::support::raw::PINGREQ);
    recorder.wait_for("ping greedy");
    // one is in flight; as many wait as there are, and a queue's worth: four subscriptions, but for their last four
    // messages; each of the others finds no place at its first
    broker.expect_counts(&[(Count::PublishSent, 1), (Count::DroppedQueueFull, 1 + SUBSCRIPTIONS - 4)]);
}
