//! TLS: which clients are served, by which name, and with which certificate.

use std::{
    fs,
    io::{Read, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use dunlin::{
    Builder, Config, ServerError,
    config::{CertificateIdentity, ClientCertificates, ListenerConfig, TlsVersion},
    router::{Authenticate, Credentials, Identity, Verdict},
    types::Transport,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use super::websocket::{BINARY, frame, upgrade};
use crate::support::{
    Broker, Recorder, config,
    raw::{Client, Connect, PINGREQ, connack},
    reload, run,
    secure::{Certs, connect, expect, ping, rest, revocation_list, secure, serial, tcp},
};

fn broker(listener: ListenerConfig) -> Broker {
    Broker::new(with(listener))
}

fn with(listener: ListenerConfig) -> Config {
    Config { listeners: vec![listener], ..config() }
}

fn with_clients(certs: &Certs, client_certificates: ClientCertificates) -> ListenerConfig {
    ListenerConfig {
        client_ca_file: Some(certs.path("ca.pem")),
        client_certificates,
        identity: Some(CertificateIdentity::CommonName),
        ..certs.listener(Transport::Tls)
    }
}

#[test]
fn both_versions_resume_and_negotiate_mqtt() {
    let certs = Certs::new();
    let broker = broker(certs.listener(Transport::Tls));
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let mut config = (*certs.client()).clone();
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        config.enable_early_data = false;
        let config = only(config, version, &certs);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = secure(broker.address(), &config);
            connect(&mut client, "c");
            ping(&mut client);
            assert_eq!(client.conn.protocol_version(), Some(version));
            assert_eq!(client.conn.alpn_protocol(), Some(&b"mqtt"[..]));
            assert_eq!(client.conn.handshake_kind(), Some(kind), "{version:?}");
        }
    }
}

#[test]
fn a_listener_may_speak_tls_1_3_alone() {
    let certs = Certs::new();
    let broker = broker(ListenerConfig { tls_min: TlsVersion::Tls13, ..certs.listener(Transport::Tls) });
    let old = only((*certs.client()).clone(), ProtocolVersion::TLSv1_2, &certs);
    let mut refused = secure(broker.address(), &old);
    let error = refused.write_all(PINGREQ).and_then(|()| refused.read(&mut [0])).unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    let new = only((*certs.client()).clone(), ProtocolVersion::TLSv1_3, &certs);
    connect(&mut secure(broker.address(), &new), "c");
}

/// The same with one version alone.
fn only(like: ClientConfig, version: ProtocolVersion, certs: &Certs) -> Arc<ClientConfig> {
    use tokio_rustls::rustls::{RootCertStore, crypto::ring::default_provider, pki_types::pem::PemObject, version};
    let versions = if version == ProtocolVersion::TLSv1_2 { &version::TLS12 } else { &version::TLS13 };
    let mut roots = RootCertStore::empty();
    let authority = tokio_rustls::rustls::pki_types::CertificateDer::from_pem_file(certs.path("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[versions])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = like.alpn_protocols;
    Arc::new(config)
}

/// Lets everybody in, and remembers by which name.
#[derive(Default)]
pub struct Names(pub Mutex<Vec<(Option<String>, Option<String>)>>);

impl Authenticate for Names {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let names = (credentials.username.map(Into::into), credentials.certificate_name.map(Into::into));
        self.0.lock().push(names);
        Ok(Identity::default()).into()
    }
}

#[test]
fn the_name_in_a_certificate_is_the_user_name() {
    let certs = Certs::new();
    for (identity, name) in [(CertificateIdentity::CommonName, "lamp"), (CertificateIdentity::Subject, "CN=lamp")] {
        let names = Arc::<Names>::default();
        let listener =
            ListenerConfig { identity: Some(identity), ..with_clients(&certs, ClientCertificates::Optional) };
        let plug = names.clone();
        let all = Config { listeners: vec![listener], ..config() };
        let broker = Broker::build(all, |builder: Builder| builder.authenticate(plug));
        connect(&mut secure(broker.address(), &certs.lamp()), "with");
        connect(&mut secure(broker.address(), &certs.client()), "without");
        let name = Some(name.to_owned());
        assert_eq!(*names.0.lock(), [(name.clone(), name), (None, None)]);
    }
}

#[test]
fn a_client_without_a_certificate_cannot_claim_the_name_of_one() {
    let certs = Certs::new();
    let listener = ListenerConfig {
        identity: Some(CertificateIdentity::CommonName),
        allow_anonymous: Some(true),
        ..with_clients(&certs, ClientCertificates::Optional)
    };
    let broker = broker(listener);
    connect(&mut secure(broker.address(), &certs.client()), "nameless");
    let mut liar = secure(broker.address(), &certs.client());
    liar.write_all(&Connect::new("liar").user("lamp", "").frame()).unwrap();
    expect(&mut liar, &connack(0, 5));
}

#[test]
fn client_certificates_turn_anonymous_access_off_on_every_listener() {
    let certs = Certs::new();
    let asks = with_clients(&certs, ClientCertificates::Optional);
    for (allow_anonymous, code) in [(None, 5), (Some(true), 0)] {
        let plain = ListenerConfig::tcp(([127, 0, 0, 1], 0).into());
        let broker = Broker::new(Config { listeners: vec![asks.clone(), plain], allow_anonymous, ..config() });
        let mut client = Client::open(broker.server.local_addrs()[1]);
        client.send(&Connect::new("nameless").frame());
        assert_eq!(client.expect_any().bytes(), connack(0, code));
        connect(&mut secure(broker.address(), &certs.lamp()), "lamp");
    }
}

#[test]
fn a_byte_order_mark_in_front_of_pem_is_passed_over() {
    let certs = Certs::new();
    for name in ["server.pem", "server.key", "ca.pem"] {
        let text = fs::read_to_string(certs.path(name)).unwrap();
        fs::write(certs.path(name), format!("\u{FEFF}{text}")).unwrap();
    }
    let broker = broker(with_clients(&certs, ClientCertificates::Required));
    // the client of this test reads it as well
    let text = fs::read_to_string(certs.path("ca.pem")).unwrap();
    fs::write(certs.path("ca.pem"), text.trim_start_matches('\u{FEFF}')).unwrap();
    connect(&mut secure(broker.address(), &certs.lamp()), "lamp");
}

#[test]
fn a_certificate_that_is_required_is_required_and_checked() {
    let (certs, others) = (Certs::new(), Certs::new());
    let broker = broker(with_clients(&certs, ClientCertificates::Required));
    connect(&mut secure(broker.address(), &certs.lamp()), "lamp");
    // signed by another authority, while the server's is believed
    fs::copy(others.path("client.pem"), certs.path("client.pem")).unwrap();
    fs::copy(others.path("client.key"), certs.path("client.key")).unwrap();
    for config in [certs.client(), certs.lamp()] {
        let mut client = secure(broker.address(), &config);
        let _ = client.write_all(b"\x10");
        assert!(client.read(&mut [0; 1]).is_err());
    }
}

#[test]
fn authorities_may_be_the_files_of_a_directory() {
    let certs = Certs::new();
    let dir = certs.path("authorities");
    fs::create_dir(&dir).unwrap();
    let listener =
        || ListenerConfig { client_ca_file: Some(dir.clone()), ..with_clients(&certs, ClientCertificates::Required) };
    // a name that is not of a certificate, and a key among them
    fs::copy(certs.path("ca.pem"), dir.join("README")).unwrap();
    fs::copy(certs.path("server.key"), dir.join("key.pem")).unwrap();
    let error = run(Builder::new(with(listener())).start()).err().unwrap().to_string();
    assert!(error.contains("authorities has no certificate in it; the files that count are named *.pem"), "{error}");
    for name in ["ca.crt", "ca.pem", "0a1b2c3d.0"] {
        let file = dir.join(name);
        std::os::unix::fs::symlink(certs.path("ca.pem"), &file).unwrap();
        let broker = broker(listener());
        let mut client = secure(broker.address(), &certs.lamp());
        connect(&mut client, "c");
        fs::remove_file(file).unwrap();
        // nothing is read again without a change
        drop(broker);
    }
    // what is not PEM is left out
    fs::write(dir.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n").unwrap();
    std::os::unix::fs::symlink(certs.path("ca.pem"), dir.join("ca.crt")).unwrap();
    let broken = broker(listener());
    connect(&mut secure(broken.address(), &certs.lamp()), "c");
    drop(broken);
    // where there are hashes, they are what counts, as for OpenSSL: the authority beside them is not trusted
    fs::copy(certs.path("server.pem"), dir.join("0a1b2c3d.0")).unwrap();
    let broker = broker(listener());
    let mut client = secure(broker.address(), &certs.lamp());
    let _ = client.write_all(PINGREQ);
    assert!(client.read(&mut [0]).is_err());
}

#[test]
fn the_secrets_of_connections_are_written_where_that_is_asked_for() {
    let certs = Certs::new();
    let file = certs.path("secrets");
    let listener = ListenerConfig { tls_key_log: Some(file.clone()), ..certs.listener(Transport::Tls) };
    let broker = broker(listener);
    for (version, label) in
        [(ProtocolVersion::TLSv1_3, "CLIENT_TRAFFIC_SECRET_0"), (ProtocolVersion::TLSv1_2, "CLIENT_RANDOM")]
    {
        let mut client = secure(broker.address(), &only((*certs.client()).clone(), version, &certs));
        connect(&mut client, "c");
        let text = fs::read_to_string(&file).unwrap();
        let line = text.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{label}: {text}"));
        let [_, random, secret] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!((random.len(), secret.len() >= 64), (64, true), "{line}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_certificate_that_is_revoked_is_refused() {
    let certs = Certs::new();
    let list = certs.path("revoked.pem");
    fs::write(&list, revocation_list(&certs, &[], 2100)).unwrap();
    let listener = ListenerConfig {
        revocation_list_file: Some(list.clone()),
        ..with_clients(&certs, ClientCertificates::Required)
    };
    let broker = broker(listener.clone());
    // a client with a session ticket
    let lamp = certs.lamp();
    for _ in 0..2 {
        let mut client = secure(broker.address(), &lamp);
        connect(&mut client, "lamp");
        ping(&mut client);
    }
    fs::write(&list, revocation_list(&certs, &[&serial(&certs.path("client.pem"))], 2100)).unwrap();
    let name = format!("listener tls://{}", broker.address());
    assert_eq!(reload(&broker.server, &with(listener)).unwrap(), [format!("revocation list of {name}")]);
    for config in [&lamp, &certs.lamp()] {
        let mut client = secure(broker.address(), config);
        let _ = client.write_all(b"\x10");
        assert!(client.read(&mut [0; 1]).is_err());
    }
}

#[test]
fn a_connected_client_whose_certificate_is_revoked_is_disconnected() {
    let certs = Certs::new();
    let list = certs.path("revoked.pem");
    for transport in [Transport::Tls, Transport::Wss] {
        fs::write(&list, revocation_list(&certs, &[], 2100)).unwrap();
        let listener = ListenerConfig {
            revocation_list_file: Some(list.clone()),
            allow_anonymous: Some(true),
            ..with_clients(&certs, ClientCertificates::Optional)
        };
        let all = with(ListenerConfig { transport, ..listener });
        let recorder = Arc::<Recorder>::default();
        let observe = recorder.clone();
        let broker = Broker::build(all.clone(), |b| b.observe(observe));
        let open = |config: &Arc<ClientConfig>, id: &str| {
            let mut client = secure(broker.address(), config);
            if transport == Transport::Wss {
                client = upgrade(client);
                client.write_all(&frame(BINARY, &Connect::new(id).frame())).unwrap();
                expect(&mut client, &[&[BINARY, 4][..], &connack(0, 0)].concat());
            } else {
                connect(&mut client, id);
            }
            client
        };
        let (mut lamp, _other) = (open(&certs.lamp(), "lamp"), open(&certs.client(), "other"));
        // a list that revokes others ends nothing
        fs::write(&list, revocation_list(&certs, &[&[1, 2, 3]], 2100)).unwrap();
        reload(&broker.server, &all).unwrap();
        let _again = open(&certs.lamp(), "again");
        fs::write(&list, revocation_list(&certs, &[&serial(&certs.path("client.pem"))], 2100)).unwrap();
        reload(&broker.server, &all).unwrap();
        for id in ["lamp", "again"] {
            recorder.wait_for(&format!("disconnect {id} CertificateGone(\"invalid peer certificate: Revoked\")"));
        }
        assert_eq!(
            rest(&mut lamp).len(),
            if transport == Transport::Wss { 4 } else { 0 },
            "no more than a close frame"
        );
        assert_eq!(recorder.lines("disconnect").len(), 2);
    }
}

#[test]
fn a_subject_alternative_name_can_be_the_user_name() {
    let certs = Certs::new();
    let names = Arc::<Names>::default();
    let plug = names.clone();
    let listener = ListenerConfig {
        identity: Some(CertificateIdentity::Dns),
        ..with_clients(&certs, ClientCertificates::Optional)
    };
    let broker = Broker::build(with(listener), |builder: Builder| builder.authenticate(plug));
    // what `dunlin certs` makes for a client has none
    let mut nameless = secure(broker.address(), &certs.lamp());
    let _ = nameless.write_all(&Connect::new("lamp").frame());
    assert_eq!(nameless.read(&mut [0; 4]).unwrap_or(0), 0);
    certs.name_lamp("lamp.example.org");
    connect(&mut secure(broker.address(), &certs.lamp()), "lamp");
    let name = Some("lamp.example.org".to_owned());
    assert_eq!(*names.0.lock(), [(name.clone(), name)]);
}

#[test]
fn invalid_tls_files_are_named_with_an_instruction() {
    let (certs, others) = (Certs::new(), Certs::new());
    let file = |name: &str, text: &str| {
        fs::write(certs.path(name), text).unwrap();
        Some(certs.path(name))
    };
    let key = fs::read_to_string(certs.path("server.key")).unwrap();
    let torn = key.replacen("\n", "\n!", 1);
    let good = certs.listener(Transport::Tls);
    let clients = with_clients(&certs, ClientCertificates::Required);
    let table: &[(ListenerConfig, &str)] = &[
        (ListenerConfig { certificate_file: Some(certs.path("none")), ..good.clone() }, "none: No such file"),
        (ListenerConfig { certificate_file: file("empty", ""), ..good.clone() }, "has no certificate in it; it should"),
        (
            ListenerConfig { certificate_file: Some(certs.path("server.key")), ..good.clone() },
            "server.key has no certif",
        ),
        (ListenerConfig { key_file: Some(certs.path("server.pem")), ..good.clone() }, "server.pem has no private key"),
        (ListenerConfig { key_file: file("torn", &torn), ..good.clone() }, "torn is not PEM"),
        (
            ListenerConfig {
                key_file: file(
                    "e",
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                ),
                ..good.clone()
            },
            "decrypt it: openssl pkey",
        ),
        (
            ListenerConfig {
                key_file: file(
                    "f",
                    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                     -----END RSA PRIVATE KEY-----\n",
                ),
                ..good.clone()
            },
            "decrypt it: openssl pkey",
        ),
        (
            ListenerConfig { key_file: Some(others.path("server.key")), ..good.clone() },
            "is not that of the certificate",
        ),
        (ListenerConfig { client_ca_file: Some(certs.path("none")), ..clients.clone() }, "none: No such file"),
        (
            ListenerConfig { revocation_list_file: Some(certs.path("ca.pem")), ..clients.clone() },
            "ca.pem has no revocation list",
        ),
        (
            ListenerConfig { revocation_list_file: Some(old_revocation_list(&certs)), ..clients },
            "old.crl has a revocation list of version 1 in it, and version 2 is asked for; give the authority a crlnumber",
        ),
        (ListenerConfig { key_file: None, ..good }, "TLS needs a certificate_file and a key_file"),
    ];
    for (listener, expected) in table {
        let wrong = Config { listeners: vec![listener.clone()], ..config() };
        let Err(error @ ServerError::Listen(_)) = run(Builder::new(wrong.clone()).start()) else {
            panic!("{expected}: it started");
        };
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(dunlin::Server::check(&wrong).unwrap_err().to_string(), error.to_string());
    }
}

/// As `openssl ca` makes one for an authority that has neither a number for its lists nor extensions.
fn old_revocation_list(certs: &Certs) -> std::path::PathBuf {
    let dir = certs.dir();
    fs::write(dir.join("index.txt"), "").unwrap();
    let text = "[ca]\ndefault_ca = c\n[c]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 30000\n";
    fs::write(dir.join("old.cnf"), text).unwrap();
    let made = std::process::Command::new("openssl")
        .args("ca -config old.cnf -gencrl -keyfile ca.key -cert ca.pem -out old.crl".split(' '))
        .current_dir(dir)
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    dir.join("old.crl")
}

#[test]
fn keys_of_all_three_forms_are_read() {
    let certs = Certs::new();
    let pkcs8 = certs.path("server.key");
    let sec1 = certs.path("sec1.key");
    let openssl = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).output().expect("openssl is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&["ec", "-in", pkcs8.to_str().unwrap(), "-out", sec1.to_str().unwrap()]);
    assert!(fs::read_to_string(&sec1).unwrap().contains("BEGIN EC PRIVATE KEY"));
    let [rsa, own] = ["rsa.key", "rsa.pem"].map(|name| certs.path(name));
    let [rsa_text, own_text] = [rsa.to_str().unwrap(), own.to_str().unwrap()];
    openssl(&["genrsa", "-traditional", "-out", rsa_text, "2048"]);
    assert!(fs::read_to_string(&rsa).unwrap().contains("BEGIN RSA PRIVATE KEY"));
    openssl(&["req", "-x509", "-new", "-key", rsa_text, "-subj", "/CN=localhost", "-days", "1", "-out", own_text]);
    let good = certs.listener(Transport::Tls);
    for listener in [
        good.clone(),
        ListenerConfig { key_file: Some(sec1), ..good.clone() },
        ListenerConfig { key_file: Some(rsa), certificate_file: Some(own), ..good },
    ] {
        drop(broker(listener));
    }
}

#[test]
fn garbage_on_a_tls_listener_ends_one_connection() {
    let certs = Certs::new();
    let broker = broker(certs.listener(Transport::Tls));
    let mut healthy = secure(broker.address(), &certs.client());
    connect(&mut healthy, "healthy");
    for garbage in [
        &b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff],
        &[0xff; 500],
    ] {
        let mut client = tcp(broker.address());
        client.write_all(garbage).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        // an alert at most
        assert!(rest(&mut client).len() < 20, "{garbage:?}");
        ping(&mut healthy);
    }
    // and within a connection
    let mut client = secure(broker.address(), &certs.client());
    connect(&mut client, "c");
    client.sock.write_all(&[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5]).unwrap();
    rest(&mut client);
    ping(&mut healthy);
}

#[test]
fn messages_of_all_sizes_pass_both_ways() {
    let certs = Certs::new();
    let broker = broker(certs.listener(Transport::Tls));
    let mut client = secure(broker.address(), &certs.client());
    super::websocket::echo_many(&mut client);
}

/// Clients come, stay and publish while the certificate is replaced again and again.
#[test]
fn a_certificate_is_replaced_under_load_and_no_connection_is_lost() {
    const CLIENTS: usize = 8;
    const RENEWALS: usize = 10;
    let certs = Certs::new();
    let broker = broker(certs.listener(Transport::Tls));
    let address = broker.address();
    let config = certs.client();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|at| {
                let mut client = secure(address, &config);
                connect(&mut client, &format!("load-{at}"));
                client.write_all(&crate::support::raw::subscribe(1, &[(&format!("load/{at}"), 0)])).unwrap();
                expect(&mut client, &crate::support::raw::suback(1, &[0]));
                let stop = &stop;
                scope.spawn(move || {
                    let message = crate::support::raw::Message::new(&format!("load/{at}"), "payload").frame();
                    let mut exchanged = 0;
                    while !stop.load(Ordering::Relaxed) {
                        client.write_all(&message).unwrap();
                        expect(&mut client, &message);
                        exchanged += 1;
                    }
                    ping(&mut client);
                    exchanged
                })
            })
            .collect();
        for at in 0..RENEWALS {
            certs.renew();
            let changed = reload(&broker.server, &with(certs.listener(Transport::Tls))).unwrap();
            let name = format!("listener tls://{address}");
            assert_eq!(changed, [format!("certificate of {name}"), format!("private key of {name}")]);
            // a client that connects now gets the new certificate, which another authority signed
            let mut client = secure(address, &certs.client());
            connect(&mut client, &format!("new-{at}"));
            let mut refuses = secure(address, &config);
            assert!(refuses.write_all(b"\x10").is_err() || refuses.read(&mut [0]).is_err());
        }
        // an invalid file changes nothing
        fs::write(certs.path("server.pem"), "nothing").unwrap();
        assert!(reload(&broker.server, &with(certs.listener(Transport::Tls))).is_err());
        connect(&mut secure(address, &certs.client()), "after");
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            assert!(worker.join().unwrap() > 0);
        }
    });
}
