//! Limits that change while clients are connected.

use dunlin::{
    config::{Limits, SysPublish},
    router::Count,
};

use crate::support::{
    Broker, expect_exactly, publish_all,
    raw::{Connect, Message, pubcomp, pubrec, pubrel, suback, subscribe},
};

#[test]
fn reloaded_limits_apply_to_connected_clients() {
    let mut broker = Broker::limits(Limits::default());
    let (mut client, mut publisher) = (broker.begin("client"), broker.client("publisher"));
    client.subscribe(&[("a", 1), ("b", 1)]);
    let lines = broker.reload(|config| {
        config.limits = Limits {
            max_connections: 2,
            max_packet_size: 100,
            max_client_id_length: 9,
            max_topic_levels: 2,
            max_subscriptions: 2,
            max_queued_messages: 1,
            max_retained_messages: 0,
            ..Limits::default()
        };
    });
    assert_eq!(lines.len(), 7, "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("limits.") && !line.contains("restart")), "{lines:#?}");

    broker.open().expect_closed();
    broker.expect_counts(&[(Count::RefusedConnections, 1)]);
    client.send(&subscribe(9, &[("c", 1), ("a/b/c", 0), ("b", 0)]));
    client.expect(&suback(9, &[0x80, 0x80, 0]));
    broker.expect_counts(&[(Count::RefusedSubscriptions, 1), (Count::TopicsTooLarge, 1)]);
    client.disconnect();
    broker.refuses(&Connect::new("0123456789"), 2);
    publish_all(&mut publisher, "a", &["1", "2"]);
    broker.expect_counts(&[(Count::DroppedQueueFull, 1)]);
    publisher.publish(Message::new("a", "kept?").qos(0).retain());
    broker.expect_counts(&[(Count::DroppedRetainedFull, 1)]);
    publisher.send(&Message::new("a", &"x".repeat(100)).frame());
    publisher.expect_closed();
    broker.expect_counts(&[(Count::PacketsTooLarge, 1)]);

    // queued messages stay when the queue shrinks, and the old limits return
    broker.reload(|config| config.limits = Limits { max_queued_messages: 0, ..Limits::default() });
    expect_exactly(&mut broker.resume("client"), &["1"]);
    assert_eq!(broker.reload(|_| {}), [""; 0], "nothing has changed");
}

#[test]
fn a_reloaded_window_applies_to_connected_clients() {
    let mut broker = Broker::limits(Limits { max_inflight_in: 1, max_inflight_out: 1, ..Limits::default() });
    let (mut eager, mut subscriber) = (broker.client("eager"), broker.client("sub"));
    subscriber.subscribe(&[("t", 1)]);
    let message = |id: u16| Message::new("t", &id.to_string()).qos(2).id(id).frame();
    (1..=4).for_each(|id| eager.send(&message(id)));
    eager.expect(&pubrec(1));
    eager.expect_nothing_pending();
    broker.reload(|config| (config.limits.max_inflight_in, config.limits.max_inflight_out) = (3, 2));
    for id in 1..=4 {
        eager.send(&pubrel(id));
        eager.expect(&pubcomp(id));
        if id < 4 {
            eager.expect(&pubrec(id + 1));
        }
    }
    (5..=8).for_each(|id| eager.send(&message(id)));
    (5..=7).for_each(|id| eager.expect(&pubrec(id)));
    eager.expect_nothing_pending();
    assert_eq!([subscriber.receive().text(), subscriber.receive().text()], ["1", "2"]);
    subscriber.expect_nothing_pending();
    broker.expect_counts(&[(Count::DeferredInflight, 4)]);
}

#[test]
fn reloaded_limits_apply_to_repeated_topics() {
    let mut broker = Broker::limits(Limits::default());
    broker.reload(|config| config.sys.client_publish = SysPublish::Allow);
    let (mut subscriber, mut publisher) = (broker.client("sub"), broker.client("pub"));
    subscriber.subscribe(&[("$SYS/#", 1), ("a/b/c", 1)]);
    publish_all(&mut publisher, "$SYS/mine", &["1", "2"]);
    expect_exactly(&mut subscriber, &["1", "2"]);
    broker.reload(|config| config.sys.client_publish = SysPublish::Drop);
    publish_all(&mut publisher, "$SYS/mine", &["3"]);
    subscriber.expect_nothing_pending();
    broker.expect_counts(&[(Count::DroppedSysTopic, 1)]);

    publish_all(&mut publisher, "a/b/c", &["4"]);
    expect_exactly(&mut subscriber, &["4"]);
    broker.reload(|config| config.limits.max_topic_levels = 2);
    publisher.send(&Message::new("a/b/c", "5").frame());
    publisher.expect_closed();
    broker.expect_counts(&[(Count::TopicsTooLarge, 1)]);
}
