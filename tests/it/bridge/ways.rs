//! How a bridge connects: over TLS and WebSocket, to which address, and when; its rate; and changes by a reload.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use dunlin::{
    BridgePhase, BridgeView, Builder, ClientId, Config, ProtocolVersion, Publication, QoS, Server, TestClock,
    inspect::{ByAdministrator, Closed},
};

use super::{bridged, view, wait_until_connected};
use crate::support::{
    Broker, GUARD, config, five,
    raw::{Client, Connect, Message},
    reload, run,
    secure::Certs,
    shut_down, start, wait_until,
};

/// A configuration with these tables, on a free port unless they have a listener.
fn parsed(text: &str) -> Config {
    let Config { listeners, bridges, .. } = dunlin::config::parse(text, "test").expect("the configuration is right");
    let ours = config();
    Config {
        listeners: if text.contains("[[listener]]") { listeners } else { ours.listeners.clone() },
        bridges,
        ..ours
    }
}

/// A bridge to these addresses; `more` are further keys of it.
fn bridge_to(addresses: &[String], more: &str) -> Config {
    parsed(&format!(
        "[[bridge]]\nname = 'b'\naddresses = {addresses:?}\nclient_id = 'from-here'\nreconnect_min = '10ms'\n\
         reconnect_max = '50ms'\n{more}\n"
    ))
}

fn publisher(server: &Server) -> Client {
    Client::accepted(server.local_addrs()[0], &Connect::new("p"), 0)
}

fn wait_for(server: &Server, holds: impl Fn(&BridgeView) -> bool) {
    wait_until(|| holds(&view(server)), || format!("{:?}", view(server)));
}

/// The connection of the bridge is closed at the other broker.
fn cut(there: &Broker) {
    let closed = there.server.close(&ClientId::from("from-here"), &ByAdministrator::new("ann", ""));
    assert!(matches!(closed, Closed::Closing), "the bridge is a client there");
}

#[test]
fn over_tls_and_websocket_with_a_client_certificate() {
    let certs = Certs::new();
    let dir = certs.dir().display();
    let secured = format!(
        "certificate_file = '{dir}/server.pem'\nkey_file = '{dir}/server.key'\nclient_ca_file = '{dir}/ca.pem'\n\
         client_certificates = 'required'\nallow_anonymous = true\n"
    );
    let there = Broker::new(parsed(&format!(
        "[[listener]]\naddress = 'tls://127.0.0.1:0'\n{secured}[[listener]]\naddress = 'wss://127.0.0.1:0'\n{secured}\
         [[listener]]\naddress = 'ws://127.0.0.1:0'\nallow_anonymous = true\n\
         [[listener]]\naddress = '127.0.0.1:0'\nallow_anonymous = true\n"
    )));
    let ports: Vec<_> = there.server.local_addrs().iter().map(SocketAddr::port).collect();
    let mut subscriber = Client::accepted(there.server.local_addrs()[3], &Connect::new("s"), 0);
    subscriber.subscribe(&[("#", 1)]);
    let topics = "topics = ['# out 1']\nnotifications = 'off'\n";
    let files = format!(
        "ca_file = '{dir}/ca.pem'\n\
         certificate_file = '{dir}/client.pem'\nkey_file = '{dir}/client.key'"
    );
    for (scheme, port) in ["mqtts", "wss", "ws"].into_iter().zip(&ports) {
        let address = format!("{scheme}://localhost:{port}");
        let files = if scheme == "ws" { "" } else { &files };
        let here = start(Builder::new(bridge_to(&[address], &format!("{topics}{files}"))));
        wait_until_connected(&here);
        publisher(&here).publish(Message::new("a", scheme).qos(1));
        subscriber.expect_message("a", scheme, 1);
        shut_down(here);
    }
    // without a certificate it is refused, and the reason is logged
    let keys = format!("topics = ['# out 1']\nca_file = '{dir}/ca.pem'");
    let here = start(Builder::new(bridge_to(&[format!("mqtts://localhost:{}", ports[0])], &keys)));
    wait_for(&here, |view| view.error.as_ref().is_some_and(|(error, _)| error.to_lowercase().contains("certificate")));
    shut_down(here);
}

#[test]
fn alpn_is_offered_and_insecure_skips_the_host_name_alone() {
    use tokio_rustls::rustls::{
        ServerConfig, ServerConnection,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    };
    let (certs, others) = (Certs::new(), Certs::new());
    let certificate = CertificateDer::from_pem_file(certs.path("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certs.path("server.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut server = builder.with_single_cert(vec![certificate], key).unwrap();
    server.alpn_protocols = vec![b"mqtt".to_vec(), b"x-amzn-mqtt-ca".to_vec()];
    let server = std::sync::Arc::new(server);
    for (authority, insecure, expected) in
        [(&certs, true, None), (&certs, false, Some("name")), (&others, true, Some(""))]
    {
        // an address that the certificate does not have; another one each time: the bridge before tried again
        let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        let address = format!("mqtts://{}", listener.local_addr().unwrap());
        let keys = format!(
            "topics = ['# out 1']\nca_file = '{}'\nalpn = 'x-amzn-mqtt-ca'\ninsecure = {insecure}\nprotocol = '5'",
            authority.path("ca.pem").display()
        );
        let here = start(Builder::new(bridge_to(&[address], &keys)));
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(server.clone()).unwrap();
        let shaken = connection.complete_io(&mut stream);
        match expected {
            None => {
                shaken.unwrap();
                assert_eq!(connection.alpn_protocol(), Some(&b"x-amzn-mqtt-ca"[..]));
                let mut line = tokio_rustls::rustls::StreamOwned::new(connection, stream);
                let mut first = [0];
                std::io::Read::read_exact(&mut line, &mut first).unwrap();
                assert_eq!(first, [0x10], "CONNECT");
                std::io::Write::write_all(&mut line, &[0x20, 3, 0, 0, 0]).unwrap();
                wait_for(&here, |view| view.phase == BridgePhase::Connected);
            }
            Some(words) => {
                drop(stream);
                wait_for(&here, |view| {
                    let told = view.error.as_ref().map_or_else(String::new, |(error, _)| error.to_lowercase());
                    told.contains("certificate") && told.contains(words)
                });
                assert_eq!(view(&here).counts.connects, 0);
            }
        }
        shut_down(here);
    }
}

#[test]
fn a_lazy_bridge_connects_at_its_threshold_and_disconnects_when_idle() {
    let there = Broker::new(config());
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("#", 1)]);
    let more = "start = 'lazy'\nthreshold = 3\nidle_timeout = '1s'\nnotifications = 'off'";
    let clock = TestClock::new();
    let here = start(Builder::new(bridged("b", there.address(), &["# out 1"], more)).clock(clock.clock()));
    let mut publisher = publisher(&here);
    for times in 1..=2 {
        for n in 0..2 {
            publisher.publish(Message::new("a", &n.to_string()).qos(1));
        }
        wait_for(&here, |view| view.counts.queued == 2 && view.phase == BridgePhase::Waiting);
        assert_eq!(view(&here).counts.connects, times - 1);
        publisher.publish(Message::new("a", "2").qos(1));
        (0..3).for_each(|n: u8| subscriber.expect_message("a", &n.to_string(), 1));
        wait_for(&here, |view| view.counts.queued == 0);
        wait_until(
            || {
                clock.turn(Duration::from_secs(1));
                view(&here).phase == BridgePhase::Waiting
            },
            || format!("{:?}", view(&here)),
        );
        assert_eq!(view(&here).counts.connects, times);
    }
    shut_down(here);
}

#[test]
fn a_bridge_with_start_once_does_not_reconnect() {
    let there = Broker::new(config());
    let here =
        start(Builder::new(bridged("b", there.address(), &["# out 1"], "start = 'once'\nclient_id = 'from-here'")));
    wait_until_connected(&here);
    cut(&there);
    wait_for(&here, |view| view.phase == BridgePhase::Ended);
    assert_eq!(view(&here).counts.connects, 1);
    shut_down(here);
}

#[test]
fn a_bridge_returns_to_its_first_address_or_stays() {
    let second = Broker::new(config());
    for (round_robin, expected) in [(false, 0), (true, 1)] {
        // the first one does not listen yet
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addresses = [free, second.address()].map(|address| address.to_string());
        let more = format!("topics = ['a in']\nround_robin = {round_robin}");
        let here = start(Builder::new(bridge_to(&addresses, &more)));
        let connected_at = || Some(view(&here)).filter(|view| view.phase == BridgePhase::Connected)?.address;
        wait_until(|| connected_at().as_ref() == Some(&addresses[1]), || format!("{:?}", view(&here)));
        let mut listens = config();
        listens.listeners[0].address = free.into();
        let _first = Broker::new(listens);
        cut(&second);
        wait_for(&here, |view| view.counts.connects == 2 && view.phase == BridgePhase::Connected);
        assert_eq!(connected_at().as_ref(), Some(&addresses[expected]));
        shut_down(here);
    }
}

#[test]
fn a_bridge_limits_the_expiry_and_the_rate_of_messages() {
    let there = Broker::new(config());
    let mut subscriber = five::Five::accepted(there.address(), &five::Connect::new("s"), 0);
    subscriber.subscribe(&[("#", 1)]);
    let clock = TestClock::new();
    let more = "rate = 10\nexpiry = '10s'\nnotifications = 'off'\nprotocol = '5'";
    let here = start(Builder::new(bridged("b", there.address(), &["# out 1"], more)).clock(clock.clock()));
    wait_until_connected(&here);
    clock.pause();
    let mut publisher = publisher(&here);
    for n in 0..3 {
        publisher.publish(Message::new("a", &n.to_string()).qos(1));
    }
    for n in 0..3 {
        let message = subscriber.take();
        assert_eq!(message.text(), n.to_string());
        const MESSAGE_EXPIRY_INTERVAL: u8 = 2;
        assert!(message.properties.number(MESSAGE_EXPIRY_INTERVAL).is_some_and(|seconds| seconds <= 10));
        // the clock stands, and so nothing more is sent
        subscriber.expect_nothing_pending();
        wait_for(&here, |view| view.counts.sent == n + 1 && view.counts.queued == 2 - n);
        clock.turn(Duration::from_millis(150));
    }
    shut_down(here);
}

#[test]
fn a_bridge_discards_echoes_of_a_broker_without_no_local() {
    let there = Broker::new(config());
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("#", 1)]);
    let more = "protocol = '3.1.1'\ntry_private = false\nnotifications = 'off'";
    let here = start(Builder::new(bridged("b", there.address(), &["# both 1"], more)));
    wait_until_connected(&here);
    assert_eq!(view(&here).version, Some(ProtocolVersion::V311));
    let mut publisher = publisher(&here);
    publisher.subscribe(&[("#", 1)]);
    for n in 1..=2 {
        // the same message a second time is another one
        publisher.publish_apart("a", "x", 1);
        publisher.expect_message("a", "x", 1);
        subscriber.expect_message("a", "x", 1);
        wait_for(&here, |view| view.counts.echoes == n);
    }
    subscriber.publish_apart("b", "y", 1);
    subscriber.expect_message("b", "y", 1);
    publisher.expect_message("b", "y", 1);
    publisher.expect_nothing_pending();
    shut_down(here);
}

#[test]
fn a_reload_changes_only_the_bridges_that_differ() {
    let there = Broker::new(config());
    let bridge = |name: &str, topic: &str| {
        let address = there.address();
        format!("[[bridge]]\nname = '{name}'\naddresses = ['{address}']\ntopics = ['{topic}']\nclient_id = '{name}'\n")
    };
    let both = |topic: &str| parsed(&format!("{}{}", bridge("stays", "a/# out 1"), bridge("changes", topic)));
    let here = start(Builder::new(both("b/# out 1")));
    let all = || here.bridges();
    let are_connected = || all().iter().all(|view| view.phase == BridgePhase::Connected);
    wait_until(are_connected, || format!("{:?}", all()));
    let listeners = |mut config: Config| {
        config.listeners[0].address = here.local_addrs()[0].into();
        config
    };
    crate::support::reload(&here, &listeners(both("c/# out 1"))).expect("it can be put in force");
    wait_until(|| all().len() == 2 && are_connected(), || format!("{:?}", all()));
    // counters of one that changed begin anew
    let of = |name: &str| all().into_iter().find(|view| view.name == name);
    assert_eq!(of("stays").unwrap().counts.connects, 1);
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("#", 1)]);
    let mut publisher = publisher(&here);
    publisher.publish(Message::new("b/x", "not any more").qos(1));
    publisher.publish(Message::new("c/x", "now").qos(1));
    publisher.publish(Message::new("a/x", "still").qos(1));
    let mut came = [subscriber.take().topic, subscriber.take().topic];
    came.sort();
    assert_eq!(came, ["a/x", "c/x"]);
    crate::support::reload(&here, &listeners(parsed(&bridge("stays", "a/# out 1")))).expect("it can be put in force");
    assert!(of("changes").is_none() && of("stays").unwrap().counts.connects == 1);
    shut_down(here);
}

#[test]
fn a_bridge_that_is_removed_while_the_broker_is_off_leaves_no_queue() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let with = Config { data_dir: Some(dir.path().join("data")), ..bridged("b", nobody, &["# out 1"], "") };
    let without = Config { bridges: Vec::new(), ..with.clone() };
    let server = start(Builder::new(with.clone()));
    publisher(&server).publish(Message::new("t", "waits").qos(1));
    assert_eq!(view(&server).counts.queued, 1);
    shut_down(server);
    for (config, queued) in [(&with, Some(1)), (&without, None), (&with, Some(0))] {
        let server = start(Builder::new(config.clone()));
        assert_eq!(server.bridges().first().map(|view| view.counts.queued), queued);
        shut_down(server);
    }
}

#[test]
fn the_file_with_the_password_is_read_at_each_connect() {
    let dir = tempfile::tempdir().unwrap();
    let (there_users, password) = (dir.path().join("users"), dir.path().join("password"));
    fs::write(&there_users, format!("edge:{}\n", crate::support::argon2id("right", 32))).unwrap();
    fs::write(&password, "wrong\n").unwrap();
    let mut secured = config();
    secured.auth.password_file = Some(there_users);
    let there = Broker::new(secured);
    let more = format!(
        "topics = ['# out 1']\nusername = 'edge'\npassword_file = '{}'\nnotifications = 'off'",
        password.display()
    );
    let here = start(Builder::new(bridge_to(&[there.address().to_string()], &more)));
    wait_for(&here, |view| view.error.as_ref().is_some_and(|(error, _)| error.contains("0x86")));
    fs::remove_file(&password).unwrap();
    let checked = dunlin::server::check_files(&bridge_to(&[there.address().to_string()], &more)).unwrap();
    assert!(
        checked.contains(&format!("cannot read password_file = {}: No such file", password.display())),
        "{checked}"
    );
    let unread = format!("cannot read the password in {}: No such file", password.display());
    wait_for(&here, |view| view.error.as_ref().is_some_and(|(error, _)| error.contains(&unread)));
    fs::write(&password, "right\n").unwrap();
    wait_for(&here, |view| view.phase == BridgePhase::Connected);
    shut_down(here);
}

/// A server that accepts one client, reads some of its messages and then nothing until it is told to end. Also gives
/// what tells that it has read them.
fn deaf() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (has_read, some_read) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut [0; 4096]).unwrap();
        assert!(read > 0);
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
        has_read.send(()).unwrap();
        let _ = ended.recv();
    });
    (address, some_read, end)
}

#[test]
fn bridges_are_shown_while_one_of_them_ends() {
    let (address, some_read, _deaf) = deaf();
    let clock = TestClock::new();
    let bridged = bridge_to(&[address.to_string()], "protocol = '3.1.1'\ntopics = ['a out 1']");
    let broker = Broker::with_clock(bridged, clock.clone());
    let server = &broker.server;
    wait_until(|| view(server).phase == BridgePhase::Connected, || format!("{:?}", view(server)));
    // more than sockets hold, so that the bridge can write no DISCONNECT; it waits for a second of this clock
    for _ in 0..40 {
        run(server.publish(Publication::new("a", vec![0; 1 << 20]).qos(QoS::AtLeastOnce))).expect("it is published");
    }
    some_read.recv_timeout(GUARD).expect("the bridge sends");
    clock.pause();
    thread::scope(|scope| {
        let reloading = scope.spawn(|| reload(server, &config()).expect("it can be put in force"));
        let (told, heard) = mpsc::channel();
        scope.spawn(move || {
            while !server.bridges().is_empty() {
                thread::yield_now();
            }
            let _ = told.send(());
        });
        let are_shown = heard.recv_timeout(GUARD);
        while !reloading.is_finished() {
            clock.turn(Duration::from_secs(1));
            thread::yield_now();
        }
        are_shown.expect("the bridges, while one of them ends");
    });
}
