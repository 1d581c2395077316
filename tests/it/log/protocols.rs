//! Clients that speak another protocol than the listener.

use std::{fs, io::Write, net::SocketAddr, sync::Arc};

use tokio_rustls::rustls::ClientConfig;

use super::field;
use crate::support::{
    five,
    raw::{Client, Connect},
    running::Running,
    secure::{Certs, rest, secure, tcp},
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// A broker with a listener of each transport, in this order.
fn all() -> (Certs, Running) {
    let certs = Certs::new();
    let [pem, key] = ["server.pem", "server.key"].map(|name| certs.path(name));
    let listeners = ["", "ws://", "tls://", "wss://"].map(|scheme| {
        let files = format!("certificate_file = {pem:?}\nkey_file = {key:?}\n");
        let files = if scheme.contains('s') && scheme != "ws://" { &*files } else { "" };
        format!("[[listener]]\naddress = '{scheme}127.0.0.1:0'\n{files}")
    });
    let config = certs.path("dunlin.toml");
    fs::write(&config, listeners.concat()).unwrap();
    let running = Running::listening(&[], &["--config", config.to_str().unwrap()]);
    (certs, running)
}

fn says(address: SocketAddr, bytes: &[u8]) {
    let mut socket = tcp(address);
    socket.write_all(bytes).unwrap();
    rest(&mut socket);
}

#[test]
fn a_wrong_protocol_is_logged_with_that_of_the_listener() {
    let (_certs, mut running) = all();
    let [plain, ws, tls, wss] = running.addresses[..] else { panic!("{:?}", running.addresses) };
    let connect = Connect::new("c").frame();
    let table: &[(SocketAddr, &[u8], &str, &str)] = &[
        (plain, CLIENT_HELLO, "TLS", "plain MQTT"),
        (plain, GET, "HTTP", "plain MQTT"),
        (plain, b"POST /mqtt HTTP/1.1\r\n\r\n", "HTTP", "plain MQTT"),
        (plain, b"PRI * HTTP/2.0\r\n\r\n", "HTTP", "plain MQTT"),
        (plain, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "the PROXY protocol (see proxy_protocol)", "plain MQTT"),
        (ws, CLIENT_HELLO, "TLS", "MQTT over WebSocket"),
        (ws, &connect, "MQTT", "MQTT over WebSocket"),
        (tls, &connect, "MQTT", "TLS"),
        (tls, GET, "HTTP", "TLS"),
        (wss, &connect, "MQTT", "TLS"),
        (wss, GET, "HTTP", "TLS"),
    ];
    for (address, bytes, spoken, taken) in table {
        says(*address, bytes);
        let line = running.wait_for("disconnected before CONNECT");
        let expected = format!("wrong protocol: the client speaks {spoken}, and this listener takes {taken}\"");
        assert!(line.contains("INFO") && line.contains(&expected), "{line}");
        assert!(field(&line, "listener").is_some_and(|listener| listener.ends_with(&address.to_string())), "{line}");
    }
    running.stop();
}

#[test]
fn a_wrong_protocol_within_tls_is_logged() {
    let (certs, mut running) = all();
    let [.., tls, wss] = running.addresses[..] else { panic!("{:?}", running.addresses) };
    let connect = Connect::new("c").frame();
    for (address, bytes, spoken, taken) in
        [(tls, GET, "HTTP", "MQTT over TLS"), (wss, &connect, "MQTT", "MQTT over WebSocket")]
    {
        let mut client = secure(address, &certs.client());
        client.write_all(bytes).unwrap();
        rest(&mut client);
        let line = running.wait_for("disconnected before CONNECT");
        let expected = format!("wrong protocol: the client speaks {spoken}, and this listener takes {taken}\"");
        assert!(line.contains(&expected), "{line}");
    }
    running.stop();
}

#[test]
fn an_alpn_refusal_is_logged_with_both_protocols() {
    let (certs, mut running) = all();
    let [.., tls, wss] = running.addresses[..] else { panic!("{:?}", running.addresses) };
    let offers: [&[u8]; 2] = [b"h2", b"amqp \x01"];
    for (address, spoken) in [(tls, "mqtt"), (wss, "http/1.1")] {
        let mut config = ClientConfig::clone(&certs.client());
        config.alpn_protocols = offers.map(Into::into).into();
        let mut client = secure(address, &Arc::new(config));
        assert!(client.write_all(&Connect::new("c").frame()).is_err() || rest(&mut client).is_empty());
        let line = running.wait_for("disconnected before CONNECT");
        let expected = format!(
            "no common ALPN protocol: the client offers h2, amqp \\u{{1}}, and this listener speaks {spoken}\""
        );
        assert!(line.contains(&expected), "{line}");
    }
    running.stop();
}

#[test]
fn an_unsupported_version_is_logged_as_such() {
    let mut running = Running::start(&[]);
    let mut client = Client::open(running.addresses[0]);
    client.send(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00");
    client.expect_refused(1);
    let line = running.wait_for(" refused ");
    assert_eq!(field(&line, "code"), Some("1"), "{line}");
    assert!(
        field(&line, "reason").is_some_and(|reason| reason.contains("Protocol Level 6 is not supported")),
        "{line}"
    );
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(running.read.iter().filter(|line| line.contains("peer=")).count(), 1, "{}", running.read.join("\n"));
}

#[test]
fn an_invalid_connect_of_mqtt_5_is_logged_with_its_fault() {
    let mut running = Running::start(&[]);
    let address = running.addresses[0];
    let good = five::Connect::new("c");
    let twice = five::Properties::new().byte(five::property::REQUEST_RESPONSE_INFORMATION, 1);
    let twice = five::Properties([twice.0.clone(), twice.0].concat());
    let table = [
        (five::Connect { flags: 3, ..good.clone() }.frame(), 0x81, "CONNECT has its reserved flag set"),
        (good.clone().with(twice).frame(), 0x82, "appears twice"),
    ];
    for (bytes, code, why) in table {
        let mut client = Client::open(address);
        client.send(&bytes);
        client.expect(&five::refused(code));
        client.expect_closed();
        let line = running.wait_for(" refused ");
        assert_eq!((field(&line, "code"), field(&line, "version")), (Some(&*code.to_string()), Some("5")), "{line}");
        assert!(field(&line, "reason").is_some_and(|reason| reason.contains(why)), "{line}");
    }
    running.stop();
}

#[test]
fn a_port_scan_is_not_logged_at_info() {
    let (_certs, mut running) = all();
    running.addresses.iter().for_each(|address| drop(tcp(*address)));
    // behind them, on each thread
    says(running.addresses[0], GET);
    running.wait_for("disconnected before CONNECT");
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(running.read.iter().filter(|line| line.contains("peer=")).count(), 1, "{}", running.read.join("\n"));
}
