//! The process: its addresses, refused options, and its end.

use std::{
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::ask;
use crate::{
    http::get,
    support::{
        command::refused,
        raw::{Client, Connect},
        running::Running,
    },
};

/// Runs until the log has the address of HTTP; returns it.
pub fn start(flags: &[&str], prepare: impl FnOnce(&mut Command)) -> (Running, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().args(["--log-level", "info", "test"]).args(flags);
    prepare(&mut command);
    let mut running = Running::run(&mut command);
    running.wait_until_ready();
    let line = running.wait_for("test bench");
    let (_, url) = line.split_once("http://").expect("a URL");
    (running, url.trim_matches('"').parse().unwrap())
}

#[test]
fn the_ready_file_names_the_listeners_and_http() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready.json");
    let (running, http) = start(&["--ready-file", file.to_str().unwrap()], |_| {});
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(ready["http"], json!([format!("http://{http}")]));
    let address: SocketAddr = ready["listeners"][0]["address"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback() && ready["listeners"].as_array().unwrap().len() == 1);
    let _client = Client::accepted(address, &Connect::new("c"), 0);
    // the usual HTTP routes are served, too
    let clients = get(http, "/api/v1/clients");
    assert!(clients.status == 200 && clients.body.contains("\"c\""), "{clients:?}");
    assert_eq!(get(http, "/healthz").status, 200);
    running.stop();
    assert!(!file.exists());
}

#[test]
fn dunlin_test_listens_on_loopback_unless_any_address_is_given() {
    let place = tempfile::tempdir().unwrap();
    for flags in [["--listen", "0.0.0.0:0"], ["--http", "0.0.0.0:0"]] {
        let told = refused(place.path(), &[], &[&["test"][..], &flags].concat(), 1);
        assert!(told.contains("anyone who reaches it would control this broker"), "{told}");
    }
    let (mut running, http) = start(&["--any-address", "--http", "0.0.0.0:0", "--listen", "0.0.0.0:0"], |_| {});
    running.read.iter().find(|line| line.contains("WARN") && line.contains("controls this broker")).expect("a warning");
    let here = SocketAddr::from(([127, 0, 0, 1], http.port()));
    assert_eq!(ask(here, "GET", "clock", &json!({})).0, 200);
    running.kill();
}

#[test]
fn dunlin_test_takes_flags_of_the_broker_before_its_name() {
    let place = tempfile::tempdir().unwrap();
    for (flag, value) in [("--config", "d.toml"), ("-p", "1883"), ("--log-level", "debug")] {
        let told = refused(place.path(), &[], &["test", flag, value], 2);
        let tip = format!("it is a flag of the broker: write it before \"test\", as in dunlin {flag} … test");
        assert!(told.contains(&tip), "{told}");
    }
    // as an address that is not on loopback is refused, nothing starts
    let said = |before: &[&str], behind: &[&str]| {
        refused(place.path(), &[], &[before, &["test", "--http", "0.0.0.0:0"], behind].concat(), 1)
    };
    assert!(said(&["--listen", "0.0.0.0:1"], &[]).contains("0.0.0.0:1 is not on loopback"), "the flag before counts");
    std::fs::write(place.path().join("d.toml"), "[[listener]]\naddress = '127.0.0.1:1'\n").unwrap();
    let config = place.path().join("d.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().args(["--log-level", "info", "--config", config.to_str().unwrap(), "test"]);
    let mut running = Running::run(&mut command);
    let line = running.wait_for("are not opened");
    assert!(
        line.contains("WARN") && line.contains("d.toml are not opened: dunlin test listens on a free port"),
        "{line}"
    );
    running.kill();
}

#[test]
fn dunlin_test_refuses_a_data_dir() {
    let place = tempfile::tempdir().unwrap();
    let told = refused(place.path(), &[], &["--data-dir", "data", "test"], 1);
    assert!(told.contains("keeps everything in memory"), "{told}");
}

#[test]
fn a_page_of_another_server_cannot_turn_the_clock() {
    let (running, http) = start(&[], |_| {});
    for headers in [&["Host: evil.example"][..], &["Origin: http://evil.example"], &["X-Forwarded-For: 1.1.1.1"]] {
        let answer = crate::http::ask(http, "GET", "/test/v1/clock", headers);
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    running.stop();
}

#[test]
fn only_dunlin_test_has_test_routes() {
    let broker = crate::http::broker("");
    assert_eq!(get(crate::http::address(&broker), "/test/v1/clock").status, 404);
}

#[test]
fn it_ends_when_standard_input_closes_if_that_is_a_pipe() {
    let mut input = None;
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut running, http) = start(&["--exit-with-parent"], |command| {
        command.stdin(Stdio::from(reader));
        input = Some(writer);
    });
    assert_eq!(ask(http, "GET", "clock", &json!({})).0, 200);
    drop(input);
    assert_eq!(running.exit_code(), Some(0));
    assert!(TcpStream::connect(http).is_err());
}

/// Node gives its children sockets in place of pipes.
#[test]
fn it_ends_when_standard_input_closes_if_that_is_a_socket() {
    let (own, other) = UnixStream::pair().unwrap();
    let (mut running, http) = start(&["--exit-with-parent"], |command| {
        command.stdin(Stdio::from(OwnedFd::from(other)));
    });
    assert_eq!(ask(http, "GET", "clock", &json!({})).0, 200);
    drop(own);
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn it_ends_with_its_parent_and_ignores_a_closed_input() {
    for input in ["< /dev/null", "<&-"] {
        // a shell starts it, and ends when its own input closes
        let mut command = Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_dunlin");
        let script = format!("{binary} --log-level info test --exit-with-parent {input} & read line");
        let (reader, writer) = std::io::pipe().unwrap();
        command.args(["-c", &script]).stdin(Stdio::from(reader));
        let mut running = Running::run(&mut command);
        let line = running.wait_for("test bench");
        goes_on(line.split_once("http://").unwrap().1.trim_matches('"').parse().unwrap());
        drop(writer);
        // its standard error, which the broker has too, closes when both have ended
        running.wait_for("stopped");
        running.exit_code();
    }
}

#[test]
fn it_ignores_a_terminal() {
    use rustix::{
        fs::{Mode, OFlags, open},
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    };
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let (running, http) = start(&["--exit-with-parent"], |command| {
        command.stdin(Stdio::from(open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap()));
    });
    goes_on(http);
    // also when it is gone
    drop(terminal);
    goes_on(http);
    running.stop();
}

/// It answers, before and after an event that takes a while.
fn goes_on(http: SocketAddr) {
    assert_eq!(ask(http, "POST", "restart", &json!({ "down": "100ms" })).0, 200);
    assert_eq!(ask(http, "POST", "idle", &json!({})).0, 200);
}
