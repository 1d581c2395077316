//! `dunlin health`: its output for running and missing brokers, over each transport. The broker logs such checks only
//! at debug.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
};

use dunlin::certs;
use tempfile::TempDir;

use crate::support::{
    raw::{self, Client, Connect},
    running::{Running, accepted},
};

/// Runs `dunlin health` and returns its output: standard output if its exit code is 0, or else standard error.
fn health(variables: &[(&str, &str)], flags: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let output = command.env_clear().envs(variables.iter().copied()).arg("health").args(flags).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    match output.status.code() {
        Some(0) if err.is_empty() && out.lines().count() == 1 => Ok(out.trim_end().into()),
        Some(1) if out.is_empty() && err.lines().count() == 1 => Err(err.trim_end().into()),
        code => panic!("{code:?}: {out}{err}"),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn configured(dir: &TempDir, text: &str) -> Running {
    let file = write(dir.path(), "broker.toml", text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut running = Running::run(command.env_clear().args(["--config", &file]));
    running.wait_until_ready();
    running
}

// ---- alive ----

#[test]
fn health_checks_a_broker_over_each_transport() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("certs");
    certs::make(&made, &["localhost".into()], "client", false).unwrap();
    let tls = format!("certificate_file = '{0}/server.pem'\nkey_file = '{0}/server.key'\n", made.display());
    let demanded = format!("{tls}client_ca_file = '{}/ca.pem'\nclient_certificates = 'required'\n", made.display());
    let proxied = "proxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n";
    let path = dir.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let kinds: [(&str, &str, &str); 7] = [
        ("", "", "answers"),
        ("tls://", &tls, "answers"),
        ("ws://", "path = '/here'\n", "answers"),
        ("wss://", &tls, "answers"),
        ("unix", "", "answers"),
        ("tls://", &demanded, "accepts connections"),
        ("", proxied, "accepts connections"),
    ];
    for (transport, keys, said) in kinds {
        let listener = |address: &str| format!("allow_anonymous = true\n[[listener]]\naddress = '{address}'\n{keys}");
        let (running, address) = if transport == "unix" {
            (configured(&dir, &listener(&unix)), unix.clone())
        } else {
            let running = configured(&dir, &listener(&format!("{transport}0.0.0.0:0")));
            let port = running.addresses[0].port();
            (running, format!("{transport}0.0.0.0:{port}"))
        };
        let file = write(dir.path(), "health.toml", &listener(&address));
        let expected = format!("healthy: {} {said}", address.replace("0.0.0.0", "127.0.0.1"));
        assert_eq!(health(&[], &["--config", &file]), Ok(expected.clone()));
        assert_eq!(health(&[("DUNLIN_CONFIG", &file)], &[]), Ok(expected.clone()));
        if keys.is_empty() {
            assert_eq!(health(&[("DUNLIN_LISTEN", &address)], &[]), Ok(expected.clone()));
            assert_eq!(health(&[], &["--listen", &address]), Ok(expected));
        }
        running.stop();
    }
}

#[test]
fn health_accepts_a_refusal_and_ignores_other_errors_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = configured(&dir, "allow_anonymous = false\n[[listener]]\naddress = '127.0.0.1:0'\n");
    let address = running.addresses[0].to_string();
    let said = format!("healthy: {address} answers (it refuses a client without a user name, code 5)");
    assert_eq!(health(&[], &["--listen", &address]), Ok(said.clone()));
    let file = write(dir.path(), "a.toml", &format!("workers = 0\n[[listener]]\naddress = '{address}'\n"));
    assert_eq!(health(&[], &["-c", &file]), Ok(said));

    // these lines are at debug; a refusal of any other client is not
    Client::open(running.addresses[0]).send(&Connect::new("lamp").frame());
    running.wait_for("refused client=lamp");
    assert!(
        !running.read.iter().any(|line| line.contains("health") || line.contains("code=5 ") && !line.contains("lamp"))
    );
}

// ---- the broker's log ----

#[test]
fn health_checks_are_logged_only_at_debug() {
    let mut running = Running::start(&[]);
    let address = running.addresses[0].to_string();
    for _ in 0..25 {
        health(&[], &["--listen", &address]).unwrap();
    }
    accepted(running.addresses[0], "lamp").disconnect();
    running.wait_for("disconnected client=lamp");
    let about = running.read.iter().filter(|line| line.contains("peer=")).count();
    assert_eq!(about, 2, "{:#?}", running.read);

    let mut running = Running::start(&["-v"]);
    health(&[], &["--listen", &running.addresses[0].to_string()]).unwrap();
    let line = running.wait_for("health check");
    assert!(line.contains("DEBUG") && line.contains("peer=127.0.0.1:") && line.contains("code=0"), "{line}");
}

#[test]
fn a_client_named_like_a_health_check_is_an_ordinary_client() {
    let mut running = Running::start(&[]);
    let address = running.addresses[0];
    let connect = Connect::new("$health").frame();
    // behind its CONNECT, later, half a packet
    for talk in [raw::PINGREQ, &[0][..]] {
        let mut client = Client::open(address);
        client.send(&connect);
        client.expect(&raw::connack(0, 0));
        client.send(talk);
        client.expect_closed();
        let line = running.wait_for("disconnected");
        assert!(line.contains("INFO") && line.contains("client=$health"), "{line}");
    }
    // the same bytes with a longer CONNECT: another client, which may not have the name
    let with_more = [&connect[..], &raw::PINGREQ[..1]].concat();
    let others = [Connect::new("$health").user("u", "p"), Connect::new("$health").persistent()];
    for frame in others.iter().map(Connect::frame).chain([with_more]) {
        let mut client = Client::open(address);
        client.send(&frame);
        client.expect_refused(2);
        let line = running.wait_for("refused client=$health ");
        assert!(line.contains("INFO") && line.contains("code=2"), "{line}");
    }
}

#[test]
fn a_health_check_through_a_proxy_from_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "proxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\nallow_anonymous = true\n";
    let mut running = configured(&dir, &format!("[[listener]]\naddress = '127.0.0.1:0'\n{keys}"));
    for (source, code) in [("127.0.0.1", 0), ("192.0.2.7", 2)] {
        let mut socket = TcpStream::connect(running.addresses[0]).unwrap();
        socket.write_all(format!("PROXY TCP4 {source} 192.0.2.1 4000 1883\r\n").as_bytes()).unwrap();
        socket.write_all(&Connect::new("$health").frame()).unwrap();
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..], raw::connack(0, code));
        if code > 0 {
            let line = running.wait_for("refused ");
            assert!(line.contains("peer=192.0.2.7:4000"), "{line}");
        }
    }
}

#[test]
fn concurrent_health_checks_take_over_no_session() {
    let running = Running::start(&[]);
    let address = running.addresses[0];
    let mut check = accepted(address, "$health");
    for _ in 0..3 {
        health(&[], &["--listen", &address.to_string()]).unwrap();
    }
    check.expect_no_bytes();
}

// ---- dead ----

fn dead(flags: &[&str], problem: &str) {
    let said = health(&[], flags).unwrap_err();
    assert!(said.starts_with("dunlin: not healthy: 127.0.0.1:") && said.contains(problem), "{said}");
}

#[test]
fn health_reports_a_closed_port_silence_and_another_protocol() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    dead(&["--listen", &address, "--timeout", "200ms"], "no answer within 200ms (--timeout)");
    drop(silent);
    dead(&["--listen", &address], "Connection refused");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let answers = std::thread::spawn(move || {
        let (mut socket, _) = other.accept().unwrap();
        socket.write_all(b"SSH-2.0-x\r\n").unwrap();
        let _ = socket.read(&mut [0; 64]);
    });
    dead(&["--listen", &address], "the program at that address is not an MQTT broker");
    answers.join().unwrap();
}

#[test]
fn health_retries_a_full_broker_until_its_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let running = configured(&dir, "[[listener]]\naddress = '127.0.0.1:0'\n[limits]\nmax_connections = 1\n");
    let address: SocketAddr = running.addresses[0];
    let client = accepted(address, "the only one");
    dead(
        &["--listen", &address.to_string(), "--timeout", "500ms"],
        "it closes connections without an answer (limits.max",
    );
    client.disconnect();
    health(&[], &["--listen", &address.to_string()]).unwrap();
}

#[test]
fn health_reports_a_configuration_without_a_usable_address() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "a.toml", "[[listener]]\naddress = '127.0.0.1:0'\n");
    let said = "dunlin: the configuration has no listener with a known address and port; write --listen ADDRESS:PORT";
    assert_eq!(health(&[], &["-c", &file]), Err(said.into()));
    let none = dir.path().join("none").display().to_string();
    let said = health(&[], &["-c", &none]).unwrap_err();
    assert!(said.contains("cannot read the configuration"), "{said}");
}
