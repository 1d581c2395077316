//! The number of connections, and the time until a CONNECT.

use std::time::Duration;

use dunlin::{config::Limits, router::Count};

use crate::support::{
    Broker,
    raw::{Connect, Message, connack},
};

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let broker = Broker::limits(Limits { max_connections: 2, ..Limits::default() });
    let (mut first, second) = (broker.client("first"), broker.client("second"));
    for _ in 0..3 {
        broker.open().expect_closed();
    }
    broker.expect_counts(&[
        (Count::RefusedConnections, 3),
        (Count::SocketsOpened, 5),
        (Count::Connects, 2),
        (Count::Disconnects, 0),
        (Count::ProtocolErrors, 0),
    ]);
    first.expect_nothing_pending();

    // a place that is given up, or left without a word, is another's
    second.disconnect();
    let third = broker.client("third");
    broker.open().expect_closed();
    third.disconnect();
    broker.open().disconnect();
    let mut fourth = broker.client("fourth");
    fourth.expect_nothing_pending();
    broker.expect_counts(&[(Count::RefusedConnections, 4), (Count::Connects, 4)]);
}

#[test]
fn a_refused_client_frees_its_place() {
    let broker =
        Broker::limits(Limits { max_connections: 2, max_connecting: 1, max_client_id_length: 5, ..Limits::default() });
    for _ in 0..4 {
        broker.refuses(&Connect::new("too-long"), 2);
    }
    broker.client("short").expect_nothing_pending();
    broker.expect_counts(&[
        (Count::RefusedConnections, 0),
        (Count::RefusedConnecting, 0),
        (Count::ClientIdsTooLong, 4),
    ]);
}

#[test]
fn one_attempt_too_many_is_closed_at_once() {
    let broker = Broker::limits(Limits { max_connecting: 1, ..Limits::default() });
    let mut connected = broker.client("connected");
    let mut attempt = broker.open();
    for _ in 0..3 {
        broker.open().expect_closed();
    }
    broker.expect_counts(&[(Count::RefusedConnecting, 3), (Count::RefusedConnections, 0), (Count::SocketsOpened, 5)]);
    connected.expect_nothing_pending();
    // the attempt becomes a client, and makes room for the next
    attempt.send(&Connect::new("attempt").frame());
    attempt.expect(&connack(0, 0));
    broker.client("next").expect_nothing_pending();
    broker.expect_counts(&[(Count::RefusedConnecting, 3), (Count::Connects, 3)]);
}

#[test]
fn an_attempt_that_takes_too_long_is_closed() {
    let limits = Limits { max_connecting: 2, ..Limits::default() };
    let broker = Broker::limits(limits.clone());
    let mut connected = broker.client("connected");
    let (mut silent, mut slow) = (broker.open(), broker.open());
    slow.send(&Connect::new("slow").frame()[..9]);
    broker.wait_for_count(Count::SocketsOpened, 3);
    broker.turn(limits.connect_timeout / 2);
    // the effects of its last turn are complete at its next one
    broker.turn(Duration::ZERO);
    broker.expect_counts(&[(Count::ConnectTimeouts, 0)]);
    broker.turn(limits.connect_timeout);
    silent.expect_closed();
    slow.expect_closed();
    broker.expect_counts(&[(Count::ConnectTimeouts, 2), (Count::RefusedConnecting, 0), (Count::Connects, 1)]);
    connected.expect_nothing_pending();
    // their places are free
    broker.client("next").expect_nothing_pending();
}

#[test]
fn memory_before_connect_is_bounded_and_the_largest_holders_are_closed() {
    const PART: usize = 60_000;
    let broker = Broker::limits(Limits { max_connecting_bytes: 1 << 20, ..Limits::default() });
    let mut connected = broker.client("connected");
    let mut modest = broker.open();
    let mut greedy: Vec<_> = (0..30).map(|_| broker.open()).collect();
    broker.wait_for_count(Count::SocketsOpened, 32);
    let connect = Connect::new("greedy").will(&Message::new("t", &"x".repeat(65_000))).frame();
    greedy.iter_mut().for_each(|client| client.send(&connect[..PART]));
    // 17 times what one of them holds is a little less than the limit
    broker.wait_for_count(Count::RefusedConnectingBytes, 13);
    // one that comes now waits, at most until one of the others is three seconds old
    let mut new = broker.open();
    broker.wait_for_count(Count::RefusedConnectingBytes, 14);
    new.send(&Connect::new("new").frame());
    broker.turn_until(Duration::from_millis(500), || broker.count(Count::Connects) == 2);
    new.expect(&connack(0, 0));
    // those that held little lost nothing
    modest.send(&Connect::new("modest").frame());
    modest.expect(&connack(0, 0));
    connected.expect_nothing_pending();
    // an ended connection released its memory
    drop(greedy);
    broker.client("last").expect_nothing_pending();
    broker.expect_counts(&[(Count::ConnectTimeouts, 0), (Count::Connects, 4)]);
}

#[test]
fn a_long_client_identifier_is_refused() {
    let broker = Broker::limits(Limits { max_client_id_length: 5, ..Limits::default() });
    let mut other = broker.client("12345");
    broker.refuses(&Connect::new("123456"), 2);
    broker.refuses(&Connect::new("123456").persistent(), 2);
    // bytes, not characters
    broker.refuses(&Connect::new("äää"), 2);
    // one that the server makes is not the client's
    broker.client("").expect_nothing_pending();
    other.expect_nothing_pending();
    broker.expect_counts(&[(Count::ClientIdsTooLong, 3), (Count::Connects, 2), (Count::MessagesSent, 7)]);
}
