//! MQTT over WebSocket at the addresses of HTTP: for pages of this server only, with the settings of a listener.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use dunlin::{
    Config,
    auth::ApiKey,
    config::{ClientCertificates, ListenerConfig},
    types::{Role, Transport},
};

use super::{
    Answer, address,
    api::{api, column, done},
    broker, get, http,
};
use crate::{
    support::{Broker, GUARD, config, raw::Connect, secure::Certs, wait_until},
    transports::websocket::{BINARY, frame, read_head},
};

/// A request for a WebSocket from a page there, with more lines.
pub fn request(at: SocketAddr, lines: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n{lines}\r\n"
    )
}

fn own(at: SocketAddr) -> String {
    format!("Origin: http://{at}\r\n")
}

fn open(at: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket
}

/// The head of the answer.
fn ask(at: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut socket = open(at);
    socket.write_all(request.as_bytes()).unwrap();
    let head = String::from_utf8(read_head(&mut socket)).unwrap();
    (socket, head)
}

/// The code of a refusal.
fn refused(at: SocketAddr, request: &str) -> (u16, String) {
    let mut socket = open(at);
    socket.write_all(request.replace("Connection: Upgrade", "Connection: close").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let answer = Answer::of(&answer);
    (answer.status, answer.code())
}

#[test]
fn a_page_of_this_server_is_a_client_of_a_listener_named_http() {
    let broker = broker("");
    let at = address(&broker);
    let text = request(at, &own(at));
    // its head comes in two parts, and its CONNECT with the second
    let (first, second) = text.split_at(40);
    let mut socket = open(at);
    socket.set_nodelay(true).unwrap();
    socket.write_all(first.as_bytes()).unwrap();
    socket.write_all(&[second.as_bytes(), &frame(BINARY, &Connect::new("page").frame())].concat()).unwrap();
    let head = String::from_utf8(read_head(&mut socket)).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut connack = [0; 6];
    socket.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [BINARY, 4, 0x20, 2, 0, 0]);
    let clients = done(&api(at, "GET", "clients", None));
    assert_eq!((column(&clients, "client_id"), column(&clients, "listener")), (vec!["page"], vec!["http"]));
    drop(socket);
    wait_until(|| column(&done(&api(at, "GET", "clients", None)), "client_id").is_empty(), || "it stays".into());
}

#[test]
fn mqtt_on_the_http_port_refuses_clients_other_than_own_pages() {
    let mut broker = broker("");
    let at = address(&broker);
    assert_eq!(refused(at, &request(at, "")), (403, "origin".into()));
    assert_eq!(refused(at, &request(at, "Origin: http://evil.example\r\n")), (403, "origin".into()));
    assert_eq!(refused(at, &request(at, "Origin: null\r\n")), (403, "origin".into()));
    // a name of another server that leads here (DNS rebinding)
    let rebound = request(at, "Origin: http://evil.example\r\n").replace(&at.to_string(), "evil.example");
    assert_eq!(refused(at, &rebound), (403, "host".into()));
    assert_eq!(get(at, "/mqtt").status, 426);
    broker.reload(|config| config.http.mqtt = Some(false));
    assert_eq!(refused(at, &request(at, &own(at))), (403, "mqtt".into()));
}

/// The code of the CONNACK that an anonymous client of MQTT 3.1.1 gets.
fn anonymous(at: SocketAddr, lines: &str) -> u8 {
    let (mut socket, head) = ask(at, &request(at, &format!("{}{lines}", own(at))));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    socket.write_all(&frame(BINARY, &Connect::new("anonymous").frame())).unwrap();
    let mut connack = [0; 6];
    socket.read_exact(&mut connack).unwrap();
    assert_eq!(connack[..5], [BINARY, 4, 0x20, 2, 0]);
    connack[5]
}

const ACCEPTED: u8 = 0;
const NOT_AUTHORIZED: u8 = 5;

#[test]
fn mqtt_on_the_http_port_through_a_proxy_is_not_local() {
    let broker = broker("");
    assert_eq!(anonymous(address(&broker), "X-Forwarded-For: 192.0.2.1\r\n"), NOT_AUTHORIZED);
}

#[test]
fn anonymous_clients_of_the_http_port_are_served_where_a_listener_at_that_address_would_serve_them() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    ApiKey::add(&keys, "ci", Role::Viewer, None).unwrap();
    // HTTP beyond loopback needs a login; of MQTT there is none
    let everywhere = format!("listen = \"0.0.0.0:0\"\nmqtt = true\nkeys_file = {keys:?}");
    let rows = [
        (everywhere.as_str(), None, NOT_AUTHORIZED),
        (&everywhere, Some(false), NOT_AUTHORIZED),
        (&everywhere, Some(true), ACCEPTED),
        ("", None, ACCEPTED),
        ("", Some(false), NOT_AUTHORIZED),
        ("", Some(true), ACCEPTED),
    ];
    for (lines, allow_anonymous, code) in rows {
        let broker = Broker::new(Config { http: http(lines), allow_anonymous, ..config() });
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, address(&broker).port()));
        assert_eq!(anonymous(at, ""), code, "{lines:?}, allow_anonymous: {allow_anonymous:?}");
    }
}

#[test]
fn beside_a_listener_that_demands_certificates_the_http_port_serves_mqtt_only_if_it_is_asked_to() {
    let certs = Certs::new();
    let demanding = || ListenerConfig {
        client_ca_file: Some(certs.path("ca.pem")),
        client_certificates: ClientCertificates::Required,
        ..certs.listener(Transport::Tls)
    };
    let with = |lines: &str| Broker::new(Config { http: http(lines), listeners: vec![demanding()], ..config() });
    let broker = with("");
    let at = address(&broker);
    assert_eq!(refused(at, &request(at, &own(at))), (403, "mqtt".into()));
    // a certificate is a login, which a page does not have
    let broker = with("mqtt = true");
    assert_eq!(anonymous(address(&broker), ""), NOT_AUTHORIZED);
}

#[test]
fn by_default_it_is_served_on_loopback_and_not_beside_client_certificates() {
    let takes = |config: &Config| config.http_takes_mqtt();
    assert!(takes(&config()) && takes(&Config { http: http(""), ..config() }));
    assert!(!takes(&Config { http: http("listen = \"0.0.0.0:9883\""), ..config() }));
    assert!(takes(&Config { http: http("listen = \"0.0.0.0:9883\"\nmqtt = true"), ..config() }));
    let text = "[[listener]]\naddress = 'tls://127.0.0.1'\ncertificate_file = 'a'\nkey_file = 'b'\nclient_ca_file = 'c'\n\
                client_certificates = 'required'";
    let listeners: Vec<ListenerConfig> = dunlin::config::parse(text, "test").unwrap().listeners;
    assert!(!takes(&Config { listeners, ..config() }));
    let broker: Broker = broker("mqtt = false");
    assert_eq!(refused(address(&broker), &request(address(&broker), "")), (403, "mqtt".into()));
}
