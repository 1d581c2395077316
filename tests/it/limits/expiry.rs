//! `message_expiry` and `retained_expiry`: bounds of the Message Expiry Interval.

use std::time::Duration;

use dunlin::{
    config::{Limits, MemoryBound},
    router::Count,
};

use crate::support::{
    Broker,
    five::{self, Five, Publish, property},
    raw::{Connect, Message},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// The properties that subscribers of MQTT 5 receive.
const SECONDS: u32 = 60;

fn five(broker: &Broker, id: &str) -> Five {
    Five::accepted(broker.address(), &five::Connect::new(id), 0)
}

fn lasting(broker: &Broker, id: &str, session_present: u8) -> Five {
    Five::accepted(broker.address(), &five::Connect::new(id).lasting(1_000_000), session_present)
}

/// Payload, and the rest of the interval, which may be a little shorter than at the publication.
#[track_caller]
fn take(client: &mut Five) -> (String, Option<u32>) {
    let came = client.take();
    let left = came.properties.number(property::MESSAGE_EXPIRY);
    (came.text().to_owned(), left.map(|seconds| seconds.div_ceil(10) * 10))
}

fn expected(payload: &str, left: Option<u32>) -> (String, Option<u32>) {
    (payload.to_owned(), left)
}

/// A message of each kind of publisher, by its payload: without an expiry, with a shorter one, with a longer one.
#[track_caller]
fn publish_each(broker: &Broker, topic: &str, retain: bool) {
    let large = "x".repeat(20_000);
    let mut old = broker.client("old publisher");
    for (payload, qos) in [("old 0", 0), ("old 1", 1), ("old 2", 2), (&large, 1)] {
        old.publish(Message { retain, ..Message::new(topic, payload).qos(qos) });
    }
    let mut new = five(broker, "new publisher");
    for publish in [
        Publish::new(topic, "plain"),
        Publish::new(topic, "less").qos(1).expires(SECONDS / 2),
        Publish::new(topic, "more").qos(2).expires(100 * SECONDS),
        Publish::new(topic, &large).qos(1),
    ] {
        new.publish(&Publish { retain, ..publish });
    }
}

const LIVE: [&str; 6] = ["old 0", "old 1", "old 2", "plain", "less", "more"];

/// The messages for a live subscriber, and for one that was away for these seconds.
#[track_caller]
fn expect_each(client: &mut Five, away: u32, interval: Option<u32>) {
    let mut got = Vec::new();
    // QoS 0 does not wait
    let waits = |payload: &&&str| away == 0 || !["old 0", "plain"].contains(payload);
    let payloads: Vec<_> = LIVE.iter().filter(waits).collect();
    while got.len() < payloads.len() {
        let (payload, left) = take(client);
        if payload.len() == 20_000 {
            assert_eq!(left, interval.map(|all| all - away));
        } else {
            got.push((payload, left));
        }
    }
    let own = |payload: &str| match payload {
        "less" => Some(interval.unwrap_or(u32::MAX).min(SECONDS / 2)),
        "more" => Some(interval.unwrap_or(u32::MAX).min(100 * SECONDS)),
        _ => interval,
    };
    let all: Vec<_> = payloads.iter().map(|payload| expected(payload, own(payload).map(|all| all - away))).collect();
    assert_eq!(got, all);
}

#[test]
fn a_message_s_expiry_is_limited_by_that_of_the_broker() {
    let broker = Broker::limits(Limits { message_expiry: Some(MINUTE), ..Limits::default() });
    let (mut live, mut old) = (five(&broker, "live"), broker.client("old"));
    live.subscribe(&[("t", 2)]);
    old.subscribe(&[("t", 2)]);
    for id in ["soon", "late"] {
        lasting(&broker, id, 0).leave_subscribed("t");
    }
    publish_each(&broker, "t", false);
    expect_each(&mut live, 0, Some(SECONDS));
    // messages to clients of 3.1.1 have no expiry
    for payload in LIVE.iter().take(3) {
        assert_eq!(old.take().text(), *payload);
    }
    broker.turn(20 * Duration::from_secs(1));
    expect_each(&mut lasting(&broker, "soon", 1), 20, Some(SECONDS));
    broker.turn(41 * Duration::from_secs(1));
    broker.wait_for_count(Count::DroppedExpired, 6);
    lasting(&broker, "late", 1).expect_nothing_pending();
}

#[test]
fn retained_messages_have_their_own_expiry_limit() {
    // neither, one of them, both, both the same
    for (message_expiry, retained_expiry) in
        [(None, None), (Some(MINUTE), None), (None, Some(HOUR)), (Some(MINUTE), Some(HOUR)), (Some(HOUR), Some(HOUR))]
    {
        let broker = Broker::limits(Limits { message_expiry, retained_expiry, ..Limits::default() });
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs() as u32);
        let bound = |said: Option<u32>, most| [said, seconds(most)].into_iter().flatten().min();
        let mut live = five(&broker, "live");
        live.subscribe(&[("#", 1)]);
        broker.client("old").publish(Message::new("old", "old").qos(1).retain());
        let mut publisher = five(&broker, "pub");
        publisher.publish(&Publish::new("new", "new").qos(1).retain().expires(100 * SECONDS));
        publisher.publish(&Publish::new("short", "short").qos(1).retain().expires(10));
        let all = [("old", None), ("new", Some(100 * SECONDS)), ("short", Some(10))];
        for (payload, said) in all {
            assert_eq!(take(&mut live), expected(payload, bound(said, message_expiry)));
        }
        // a new subscription brings only retained messages
        for (payload, said) in all {
            let mut late = five(&broker, "late");
            late.subscribe(&[(payload, 1)]);
            assert_eq!(take(&mut late), expected(payload, bound(said, retained_expiry)));
        }
        broker.turn(HOUR + MINUTE);
        let gone = if retained_expiry.is_some() { 3 } else { 1 };
        broker.wait_for_count(Count::RetainedExpired, gone);
        let stay = if gone == 3 { 0 } else { 2 };
        assert_eq!(broker.retained("#", stay).len(), stay);
    }
}

#[test]
fn a_will_has_the_expiry_of_the_broker_too() {
    let limits = Limits { message_expiry: Some(MINUTE), retained_expiry: Some(HOUR), ..Limits::default() };
    let broker = Broker::limits(limits);
    let mut live = five(&broker, "live");
    live.subscribe(&[("will", 1)]);
    broker.connect(&Connect::new("dies").will(&Message::new("will", "gone").qos(1).retain()), 0).abort();
    assert_eq!(take(&mut live), expected("gone", Some(SECONDS)));
    let mut late = five(&broker, "late");
    late.subscribe(&[("will", 1)]);
    assert_eq!(take(&mut late), expected("gone", Some(60 * SECONDS)));
}

#[test]
fn a_reloaded_expiry_applies_to_later_messages() {
    let mut broker = Broker::limits(Limits::default());
    let mut live = five(&broker, "live");
    live.subscribe(&[("t", 1)]);
    let mut publisher = broker.client("pub");
    for (most, left) in
        [(None, None), (Some(MINUTE), Some(SECONDS)), (Some(2 * MINUTE), Some(2 * SECONDS)), (None, None)]
    {
        broker.reload(|config| {
            config.limits.message_expiry = most;
            config.limits.retained_expiry = most;
        });
        for qos in [0, 1] {
            publisher.publish(Message::new("t", "m").qos(qos).retain());
            assert_eq!(take(&mut live), expected("m", left));
        }
        let mut late = five(&broker, "late");
        late.subscribe(&[("t", 1)]);
        assert_eq!(take(&mut late), expected("m", left));
        late.leave();
    }
    broker.turn(HOUR);
    // the last one has none
    broker.expect_counts(&[(Count::RetainedExpired, 0)]);
    assert_eq!(broker.retained("t", 1).len(), 1);
}

#[test]
fn expired_messages_free_room_for_other_queues() {
    let total = MemoryBound::Bytes(1 << 20);
    let limits = Limits { message_expiry: Some(MINUTE), max_queued_bytes_total: total, ..Limits::default() };
    let broker = Broker::limits(limits);
    for id in ["away", "other"] {
        let mut client = broker.begin(id);
        client.subscribe(&[(id, 1)]);
        client.disconnect();
    }
    let mut publisher = broker.client("pub");
    let payload = "x".repeat(10_000);
    for _ in 0..110 {
        publisher.publish(Message::new("away", &payload).qos(1));
    }
    let full = broker.count(Count::DroppedQueuesFull);
    assert!(full > 0);
    broker.turn(MINUTE + Duration::from_secs(1));
    broker.wait_for_count(Count::DroppedExpired, 110 - full);
    for _ in 0..90 {
        publisher.publish(Message::new("other", &payload).qos(1));
    }
    broker.expect_counts(&[(Count::DroppedQueuesFull, full)]);
}
