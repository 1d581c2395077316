//! Sockets that systemd passes, by name: taken over, served, kept over a reload; and errors with them.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use crate::support::{
    GUARD,
    raw::{Client, Connect, connack},
    running::{Running, accepted},
};

/// The sockets are standard input and output, as far as the shell, which puts them where systemd does.
const SCRIPT: &str = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=${PID:-$$} exec \"$@\"";

/// Runs the binary with these sockets of these names; without a socket that is a null device.
fn passed(names: &str, sockets: [Option<OwnedFd>; 2], variables: &[(&str, &str)], flags: &[&str]) -> Running {
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "bash", env!("CARGO_BIN_EXE_dunlin")]).args(flags).env_clear();
    let count = sockets.iter().flatten().count().to_string();
    command.envs([("LISTEN_FDS", &*count), ("LISTEN_FDNAMES", names)]).envs(variables.iter().copied());
    let [first, second] = sockets;
    first.into_iter().for_each(|socket| _ = command.stdin(socket));
    second.into_iter().for_each(|socket| _ = command.stdout(socket));
    Running::run(&mut command)
}

fn tcp() -> (SocketAddr, Option<OwnedFd>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    (listener.local_addr().unwrap(), Some(listener.into()))
}

/// A client with a clean session that was accepted, over a Unix socket.
fn unix_client(path: &Path, id: &str) -> UnixStream {
    let mut client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(GUARD)).unwrap();
    client.write_all(&Connect::new(id).frame()).unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..], connack(0, 0));
    client
}

fn ping(client: &mut Client) {
    client.send(crate::support::raw::PINGREQ);
    client.expect(crate::support::raw::PINGRESP);
}

fn configuration(dir: &TempDir, text: &str) -> String {
    let path = dir.path().join("dunlin.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

const MQTT: &str = "[[listener]]\naddress = 'systemd:mqtt'\nallow_anonymous = true\n";
const LOCAL: &str = "[[listener]]\naddress = 'systemd:local'\nallow_anonymous = true\n";

#[test]
fn listeners_take_passed_sockets_by_name_and_keep_them_over_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mqtt.sock");
    let (address, socket) = tcp();
    let unix = UnixListener::bind(&path).unwrap();
    let config = configuration(&dir, &format!("{LOCAL}{MQTT}"));
    let mut broker = passed("mqtt:local", [socket, Some(unix.into())], &[], &["--config", &config]);
    broker.wait_until_ready();
    assert!(broker.read.last().unwrap().contains(&format!(" listeners=unix:{},{address} ", path.display())));
    let mut client = accepted(address, "c");
    let mut local = unix_client(&path, "local");

    configuration(&dir, &format!("{LOCAL}{MQTT}[limits]\nmax_inflight_in = 3\n"));
    broker.signal("HUP");
    let line = broker.wait_for("the configuration was read again");
    assert!(line.ends_with("changed=\"limits.max_inflight_in = 3 (was 100)\""), "{line}");
    ping(&mut client);
    accepted(address, "d").disconnect();

    // a socket that no listener would serve: nothing changes
    configuration(&dir, MQTT);
    broker.signal("HUP");
    let line = broker.wait_for("the configuration stays as it is");
    assert!(line.contains(r#"systemd passed the socket \"local\", and no listener takes it"#), "{line}");
    unix_client(&path, "another");

    // another setting of one of them
    configuration(&dir, &format!("{LOCAL}{}", MQTT.replace("true", "false")));
    broker.signal("HUP");
    broker.wait_for("changed=\"limits.max_inflight_in = 100 (was 3), listener");
    let mut refused = Client::open(address);
    refused.send(&Connect::new("e").frame());
    refused.expect_refused(5);
    local.write_all(crate::support::raw::PINGREQ).unwrap();
    let mut answer = [0; 2];
    local.read_exact(&mut answer).unwrap();
    assert_eq!(answer, crate::support::raw::PINGRESP);

    broker.stop();
    assert!(path.exists(), "the file is systemd's");
}

#[test]
fn passed_sockets_of_one_name_are_one_listener() {
    let ((first, one), (second, two)) = (tcp(), tcp());
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(&dir, MQTT);
    let mut broker = passed("mqtt:mqtt", [one, two], &[], &["--config", &config]);
    broker.wait_until_ready();
    assert_eq!(broker.addresses, [first, second]);
    configuration(&dir, &format!("{MQTT}proxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n"));
    broker.signal("HUP");
    broker.wait_for("the configuration was read again");
    for address in [first, second] {
        let mut client = Client::open(address);
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        client.send(&Connect::new("c").frame());
        client.expect(&connack(0, 0));
    }
    broker.stop();
}

#[test]
fn their_clients_count_as_remote() {
    let (address, socket) = tcp();
    let mut broker = passed("mqtt", [socket, None], &[], &["--listen", "systemd:mqtt"]);
    broker.wait_until_ready();
    let mut client = Client::open(address);
    client.send(&Connect::new("c").frame());
    client.expect_refused(5);
    broker.stop();
}

#[test]
fn a_client_of_ipv4_on_a_socket_of_both_families_has_its_own_address() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    if let Err(error) = socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()) {
        return eprintln!("left out: no IPv6 here: {error}");
    }
    socket.listen(10).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let flags = ["--listen", "systemd:mqtt", "--allow-anonymous"];
    let mut broker = passed("mqtt", [Some(socket.into()), None], &[], &flags);
    broker.wait_until_ready();
    accepted(([127, 0, 0, 1], port).into(), "four").disconnect();
    let line = broker.wait_for("client=four");
    assert!(line.contains(" peer=127.0.0.1:"), "{line}");
    broker.stop();
}

#[test]
fn invalid_passed_sockets_are_errors() {
    let refused = |names: &str, socket: Option<OwnedFd>, variables: &[(&str, &str)], flags: &[&str], expected: &str| {
        let mut broker = passed(names, [socket, None], variables, flags);
        assert_eq!(broker.exit_code(), Some(1), "{expected}");
        assert!(broker.read.len() == 1 && broker.read[0].contains(expected), "{expected:?}: {:?}", broker.read);
    };
    let mqtt = ["--listen", "systemd:mqtt"];
    let free = ["--listen", "127.0.0.1:0"];
    let none =
        "cannot listen on systemd:mqtt: systemd passed no sockets: start the socket unit in place of the service";
    refused("", None, &[], &mqtt, none);
    // they are another process's
    refused("mqtt", tcp().1, &[("PID", "1")], &mqtt, none);
    let expected = "systemd passed the socket \"web\", and no listener takes it: write address = \"systemd:web\"";
    refused("web", tcp().1, &[], &mqtt, expected);
    let both = ["--listen", "systemd:mqtt", "--listen", "systemd:web"];
    let expected = "cannot listen on systemd:mqtt: systemd passed no socket of this name, but \"web\"; change the name";
    refused("web", tcp().1, &[], &both, expected);
    refused("mqtt", tcp().1, &[], &free, "systemd passed the socket \"mqtt\", and no listener takes it");
    refused(
        "a:b",
        tcp().1,
        &[],
        &mqtt,
        "cannot take the sockets that systemd passes (LISTEN_FDS): invalid LISTEN_FDNAMES",
    );
    // fewer than that: the number of the third may be that of a file of the broker's own
    let three = [("LISTEN_FDS", "3")];
    let expected = "cannot take the sockets that systemd passes (LISTEN_FDS): Bad file descriptor";
    refused("a:b:mqtt", tcp().1, &three, &mqtt, expected);
    let udp = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    refused("mqtt", Some(udp.into()), &[], &mqtt, "takes no connections; the socket unit needs ListenStream=");
    let dir = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(dir.path().join("s")).unwrap();
    let websocket = ["--listen", "ws://systemd:mqtt"];
    refused(
        "mqtt",
        Some(unix.into()),
        &[],
        &websocket,
        "cannot listen on systemd:mqtt: this is a Unix socket, on which",
    );
}

#[test]
fn check_needs_no_passed_sockets() {
    let output = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .env_clear()
        .args(["--listen", "mqtt://systemd:mqtt", "--check"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("listen:        systemd:mqtt (sockets that systemd passes), "),
        "{said}"
    );
}
