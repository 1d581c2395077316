//! The PROXY protocol: the client's address, and trusted proxies.

use std::{io::Write, net::SocketAddr, sync::Arc};

use dunlin::{
    Config,
    config::{CertificateIdentity, ClientCertificates, ListenerConfig},
    router::{Authenticate, Credentials, Identity, Peer, Verdict},
    types::{Endpoint, Transport},
};
use parking_lot::Mutex;

use super::{tls::Names, websocket};
use crate::support::{
    Broker, config,
    raw::{Connect, connack},
    secure::{Certs, connect, expect, rest, secure, tcp},
};

pub fn behind(listener: ListenerConfig, trusted: &str) -> ListenerConfig {
    ListenerConfig { proxy_protocol: true, trusted_proxies: vec![trusted.parse().unwrap()], ..listener }
}

fn listener(trusted: &str) -> ListenerConfig {
    behind(ListenerConfig::new(Endpoint::Ip(([127, 0, 0, 1], 0).into()), Transport::Tcp), trusted)
}

/// Lets everybody in, and remembers from where.
#[derive(Default)]
pub struct Peers(pub Mutex<Vec<Peer>>);

impl Authenticate for Peers {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        self.0.lock().push(credentials.peer);
        Ok(Identity::default()).into()
    }
}

pub fn start(listeners: Vec<ListenerConfig>) -> (Broker, Arc<Peers>) {
    let peers = Arc::<Peers>::default();
    let plug = peers.clone();
    (Broker::build(Config { listeners, ..config() }, |builder| builder.authenticate(plug)), peers)
}

#[test]
fn a_client_has_the_address_of_the_proxy_header() {
    let (broker, peers) = start(vec![listener("127.0.0.0/8")]);
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x01\x02\x03\x0a\0\0\x01\x11\x5c\x07\x5b";
    let v6 = b"PROXY TCP6 2001:db8::7 ::1 12345 1883\r\n";
    let unknown = b"PROXY UNKNOWN\r\n";
    let nameless = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    for header in [&v2[..], v6, unknown, nameless, local] {
        // at once with the CONNECT, and byte by byte before it
        let mut socket = tcp(broker.address());
        socket.write_all(&[header, &Connect::new("c").frame()].concat()).unwrap();
        expect(&mut socket, &connack(0, 0));
        let mut socket = tcp(broker.address());
        socket.set_nodelay(true).unwrap();
        header.iter().for_each(|byte| socket.write_all(&[*byte]).unwrap());
        connect(&mut socket, "c");
    }
    let peers = peers.0.lock();
    let expected = ["10.1.2.3:4444", "10.1.2.3:4444", "[2001:db8::7]:12345", "[2001:db8::7]:12345"];
    assert_eq!(peers[..4].iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    assert!(peers[..4].iter().all(|peer| !peer.loopback_listener), "a proxy on this machine lets others in");
    // clients without an address in the header may be remote; a connection of the proxy itself is not
    assert!(peers[4..8].iter().all(|peer| peer.address.ip().is_loopback() && !peer.loopback_listener));
    assert_eq!(peers[8..].len(), 2);
    assert!(peers[8..].iter().all(|peer| peer.address.ip().is_loopback() && peer.loopback_listener));
}

#[test]
fn a_proxy_header_precedes_tls() {
    let certs = Certs::new();
    let (broker, peers) = start(vec![behind(certs.listener(Transport::Tls), "127.0.0.1/32")]);
    let mut client = secure(broker.address(), &certs.client());
    client.sock.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 8883\r\n").unwrap();
    connect(&mut client, "c");
    assert_eq!(peers.0.lock()[0].address, SocketAddr::from(([192, 0, 2, 1], 1000)).into());
}

/// A header of version 2 with what HAProxy says of TLS (send-proxy-v2-ssl-cn): the client's flags, what came of the
/// verification, a common name.
fn ssl_header(flags: u8, verify: u8, name: &str) -> Vec<u8> {
    let field = |kind: u8, value: &[u8]| [&[kind, 0, u8::try_from(value.len()).unwrap()], value].concat();
    let name = if name.is_empty() { Vec::new() } else { field(0x22, name.as_bytes()) };
    let ssl = field(0x20, &[&[flags, 0, 0, 0, verify], &field(0x21, b"TLSv1.3")[..], &name].concat());
    let rest = [&[10, 1, 2, 3, 10, 0, 0, 1, 0x11, 0x5c, 0x07, 0x5b], &ssl[..]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &u16::try_from(rest.len()).unwrap().to_be_bytes()[..], &rest].concat()
}

fn named(listener: ListenerConfig) -> ListenerConfig {
    ListenerConfig { identity: Some(CertificateIdentity::CommonName), ..listener }
}

const SHOWN: u8 = 7;
const NONE_SHOWN: u8 = 1;

#[test]
fn the_name_in_a_certificate_that_a_proxy_verified_is_the_user_name() {
    let certs = Certs::new();
    let tls = certs.listener(Transport::Tls);
    let listeners = vec![
        named(listener("127.0.0.1/32")),
        named(behind(websocket::listener(), "127.0.0.1/32")),
        named(behind(tls, "127.0.0.1/32")),
        // one that does not ask for names
        listener("127.0.0.1/32"),
    ];
    let names = Arc::<Names>::default();
    let plug = names.clone();
    let broker = Broker::build(Config { listeners, ..config() }, |builder| builder.authenticate(plug));
    let [by_tcp, by_websocket, by_tls, nameless] = broker.server.local_addrs() else { panic!("four listeners") };
    for (header, name) in [
        (ssl_header(SHOWN, 0, "lamp"), Some("lamp")),
        (ssl_header(SHOWN, 18, "lamp"), None),
        (ssl_header(NONE_SHOWN, 0, ""), None),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 1883\r\n".to_vec(), None),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0".to_vec(), None),
    ] {
        let mut socket = tcp(*by_tcp);
        socket.write_all(&header).unwrap();
        connect(&mut socket, "c");
        let mut socket = tcp(*by_websocket);
        socket.write_all(&header).unwrap();
        connect(&mut websocket::Frames::new(websocket::upgrade(socket)), "c");
        let mut socket = secure(*by_tls, &certs.client());
        socket.sock.write_all(&header).unwrap();
        connect(&mut socket, "c");
        let mut socket = tcp(*nameless);
        socket.write_all(&header).unwrap();
        connect(&mut socket, "c");
        let name = name.map(str::to_owned);
        let with = (name.clone(), name);
        assert_eq!(*names.0.lock(), [with.clone(), with.clone(), with, (None, None)], "{header:?}");
        names.0.lock().clear();
    }
}

#[test]
fn without_a_certificate_of_the_proxy_a_login_is_required() {
    let required = ListenerConfig {
        client_certificates: ClientCertificates::Required,
        ..named(behind(listener("127.0.0.1/32"), "127.0.0.1/32"))
    };
    let listeners = vec![named(listener("127.0.0.1/32")), required];
    let all = Config { listeners, allow_anonymous: Some(true), ..config() };
    let broker = Broker::new(all);
    let [optional, required] = broker.server.local_addrs() else { panic!("two listeners") };
    let answer = |address: &SocketAddr, header: Vec<u8>, connect: Connect| {
        let mut socket = tcp(*address);
        socket.write_all(&[header, connect.frame(), vec![0xe0, 0]].concat()).unwrap();
        rest(&mut socket)
    };
    let client = || Connect::new("c");
    let liar = || client().user("lamp", "");
    for (header, connect, code) in [
        (ssl_header(SHOWN, 0, "lamp"), client(), Some(0)),
        (ssl_header(NONE_SHOWN, 0, ""), client(), Some(0)),
        (ssl_header(NONE_SHOWN, 0, ""), liar(), Some(5)),
        (ssl_header(SHOWN, 19, "lamp"), liar(), Some(5)),
        // the requested name
        (ssl_header(SHOWN, 0, ""), client(), None),
    ] {
        assert_eq!(answer(optional, header, connect), code.map_or(vec![], |code| connack(0, code).to_vec()));
    }
    for (header, served) in [
        (ssl_header(SHOWN, 0, "lamp"), true),
        (ssl_header(SHOWN, 19, "lamp"), false),
        (ssl_header(NONE_SHOWN, 0, ""), false),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 1883\r\n".to_vec(), false),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0".to_vec(), false),
    ] {
        assert_eq!(answer(required, header.clone(), client()).is_empty(), !served, "{header:?}");
    }
}

#[test]
fn invalid_proxy_headers_and_untrusted_proxies_are_refused() {
    let (broker, peers) = start(vec![listener("127.0.0.1/32"), listener("10.0.0.0/8")]);
    let good = &b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 1883\r\n"[..];
    let [trusting, other] = broker.server.local_addrs() else { panic!("two listeners") };
    let table: &[(&SocketAddr, &[u8])] = &[
        (trusting, b""),
        (trusting, b"PROXY TCP4 192.0.2.300 192.0.2.2 1000 1883\r\n"),
        (trusting, b"PROXY TCP4 192.0.2.1 192.0.2.2 100000 1883\r\n"),
        (trusting, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"),
        (trusting, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\x7f\0\0\x01"),
        (trusting, b"GET / HTTP/1.1\r\n\r\n"),
        // a field that is longer than its header
        (trusting, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\x0a\x01\x02\x03\x0a\0\0\x01\x11\x5c\x07\x5b\x04\0\x02\0"),
        (other, good),
        (other, b""),
    ];
    for (address, header) in table {
        let mut socket = tcp(**address);
        // an untrusted proxy is ignored
        let _ = socket.write_all(&[*header, &Connect::new("liar").frame()].concat());
        assert_eq!(rest(&mut socket), b"", "{header:?}");
    }
    assert_eq!(*peers.0.lock(), []);
}
