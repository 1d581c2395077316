//! Queued messages are sent without a packet from the client, even if they do not fit into one write.

use dunlin::config::Limits;

use crate::support::{
    Broker,
    raw::{Connect, Message, suback, subscribe},
};

/// More than the 64 KiB that a session turns into bytes at once.
const COUNT: usize = 200;
const SIZE: usize = 1_000;

#[test]
fn all_retained_messages_of_qos_0_arrive() {
    let broker = Broker::limits(Limits::default());
    let mut publisher = broker.connect(&Connect::new("publisher"), 0);
    for n in 0..COUNT {
        publisher.send(&Message::new(&format!("t/{n}"), &"x".repeat(SIZE)).retain().frame());
    }
    publisher.expect_nothing_pending();
    let mut subscriber = broker.connect(&Connect::new("subscriber"), 0);
    subscriber.send(&subscribe(1, &[("t/#", 0)]));
    subscriber.expect(&suback(1, &[0]));
    for _ in 0..COUNT {
        assert_eq!(subscriber.receive().payload.len(), SIZE);
    }
}

#[test]
fn all_queued_messages_of_qos_0_arrive_before_newer_ones() {
    let broker = Broker::limits(Limits { queue_qos0: true, ..Limits::default() });
    let mut subscriber = broker.connect(&Connect::new("subscriber").persistent(), 0);
    subscriber.subscribe(&[("t", 0)]);
    subscriber.disconnect();
    let mut publisher = broker.connect(&Connect::new("publisher"), 0);
    let mut publish = |n: usize| publisher.publish(Message::new("t", &format!("{n:SIZE$}")));
    (0..COUNT).for_each(&mut publish);
    let mut subscriber = broker.connect(&Connect::new("subscriber").persistent(), 1);
    (COUNT..COUNT + 10).for_each(&mut publish);
    for n in 0..COUNT + 10 {
        assert_eq!(subscriber.receive().text().trim_start(), n.to_string());
    }
}
