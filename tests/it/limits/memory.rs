//! Bounds over all clients together: what all queues hold, and what memory the process has.

use std::time::Duration;

use dunlin::{
    config::{Limits, MemoryBound, QueueFull},
    router::Count,
};

use crate::support::{
    Broker,
    raw::{Connect, Message, suback, subscribe},
};

#[test]
fn all_queues_together_are_bounded_and_each_gives_way_by_its_policy() {
    const SIZE: usize = 10_000;
    // a hundred of them take 1 MiB, with what a message costs beside its bytes
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
fn when_memory_is_short_what_is_new_is_refused_and_what_is_there_goes_on() {
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
