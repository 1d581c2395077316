//! Listeners: Unix sockets, more than one of them, and those that open and close while the broker runs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    time::Instant,
};

use dunlin::{
    Config, ServerError,
    config::ListenerConfig,
    server::{Builder, Listening},
    types::{Endpoint, Transport},
};

use crate::support::{
    Broker, GUARD, config,
    raw::{Connect, connack},
    run,
    secure::{connect, expect, ping, tcp},
    shut_down,
};

fn unix(path: &std::path::Path) -> ListenerConfig {
    ListenerConfig::new(Endpoint::Unix(path.into()), Transport::Unix)
}

fn loopback() -> ListenerConfig {
    ListenerConfig::tcp(([127, 0, 0, 1], 0).into())
}

#[test]
fn a_unix_socket_serves_clients_and_is_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mqtt.sock");
    // left by a broker that was killed
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = ListenerConfig { mode: 0o600, ..unix(&path) };
    let broker = Broker::new(Config { listeners: vec![listener.clone(), loopback()], ..config() });
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = UnixStream::connect(&path).unwrap();
    connect(&mut client, "c");
    ping(&mut client);
    connect(&mut tcp(broker.address()), "t");
    // another broker does not take it away
    let second = run(Builder::new(Config { listeners: vec![listener], ..config() }).start());
    let Err(error @ ServerError::Listen(_)) = second else { panic!("both listen on {}", path.display()) };
    assert!(error.to_string().contains("another program, perhaps another broker, listens there"), "{error}");
    ping(&mut client);
    shut_down(broker.server);
    assert!(!path.exists());
}

#[test]
fn a_regular_file_in_place_of_a_socket_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    std::fs::write(&path, "text").unwrap();
    for path in [path.clone(), dir.path().join("none/mqtt.sock")] {
        let started = run(Builder::new(Config { listeners: vec![unix(&path)], ..config() }).start());
        assert!(started.is_err());
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
}

/// Addresses for documentation (RFC 5737, RFC 3849), which no machine has.
#[test]
fn an_address_that_the_machine_lacks_is_listened_on_with_freebind_alone() {
    let mut lacking = vec!["192.0.2.1:0"];
    // a kernel may be without IPv6
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        lacking.push("[2001:db8::1]:0");
    }
    let broker = Broker::new(Config { listeners: vec![loopback()], ..config() });
    for address in lacking.into_iter().map(|address| address.parse::<SocketAddr>().unwrap()) {
        let listener = ListenerConfig::tcp(address);
        let refused = broker.server.open_listener(&listener).unwrap_err().to_string();
        assert!(
            refused.contains("this machine does not have that address") && refused.contains("freebind = true"),
            "{refused}"
        );
        let opened = broker.server.open_listener(&ListenerConfig { freebind: true, ..listener }).unwrap();
        let endpoint = opened.endpoint.socket_addr().unwrap();
        assert_eq!(endpoint.ip(), address.ip());
        assert_ne!(endpoint.port(), 0);
    }
    // nothing of it keeps other listeners from serving
    connect(&mut tcp(broker.address()), "c");
}

#[test]
fn listeners_open_and_close_and_clients_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mqtt.sock");
    let broker = Broker::new(Config { listeners: vec![loopback()], ..config() });
    let mut first = tcp(broker.address());
    connect(&mut first, "first");

    // an address that no other test uses, so that it stays free
    let second = broker.server.open_listener(&ListenerConfig::tcp("127.0.0.3:0".parse().unwrap())).unwrap();
    let third = broker.server.open_listener(&unix(&path)).unwrap();
    let numbers: Vec<_> = broker.server.listeners().iter().map(|l: &Listening| l.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let address = second.endpoint.socket_addr().unwrap();
    let mut by_second = tcp(address);
    connect(&mut by_second, "second");
    let mut by_third = UnixStream::connect(&path).unwrap();
    connect(&mut by_third, "third");

    for number in [second.number, third.number] {
        assert!(run(broker.server.close_listener(number)));
        assert!(!run(broker.server.close_listener(number)), "it is closed");
    }
    assert!(!path.exists());
    // a process that another test is starting has the socket until it has become another program
    let begin = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begin.elapsed() < GUARD, "the listener is open");
    }
    ping(&mut by_second);
    ping(&mut by_third);
    ping(&mut first);
    // the address is free at once
    let again = ListenerConfig::tcp(address);
    assert_eq!(broker.server.open_listener(&again).unwrap().number, 3);
    connect(&mut tcp(address), "again");
    assert!(broker.server.open_listener(&again).is_err());
}

#[test]
fn each_listener_has_its_own_allow_anonymous() {
    let with = |allow_anonymous| ListenerConfig { allow_anonymous, ..loopback() };
    let broker = Broker::new(Config {
        listeners: vec![with(None), with(Some(true)), with(Some(false))],
        allow_anonymous: Some(false),
        ..config()
    });
    let added = broker.server.open_listener(&with(Some(true))).unwrap().endpoint.socket_addr().unwrap();
    let addresses: Vec<_> = broker.server.local_addrs().iter().copied().chain([added]).collect();
    for (address, code) in addresses.into_iter().zip([5, 0, 5, 0]) {
        let mut socket = tcp(address);
        socket.write_all(&Connect::new("c").frame()).unwrap();
        expect(&mut socket, &connack(0, code));
        if code != 0 {
            assert_eq!(socket.read(&mut [0]).unwrap(), 0);
        }
    }
}
