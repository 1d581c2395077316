//! WebSocket behind a proxy that speaks HTTP: which clients are local, and which address they have.

use std::{io::Write, net::SocketAddr};

use dunlin::{Config, config::ListenerConfig};

use super::{
    proxy::{behind, start},
    websocket::{BINARY, MQTT, REQUEST, frame, listener, read_head},
};
use crate::support::{
    Broker, config,
    raw::{Connect, connack},
    secure::{expect, tcp},
};

/// Connects by a request that has these headers too; `Host` replaces its own.
#[track_caller]
fn connect(address: SocketAddr, before: &str, headers: &str, code: u8) -> SocketAddr {
    let request = if headers.contains("Host:") { REQUEST.replace("Host: localhost\r\n", "") } else { REQUEST.into() };
    let mut socket = tcp(address);
    let connect = frame(BINARY, &Connect::new("c").frame());
    socket.write_all(&[format!("{before}{request}{headers}{MQTT}").as_bytes(), &connect].concat()).unwrap();
    read_head(&mut socket);
    expect(&mut socket, &[&[BINARY, 4][..], &connack(0, code)].concat());
    socket.local_addr().unwrap()
}

fn trusting(trusted: &[&str]) -> ListenerConfig {
    ListenerConfig { trusted_proxies: trusted.iter().map(|net| net.parse().unwrap()).collect(), ..listener() }
}

#[test]
fn clients_behind_a_proxy_or_on_foreign_pages_are_not_local() {
    let broker = Broker::new(Config { listeners: vec![listener(), trusting(&["192.0.2.0/24"])], ..config() });
    const SERVED: u8 = 0;
    const REFUSED: u8 = 5;
    let table = [
        ("", SERVED),
        ("Host: 127.0.0.1:8083\r\nOrigin: http://app.localhost:3000\r\n", SERVED),
        ("Host: [::1]:8083\r\nOrigin: https://[::ffff:127.0.0.1]\r\n", SERVED),
        // what paho-mqtt sends
        ("Host: localhost:8083\r\nOrigin: https://localhost:8083\r\n", SERVED),
        ("X-Forwarded-For: 203.0.113.7\r\n", REFUSED),
        ("X-Forwarded-For: 127.0.0.1\r\n", REFUSED),
        ("Forwarded: for=127.0.0.1\r\n", REFUSED),
        ("X-Real-IP: 203.0.113.7\r\n", REFUSED),
        ("Via: 1.1 proxy\r\n", REFUSED),
        ("Host: mqtt.example.org\r\n", REFUSED),
        ("Host: 192.168.1.2:8083\r\n", REFUSED),
        ("Origin: https://evil.example\r\n", REFUSED),
        ("Origin: null\r\n", REFUSED),
    ];
    for (headers, code) in table {
        for address in broker.server.local_addrs() {
            connect(*address, "", headers, code);
        }
    }
    // in so many words
    let open = Broker::new(Config { allow_anonymous: Some(true), listeners: vec![listener()], ..config() });
    connect(open.address(), "", "X-Forwarded-For: 203.0.113.7\r\n", SERVED);
}

#[test]
fn a_trusted_proxy_sets_the_address_of_its_client() {
    let (broker, peers) = start(vec![trusting(&["127.0.0.0/8", "10.0.0.0/8"]), trusting(&["10.0.0.0/8"])]);
    let [trusted, other] = broker.server.local_addrs() else { panic!("two listeners") };
    // the address, with the port of the proxy's connection unless the header has one
    let table = [
        ("X-Forwarded-For: 203.0.113.7\r\n", Some("203.0.113.7"), None),
        ("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.2\r\n", Some("203.0.113.7"), None),
        ("Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:4711\", for=10.0.0.2\r\n", Some("2001:db8::7"), Some(4711)),
        ("X-Forwarded-For: unknown\r\n", None, None),
        ("X-Real-IP: 203.0.113.7\r\n", None, None),
        // it may be anybody's connection all the same
        ("", None, None),
    ];
    for (headers, ip, port) in table {
        for (at, address) in [trusted, other].into_iter().enumerate() {
            let own = connect(*address, "", headers, 0);
            let peer = peers.0.lock().pop().unwrap();
            let believed = at == 0;
            let expected = match ip {
                Some(ip) if believed => SocketAddr::new(ip.parse().unwrap(), port.unwrap_or(own.port())),
                _ => own,
            };
            assert_eq!(peer.address, expected.into(), "{headers}");
            assert_eq!(peer.loopback_listener, !believed && headers.is_empty(), "{headers}");
        }
    }
}

#[test]
fn a_proxy_header_overrides_those_of_http() {
    let (broker, peers) = start(vec![behind(listener(), "127.0.0.0/8")]);
    let header = "PROXY TCP4 203.0.113.7 192.0.2.1 1000 8083\r\n";
    connect(broker.address(), header, "X-Forwarded-For: 6.6.6.6\r\n", 0);
    // a health check's own connection is local, a request that came through one more proxy is not
    let own = "\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    connect(broker.address(), own, "", 0);
    connect(broker.address(), own, "Via: 1.1 proxy\r\n", 0);
    let peers: Vec<_> = peers.0.lock().iter().map(|peer| (peer.address.to_string(), peer.loopback_listener)).collect();
    assert_eq!(peers[0], ("203.0.113.7:1000".into(), false));
    assert_eq!([peers[1].1, peers[2].1], [true, false]);
}
