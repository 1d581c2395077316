//! TLS for HTTP: access does not change, a reload renews certificates, and the commands that call HTTP speak TLS.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::Command,
    sync::Arc,
};

use dunlin::{Config, config::HttpConfig};
use tokio_rustls::rustls::ClientConfig;

use super::{Answer, http, mqtt::request};
use crate::{
    support::{
        Broker,
        command::{dunlin, refused, text, told},
        config,
        raw::Connect,
        reload, run,
        running::Running,
        secure::{Certs, Secure, rest, secure, tcp},
        wait_until,
    },
    transports::websocket::{BINARY, frame, read_head},
};

/// HTTP over TLS on a free port.
fn secured(certs: &Certs) -> HttpConfig {
    HttpConfig {
        certificate_file: Some(certs.path("server.pem")),
        key_file: Some(certs.path("server.key")),
        ..http("health = \"127.0.0.1:0\"")
    }
}

/// A request, and the stream that it went through.
fn ask(url: &str, client: &Arc<ClientConfig>, path: &str) -> (Answer, Secure) {
    let address = url.strip_prefix("https://").expect("HTTP over TLS").parse().unwrap();
    let mut stream = secure(address, client);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let answer = String::from_utf8(rest(&mut stream)).unwrap();
    (Answer::of(&answer), stream)
}

#[test]
fn http_is_served_over_tls_and_a_reload_renews_the_certificate() {
    let certs = Certs::new();
    let mut broker = Broker::new(Config { http: secured(&certs), ..config() });
    let url = broker.server.http_urls()[0].clone();
    let (answer, stream) = ask(&url, &certs.client(), "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(&format!("dunlin_certificate_expiry_timestamp_seconds{{listener=\"{url}\"}} ")));
    let before = stream.conn.peer_certificates().unwrap().to_vec();

    // a client without TLS gets no answer
    let mut plain = tcp(url.strip_prefix("https://").unwrap().parse().unwrap());
    plain.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(!rest(&mut plain).starts_with(b"HTTP"));

    certs.renew();
    let changed = broker.reload(|_| {});
    assert!(changed.iter().any(|line| line == "certificate of http"), "{changed:?}");
    let (answer, stream) = ask(&url, &certs.client(), "/readyz");
    assert_eq!(answer.status, 200);
    assert_ne!(stream.conn.peer_certificates().unwrap().to_vec(), before);

    // a key of another certificate changes nothing
    let other = Certs::new();
    let wrong = HttpConfig { key_file: Some(other.path("server.key")), ..secured(&certs) };
    assert!(reload(&broker.server, &Config { http: wrong, ..config() }).is_err());
    assert_eq!(ask(&url, &certs.client(), "/readyz").0.status, 200);
}

#[test]
fn one_file_without_the_other_is_refused() {
    let certs = Certs::new();
    for (certificate, key) in [(true, false), (false, true)] {
        let mut http = secured(&certs);
        http.certificate_file = http.certificate_file.filter(|_| certificate);
        http.key_file = http.key_file.filter(|_| key);
        let started = run(dunlin::Server::start(Config { http, ..config() }));
        let error = started.err().expect("TLS needs both").to_string();
        assert!(error.contains("TLS needs both"), "{error}");
    }
}

/// The binary with HTTP over TLS on a free port, and that port; `asked.toml` is a configuration that names it.
fn running(dir: &Path, certs: &Certs) -> (Running, String) {
    let [certificate, key] = ["server.pem", "server.key"].map(|name| certs.path(name).display().to_string());
    let text = |port: &str| {
        format!(
            "ready_file = '{}'\n[[listener]]\naddress = '127.0.0.1:0'\n[http]\nlisten = '127.0.0.1:{port}'\n\
             certificate_file = '{certificate}'\nkey_file = '{key}'\n",
            dir.join("ready").display()
        )
    };
    fs::write(dir.join("dunlin.toml"), text("0")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut running = Running::run(command.env_clear().arg("--config").arg(dir.join("dunlin.toml")));
    running.wait_until_ready();
    let ready: serde_json::Value = serde_json::from_str(&fs::read_to_string(dir.join("ready")).unwrap()).unwrap();
    let url = ready["http"][0].as_str().unwrap();
    let port = url.strip_prefix("https://127.0.0.1:").expect("HTTP over TLS").to_owned();
    fs::write(dir.join("asked.toml"), text(&port)).unwrap();
    (running, port)
}

#[test]
fn ctl_and_health_speak_tls() {
    let (dir, certs, others) = (tempfile::tempdir().unwrap(), Certs::new(), Certs::new());
    let (broker, port) = running(dir.path(), &certs);
    let ca = |certs: &Certs| certs.path("ca.pem").display().to_string();
    let (own, other) = (ca(&certs), ca(&others));
    let url = format!("https://localhost:{port}");
    let said = told(dir.path(), &[], &["ctl", "--config", "asked.toml", "broker"]);
    assert!(said.contains("connected: 0\n"), "{said}");
    for words in [
        &["ctl", "--url", &url, "--ca", &own, "broker"][..],
        &["ctl", "--config", "asked.toml", "--ca", &own, "broker"],
        &["health", "--http", "--config", "asked.toml"],
        &["health", "--http=readyz", "--config", "asked.toml", "--ca", &own],
        &["health", "--http", "--listen", &format!("tls://127.0.0.1:{port}")],
    ] {
        told(dir.path(), &[], words);
    }
    for (words, why) in [
        (&["ctl", "--url", &url, "broker"][..], "give --ca FILE too"),
        (&["ctl", "--url", &url, "--ca", &other, "broker"], "invalid peer certificate"),
        (&["health", "--http", "--config", "asked.toml", "--ca", &other], "invalid peer certificate"),
    ] {
        let output = dunlin(dir.path(), &[], words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let said = text(&[output.stdout, output.stderr].concat());
        assert!(said.contains(why), "{words:?}: {said}");
    }
    // the configured file has a new certificate that the broker has not loaded
    others.renew();
    fs::copy(others.path("server.pem"), certs.path("server.pem")).unwrap();
    let said = refused(dir.path(), &[], &["ctl", "--config", "asked.toml", "broker"], 1);
    assert!(said.contains("not the one in http.certificate_file"), "{said}");
    broker.stop();
}

#[test]
fn a_page_that_came_over_tls_is_a_client_over_tls() {
    let certs = Certs::new();
    let broker = Broker::new(Config { http: secured(&certs), ..config() });
    let url = broker.server.http_urls()[0].clone();
    let address = url.strip_prefix("https://").unwrap().parse().unwrap();
    let open = |origin: &str| {
        let mut stream = secure(address, &certs.client());
        // its head comes in two parts, and its CONNECT with the second
        let head = request(address, &format!("Origin: {origin}\r\n"));
        let (first, second) = head.split_at(12);
        stream.write_all(first.as_bytes()).unwrap();
        stream.flush().unwrap();
        stream.write_all(&[second.as_bytes(), &frame(BINARY, &Connect::new("page").frame())].concat()).unwrap();
        stream
    };
    let mut stream = open(&url);
    let head = String::from_utf8(read_head(&mut stream)).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut connack = [0; 6];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [BINARY, 4, 0x20, 2, 0, 0]);
    let listed = || ask(&url, &certs.client(), "/api/v1/clients").0.body;
    assert!(listed().contains("\"listener\":\"http\""), "{}", listed());
    drop(stream);
    wait_until(|| !listed().contains("\"page\""), || "it stays".into());
    let head = String::from_utf8(read_head(&mut open("https://elsewhere"))).unwrap();
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
}
