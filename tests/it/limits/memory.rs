//! Bounds that all clients share: the memory of all queues, and the memory of the process.

use std::{process::Command, time::Duration};

use dunlin::{
    config::{Limits, MemoryBound, QueueFull},
    router::Count,
};

use crate::support::{
    Broker,
    raw::{Client, Connect, Message, suback, subscribe},
    running::Running,
};

#[test]
fn all_queues_together_are_bounded_and_each_gives_way_by_its_policy() {
    const SIZE: usize = 10_000;
    // a hundred of them take 1 MiB, including the overhead of a message
    const FIT: u64 = 104;
    for (queue_full, first) in [(QueueFull::DropNewest, 0), (QueueFull::DropOldest, 200 - FIT)] {
        let limits = Limits { max_queued_bytes_total: MemoryBound::Bytes(1 << 20), queue_full, ..Limits::default() };
        let broker = Broker::limits(limits);
        let away: Vec<_> = (0..2).map(|n| format!("away{n}")).collect();
        for id in &away {
            let mut client = broker.begin(id);
            client.subscribe(&[(id, 1), ("both", 1)]);
            client.disconnect();
        }
        let mut publisher = broker.client("publisher");
        // what both wait for counts once: half as much for each would be too much, else
        for n in 0..60 {
            publisher.publish(Message::new("both", &format!("{n:SIZE$}")).qos(1));
        }
        broker.expect_counts(&[(Count::DroppedQueuesFull, 0)]);
        for id in &away {
            let mut client = broker.resume(id);
            (0..60).for_each(|_| _ = client.take());
            client.expect_nothing_pending();
            client.disconnect();
        }
        broker.turn(Duration::from_secs(1));
        broker.turn(Duration::ZERO);
        for n in 0..200 {
            publisher.publish(Message::new(&away[0], &format!("{n:SIZE$}")).qos(1));
        }
        broker.expect_counts(&[(Count::DroppedQueuesFull, 200 - FIT), (Count::DroppedQueueFull, 0)]);
        // the other has nothing to give up
        publisher.publish(Message::new(&away[1], &"x".repeat(SIZE)).qos(1));
        broker.expect_counts(&[(Count::DroppedQueuesFull, 201 - FIT)]);
        let mut client = broker.resume(&away[0]);
        for n in first..first + FIT {
            assert_eq!(client.take().text().trim_start(), n.to_string(), "{queue_full:?}");
        }
        client.expect_nothing_pending();
        // there is room again, which a thread may learn half a second later
        broker.turn(Duration::from_secs(1));
        broker.turn(Duration::ZERO);
        publisher.publish(Message::new(&away[1], "last").qos(1));
        broker.expect_counts(&[(Count::DroppedQueuesFull, 201 - FIT)]);
        broker.resume(&away[1]).expect_message(&away[1], "last", 1);
    }
}

#[test]
fn under_memory_pressure_new_state_is_refused_and_clients_are_served() {
    // the process of this test has more than that
    const TOO_LITTLE: MemoryBound = MemoryBound::Bytes(16 << 20);
    let mut broker = Broker::limits(Limits { max_memory: MemoryBound::Off, ..Limits::default() });
    let mut away = broker.begin("away");
    away.subscribe(&[("queued", 1)]);
    away.disconnect();
    let mut client = broker.client("client");
    let mut live = broker.client("live");
    live.subscribe(&[("live", 1)]);
    client.subscribe(&[("known", 1)]);
    client.publish(Message::new("retained", "old").retain().qos(1));

    broker.reload(|config| config.limits.max_memory = TOO_LITTLE);
    broker.turn(Duration::from_secs(2));
    broker.turn(Duration::ZERO);
    broker.open().expect_closed();
    client.send(&subscribe(7, &[("new", 1), ("known", 1)]));
    client.expect(&suback(7, &[0x80, 1]));
    client.publish(Message::new("queued", "1").qos(1));
    client.publish(Message::new("retained", "new").retain().qos(1));
    client.publish(Message::new("retained/too", "1").retain().qos(1));
    client.publish(Message::new("live", "1").qos(1));
    live.expect_message("live", "1", 1);
    broker.expect_counts(&[(Count::RefusedMemory, 4), (Count::RefusedConnections, 0)]);

    broker.reload(|config| config.limits.max_memory = MemoryBound::Off);
    broker.turn(Duration::from_secs(2));
    broker.turn(Duration::ZERO);
    client.subscribe(&[("new", 1)]);
    client.publish(Message::new("queued", "2").qos(1));
    broker.resume("away").expect_message("queued", "2", 1);
    assert_eq!(broker.retained("retained/#", 1), [("retained".to_owned(), "new".to_owned())]);
    broker.connect(&Connect::new("another"), 0).expect_nothing_pending();
    broker.expect_counts(&[(Count::RefusedMemory, 4)]);
}

/// The value of a topic under `$SYS/broker/`, once the broker has published all of them anew.
fn counted(broker: &Running, name: &str) -> usize {
    let mut watcher = broker.client("watcher");
    watcher.send(&subscribe(1, &[("$SYS/broker/uptime", 0)]));
    watcher.expect(&suback(1, &[0]));
    // the retained one, one that may come from the same time, and one that does not
    (0..3).for_each(|_| _ = watcher.receive());
    watcher.send(&subscribe(2, &[(&format!("$SYS/broker/{name}"), 0)]));
    watcher.expect(&suback(2, &[0]));
    loop {
        let message = watcher.receive();
        if message.topic.ends_with(name) {
            return message.text().parse().expect("a number");
        }
    }
}

#[test]
fn counted_memory_equals_real_memory() {
    const DEEP: usize = 10_000;
    let deep = |n: usize, end: &str| format!("{n}{}{end}", "/a".repeat(DEEP));
    let retain = |client: &mut Client, n: usize, topic: &str| {
        client.publish(Message::new(topic, &format!("{n:16}")).qos(1).retain());
    };
    type Fill<'a> = &'a (dyn Fn(&mut Client, usize) + Sync);
    let cases: [(&str, usize, Fill<'_>); 5] = [
        ("retained messages/memory", 30, &|client, n| retain(client, n, &deep(n, ""))),
        ("retained messages/memory", 20_000, &|client, n| retain(client, n, &format!("house/{n}/state"))),
        ("subscriptions/memory", 30, &|client, n| client.subscribe(&[(&deep(n, "/+"), 0)])),
        ("subscriptions/memory", 20_000, &|client, n| {
            client.subscribe(&[(&format!("house/{n}/a longer name of something"), 0)]);
        }),
        ("store/queues/memory", 20_000, &|client, n| client.publish(Message::new("t", &format!("{n:16}")).qos(1))),
    ];
    let measure = |name: &str, count: usize, fill: Fill<'_>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.env_clear().args(["--listen", "127.0.0.1:0"]).envs([
            ("DUNLIN_LIMITS_MAX_TOPIC_LEVELS", "65535"),
            ("DUNLIN_LIMITS_MAX_SUBSCRIPTIONS", "1000000"),
            ("DUNLIN_LIMITS_MAX_QUEUED_MESSAGES", "1000000"),
            ("DUNLIN_SYS_INTERVAL", "100ms"),
        ]);
        let mut broker = Running::run(&mut command);
        broker.wait_until_ready();
        let mut away = broker.begin("away");
        away.subscribe(&[("t", 1)]);
        away.disconnect();
        let mut client = broker.client("client");
        (0..20).for_each(|n| fill(&mut client, n));
        let (counted_before, before) = (counted(&broker, name), broker.memory());
        (20..20 + count).for_each(|n| fill(&mut client, n));
        let (counted, grown) = (counted(&broker, name) - counted_before, broker.memory().saturating_sub(before));
        // the subscriber's session has its filters by number; a mebibyte is for other memory of the process
        let ratio = grown as f64 / counted as f64;
        assert!((0.67..1.5).contains(&ratio), "{name}, {count} times: {counted} counted, {grown} resident");
        broker.stop();
    };
    std::thread::scope(|scope| {
        for (name, count, fill) in cases {
            scope.spawn(move || measure(name, count, fill));
        }
    });
}

#[test]
fn one_filter_beyond_the_memory_for_them_is_refused() {
    let limits = Limits { max_subscription_bytes: 1 << 20, max_topic_levels: 65_535, ..Limits::default() };
    let broker = Broker::limits(limits);
    let (mut client, mut other) = (broker.client("client"), broker.client("other"));
    let filter = |n: usize| format!("{n}{}/+", "/a".repeat(10_000));
    client.subscribe(&[(&filter(1), 0)]);
    client.send(&subscribe(2, &[(&filter(2), 0)]));
    let answer = client.expect_any().bytes();
    // one of 20 KB takes more than half of a mebibyte
    let beyond = if answer == suback(2, &[0]) { 3 } else { 2 };
    for client in [&mut client, &mut other] {
        client.send(&subscribe(4, &[(&filter(beyond), 0), ("small", 0)]));
        client.expect(&suback(4, &[0x80, 0x80]));
    }
    client.send(&subscribe(5, &[(&filter(1), 1)]));
    client.expect(&suback(5, &[1]));
    client.unsubscribe(&[&filter(1), &filter(2)]);
    other.subscribe(&[("small", 0)]);
    broker.expect_counts(&[(Count::RefusedSubscriptions, if beyond == 2 { 5 } else { 4 })]);
}
