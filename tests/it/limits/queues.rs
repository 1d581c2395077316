//! Queues: the in-flight window, the bounds in messages and bytes, and the messages that a full queue drops.

use dunlin::{
    config::{Limits, QueueFull},
    router::Count,
};

use crate::support::{
    Broker, expect_exactly, publish_all,
    raw::{Message, puback, pubcomp, pubrec, pubrel},
};

/// With one topic, the last two do the same.
const POLICIES: [QueueFull; 3] = [QueueFull::DropNewest, QueueFull::DropOldest, QueueFull::KeepLast];

/// Publishes to an away session and to a connected one; returns the log lines about dropped messages.
#[track_caller]
fn survivors(limits: Limits, sent: &[&str], kept: &[&str]) {
    let (broker, recorder) = Broker::observed(limits);
    let (mut away, mut here, mut publisher) = (broker.begin("away"), broker.client("here"), broker.client("publisher"));
    away.subscribe(&[("t", 1)]);
    here.subscribe(&[("t", 1)]);
    away.disconnect();
    for payload in sent {
        // the publisher is acknowledged, and the connected subscriber gets the message, with every policy
        publish_all(&mut publisher, "t", &[payload]);
        here.expect_message("t", payload, 1);
    }
    let dropped: Vec<_> = sent.iter().filter(|payload| !kept.contains(payload)).collect();
    let bytes = dropped.iter().map(|payload| payload.len() as u64).sum();
    broker.expect_counts(&[
        (Count::DroppedQueueFull, dropped.len() as u64),
        (Count::PublishDropped, dropped.len() as u64),
        (Count::PublishBytesDropped, bytes),
        (Count::PublishReceived, sent.len() as u64),
        (Count::PublishSent, sent.len() as u64),
    ]);
    // each line names the client
    let lines: Vec<_> = dropped.iter().map(|p| format!("drop away t {} bytes QueueFull", p.len())).collect();
    assert_eq!(recorder.lines("drop"), lines);
    let mut away = broker.resume("away");
    expect_exactly(&mut away, kept);
    here.expect_nothing_pending();
    broker.expect_counts(&[(Count::PublishSent, (sent.len() + kept.len()) as u64)]);
}

#[test]
fn a_queue_full_of_messages_drops_by_its_policy() {
    let sent = ["1", "2", "3", "4", "5"];
    for (queue_full, kept) in POLICIES.into_iter().zip([["1", "2", "3"], ["3", "4", "5"], ["3", "4", "5"]]) {
        survivors(Limits { max_queued_messages: 3, queue_full, ..Limits::default() }, &sent, &kept);
    }
}

#[test]
fn a_queue_full_of_bytes_drops_by_its_policy() {
    // with the topic: 3, 6, 2, 5, 2, 10, 3
    let sent = ["22", "55555", "1", "4444", "b", "999999999", "cc"];
    let limits = Limits { max_queued_bytes: 9, ..Limits::default() };
    let newest = Limits { queue_full: QueueFull::DropNewest, ..limits.clone() };
    // 3 + 6 fill it
    survivors(newest, &sent, &["22", "55555"]);
    // a message larger than the whole queue replaces no other; 5 + 2 leave no room for 3 more
    for queue_full in [QueueFull::DropOldest, QueueFull::KeepLast] {
        survivors_of_oldest_bytes(Limits { queue_full, ..limits.clone() }, &sent);
    }
}

/// The order of drops differs from that of publication: the large message is dropped before older ones.
#[track_caller]
fn survivors_of_oldest_bytes(limits: Limits, sent: &[&str]) {
    let (broker, recorder) = Broker::observed(limits);
    let (mut away, mut publisher) = (broker.begin("away"), broker.client("publisher"));
    away.subscribe(&[("t", 1)]);
    away.disconnect();
    publish_all(&mut publisher, "t", sent);
    // "1" pushes out "22"; "4444" pushes out "55555"; 2 + 5 + 2 are 9; "999999999" is too large; "cc" pushes out "1"
    // and "4444"
    let sizes = [2, 5, 9, 1, 4].map(|n| format!("drop away t {n} bytes QueueFull"));
    assert_eq!(recorder.lines("drop"), sizes);
    broker.expect_counts(&[(Count::DroppedQueueFull, 5), (Count::PublishBytesDropped, 21)]);
    expect_exactly(&mut broker.resume("away"), &["b", "cc"]);
}

#[test]
fn an_away_client_s_queue_of_last_values_ends_with_the_newest_of_each_topic() {
    const CHANGES: usize = 20;
    for (queue_full, kept) in [
        (QueueFull::DropNewest, [("state/cellar", "cold"), ("state/hall", "1"), ("state/attic", "1")]),
        (QueueFull::KeepLast, [("state/cellar", "cold"), ("state/hall", "20"), ("state/attic", "20")]),
    ] {
        for qos in [1, 2] {
            let (broker, recorder) =
                Broker::observed(Limits { max_queued_messages: 3, queue_full, ..Limits::default() });
            let (mut reader, mut publisher) = (broker.begin("reader"), broker.client("publisher"));
            reader.subscribe(&[("state/+", 2)]);
            reader.disconnect();
            publisher.publish(Message::new("state/cellar", "cold").qos(qos));
            for change in 1..=CHANGES {
                for room in ["state/hall", "state/attic"] {
                    publisher.publish(Message::new(room, &change.to_string()).qos(qos));
                }
            }
            let dropped = 2 * (CHANGES - 1);
            broker.expect_counts(&[
                (Count::DroppedQueueFull, dropped as u64),
                (Count::PublishDropped, dropped as u64),
                (Count::PublishReceived, (dropped + 3) as u64),
            ]);
            assert_eq!(recorder.lines("drop reader state/").len(), dropped);
            let mut reader = broker.resume("reader");
            let state = kept.map(|_| reader.take());
            assert_eq!(state.each_ref().map(|m| (m.topic.as_str(), m.text())), kept);
            reader.expect_nothing_pending();
        }
    }
}

#[test]
fn a_queue_limit_of_0_drops_messages_and_blocks_no_client() {
    for queue_full in POLICIES {
        let none = Limits { queue_full, ..Limits::default() };
        survivors(Limits { max_queued_messages: 0, ..none.clone() }, &["1", "2"], &[]);
        survivors(Limits { max_queued_bytes: 0, ..none }, &["1", "2"], &[]);
    }
}

#[test]
fn the_queue_of_a_client_that_does_not_acknowledge_drops_by_its_policy() {
    for (queue_full, kept) in POLICIES.into_iter().zip([["3", "4"], ["6", "7"], ["6", "7"]]) {
        let broker =
            Broker::limits(Limits { max_inflight_out: 2, max_queued_messages: 2, queue_full, ..Limits::default() });
        let (mut slow, mut publisher) = (broker.client("slow"), broker.client("publisher"));
        slow.subscribe(&[("t", 1)]);
        publish_all(&mut publisher, "t", &["1", "2", "3", "4", "5", "6", "7"]);
        let ids = [slow.receive(), slow.receive()].map(|m| m.id);
        slow.expect_nothing_pending();
        // in flight is on its way: neither policy drops it
        broker.expect_counts(&[(Count::DroppedQueueFull, 3), (Count::PublishSent, 2)]);
        // a place, a message
        slow.send(&puback(ids[1]));
        slow.expect_message("t", kept[0], 1);
        slow.expect_message("t", kept[1], 1);
        slow.send(&puback(ids[0]));
        slow.expect_nothing_pending();
        publish_all(&mut publisher, "t", &["8"]);
        expect_exactly(&mut slow, &["8"]);
        broker.expect_counts(&[(Count::DroppedQueueFull, 3), (Count::PublishSent, 5)]);
    }
}

#[test]
fn qos_0_is_queued_and_counted_if_configured() {
    let limits = Limits { queue_qos0: true, max_queued_messages: 2, ..Limits::default() };
    let broker = Broker::limits(limits.clone());
    let (mut away, mut publisher) = (broker.begin("away"), broker.client("publisher"));
    away.subscribe(&[("t", 1)]);
    away.disconnect();
    for (payload, qos) in [("1", 0), ("2", 1), ("3", 0)] {
        publisher.publish(Message::new("t", payload).qos(qos));
    }
    broker.expect_counts(&[(Count::DroppedQueueFull, 1)]);
    let mut back = broker.resume("away");
    back.expect_message("t", "1", 0);
    back.expect_message("t", "2", 1);
    back.expect_nothing_pending();

    // otherwise it is not for a client that is away, and nothing is dropped
    let broker = Broker::limits(Limits { queue_qos0: false, ..limits });
    let (mut away, mut publisher) = (broker.begin("away"), broker.client("publisher"));
    away.subscribe(&[("t", 1)]);
    away.disconnect();
    for (payload, qos) in [("1", 0), ("2", 1), ("3", 0)] {
        publisher.publish(Message::new("t", payload).qos(qos));
    }
    expect_exactly(&mut broker.resume("away"), &["2"]);
    broker.expect_counts(&[(Count::DroppedQueueFull, 0), (Count::PublishDropped, 0)]);
}

#[test]
fn unreleased_qos_2_messages_are_bounded_and_others_follow() {
    let broker = Broker::limits(Limits { max_inflight_in: 2, ..Limits::default() });
    let (mut subscriber, mut eager, mut other) = (broker.client("sub"), broker.client("eager"), broker.client("other"));
    subscriber.subscribe(&[("t", 2)]);
    let message = |id: u16| Message::new("t", &id.to_string()).qos(2).id(id);
    for id in 1..=6 {
        eager.send(&message(id).frame());
    }
    eager.expect(&pubrec(1));
    eager.expect(&pubrec(2));
    eager.expect_nothing_pending();
    broker.expect_counts(&[(Count::DeferredInflight, 4), (Count::PublishReceived, 2)]);
    // others have windows of their own
    other.publish(Message::new("t", "other").qos(2).id(1));
    for expected in ["1", "2", "other"] {
        subscriber.expect_message("t", expected, 2);
    }
    subscriber.expect_nothing_pending();

    // one that waits is sent again: still once
    eager.send(&message(4).dup().frame());
    eager.expect_nothing_pending();
    // each release lets one in
    for (released, next) in [(1, Some(3)), (2, Some(4)), (3, Some(5)), (4, Some(6)), (5, None), (6, None)] {
        eager.send(&pubrel(released));
        eager.expect(&pubcomp(released));
        if let Some(next) = next {
            eager.expect(&pubrec(next));
            subscriber.expect_message("t", &next.to_string(), 2);
        }
        eager.expect_nothing_pending();
    }
    subscriber.expect_nothing_pending();
    broker.expect_counts(&[(Count::DeferredInflight, 4), (Count::PublishReceived, 7), (Count::PublishDropped, 0)]);
    // the identifiers are free again
    eager.publish(message(3));
    subscriber.expect_message("t", "3", 2);
}

#[test]
fn messages_that_wait_for_pubrel_are_bounded_in_bytes() {
    let broker = Broker::limits(Limits { max_inflight_in: 1, max_queued_bytes: 10, ..Limits::default() });
    let (mut eager, mut other) = (broker.client("eager"), broker.client("other"));
    let message = |id: u16| Message::new("t", "1234").qos(2).id(id);
    for id in 1..=3 {
        eager.send(&message(id).frame());
    }
    eager.expect(&pubrec(1));
    eager.expect_nothing_pending();
    eager.send(&message(4).frame());
    eager.expect_closed();
    broker.expect_counts(&[(Count::DeferredInflight, 3), (Count::PublishReceived, 1), (Count::ProtocolErrors, 1)]);
    other.expect_nothing_pending();
}
