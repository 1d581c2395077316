//! Access to HTTP, and the answers to refused requests.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use dunlin::{
    Builder, Config, Server, TestClock,
    auth::{PasswordChange, edit},
    config::AuthConfig,
    inspect::{Ban, BanTarget},
};
use tempfile::TempDir;

use super::{Answer, address, api::Stream, ask, broker, get, http, send};
use crate::support::{
    Broker, GUARD, config,
    raw::{self, Connect},
    run,
    running::Running,
    wait_until,
};

/// Users alice and bob, whose passwords are "secret".
fn with_users(dir: &TempDir, lines: &str) -> Config {
    let file = dir.path().join("users");
    for user in ["alice", "bob"] {
        edit(&file, user, PasswordChange::Set(b"secret")).unwrap();
    }
    let auth = AuthConfig { password_file: Some(file), failed_login_delay: None, ..AuthConfig::default() };
    Config { auth, http: http(lines), ..config() }
}

fn basic(login: &str) -> String {
    format!("Authorization: Basic {}", BASE64.encode(login))
}

fn start(config: Config) -> Result<Server, String> {
    crate::support::run(Builder::new(config).start()).map_err(|error| error.to_string())
}

#[test]
fn without_logins_local_programs_are_admitted_and_pages_are_not() {
    let broker = broker("allowed_hosts = [\"broker.lan\"]");
    let at = address(&broker);
    assert_eq!(get(at, "/metrics").status, 200);
    assert_eq!(ask(at, "GET", "/metrics", &["Host: broker.lan:80"]).status, 200);
    for (line, code) in [
        ("Host: evil.example", "host"),
        ("Origin: http://evil.example", "origin"),
        ("X-Forwarded-For: 192.0.2.1", "forwarded"),
        ("Forwarded: for=192.0.2.1", "forwarded"),
        ("X-Real-IP: 192.0.2.1", "forwarded"),
        ("Via: 1.1 proxy", "forwarded"),
    ] {
        let answer = ask(at, "GET", "/metrics", &[line]);
        assert_eq!((answer.status, answer.code().as_str()), (403, code), "{line}");
        assert!(answer.headers.contains("application/problem+json"), "{answer:?}");
        assert_eq!(ask(at, "GET", "/healthz", &[line]).status, 200, "a health check is for everybody");
    }
    assert_eq!(send(at, b"GET /metrics HTTP/1.0\r\n\r\n").code(), "host");
    let unknown = get(at, "/nothing");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "not-found"));
    let written = ask(at, "POST", "/metrics", &["Content-Length: 0"]);
    assert_eq!((written.status, written.code().as_str()), (405, "method"));
}

#[test]
fn an_unconfigured_login_and_a_low_role_are_refused() {
    let open = broker("");
    let at = address(&open);
    let unasked = ask(at, "GET", "/metrics", &[&basic("alice:secret")]);
    assert_eq!((unasked.status, unasked.code().as_str()), (401, "no-logins"));
    let open = get(at, "/api/v1/users");
    assert_eq!((open.status, open.code().as_str()), (403, "role"));
    assert!(open.body.contains("needs the role admin; programs on this machine have the role operator"), "{open:?}");
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::new(with_users(&dir, "users = [\"alice:viewer\"]"));
    let viewer = ask(address(&broker), "GET", "/api/v1/retained", &[&basic("alice:secret")]);
    assert!(viewer.body.contains("needs the role operator or admin, and alice has the role viewer"), "{viewer:?}");
}

#[test]
fn a_viewer_sees_no_bans_in_the_stream_of_events() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::new(with_users(&dir, "users = [\"alice:viewer\", \"bob:operator\"]"));
    let at = address(&broker);
    let asked = ask(at, "GET", "/api/v1/events?types=connect,ban", &[&basic("alice:secret")]);
    assert_eq!((asked.status, asked.code().as_str()), (403, "role"));
    let mut viewer = Stream::open_with(at, "events", &[&basic("alice:secret")]);
    let mut operator = Stream::open_with(at, "events?types=ban,refuse", &[&basic("bob:secret")]);
    let ban = Ban { target: BanTarget::client("lamp"), reason: "".into(), by: "ann".into(), until: None };
    run(broker.server.ban(ban)).expect("a ban");
    broker.refuses(&Connect::new("lamp"), 5);
    assert_eq!([operator.next().0, operator.next().0], ["ban", "refuse"]);
    assert_eq!(viewer.next().0, "refuse");
}

#[test]
fn a_login_that_is_configured_closes_it_until_users_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::new(with_users(&dir, ""));
    let at = address(&broker);
    let alice = basic("alice:secret");
    assert_eq!(get(at, "/metrics").code(), "no-users");
    assert_eq!(ask(at, "GET", "/metrics", &[&alice]).code(), "no-users");
    assert_eq!(get(at, "/readyz").status, 200);
    assert_eq!(get(at, "/startupz").status, 200);

    // changed logins are in force without a restart
    let changed = broker.reload(|config| config.http = http("users = [\"alice:viewer\"]"));
    assert_eq!(changed, ["http.users = [\"alice:viewer\"] (was [])"]);
    let without = get(at, "/metrics");
    assert_eq!((without.status, without.code().as_str()), (401, "login"));
    assert!(without.headers.contains("www-authenticate: basic realm=\"dunlin\""), "{without:?}");
    assert_eq!(ask(at, "GET", "/metrics", &[&alice]).status, 200);
    assert_eq!(ask(at, "GET", "/metrics", &[&basic("alice:wrong")]).code(), "login");
    assert_eq!(ask(at, "GET", "/metrics", &[&basic("nobody:secret")]).code(), "login");
    assert_eq!(ask(at, "GET", "/metrics", &[&basic("bob:secret")]).code(), "no-role");
    assert_eq!(ask(at, "GET", "/metrics", &["Authorization: Basic !"]).code(), "login");

    // behind a proxy, with another name; a page of another server writes nothing
    let proxied = [&*alice, "Host: broker.example.org", "X-Forwarded-For: 192.0.2.1"];
    assert_eq!(ask(at, "GET", "/metrics", &proxied).status, 200);
    let foreign = [&*alice, "Origin: http://evil.example", "Content-Length: 0"];
    assert_eq!(ask(at, "POST", "/metrics", &foreign).code(), "origin");

    broker.reload(|config| config.http.allowed_hosts = vec!["broker.lan".into()]);
    assert_eq!(ask(at, "GET", "/metrics", &proxied).code(), "host");
    broker.reload(|config| config.http.metrics_open = true);
    assert_eq!(get(at, "/metrics").status, 200);
    assert_eq!(ask(at, "GET", "/metrics", &["Host: broker.example.org"]).status, 200);
    assert_eq!(get(at, "/nothing").status, 401);
}

#[test]
fn guesses_over_http_and_over_mqtt_are_counted_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = with_users(&dir, "users = [\"alice:viewer\", \"bob:viewer\"]");
    config.auth.failed_login_delay = AuthConfig::default().failed_login_delay;
    let clock = TestClock::new();
    let broker = Broker::with_clock(config, clock.clone());
    // it stands still, so that no delay passes on a slow machine
    clock.pause();
    let (at, mqtt) = (address(&broker), broker.server.local_addrs()[0]);
    for password in ["one", "two", "three"] {
        assert_eq!(ask(at, "GET", "/metrics", &[&basic(&format!("alice:{password}"))]).status, 401);
    }
    let guess = |user: &str| {
        let mut client = raw::Client::open(mqtt);
        client.send(&raw::Connect::new(user).user(user, "four").frame());
        client
    };
    let (sender, refused) = mpsc::channel();
    let mut alice = guess("alice");
    thread::spawn(move || {
        alice.expect(&raw::connack(0, 4));
        sender.send(())
    });
    // the first guesses of another user are refused at once, and the fourth of alice when the clock is turned
    guess("bob").expect(&raw::connack(0, 4));
    assert!(refused.try_recv().is_err());
    let is_refused = || {
        broker.turn(Duration::from_secs(1));
        refused.try_recv().is_ok()
    };
    wait_until(is_refused, || "alice is not refused".into());
}

#[test]
fn an_http_address_without_logins_beyond_loopback_prevents_the_start() {
    let elsewhere = start(Config { http: http("listen = \"0.0.0.0:0\""), ..config() }).err().unwrap();
    assert!(elsewhere.contains("write users = [\"NAME:admin\"] below [http]"), "{elsewhere}");
    let nobody = start(Config { http: http("users = [\"alice:admin\"]"), ..config() }).err().unwrap();
    assert!(nobody.contains("no auth.password_file is configured"), "{nobody}");
    let dir = tempfile::tempdir().unwrap();
    drop(start(with_users(&dir, "listen = \"0.0.0.0:0\"\nusers = [\"alice:admin\"]")).unwrap());
    // nor is it put in force
    let broker = broker("");
    let wrong = Config { http: http("users = [\"alice:admin\"]"), ..config() };
    assert!(crate::support::reload(&broker.server, &wrong).is_err());
    assert!(get(address(&broker), "/metrics").body.contains("dunlin_config_last_reload_success 0"));
}

#[test]
fn the_owner_of_a_unix_socket_is_an_administrator() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let broker = Broker::new(with_users(&dir, &format!("listen = \"unix:{}\"", path.display())));
    assert_eq!(broker.server.http_urls(), [format!("unix:{}", path.display())]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut socket = UnixStream::connect(&path).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: any\r\nVia: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert_eq!(Answer::of(&answer).status, 200);
    drop(broker);
    assert!(!path.exists());
    let broker = Broker::new(with_users(&dir, &format!("listen = \"unix:{}\"\nmode = \"0660\"", path.display())));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    drop(broker);
}

#[test]
fn a_request_that_is_too_large_or_too_slow_gets_its_status() {
    let broker = broker("");
    let at = address(&broker);
    let body = ask(at, "POST", "/metrics", &["Content-Length: 1048577"]);
    assert_eq!((body.status, body.code().as_str()), (413, "too-large"));
    let long = "a".repeat(150 << 10);
    assert_eq!(ask(at, "GET", "/metrics", &[&format!("X-Long: {long}")]).status, 431);
    assert_eq!(send(at, b"\0\0nonsense\r\n\r\n").status, 400);

    let mut slow = TcpStream::connect(at).unwrap();
    slow.set_read_timeout(Some(GUARD)).unwrap();
    slow.write_all(b"GET /metr").unwrap();
    // the thread has seen the connection, which was accepted before this one
    assert_eq!(get(at, "/healthz").status, 200);
    broker.turn(Duration::from_secs(29));
    assert_eq!(get(at, "/healthz").status, 200);
    broker.turn(Duration::from_secs(2));
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert_eq!(Answer::of(&answer).status, 408);
}

#[test]
fn a_configured_http_port_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let error = start(Config { http: http(&listen), ..config() }).err().unwrap();
    assert!(error.contains("cannot serve HTTP on 127.0.0.1:") && error.contains("(http.listen)"), "{error}");
    // a broker on a free port has none by itself
    assert_eq!(Broker::new(config()).server.http_urls(), Vec::<String>::new());
    let running = Running::start(&[]);
    assert!(!running.read.iter().any(|line| line.contains("web console")), "{:?}", running.read);
}
