//! The binary: its log lines about certificates and failed handshakes; many handshakes at once.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::support::{
    running::Running,
    secure::{Certs, connect, ping, revocation_list, secure, tcp},
};

/// The binary with these flags, one of which is its address.
fn start(flags: &[&str]) -> Running {
    Running::listening(&[], &[&["--workers=2"], flags].concat())
}

fn flags(certs: &Certs) -> [String; 2] {
    ["certificate", "key"].map(|flag| {
        let name = if flag == "key" { "server.key" } else { "server.pem" };
        format!("--{flag}={}", certs.path(name).display())
    })
}

/// A certificate of its own whose time is over.
fn expired(dir: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    fs::write(dir.join("server.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

#[test]
fn an_expired_certificate_and_a_readable_key_cause_warnings() {
    let certs = Certs::new();
    let [certificate, key] = flags(&certs);
    let good = start(&["--listen=tls://127.0.0.1:0", &certificate, &key]);
    assert!(!good.read.concat().contains("WARN"), "{:?}", good.read);
    expired(certs.dir());
    fs::set_permissions(certs.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let broker = start(&["--listen=tls://127.0.0.1:0", &certificate, &key]);
    let warnings: Vec<_> = broker.read.iter().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 2, "{:?}", broker.read);
    assert!(warnings[0].contains("server.pem expired at 2002-01-01T00:00:00Z"), "{}", warnings[0]);
    assert!(warnings[1].contains("chmod o= ") && warnings[1].contains("server.key"), "{}", warnings[1]);
    // before it is started, too
    let check = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .env_clear()
        .args(["--check", "--listen=tls://127.0.0.1:0", &certificate, &key])
        .output()
        .unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("warning:")).collect();
    assert!(check.status.success() && warnings.len() == 2 && warnings[0].contains("server.pem expired"), "{said}");
}

#[test]
fn an_outdated_revocation_list_causes_a_warning() {
    let certs = Certs::new();
    let config = certs.path("dunlin.toml");
    let [pem, key, authority, list] =
        ["server.pem", "server.key", "ca.pem", "revoked.pem"].map(|name| certs.path(name));
    let text = format!(
        "allow_anonymous = true\n[[listener]]\naddress = 'tls://127.0.0.1:0'\ncertificate_file = {pem:?}\nkey_file = {key:?}\n\
         client_certificates = 'required'\nclient_ca_file = {authority:?}\nrevocation_list_file = {list:?}\n"
    );
    fs::write(&config, text).unwrap();
    for (until, said) in [(2100, false), (2025, true)] {
        fs::write(&list, revocation_list(&certs, &[], until)).unwrap();
        let broker = start(&["--config", config.to_str().unwrap()]);
        let line = broker.read.iter().find(|line| line.contains("WARN"));
        assert_eq!(line.is_some(), said, "{line:?}");
        let words = ["CN=dunlin development CA", "revoked.pem", "by 2025-01-01T00:00:00Z"];
        assert!(line.is_none_or(|line| words.iter().all(|words| line.contains(words))), "{line:?}");
    }
}

#[test]
fn the_log_has_the_reason_of_a_failed_handshake() {
    let certs = Certs::new();
    let config = certs.path("dunlin.toml");
    let [pem, key] = ["server.pem", "server.key"].map(|name| certs.path(name));
    let text = format!(
        "[[listener]]\naddress = 'tls://127.0.0.1:0'\ncertificate_file = {pem:?}\nkey_file = {key:?}\n\
         [[listener]]\naddress = 'ws://127.0.0.1:0'\n\
         [[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n\
         [[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\ntrusted_proxies = ['10.0.0.1']\n\
         [[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n\
         identity = 'common-name'\nclient_certificates = 'required'\n\
         [limits]\nconnect_timeout = '200ms'\n"
    );
    fs::write(&config, text).unwrap();
    let mut broker = start(&["--config", config.to_str().unwrap()]);
    let table: &[(usize, &[u8], &str)] = &[
        (0, b"GET / HTTP/1.1\r\n\r\n", "the TLS handshake failed: "),
        (0, b"\x16\x03", "no TLS handshake within the connect timeout (limits.connect_timeout)"),
        (1, b"GET /mqtt HT", "no request for a WebSocket within the connect timeout"),
        (1, b"PUT / HTTP/1.1\r\n\r\n", "its HTTP request is refused: its method is not GET"),
        (
            2,
            b"PROXY TCP4 1.2.3.4 1.2.3.4 x 1\r\n",
            "it does not begin with a valid header of the PROXY protocol: it is malf",
        ),
        (2, b"PROXY ", "no PROXY header within the connect timeout"),
        (
            2,
            b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x03\x04\0\x01",
            "one of its fields (TLV) goes beyond its end; does the proxy",
        ),
        (3, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "its address is not among the listener's trusted_proxies"),
        (
            4,
            b"PROXY UNKNOWN\r\n",
            "its proxy reports no verified certificate of the client, and client_certificates is",
        ),
        (
            4,
            b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x08\x20\0\x05\x07\0\0\0\0",
            "its proxy reports a verified certificate of the client, and not the common name in it (identity;",
        ),
    ];
    for (listener, bytes, reason) in table {
        let mut socket = tcp(broker.addresses[*listener]);
        let _ = socket.write_all(bytes);
        let line = broker.reason(socket.local_addr().unwrap());
        assert!(line.contains(reason), "{line}");
    }
}

#[test]
fn a_thousand_half_open_handshakes_delay_no_client() {
    const MANY: usize = 1000;
    let certs = Certs::new();
    let [certificate, key] = flags(&certs);
    let broker = start(&["--listen=tls://127.0.0.1:0", &certificate, &key]);
    let address = broker.addresses[0];
    let mut client = secure(address, &certs.client());
    connect(&mut client, "before");
    let half_open: Vec<_> = (0..MANY)
        .map(|at| {
            let mut socket = tcp(address);
            // the beginning of a ClientHello, or nothing at all
            if at % 2 == 0 {
                socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
            }
            socket
        })
        .collect();
    for _ in 0..100 {
        ping(&mut client);
    }
    connect(&mut secure(address, &certs.client()), "among them");
    drop(half_open);
    ping(&mut client);
}
