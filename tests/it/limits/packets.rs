//! The size of a packet, the length and levels of a topic, and malformed packets.

use dunlin::{config::Limits, router::Count};

use crate::support::{
    Broker,
    five::{self, Five, Publish},
    raw::{Connect, Message, frame, suback, subscribe, text},
};

#[test]
fn a_packet_that_is_too_large_is_refused_by_its_header() {
    let broker = Broker::limits(Limits { max_packet_size: 200, ..Limits::default() });
    let mut other = broker.client("other");
    // fixed header of three bytes, topic with its length, Packet Identifier
    let largest = "x".repeat(200 - 3 - 3 - 2);
    other.publish(Message::new("t", &largest).qos(1));
    let beyond = Message::new("t", &format!("{largest}x")).qos(1).id(1).frame();
    let headers = [&beyond[..], &beyond[..3], &[0x30, 0xFF, 0xFF, 0xFF, 0x7F], &[0x82, 0xFF, 0x7F]];
    for bytes in headers {
        let mut client = broker.client("large");
        client.send(bytes);
        client.expect_closed();
    }
    // before CONNECT as after it
    let mut client = broker.open();
    client.send(&[0x10, 0xFF, 0x7F]);
    client.expect_closed();
    broker.expect_counts(&[
        (Count::PacketsTooLarge, 5),
        (Count::ProtocolErrors, 0),
        (Count::PublishReceived, 1),
        (Count::Disconnects, 4),
    ]);
    other.expect_nothing_pending();
}

#[test]
fn a_connect_has_a_smaller_limit_than_other_packets() {
    let limits = Limits { max_connect_size: 200, max_packet_size: 1000, ..Limits::default() };
    let mut broker = Broker::limits(limits);
    // fixed header of three bytes, ten of variable header, the Client Identifier's length
    let longest = "x".repeat(200 - 3 - 10 - 2);
    let mut client = broker.client(&longest);
    client.publish(Message::new("t", &"x".repeat(900)).qos(1));
    let beyond = Connect::new(&format!("{longest}x")).frame();
    for bytes in [&beyond[..], &beyond[..3]] {
        let mut client = broker.open();
        client.send(bytes);
        client.expect_closed();
    }
    broker.expect_counts(&[(Count::PacketsTooLarge, 2), (Count::Connects, 1), (Count::PublishReceived, 1)]);
    // it cannot be more than any packet may have
    broker.reload(|config| config.limits.max_packet_size = 150);
    let mut other = broker.open();
    other.send(&Connect::new(&longest).frame());
    other.expect_closed();
    broker.expect_counts(&[(Count::PacketsTooLarge, 3)]);
    client.expect_nothing_pending();
}

#[test]
fn a_topic_that_is_too_large_closes_its_publisher_and_fails_its_subscriber() {
    let broker = Broker::limits(Limits { max_topic_length: 10, max_topic_levels: 3, ..Limits::default() });
    let mut other = broker.client("other");
    for (n, topic) in ["12345678901", "1/2/3/4", "///"].into_iter().enumerate() {
        let mut client = broker.client("publisher");
        client.send(&Message::new(topic, "").qos(1).id(1).frame());
        client.expect_closed();

        // the Will is such a topic too
        let mut client = broker.open();
        client.send(&Connect::new("will").will(&Message::new(topic, "")).frame());
        client.expect_closed();

        let mut client = broker.client("subscriber");
        client.send(&subscribe(1, &[("1", 1), (topic, 2), ("1/2/3", 0)]));
        client.expect(&suback(1, &[1, 0x80, 0]));
        other.publish(Message::new("1/2/3", "fits").qos(1));
        client.expect_message("1/2/3", "fits", 0);
        client.disconnect();
        broker.expect_counts(&[(Count::TopicsTooLarge, 3 * (n as u64 + 1)), (Count::ProtocolErrors, 0)]);
    }
}

/// What mosquitto's users have: 200 slashes, and the packets of mosquitto 2.1.
#[test]
fn by_default_topics_have_201_levels_and_packets_two_million_bytes() {
    let broker = Broker::limits(Limits::default());
    let mut subscriber = broker.client("subscriber");
    let deepest = format!("deep{}", "/x".repeat(200));
    let beyond = format!("{deepest}/");
    subscriber.subscribe(&[(&deepest, 1), ("large", 1)]);
    let mut publisher = broker.client("publisher");
    publisher.publish(Message::new(&deepest, "").qos(1));
    subscriber.expect_message(&deepest, "", 1);
    // fixed header, topic with its length, Packet Identifier
    const HEAD: usize = 4 + 7 + 2;
    let large = "x".repeat(2_000_000 - HEAD);
    let message = Message::new("large", &large).qos(1).id(1);
    assert_eq!(message.frame().len(), 2_000_000);
    publisher.publish(message);
    subscriber.expect_message("large", &large, 1);
    for message in [Message::new(&beyond, ""), Message::new("large", &format!("{large}x"))] {
        let mut client = broker.client("beyond");
        client.send(&message.qos(1).id(1).frame());
        client.expect_closed();
    }
    broker.expect_counts(&[(Count::TopicsTooLarge, 1), (Count::PacketsTooLarge, 1), (Count::PublishReceived, 2)]);
}

#[test]
fn a_device_that_is_off_for_days_finds_its_session_by_default() {
    let fortnight = std::time::Duration::from_secs(14 * 24 * 60 * 60);
    assert_eq!(Limits::default().session_expiry, Some(fortnight));
}

#[test]
fn bad_bytes_close_one_connection() {
    let broker = Broker::limits(Limits::default());
    let mut other = broker.client("other");
    let bad = [
        vec![0xF0, 0],
        frame(0x36, &text("t")),
        frame(0x30, &text("#")),
        Connect::new("again").frame(),
        vec![0x30, 0x80, 0x80, 0x80, 0x80],
        vec![0xD0, 0],
    ];
    for bytes in &bad {
        let mut client = broker.client("bad");
        client.send(bytes);
        client.expect_closed();
    }
    let mut client = broker.open();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    client.expect_closed();
    broker.expect_counts(&[(Count::ProtocolErrors, bad.len() as u64 + 1), (Count::Disconnects, bad.len() as u64)]);
    other.expect_nothing_pending();
}

#[test]
fn a_message_that_is_too_large_is_acknowledged_and_dropped() {
    let broker = Broker::limits(Limits { max_message_size: Some(10), ..Limits::default() });
    let mut reader = broker.client("reader");
    reader.subscribe(&[("a", 2)]);
    let mut client = broker.client("c");
    for qos in 0..3 {
        client.publish(Message::new("a", "eleven char").qos(qos));
        client.publish(Message::new("a", "ten charac").qos(qos).retain());
        reader.expect_message("a", "ten charac", qos);
    }
    let mut five = Five::accepted(broker.address(), &five::Connect::new("five"), 0);
    for qos in 1..3 {
        assert_eq!(five.publish(&Publish::new("a", "eleven char").qos(qos)), 0x97);
    }
    five.expect_nothing_pending();
    reader.expect_nothing_pending();
    broker.expect_counts(&[(Count::DroppedTooLarge, 5)]);
}
