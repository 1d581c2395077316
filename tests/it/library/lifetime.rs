//! Starting a broker, its address, its end.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use dunlin::{
    Builder, Config, Server, ServerError, TestClock,
    config::{Limits, ListenerConfig},
    router::Count,
    server::ListenError,
};

use crate::support::{
    Broker, config, expect_exactly, publish_all,
    raw::{Client, Connect, Message},
    run,
    running::accepted,
    shut_down, start,
};

/// No server listens there, so that another one can.
#[track_caller]
fn assert_free(address: SocketAddr) {
    let refused = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    TcpListener::bind(address).expect("the port is free");
}

#[test]
fn a_session_expires_by_the_clock_while_no_broker_runs() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let (dir, clock) = (tempfile::tempdir().unwrap(), TestClock::new());
    let limits = Limits { session_expiry: Some(HOUR), ..Limits::default() };
    let config = Config { data_dir: Some(dir.path().into()), limits, ..config() };
    for (away, session_present) in [(0, 0), (50, 1), (50, 1), (61, 0)] {
        clock.turn(away * HOUR / 60);
        let server = start(Builder::new(config.clone()).clock(clock.clock()));
        let connect = Connect::new("client").persistent();
        Client::accepted(server.local_addrs()[0], &connect, session_present).disconnect();
        shut_down(server);
    }
}

#[tokio::test]
async fn the_library_example_starts_a_broker_in_two_lines() {
    let server = Server::start(Config::ephemeral()).await.expect("a broker");
    let address = server.local_addrs()[0];

    assert!(address.ip().is_loopback() && address.port() != 0 && server.local_addrs().len() == 1);
    // it has threads of its own: a test may block
    let mut client = accepted(address, "client");
    client.expect_nothing_pending();

    server.shutdown().await.expect("the store closes");
    client.expect_closed();
    assert_free(address);
}

#[tokio::test]
async fn a_dropped_broker_closes_its_listeners() {
    let server = Server::start(Config::ephemeral()).await.expect("a broker");
    let address = server.local_addrs()[0];
    let (mut client, mut attempt) = (accepted(address, "client"), Client::open(address));
    drop(server);
    client.expect_closed();
    attempt.expect_closed();
    assert_free(address);
    // the same address serves again, and knows nothing of before
    let listeners = vec![ListenerConfig::tcp(address)];
    let server = Server::start(Config { listeners, ..config() }).await.expect("a broker in its place");
    assert_eq!(server.local_addrs(), [address]);
    accepted(address, "client").expect_nothing_pending();
    assert_eq!(server.counters().get(Count::Connects), 1);
}

#[test]
fn two_brokers_in_one_process_are_independent() {
    let one = Broker::limits(Limits { max_connections: 1, ..Limits::default() });
    let two = Broker::limits(Limits::default());
    assert_ne!(one.address(), two.address());
    let (mut in_one, mut in_two) = (one.client("same"), two.client("same"));
    in_one.subscribe(&[("t", 1)]);
    in_two.subscribe(&[("t", 1)]);
    let mut publisher = two.client("publisher");
    publisher.publish(Message::new("t", "two").qos(1).retain());
    in_two.expect_message("t", "two", 1);
    in_one.expect_nothing_pending();
    one.open().expect_closed();
    one.expect_counts(&[(Count::Connects, 1), (Count::PublishReceived, 0), (Count::RefusedConnections, 1)]);
    two.expect_counts(&[(Count::Connects, 2), (Count::PublishReceived, 1), (Count::RefusedConnections, 0)]);
    drop(one);
    in_one.expect_closed();
    publish_all(&mut publisher, "t", &["still there"]);
    expect_exactly(&mut in_two, &["still there"]);
}

#[test]
fn a_shutdown_sends_messages_in_flight() {
    let broker = Broker::new(config());
    let (mut subscriber, mut publisher) = (broker.client("sub"), broker.client("pub"));
    subscriber.subscribe(&[("t", 0)]);
    // together more than a socket takes at once
    let payloads: Vec<_> = (0..100).map(|n| format!("{n:060000}")).collect();
    for payload in &payloads {
        publisher.publish(Message::new("t", payload).qos(1));
    }
    let reader = std::thread::spawn(move || {
        payloads.iter().for_each(|payload| assert!(subscriber.receive().text() == payload));
        subscriber.expect_closed();
    });
    shut_down(broker.server);
    reader.join().expect("everything was written");
}

#[test]
fn a_shutdown_ends_although_a_client_does_not_read() {
    let broker = Broker::new(Config { shutdown_grace: Duration::from_millis(100), ..config() });
    let (mut subscriber, mut publisher) = (broker.client("sub"), broker.client("pub"));
    subscriber.subscribe(&[("t", 0)]);
    let payload = "x".repeat(60_000);
    while broker.server.counters().get(Count::DroppedOutboundFull) == 0 {
        publisher.publish(Message::new("t", &payload).qos(1));
    }
    shut_down(broker.server);
    publisher.expect_closed();
}

#[test]
fn a_failed_start_returns_the_reason() {
    let start = |config| run(Server::start(config)).map(drop);
    let none = start(Config { listeners: Vec::new(), ..config() });
    assert!(matches!(none, Err(ServerError::NoListener)));

    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("its address");
    // the first listener is given up with the second
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port");
    let listeners = [free, address].map(ListenerConfig::tcp).to_vec();
    let error = start(Config { listeners, ..config() }).expect_err("the port is taken");
    assert!(
        matches!(&error, ServerError::Listen(ListenError::Bind { address: a, .. }) if *a == address.into()),
        "{error:?}"
    );
    assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");
    assert_free(free);
}
