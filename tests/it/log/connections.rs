//! The log lines about connections: client, address, duration, reason.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use dunlin::auth::{self, PasswordChange};
use socket2::{Domain, Socket, Type};

use super::field;
use crate::support::{
    raw::{self, Client, Connect, Message, connack},
    running::{Running, accepted},
    secure::{Certs, secure},
};

/// A broker with this configuration, in which `DIR` is a folder with these files, certificates and the user alice.
pub fn configured(text: &str, files: &[(&str, &str)]) -> (Certs, Running) {
    let certs = Certs::new();
    files.iter().for_each(|(name, text)| fs::write(certs.path(name), text).unwrap());
    auth::edit(&certs.path("passwords"), "alice", PasswordChange::Set(b"wonderland")).unwrap();
    let config = certs.path("dunlin.toml");
    fs::write(&config, text.replace("DIR", certs.dir().to_str().unwrap())).unwrap();
    let running = Running::listening(&[], &["--config", config.to_str().unwrap()]);
    (certs, running)
}

#[track_caller]
pub fn has(line: &str, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(field(line, name), Some(*value), "{name} in {line}");
    }
}

/// Seconds, as a line of a connection's end has them.
#[track_caller]
fn duration(line: &str) -> f64 {
    field(line, "duration").and_then(|text| text.strip_suffix('s')?.parse().ok()).expect(line)
}

#[test]
fn the_log_of_a_connection_has_client_listener_and_duration() {
    let (certs, mut running) = configured(
        "allow_anonymous = true\n[[listener]]\naddress = '127.0.0.1:0'\n\
         [[listener]]\naddress = 'tls://127.0.0.1:0'\ncertificate_file = 'DIR/server.pem'\nkey_file = 'DIR/server.key'\n\
         client_certificates = 'optional'\nclient_ca_file = 'DIR/ca.pem'\nidentity = 'common-name'\n\
         [auth]\npassword_file = 'DIR/passwords'\nsession_owner = 'anyone'\n",
        &[],
    );
    let [plain, tls] = running.addresses[..] else { panic!("{:?}", running.addresses) };

    let mut alice = Client::open(plain);
    alice.send(&Connect::new("a lamp").user("alice", "wonderland").keep_alive(60).frame());
    alice.expect(&connack(0, 0));
    let listener = plain.to_string();
    let who = [("client", "\"a lamp\""), ("user", "alice"), ("listener", &*listener), ("version", "3.1.1")];
    let line = running.wait_for(" connected ");
    has(&line, &who);
    has(&line, &[("clean_session", "true"), ("session_present", "false"), ("keep_alive", "60")]);
    // the next client is another one
    let taker = accepted(plain, "a lamp");
    let line = running.wait_for(" connected ");
    assert_eq!(field(&line, "user"), None, "{line}");
    let line = running.wait_for(" disconnected ");
    has(&line, &who);
    assert!(duration(&line) < 30.0 && line.contains("took the session over"), "{line}");
    taker.disconnect();

    let mut old = Client::open(plain);
    old.send(&Connect::new("old").protocol("MQIsdp", 3).frame());
    old.expect(&connack(0, 0));
    has(&running.wait_for(" connected client=old"), &[("version", "3.1")]);
    old.disconnect();
    let line = running.wait_for(" disconnected client=old");
    has(&line, &[("version", "3.1"), ("reason", "\"the client sent DISCONNECT\"")]);
    assert_eq!(field(&line, "dropped"), None, "{line}");

    let mut lamp = secure(tls, &certs.lamp());
    crate::support::secure::connect(&mut lamp, "by certificate");
    let listener = format!("tls://{tls}");
    let who = [("user", "lamp"), ("listener", &*listener)];
    has(&running.wait_for(" connected "), &who);
    drop(lamp);
    has(&running.wait_for(" disconnected "), &who);
    running.stop();
}

#[test]
fn the_log_of_a_refusal_has_reason_and_code() {
    let (_certs, mut running) = configured(
        "allow_anonymous = false\n[[listener]]\naddress = '127.0.0.1:0'\n[auth]\npassword_file = 'DIR/passwords'\n\
         [limits]\nmax_client_id_length = 23\n",
        &[],
    );
    let long = "a-name-of-more-bytes-than-that";
    let listener = running.addresses[0].to_string();
    for (connect, code, reason, who) in [
        (Connect::new("c"), "5", "`allow_anonymous = false`", [("client", "c"), ("version", "3.1.1")]),
        (
            Connect::new("c").user("alice", "x").protocol("MQIsdp", 3),
            "4",
            "wrong password",
            [("user", "alice"), ("version", "3.1")],
        ),
        (Connect::new(long), "2", "limits.max_client_id_length", [("client", long), ("version", "3.1.1")]),
    ] {
        let mut client = Client::open(running.addresses[0]);
        client.send(&connect.frame());
        client.expect_refused(code.parse().unwrap());
        let line = running.wait_for(" refused ");
        has(&line, &[("code", code), ("listener", &listener)]);
        has(&line, &who);
        assert!(field(&line, "reason").is_some_and(|text| text.contains(reason)), "{line}");
    }
    running.stop();
}

#[test]
fn a_client_cannot_forge_a_field_of_the_log() {
    let mut running = Running::start(&[]);
    let forged = "x user=root \" listener=none \\\" version=9 reason=\"all is well\" code=0";
    let mut client = running.client(forged);
    client.publish(Message::new("t", "").qos(1));
    client.disconnect();
    let line = running.wait_for(" disconnected ");
    assert_eq!(field(&line, "client"), Some(&*format!("{forged:?}")), "{line}");
    assert_eq!((field(&line, "user"), field(&line, "code")), (None, None), "{line}");
    let listener = running.addresses[0].to_string();
    has(&line, &[("listener", &listener), ("version", "3.1.1"), ("reason", "\"the client sent DISCONNECT\"")]);
    running.stop();
}

#[test]
fn a_packet_that_is_too_large_names_the_key() {
    for (limits, connecting) in [
        ("max_packet_size = 2000\nmax_connect_size = 1000", "limits.max_connect_size"),
        ("max_packet_size = 1000\nmax_connect_size = 2000", "limits.max_packet_size"),
    ] {
        let (_certs, mut running) =
            configured(&format!("[[listener]]\naddress = '127.0.0.1:0'\n[limits]\n{limits}\n"), &[]);
        let mut client = running.client("c");
        client.send(&Message::new("t", &"x".repeat(3000)).frame());
        client.expect_closed();
        let line = running.wait_for(" disconnected client=c");
        assert!(line.contains("is larger than the limit of") && line.contains(" (limits.max_packet_size)"), "{line}");
        let mut client = Client::open(running.addresses[0]);
        client.send(&Connect::new("c").user(&"x".repeat(3000), "").frame());
        client.expect_closed();
        let line = running.wait_for("disconnected before CONNECT");
        assert!(line.contains(&format!("is larger than the limit of 1000 ({connecting})")), "{line}");
        running.stop();
    }
}

/// Connections of a client, or of an address, that are shown in a minute; each has two lines.
const SHOWN: usize = 20;
const MANY: usize = 100;

/// The log of connections in a row, with the lines that sum up.
fn of_many(flags: &[&str], come_and_go: impl Fn(SocketAddr, usize)) -> (usize, Vec<String>) {
    let mut running = Running::start(flags);
    (0..MANY).for_each(|n| come_and_go(running.addresses[0], n));
    // hidden lines are counted at the end at the latest
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let (sums, lines): (Vec<_>, Vec<_>) = running.read.iter().partition(|line| line.contains("summed up"));
    (lines.iter().filter(|line| line.contains("peer=")).count(), sums.into_iter().cloned().collect())
}

#[test]
fn lines_of_a_flapping_client_are_summed_up() {
    let (shown, sums) = of_many(&[], |address, _| accepted(address, "a lamp").disconnect());
    assert_eq!((shown, sums.len()), (2 * SHOWN, 1), "{sums:#?}");
    let (connections, lines) = ((MANY - SHOWN).to_string(), (2 * (MANY - SHOWN)).to_string());
    has(&sums[0], &[("client", "\"a lamp\""), ("connections", &connections), ("lines", &lines)]);
    has(&sums[0], &[("last_reason", "\"the client sent DISCONNECT\"")]);
    assert!(sums[0].contains("INFO") && field(&sums[0], "peer").is_none(), "{}", sums[0]);
}

#[test]
fn lines_of_an_address_with_changing_names_are_summed_up() {
    let (shown, sums) = of_many(&[], |address, n| accepted(address, &format!("c{n}")).disconnect());
    assert_eq!((shown, sums.len()), (2 * SHOWN, 1), "{sums:#?}");
    let lines = (2 * (MANY - SHOWN)).to_string();
    has(&sums[0], &[("peer", "127.0.0.1"), ("lines", &lines)]);
}

#[test]
fn an_address_that_never_gets_as_far_as_a_client_is_summed_up() {
    for (flags, bytes, reason) in [
        (&[][..], raw::PINGREQ.to_vec(), "the first packet is not CONNECT [MQTT-3.1.0-1]"),
        (
            &["--allow-anonymous=false"],
            Connect::new("c").frame(),
            "no users are configured and `allow_anonymous = false`",
        ),
    ] {
        let (shown, sums) = of_many(flags, |address, _| {
            let mut client = Client::open(address);
            client.send(&bytes);
            while client.read().is_some() {}
        });
        assert_eq!((shown, sums.len()), (SHOWN, 1), "{sums:#?}");
        let lines = (MANY - SHOWN).to_string();
        has(&sums[0], &[("connections", &lines), ("lines", &lines), ("last_reason", &format!("{reason:?}"))]);
    }
}

#[test]
fn refused_clients_hide_no_lines_of_the_client_they_claim_to_be() {
    let (_certs, mut running) = configured(
        "allow_anonymous = false\n[[listener]]\naddress = '127.0.0.1:0'\n[auth]\npassword_file = 'DIR/passwords'\n",
        &[],
    );
    let address = running.addresses[0];
    let stranger = SocketAddr::from(([127, 0, 0, 9], 0));
    for _ in 0..SHOWN + 5 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&stranger.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.write_all(&Connect::new("lamp").user("alice", "wrong").frame()).unwrap();
        // until the broker has closed, however it does
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let mut client = Client::open(address);
    client.send(&Connect::new("lamp").user("alice", "wonderland").frame());
    client.expect(&connack(0, 0));
    has(&running.wait_for(" connected "), &[("client", "lamp"), ("user", "alice")]);
}

#[test]
fn at_debug_each_connection_is_shown() {
    let (shown, sums) = of_many(&["--log-level=debug"], |address, _| accepted(address, "a lamp").disconnect());
    assert_eq!((shown, sums.len()), (2 * MANY, 1), "{sums:#?}");
}
