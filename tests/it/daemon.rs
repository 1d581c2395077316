//! The running binary: its log, its ready file, its signals, its end. Tests read the log until the expected line, so
//! that they never sleep; the environment is empty.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    GUARD, argon2id,
    raw::{self, Client, Connect, Message, frame},
    running::{Running, accepted},
};

fn config(dir: &TempDir) -> PathBuf {
    dir.path().join("dunlin.toml")
}

/// A broker with `text` as its configuration, which stands in `dir`.
fn configured(dir: &TempDir, text: &str) -> Running {
    fs::write(config(dir), text).unwrap();
    Running::start(&["--config", config(dir).to_str().unwrap()])
}

fn files(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

// ---- start ----

#[test]
fn the_first_log_lines_describe_persistence_access_and_listeners() {
    let running = Running::start(&["--workers=2"]);
    let expected = [
        format!(" INFO dunlin version={} persistence=none", env!("CARGO_PKG_VERSION")),
        " INFO anonymous clients are served, on loopback only".to_owned(),
        format!(" INFO ready listeners={} workers=2", running.addresses[0]),
    ];
    assert_eq!(running.read.len(), expected.len(), "{:?}", running.read);
    for (line, expected) in running.read.iter().zip(&expected) {
        assert!(line.ends_with(expected), "{line}");
    }
    running.client("c").expect_nothing_pending();
}

#[test]
fn the_limit_of_open_files_is_raised_and_bounds_connections() {
    let dir = tempfile::tempdir().unwrap();
    let start = |text: &str| {
        fs::write(config(&dir), text).unwrap();
        let script = "ulimit -S -n 40; ulimit -H -n 512; exec \"$0\" --listen 127.0.0.1:0 --config \"$1\"";
        let mut command = Command::new("/bin/sh");
        command.env_clear().args(["-c", script, env!("CARGO_BIN_EXE_dunlin")]).arg(config(&dir));
        let mut running = Running::run(&mut command);
        running.wait_until_ready();
        let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
        let limit = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        assert_eq!(limit.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["512", "512"]);
        running.signal("TERM");
        assert_eq!(running.exit_code(), Some(0));
        running.read.iter().filter(|line| line.contains("open files")).cloned().collect::<Vec<_>>()
    };
    let said = start("workers = 1");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(" INFO limits.max_connections was lowered to fit the limit of open files: "), "{said:?}");
    assert!(said[0].ends_with(" max_connections=380 open_files=512"), "{said:?}");
    let said = start("workers = 1\n[limits]\nmax_connections = 1000\n");
    assert!(said.len() == 1 && said[0].contains(" WARN limits.max_connections needs more open files "), "{said:?}");
    assert!(said[0].ends_with(" max_connections=1000 needed=1132 open_files=512 possible=380"), "{said:?}");
    assert_eq!(start("[limits]\nmax_connections = 100\n"), [""; 0]);
}

#[test]
fn a_port_alone_is_on_every_interface_of_both_families_and_not_for_anonymous_clients() {
    let running = Running::listening(&[":0"], &["-v"]);
    let [v4, rest @ ..] = &running.addresses[..] else { panic!("it listens nowhere") };
    assert!(v4.ip().is_unspecified() && v4.is_ipv4(), "{v4}");
    let mut here = vec![SocketAddr::from(([127, 0, 0, 1], v4.port()))];
    here.extend(rest.iter().map(|v6| SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port()))));
    for address in here {
        let mut client = Client::open(address);
        client.send(&Connect::new("c").frame());
        client.expect_refused(5);
    }
}

#[test]
fn the_ready_file_lists_every_listener_and_is_removed_on_exit() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready.json");
    let mut running = Running::listening(&["127.0.0.1:0", "127.0.0.1:0"], &["--ready-file", ready.to_str().unwrap()]);
    assert_eq!(running.addresses.len(), 2);
    assert_ne!(running.addresses[0], running.addresses[1]);

    let told: Value = serde_json::from_str(&fs::read_to_string(&ready).unwrap()).unwrap();
    assert_eq!(told["pid"], running.id());
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    let listeners = told["listeners"].as_array().unwrap();
    assert_eq!(listeners.len(), 2);
    for (listener, address) in listeners.iter().zip(&running.addresses) {
        assert_eq!(listener["transport"], "tcp");
        assert_eq!(listener["address"], address.to_string());
        assert_eq!(listener["port"], address.port());
        assert_eq!(listener["url"], format!("mqtt://{address}"));
        accepted(*address, "c").expect_nothing_pending();
    }

    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn the_ready_file_of_an_earlier_run_is_removed_before_anything_fails() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready.json");
    let flag = format!("--ready-file={}", ready.display());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--listen={}", taken.local_addr().unwrap());
    let file = format!("--config={}", config(&dir).display());
    let in_file = format!("ready_file = '{}'\n", ready.display());
    let runs: [(&str, &[&str], i32); 5] = [
        ("", &[&flag, &taken], 1),
        ("workers = 0", &[&flag, &file], 1),
        (&format!("{in_file}workers = 0"), &[&file], 1),
        (&format!("{in_file}[auth]\nacl_file = '/nonexistent'"), &[&file], 1),
        ("", &["--lissen", &flag], 2),
    ];
    for (text, flags, code) in runs {
        fs::write(config(&dir), text).unwrap();
        fs::write(&ready, "{}").unwrap();
        assert_eq!(Running::spawn(&[], flags).exit_code(), Some(code), "{text} {flags:?}");
        assert!(!ready.exists(), "{text} {flags:?}");
    }
    // one that cannot be removed ends the start
    fs::remove_file(config(&dir)).unwrap();
    fs::create_dir(&ready).unwrap();
    let mut running = Running::spawn(&[], &[&flag]);
    assert_eq!(running.exit_code(), Some(1));
    assert!(running.read[0].starts_with(&format!("dunlin: cannot remove the ready file {}: ", ready.display())));
}

#[test]
fn clients_of_two_listeners_reach_each_other() {
    let running = Running::listening(&["127.0.0.1:0", "127.0.0.1:0"], &[]);
    let mut subscriber = accepted(running.addresses[0], "subscriber");
    let mut publisher = accepted(running.addresses[1], "publisher");
    subscriber.subscribe(&[("t", 1)]);
    publisher.publish(Message::new("t", "across").qos(1));
    subscriber.expect_message("t", "across", 1);
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ready = dir.path().join("ready.json");
    // the first one could be bound: nothing of it may be left
    let mut running = Running::spawn(&["127.0.0.1:0", &address], &["--ready-file", ready.to_str().unwrap()]);
    assert_eq!(running.exit_code(), Some(1));
    let expected = format!(
        "dunlin: cannot listen on {address}: Address already in use (os error 98): another program, perhaps another \
         broker, listens there; stop it or choose another port"
    );
    assert_eq!(running.read, [expected]);
    assert_eq!(files(dir.path()), [""; 0]);
}

// ---- access ----

#[test]
fn anonymous_clients_of_a_public_listener_are_refused_with_a_hint_in_the_log() {
    let mut running = Running::listening(&["0.0.0.0:0"], &[]);
    let line = running.read.iter().find(|line| line.contains("WARN")).expect("a warning at the start");
    assert!(line.contains("write `allow_anonymous = true` (or --allow-anonymous)"), "{line}");

    let mut client = Client::open(([127, 0, 0, 1], running.addresses[0].port()).into());
    client.send(&Connect::new("stranger").frame());
    client.expect_refused(5);
    let line = running.wait_for("refused");
    let said = ["INFO", "client=stranger", "code=5", "reason=\"", "`allow_anonymous = true`"];
    assert!(said.iter().all(|word| line.contains(word)), "{line}");
}

#[test]
fn with_a_login_anonymous_clients_are_refused_on_loopback_too() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "[auth]\ntoken_secret_file = 'DIR/secret'\n".replace("DIR", dir.path().to_str().unwrap());
    fs::write(dir.path().join("secret"), "0123456789abcdef0123456789abcdef").unwrap();
    for (listeners, said) in [
        ("[[listener]]\naddress = '127.0.0.1:0'\n", "write `allow_anonymous = true` to serve them there"),
        (
            "[[listener]]\naddress = '127.0.0.1:0'\n[[listener]]\naddress = '0.0.0.0:0'\n",
            "write `allow_anonymous = true` in the [[listener]] tables of loopback to serve them there",
        ),
    ] {
        fs::write(config(&dir), format!("{listeners}{secret}")).unwrap();
        let mut running = Running::listening(&[], &["--config", config(&dir).to_str().unwrap()]);
        let line = running.read.iter().find(|line| line.contains("anonymous")).expect("a line at the start");
        assert!(line.ends_with(said), "{line}");
        let mut client = Client::open(running.addresses[0]);
        client.send(&Connect::new("c").frame());
        client.expect_refused(5);
        running.wait_for("`allow_anonymous = true` would let it in");
    }
}

#[test]
fn the_log_names_addresses_of_failed_logins_and_waiting_logins() {
    let dir = tempfile::tempdir().unwrap();
    let passwords = dir.path().join("passwords");
    let many = 200 * std::thread::available_parallelism().unwrap().get();
    // guesses that take no time are too many for one address; those that take some make the others wait
    let (quick, slow) = (argon2id("right", 64), argon2id("right", 19_456));
    let users = (0..many).map(|n| format!("user{n}:{slow}\n"));
    fs::write(&passwords, format!("guessed:{quick}\n") + &users.collect::<String>()).unwrap();
    let mut running = configured(&dir, &format!("[auth]\npassword_file = {passwords:?}\n"));
    let login = |user: &str, password: &str| {
        let mut client = Client::open(running.addresses[0]);
        client.send(&Connect::new("guesser").user(user, password).frame());
        client
    };
    let guesses: Vec<_> = (0..12).map(|n| login("guessed", &format!("guess {n}"))).collect();
    guesses.into_iter().for_each(|mut guess| guess.expect_refused(4));
    let waiting: Vec<_> = (0..many).map(|n| login(&format!("user{n}"), "right")).collect();
    let line = running.wait_for("logins are delayed");
    assert!(line.contains("WARN") && line.contains("address=127.0.0.1 client=guesser user=guessed "), "{line}");
    let line = running.wait_for("logins wait for their passwords to be compared");
    assert!(line.contains("WARN"), "{line}");
    drop(waiting);
}

#[test]
fn anonymous_clients_of_a_public_listener_are_served_if_configured() {
    let running = Running::listening(&["0.0.0.0:0"], &["--allow-anonymous"]);
    let line = running.read.iter().find(|line| line.contains("WARN")).expect("a warning at the start");
    assert!(line.contains("any client that reaches a listener may connect"), "{line}");

    accepted(([127, 0, 0, 1], running.addresses[0].port()).into(), "stranger").expect_nothing_pending();
}

// ---- the log ----

#[test]
fn the_reason_of_a_closed_connection_is_logged_at_info() {
    let mut running = Running::start(&[]);
    let address = running.addresses[0];
    let garbage = |client: &mut Client| client.send(&frame(0xF0, &[]));
    let ends: [(&str, &dyn Fn(Client)); 5] = [
        ("the client sent DISCONNECT", &Client::disconnect),
        ("the client closed the connection without DISCONNECT", &drop),
        ("packet type 15 is reserved (section 2.2.1) [MQTT-4.8.0-1]", &|mut client| garbage(&mut client)),
        ("took the session over [MQTT-3.1.4-2]", &|mut client| {
            let _taker = accepted(address, "mortal");
            client.expect_closed();
        }),
        ("a second CONNECT [MQTT-3.1.0-2]", &|mut client| client.send(&Connect::new("mortal").frame())),
    ];
    for (reason, end) in ends {
        end(accepted(address, "mortal"));
        let line = running.wait_for(reason);
        let said = ["INFO", "disconnected", "client=mortal", "peer=127.0.0.1:"];
        assert!(said.iter().all(|word| line.contains(word)), "{line}");
    }

    garbage(&mut Client::open(address));
    let line = running.wait_for("disconnected before CONNECT");
    assert!(line.contains("INFO") && line.contains("packet type 15 is reserved"), "{line}");
    Client::open(address).send(raw::PINGREQ);
    let line = running.wait_for("the first packet is not CONNECT [MQTT-3.1.0-1]");
    assert!(line.contains("INFO") && line.contains("peer=127.0.0.1:"), "{line}");
}

#[test]
fn a_client_cannot_forge_a_line_of_the_log() {
    for format in ["text", "json"] {
        let mut running = Running::start(&["--log-format", format]);
        let forged = "x\n2030-01-01T00:00:00.000Z ERROR forged\r\x1b[31m";
        accepted(running.addresses[0], forged).disconnect();
        running.wait_for("the client sent DISCONNECT");
        running.signal("TERM");
        assert_eq!(running.exit_code(), Some(0));
        let raw = |line: &String| line.starts_with("2030") || line.contains(['\r', '\x1b']);
        assert!(!running.read.iter().any(raw), "{format}: {:#?}", running.read);
    }
}

#[test]
fn a_log_without_a_reader_stops_no_client() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    // at debug no line is summed up
    command.env_clear().args(["--listen", "127.0.0.1:0", "--log-level", "debug"]).stderr(Stdio::piped());
    let mut child = command.spawn().expect("dunlin runs");
    let mut log = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let mut line = String::new();
    while !line.contains("ready listeners=") {
        line.clear();
        log.read_line(&mut line).expect("a line");
    }
    let (_, told) = line.split_once("listeners=").unwrap();
    let address = told.split_once(' ').unwrap().0.parse().expect("an address");
    // more lines than a pipe and a queue hold
    for n in 0..3_500 {
        accepted(address, &format!("client-{n}")).disconnect();
    }
    // the number of lost lines is logged once the log is read again
    let lost = log.lines().map_while(Result::ok).find(|line| line.contains("lines of the log were dropped"));
    assert!(lost.is_some());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn json_lines_carry_time_client_and_peer() {
    let mut running = Running::start(&["--log-format=json"]);
    let mut socket = TcpStream::connect(running.addresses[0]).unwrap();
    let peer = socket.local_addr().unwrap().to_string();
    socket.write_all(&Connect::new("sensor \"7\"\u{e9}").frame()).unwrap();
    socket.read_exact(&mut [0; 4]).unwrap();
    socket.write_all(raw::DISCONNECT).unwrap();
    running.wait_for("the client sent DISCONNECT");
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));

    let lines: Vec<Value> = running.read.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        let time = line["timestamp"].as_str().unwrap_or_else(|| panic!("no time in {line}"));
        let then = humantime::parse_rfc3339(time).unwrap_or_else(|error| panic!("{time}: {error}"));
        assert!(time.ends_with('Z') && then.elapsed().is_ok_and(|ago| ago < GUARD), "{time}");
        assert!(line["level"].is_string() && line["target"].is_null() && line["message"].is_string(), "{line}");
    }
    for message in ["connected", "disconnected"] {
        let line = lines.iter().find(|line| line["message"] == message).expect(message);
        assert_eq!((&line["client"], &line["peer"]), (&"sensor \"7\"\u{e9}".into(), &Value::from(peer.clone())));
    }
    let end = lines.iter().find(|line| line["message"] == "disconnected").unwrap();
    assert_eq!((&end["reason"], &end["level"]), (&"the client sent DISCONNECT".into(), &"INFO".into()));
}

// ---- signals ----

#[test]
fn terminate_and_interrupt_end_it_with_exit_code_0() {
    for name in ["TERM", "INT"] {
        let mut running = Running::start(&[]);
        running.signal(name);
        assert_eq!(running.exit_code(), Some(0), "{name}");
    }
}

/// Bytes that no socket buffer takes in.
const MESSAGES: usize = 60;
const MESSAGE: usize = 1_000_000;

/// A broker with this grace, and a client for which more waits than its socket takes.
fn behind(dir: &TempDir, qos: u8, grace: &str) -> (Running, Client) {
    let text = format!("shutdown_grace = '{grace}'\n[limits]\nmax_outbound_bytes = '100 MiB'\n");
    let running = configured(dir, &text);
    let mut slow = running.client("slow");
    slow.subscribe(&[("t", qos)]);
    let mut publisher = running.client("publisher");
    for number in 0..MESSAGES {
        publisher.publish(Message::new("t", &format!("{number:0>8}{}", "x".repeat(MESSAGE - 8))).qos(qos));
    }
    (running, slow)
}

#[test]
fn sigterm_sends_queued_messages_to_a_slow_client() {
    let dir = tempfile::tempdir().unwrap();
    // at QoS 1 and 2, most of it waits until the client has acknowledged what came before
    for qos in 0..3 {
        let (mut running, mut slow) = behind(&dir, qos, "1h");
        running.signal("TERM");
        running.wait_for("shutting down");
        for number in 0..MESSAGES {
            let message = slow.take();
            assert_eq!((message.text().len(), &message.text()[..8]), (MESSAGE, &*format!("{number:08}")));
        }
        slow.expect_closed();
        drop(slow);
        assert_eq!(running.exit_code(), Some(0));
    }
}

#[test]
fn sigterm_waits_no_longer_than_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let (mut running, _never_reads) = behind(&dir, 0, "100ms");
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let line = running.read.iter().find(|line| line.contains("client=slow") && line.contains("disconnected"));
    let line = line.expect("what was not written is said");
    assert!(line.contains("the server shuts down") && line.contains("waiting="), "{line}");
}

#[test]
fn a_second_sigterm_after_a_second_ends_the_broker_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut running, _never_reads) = behind(&dir, 0, "1h");
    let first = Instant::now();
    running.signal("TERM");
    running.wait_for("shutting down");
    // those within a second of the first repeat it
    while !running.has_ended() {
        running.signal("TERM");
    }
    assert!(first.elapsed() > Duration::from_secs(1), "{:?}", first.elapsed());
    assert_eq!(running.exit_code(), Some(1));
    let last = running.read.last().unwrap();
    assert_eq!(last, "dunlin: second stop signal: exited without sending queued messages");
}

#[test]
fn two_sigterms_at_once_count_as_one() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["TERM", "INT"] {
        let (mut running, mut slow) = behind(&dir, 0, "1h");
        running.signal("TERM");
        running.signal(name);
        running.wait_for("shutting down");
        running.signal(name);
        for _ in 0..MESSAGES {
            slow.take();
        }
        slow.expect_closed();
        drop(slow);
        assert_eq!(running.exit_code(), Some(0));
    }
}

/// How long it takes from SIGTERM to the end of the process, which must be in order.
fn time_to_stop(mut running: Running) -> Duration {
    let begins = Instant::now();
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    begins.elapsed()
}

/// Clients that do nothing are waited for so long, at most, with a grace of ten times that.
const BRIEF: Duration = Duration::from_secs(2);
const GRACE: &str = "20s";
/// What tells the one from the other, on a machine that is busy.
const FAR_LESS: Duration = Duration::from_secs(10);

#[test]
fn subscribers_that_do_not_acknowledge_delay_a_shutdown_briefly() {
    let dir = tempfile::tempdir().unwrap();
    let in_memory = format!("shutdown_grace = '{GRACE}'\n");
    let on_disk = format!("{in_memory}data_dir = '{}'\n", dir.path().join("data").display());
    for text in [&in_memory, &on_disk] {
        let running = configured(&dir, text);
        let silent = [(1, false), (2, false), (1, true), (2, true)].map(|(qos, persistent)| {
            let (id, mut client) = (format!("{qos} {persistent}"), Client::open(running.addresses[0]));
            let connect = Connect::new(&id);
            client.send(&if persistent { connect.persistent().frame() } else { connect.frame() });
            client.expect(&raw::connack(0, 0));
            client.subscribe(&[("t", qos)]);
            client
        });
        // more than the first window: the rest could only be sent after acknowledgements
        let mut publisher = running.client("publisher");
        (0..30).for_each(|_| publisher.publish(Message::new("t", "x").qos(2)));
        let took = time_to_stop(running);
        assert!((BRIEF..FAR_LESS).contains(&took), "{took:?} with {text}");
        drop(silent);
    }
}

#[test]
fn a_shutdown_does_not_wait_for_stored_messages() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("shutdown_grace = '{GRACE}'\ndata_dir = '{}'\n", dir.path().join("data").display());
    let running = configured(&dir, &text);
    let mut silent = Client::open(running.addresses[0]);
    silent.send(&Connect::new("silent").persistent().frame());
    silent.expect(&raw::connack(0, 0));
    silent.subscribe(&[("t", 2)]);
    let mut publisher = running.client("publisher");
    (0..30).for_each(|_| publisher.publish(Message::new("t", "x").qos(2)));
    // it closes when the server does, and acknowledges nothing
    let reader = thread::spawn(move || while silent.read().is_some() {});
    let took = time_to_stop(running);
    assert!(took < BRIEF, "{took:?}");
    reader.join().unwrap();
    let running = configured(&dir, &text);
    assert!(running.read.iter().any(|line| line.contains("sessions=1 messages=30")), "{:?}", running.read);
}

#[test]
fn a_client_that_does_not_close_delays_a_shutdown_briefly() {
    let dir = tempfile::tempdir().unwrap();
    let (mut running, mut slow) = behind(&dir, 0, GRACE);
    running.signal("TERM");
    for _ in 0..MESSAGES {
        slow.take();
    }
    // it sees the server's end, and keeps its own open
    slow.expect_closed();
    let closed = Instant::now();
    assert_eq!(running.exit_code(), Some(0));
    assert!(closed.elapsed() < FAR_LESS, "{:?}", closed.elapsed());
    drop(slow);
}

#[test]
fn a_shutdown_closes_a_thousand_idle_clients_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let running = configured(&dir, &format!("data_dir = '{}'\n", dir.path().join("data").display()));
    let idle: Vec<_> = (0..1000).map(|n| running.client(&format!("idle-{n}"))).collect();
    let took = time_to_stop(running);
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop(idle);
}

#[test]
fn a_stopping_broker_accepts_no_client() {
    let dir = tempfile::tempdir().unwrap();
    let (mut running, mut slow) = behind(&dir, 0, "1h");
    running.signal("TERM");
    slow.receive();
    running.wait_for("shutting down");
    while slow.read().is_some() {}
    drop(slow);
    assert_eq!(running.exit_code(), Some(0));
    assert!(TcpStream::connect(running.addresses[0]).is_err());
}

#[test]
fn hangup_reads_the_configuration_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = configured(&dir, "");
    let mut hangup = |text: &str, words: &str| {
        fs::write(config(&dir), text).unwrap();
        running.signal("HUP");
        running.wait_for(words)
    };
    hangup("", "the configuration was read again changed=nothing");
    let line = hangup("[limits]\nmax_connections = 0\n", "the configuration stays as it is");
    assert!(line.contains("ERROR") && line.contains(":2: limits.max_connections: 0 is out of range"), "{line}");
    hangup("workers = 7\n", r#"changed="workers = 7 (was \"auto\") (after a restart)""#);
    running.stop();
}

#[test]
fn sighup_applies_limits_to_the_next_packet_and_an_invalid_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = configured(&dir, "[limits]\nmax_packet_size = 1000\n");
    let long = || Message::new("t", &"x".repeat(500)).qos(1);
    let [mut first, mut second] = ["first", "second"].map(|id| running.client(id));
    first.publish(long());
    second.publish(long());

    fs::write(config(&dir), "[limits]\nmax_packet_size = 200\n").unwrap();
    running.signal("HUP");
    running.wait_for("changed=\"limits.max_packet_size = 200 (was 1000)");
    first.send(&long().id(9).frame());
    first.expect_closed();
    running.wait_for("packet of 508 bytes is larger than the limit of 200");

    fs::write(config(&dir), "[limits]\nmax_packet_size = 2000\nno_such_key = 1\n").unwrap();
    running.signal("HUP");
    running.wait_for("the configuration stays as it is");
    second.send(&long().id(9).frame());
    second.expect_closed();
}

#[test]
fn a_refused_client_has_one_line_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = configured(&dir, "allow_anonymous = false\n[limits]\nmax_client_id_length = 23\n");
    for (id, code, why) in
        [("lamp", 5, "`allow_anonymous = false`"), ("a-name-of-more-bytes-than-that", 2, "limits.max_client_id_length")]
    {
        let mut client = Client::open(running.addresses[0]);
        client.send(&Connect::new(id).frame());
        client.expect_refused(code);
        let line = running.wait_for("refused");
        let code = format!("code={code}");
        let said = ["INFO", "peer=127.0.0.1:", id, &code, why];
        assert!(said.iter().all(|word| line.contains(word)), "{line}");
    }
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let about = running.read.iter().filter(|line| line.contains("peer=")).count();
    assert_eq!(about, 2, "{}", running.read.join("\n"));
}

#[test]
fn a_secret_that_others_may_read_causes_a_warning_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    fs::write(config(&dir), format!("[auth]\ntoken_secret = '{secret}'\n")).unwrap();
    fs::set_permissions(config(&dir), fs::Permissions::from_mode(0o644)).unwrap();
    let mut running = Running::start(&["--config", config(&dir).to_str().unwrap()]);
    assert!(
        running.read.iter().any(|line| line.contains("WARN") && line.contains(":2: auth.token_secret: others may"))
    );
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    assert!(!running.read.iter().any(|line| line.contains(secret)));
}

#[test]
fn hangup_changes_the_level_of_the_log() {
    // said at debug alone: a connection without a byte
    const WORDS: &str = "disconnected before CONNECT";
    let dir = tempfile::tempdir().unwrap();
    let mut running = configured(&dir, "workers = 1\n");
    drop(Client::open(running.addresses[0]));
    running.client("c").disconnect();
    running.wait_for("the client sent DISCONNECT");
    assert!(!running.read.iter().any(|line| line.contains(WORDS)));

    fs::write(config(&dir), "workers = 1\n[log]\nlevel = 'debug'\n").unwrap();
    running.signal("HUP");
    running.wait_for(r#"changed="log.level = \"debug\" (was \"info\")""#);
    drop(Client::open(running.addresses[0]));
    let line = running.wait_for(WORDS);
    assert!(line.contains("DEBUG"), "{line}");

    fs::write(config(&dir), "workers = 1\n[log]\nlevel = 'error'\n").unwrap();
    running.signal("HUP");
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn the_systemd_unit_restarts_the_broker_until_its_resources_exist() {
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dunlin.service")).unwrap();
    let (before, service) = unit.split_once("\n[Service]\n").expect("a section [Service]");
    assert!(before.lines().any(|line| line == "StartLimitIntervalSec=0"), "no limit on how often");
    for line in ["Restart=on-failure", "RestartSec=2"] {
        assert!(service.lines().any(|l| l == line), "{line}");
    }
}
