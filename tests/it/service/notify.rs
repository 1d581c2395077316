//! The reports to systemd, received by the test's socket.

use std::{
    os::unix::net::UnixDatagram,
    process::Command,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

use dunlin::{
    Builder, Config,
    router::{Event, Observe},
};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::support::{
    GUARD,
    raw::{Client, Connect, Message, connack},
    running::Running,
};

/// systemd's side.
struct Systemd {
    dir: TempDir,
    socket: UnixDatagram,
}

impl Systemd {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        Self { dir, socket }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().into()
    }

    /// Starts a service with these flags, and these variables beside NOTIFY_SOCKET.
    fn start(&self, flags: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.env_clear().env("NOTIFY_SOCKET", self.path("notify")).envs(variables.iter().copied());
        Running::run(command.args(["--listen", "127.0.0.1:0", "--workers", "2"]).args(flags))
    }

    /// The next message, line by line.
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a message");
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        text.lines().map(Into::into).collect()
    }

    /// The next message that has this line; none between may be anything but progress.
    fn wait_for(&self, line: &str) -> Vec<String> {
        loop {
            let message = self.next();
            if message.iter().any(|other| other == line) {
                return message;
            }
            let passing = ["STATUS=", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC="];
            let is_passing = |line: &String| passing.iter().any(|begin| line.starts_with(begin));
            assert!(message.iter().all(is_passing), "{line} is waited for: {message:?}");
        }
    }
}

#[test]
fn start_reload_and_stop_are_reported() {
    let systemd = Systemd::new();
    let config = systemd.path("dunlin.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    write("shutdown_grace = '7s'\n");
    // a watchdog of another process
    let other = [("WATCHDOG_USEC", "2000"), ("WATCHDOG_PID", "1")];
    let mut broker = systemd.start(&["--config", &config], &other);
    assert_eq!(systemd.wait_for("READY=1"), ["READY=1", "STATUS=0 clients connected"]);
    // it was logged before, so nothing is waited for here
    broker.wait_until_ready();
    let client = broker.client("c");

    // notify-reload of systemd 253 wants the time with the first message, and compares it with its own
    let before = monotonic();
    write("shutdown_grace = '8s'\n");
    broker.signal("HUP");
    let reloading = systemd.wait_for("RELOADING=1");
    let at: u128 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!((before..=monotonic()).contains(&at), "{reloading:?}");
    assert_eq!(systemd.wait_for("READY=1"), ["READY=1", "STATUS=1 client connected"]);

    write("shutdown_grace = 8\n");
    broker.signal("HUP");
    systemd.wait_for("RELOADING=1");
    let ready = systemd.wait_for("READY=1");
    assert!(ready[1].starts_with("STATUS=1 client connected; the last reload failed: "), "{ready:?}");

    broker.signal("TERM");
    let stopping = systemd.wait_for("STOPPING=1");
    assert_eq!(stopping[1..], ["EXTEND_TIMEOUT_USEC=38000000", "STATUS=stopping"]);
    drop(client);
    assert_eq!(broker.exit_code(), Some(0));
}

/// What MONOTONIC_USEC counts.
fn monotonic() -> u128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u128::try_from(now.tv_sec).unwrap() * 1_000_000 + u128::try_from(now.tv_nsec).unwrap() / 1_000
}

#[test]
fn the_watchdog_and_the_status_are_fed() {
    const WITHIN: Duration = Duration::from_secs(2);
    let systemd = Systemd::new();
    let pid_is_that_of_nobody_else = [("WATCHDOG_USEC", "2000000")];
    let mut broker = systemd.start(&[], &pid_is_that_of_nobody_else);
    systemd.wait_for("READY=1");
    broker.wait_until_ready();
    let _client = broker.client("c");
    let mut last = Instant::now();
    let mut signs = 0;
    let mut status = String::new();
    while signs < 3 {
        match &*systemd.next().concat() {
            "WATCHDOG=1" => {
                assert!(last.elapsed() < WITHIN, "systemd would have killed it");
                last = Instant::now();
                signs += 1;
            }
            other => other.clone_into(&mut status),
        }
    }
    assert_eq!(status, "STATUS=1 client connected");
    broker.stop();
}

#[test]
fn a_missing_notify_socket_stops_nothing() {
    let systemd = Systemd::new();
    let mut broker = Running::start(&[]);
    let threads = std::fs::read_dir(format!("/proc/{}/task", broker.id())).unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
    assert!(names.filter(|name| name.contains("systemd")).count() == 0);
    broker.client("c").expect_nothing_pending();
    broker.signal("TERM");
    assert_eq!(broker.exit_code(), Some(0));

    let mut broker = systemd.start(&[], &[("NOTIFY_SOCKET", "/nonexistent/notify")]);
    broker.wait_until_ready();
    broker.wait_for("cannot report to systemd (NOTIFY_SOCKET) error=\"No such file or directory (os error 2)\"");
    broker.client("c").expect_nothing_pending();
    broker.stop();
}

#[test]
fn a_full_notify_socket_stops_nothing() {
    let systemd = Systemd::new();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"STATUS=full", systemd.path("notify")).is_ok() {}
    let config = systemd.path("dunlin.toml");
    std::fs::write(&config, "").unwrap();
    let mut broker = systemd.start(&["--config", &config], &[]);
    broker.wait_until_ready();
    std::fs::write(&config, "shutdown_grace = '7s'\n").unwrap();
    broker.signal("HUP");
    broker.wait_for("changed=\"shutdown_grace");
    broker.wait_for("cannot report to systemd (NOTIFY_SOCKET)");
    broker.signal("TERM");
    assert_eq!(broker.exit_code(), Some(0));
}

#[test]
fn an_abstract_socket_is_reached_and_an_empty_name_is_none() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

    let name = format!("dunlin-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    let systemd = Systemd { socket, ..Systemd::new() };
    let mut broker = systemd.start(&[], &[("NOTIFY_SOCKET", &format!("@{name}"))]);
    systemd.wait_for("READY=1");
    broker.wait_until_ready();
    broker.stop();

    let mut broker = systemd.start(&[], &[("NOTIFY_SOCKET", "")]);
    broker.wait_until_ready();
    broker.signal("TERM");
    assert_eq!(broker.exit_code(), Some(0));
    assert!(!broker.read.iter().any(|line| line.contains("NOTIFY_SOCKET")), "{:#?}", broker.read);
}

/// The time-out of this systemd is a third of what the same restore took before: without more time it would not be
/// ready.
#[test]
fn a_long_restore_extends_the_start_timeout() {
    const MESSAGES: usize = 150_000;
    let systemd = Systemd::new();
    let data_dir = systemd.path("data");
    let flags = ["--data-dir", &*data_dir];
    let mut broker = systemd.start(&flags, &[]);
    assert_eq!(systemd.next()[0], "READY=1", "nothing was restored, so nothing takes long");
    broker.wait_until_ready();
    fill(&broker, MESSAGES);
    broker.stop();
    systemd.wait_for("STOPPING=1");

    let began = Instant::now();
    let broker = systemd.start(&flags, &[]);
    systemd.wait_for("READY=1");
    let mut took = began.elapsed();
    broker.stop();
    systemd.wait_for("STOPPING=1");
    // where the machine had other work before, a restore may take a third of what it took
    loop {
        let time_out = took / 3;
        took = restored_within(&systemd, &flags, time_out);
        if took > time_out {
            return;
        }
    }
}

/// Starts a broker that systemd gives so much time, and more where it asks for that; gives what the start took.
fn restored_within(systemd: &Systemd, flags: &[&str], time_out: Duration) -> Duration {
    let began = Instant::now();
    let broker = systemd.start(flags, &[]);
    let mut until = began + time_out;
    let mut extended = 0;
    let took = loop {
        let message = systemd.next();
        let now = Instant::now();
        assert!(now < until, "systemd would have killed it after {:?}: {message:?}", now - began);
        if message[0] == "READY=1" {
            break now - began;
        }
        if message[0].starts_with("STATUS=") {
            continue;
        }
        let more = message[0].strip_prefix("EXTEND_TIMEOUT_USEC=").expect("a request for more time");
        assert!(message[1].starts_with("STATUS=restoring: "), "{message:?}");
        until = until.max(now + Duration::from_micros(more.parse().unwrap()));
        extended += 1;
    };
    assert!(extended > 0);
    broker.stop();
    systemd.wait_for("STOPPING=1");
    took
}

/// So many retained messages.
fn fill(broker: &Running, messages: usize) {
    let mut client = broker.client("fills");
    let frames = (0..messages).map(|n| Message::new(&format!("topic/{n}"), "payload").retain().frame());
    frames.collect::<Vec<_>>().chunks(1000).for_each(|some| client.send(&some.concat()));
    client.publish(Message::new("last", "x").qos(1).retain());
    client.disconnect();
}

/// Stops the thread that serves a client when that connects, until it is told to go on.
struct Stops {
    stopped: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Observe for Stops {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Connect { .. }) {
            self.stopped.send(()).unwrap();
            let _ = self.go_on.lock().recv();
        }
    }
}

#[test]
fn the_pulse_shows_that_every_thread_serves() {
    let ((stopped, stops), (go_on, goes_on)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
    let config = Config { workers: Some(2), ..Config::ephemeral() };
    let observe = Arc::new(Stops { stopped, go_on: Mutex::new(goes_on) });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let server = runtime.block_on(Builder::new(config).observe(observe).start()).unwrap();
    let pulse = server.pulse();
    assert!(pulse.threads_answer(GUARD) && pulse.connected() == 0);

    let mut client = Client::open(server.local_addrs()[0]);
    client.send(&Connect::new("c").frame());
    stops.recv_timeout(GUARD).unwrap();
    // one of two threads does not answer
    assert!(!pulse.threads_answer(Duration::from_millis(50)));
    go_on.send(()).unwrap();
    client.expect(&connack(0, 0));
    assert!(pulse.threads_answer(GUARD) && pulse.connected() == 1);
    runtime.block_on(server.shutdown()).unwrap();
    assert!(!pulse.threads_answer(GUARD), "threads that have ended do not serve");
}
