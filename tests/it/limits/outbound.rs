//! A slow reader: the messages that are dropped for it, the messages that are queued, and its disconnect.

use std::io::Write;

use dunlin::{Config, config::Limits, router::Count};

use crate::support::{
    Broker, config,
    raw::{Client, Connect, Message, connack, narrow, subscribe},
    running::Running,
};

/// Publishes numbered messages that the subscriber does not read, until one is dropped: how many there were.
#[track_caller]
fn fill(broker: &Broker, publisher: &mut Client, topic: &str) -> u64 {
    // more than sockets buffer, in all; and not so many that a loss is likely to be mistaken for order
    for number in 1..5000 {
        publisher.publish(numbered(topic, number));
        if broker.server.counters().get(Count::DroppedOutboundFull) > 0 {
            return number;
        }
    }
    panic!("a client that reads nothing gets everything");
}

fn numbered(topic: &str, number: u64) -> Message {
    Message::new(topic, &format!("{number:060000}")).qos(1)
}

#[test]
fn qos_0_beyond_the_output_limit_is_dropped_and_the_rest_arrives() {
    let broker = Broker::limits(Limits { max_outbound_bytes: 300_000, ..Limits::default() });
    let (mut slow, mut fast, mut publisher) = (broker.client("slow"), broker.client("fast"), broker.client("pub"));
    slow.subscribe(&[("flood", 0), ("kept", 1)]);
    fast.subscribe(&[("kept", 1)]);
    let sent = fill(&broker, &mut publisher, "flood");
    broker.expect_counts(&[(Count::DroppedOutboundFull, 1), (Count::PublishDropped, 1)]);
    // QoS 1 of the same size waits in the queue, for others not at all
    let last = numbered("kept", sent);
    publisher.publish(last.clone());
    assert!(fast.take().payload == last.payload);
    broker.expect_counts(&[(Count::DroppedOutboundFull, 1), (Count::DroppedQueueFull, 0)]);

    // the client reads again, without sending a packet
    for number in 1..sent {
        let message = slow.receive();
        assert!(message.payload == numbered("flood", number).payload, "{number} is not next");
    }
    assert!(slow.take().payload == last.payload);
    slow.expect_nothing_pending();
    publisher.publish(Message::new("flood", "again"));
    slow.expect_message("flood", "again", 0);
    broker.expect_counts(&[(Count::DroppedOutboundFull, 1)]);
}

#[test]
fn the_output_of_a_client_that_read_everything_counts_as_empty() {
    // one thread: bytes that a client has read count as written
    let limits = Limits { max_outbound_bytes: 100, ..Limits::default() };
    let broker = Broker::new(Config { limits, workers: Some(1), ..config() });
    let (mut subscriber, mut publisher) = (broker.client("sub"), broker.client("pub"));
    subscriber.subscribe(&[("t", 2)]);
    // one that is larger than the limit is sent where nothing else waits
    for (n, qos) in [0, 1, 0, 2, 0, 0].into_iter().enumerate() {
        let payload = format!("{n:0150}");
        publisher.publish(Message::new("t", &payload).qos(qos));
        let message = subscriber.take();
        assert_eq!(message.text(), payload);
    }
    broker.expect_counts(&[(Count::DroppedOutboundFull, 0)]);
}

#[test]
fn a_queue_is_written_completely() {
    let broker = Broker::limits(Limits::default());
    let mut publisher = broker.client("pub");
    // more than is turned into bytes at once, and nothing of it is acknowledged
    const COUNT: usize = 300;
    for n in 0..COUNT {
        publisher.publish(Message::new(&format!("t/{n}"), &"x".repeat(1000)).qos(1).retain());
    }
    let mut subscriber = broker.client("sub");
    subscriber.send(&subscribe(1, &[("t/#", 0)]));
    let messages = (0..=COUNT).filter(|_| subscriber.expect_any().message().is_some()).count();
    assert_eq!(messages, COUNT);
}

#[test]
fn a_client_that_reads_nothing_is_disconnected() {
    let limits = Limits { max_outbound_bytes: 300_000, ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits.clone());
    let (mut slow, mut idle, mut publisher) = (broker.client("slow"), broker.client("idle"), broker.client("pub"));
    slow.subscribe(&[("flood", 0)]);
    idle.subscribe(&[("nothing", 0)]);
    fill(&broker, &mut publisher, "flood");
    assert_eq!(recorder.lines("disconnect slow"), [""; 0]);
    broker.turn_until(limits.write_timeout, || !recorder.lines("disconnect slow").is_empty());
    recorder.wait_for("disconnect slow WriteTimeout");
    broker.expect_counts(&[(Count::WriteTimeouts, 1), (Count::Disconnects, 1)]);
    // a client without pending output reads nothing either
    idle.expect_nothing_pending();
}

#[test]
fn a_client_that_does_not_read_its_answers_is_not_read_from() {
    let limits = Limits { max_outbound_bytes: 10_000, ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits.clone());
    let mut deaf = Client::on(narrow(broker.address()));
    deaf.send(&Connect::new("deaf").frame());
    deaf.expect(&connack(0, 0));
    let mut other = broker.client("other");
    let pings = crate::support::raw::PINGREQ.repeat(32 << 10);
    // its own sends block in the end, or it is closed: both end this
    let sender = std::thread::spawn(move || while deaf.try_send(&pings) {});
    broker.turn_until(limits.write_timeout, || !recorder.lines("disconnect deaf").is_empty());
    recorder.wait_for("disconnect deaf WriteTimeout");
    sender.join().expect("its sends have failed");
    other.expect_nothing_pending();
    broker.expect_counts(&[(Count::WriteTimeouts, 1)]);
}

#[test]
fn resent_messages_take_no_memory_for_a_client_that_does_not_read() {
    const COUNT: u16 = 4000;
    const SIZE: usize = 7_900;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let limits = "max_inflight_out = 5000\nmax_outbound_bytes = \"1 MiB\"\nmax_queued_messages = 5000";
    write!(file, "[limits]\n{limits}\n").unwrap();
    let broker = Running::start(&["--config", file.path().to_str().unwrap()]);
    let payload = |n: u16| format!("{n:0SIZE$}");
    let (mut publisher, address) = (broker.client("pub"), broker.addresses[0]);
    let mut subscriber = Client::open(address);
    subscriber.send(&Connect::new("sub").persistent().frame());
    subscriber.expect(&connack(0, 0));
    subscriber.subscribe(&[("t", 1)]);
    // the window opens to a client that acknowledges; then it acknowledges nothing
    for n in 1..=20 {
        publisher.publish(Message::new("t", &n.to_string()).qos(1));
        assert_eq!(subscriber.take().id, n);
    }
    for n in 21..=COUNT {
        publisher.publish(Message::new("t", &payload(n)).qos(1));
        assert_eq!(subscriber.receive().id, n);
    }
    subscriber.abort();

    let before = broker.memory();
    let mut subscriber = Client::open(address);
    subscriber.send(&Connect::new("sub").persistent().frame());
    subscriber.expect(&connack(1, 0));
    // the broker has begun to send it all again; it answers others meanwhile
    publisher.publish(Message::new("t", "new").qos(1));
    let grown = broker.memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more are held for {} bytes in flight", usize::from(COUNT) * SIZE);
    for n in 21..=COUNT {
        // the first acknowledgements open the window for new messages
        let message = if n <= 40 { subscriber.take() } else { subscriber.receive() };
        let expected = Message::new("t", &payload(n)).qos(1).id(n).dup();
        assert!(message == expected, "{n} is sent again, and not {} (DUP {})", message.id, message.dup);
    }
    assert_eq!(subscriber.receive().text(), "new");
}
