//! Each health check fails for its cause; `dunlin health --http` calls them.

use std::{
    pin::pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use dunlin::{
    Config, Publication, QoS, TestClock,
    config::SyncMode,
    router::{Event, Observe},
};
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use super::{address, ask, broker, get, http};
use crate::support::{Broker, config, running::Running};

#[test]
fn a_broker_that_serves_is_alive_and_ready() {
    let broker = broker("health = \"127.0.0.1:0\"");
    let at = address(&broker);
    for path in ["/healthz", "/readyz", "/startupz"] {
        let answer = get(at, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.body.starts_with("{\"checks\":{"), "{answer:?}");
        let head = ask(at, "HEAD", path, &[]);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
}

/// Holds the thread that a client's PINGREQ comes to.
#[derive(Default)]
struct Hanging {
    hangs: Mutex<bool>,
    ended: Condvar,
    begun: AtomicBool,
}

impl Observe for Hanging {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Ping { .. } = event {
            let mut hangs = self.hangs.lock();
            self.begun.store(true, Ordering::Release);
            while *hangs {
                self.ended.wait(&mut hangs);
            }
        }
    }
}

#[test]
fn a_thread_that_hangs_is_not_alive() {
    let hanging = Arc::new(Hanging { hangs: Mutex::new(true), ..Hanging::default() });
    let config = Config { http: http(""), ..config() };
    let broker = Broker::build(config, |builder| builder.observe(hanging.clone()));
    let mut client = broker.client("a");
    client.send(&[0xC0, 0]);
    while !hanging.begun.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let answer = get(address(&broker), "/healthz");
    assert_eq!((answer.status, answer.body.contains("\"threads\":\"hang\"")), (503, true), "{answer:?}");
    // that is not for load balancers to judge
    assert_eq!(get(address(&broker), "/readyz").status, 200);
    *hanging.hangs.lock() = false;
    hanging.ended.notify_all();
    client.expect(&[0xD0, 0]);
    assert_eq!(get(address(&broker), "/healthz").status, 200);
}

/// Holds the thread that wakes it.
#[derive(Default)]
struct Holding {
    holds: Mutex<bool>,
    ended: Condvar,
    begun: AtomicBool,
}

impl Wake for Holding {
    fn wake(self: Arc<Self>) {
        let mut holds = self.holds.lock();
        self.begun.store(true, Ordering::Release);
        while *holds {
            self.ended.wait(&mut holds);
        }
    }
}

#[test]
fn a_store_whose_thread_hangs_is_not_alive() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { http: http(""), data_dir: Some(dir.path().join("data")), ..config() };
    // the store's thread, which does not wait for a disk, wakes waiting tasks
    config.sync = SyncMode::Interval;
    let broker = Broker::new(config);
    let holding = Arc::new(Holding { holds: Mutex::new(true), ..Holding::default() });
    let waker = Waker::from(holding.clone());
    let publication = Publication::new("t", "x").qos(QoS::AtLeastOnce).retain(true);
    let mut publishing = pin!(broker.server.publish(publication));
    assert!(publishing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while !holding.begun.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let answer = get(address(&broker), "/healthz");
    assert_eq!((answer.status, answer.body.contains("\"store_thread\":\"hangs\"")), (503, true), "{answer:?}");
    *holding.holds.lock() = false;
    holding.ended.notify_all();
    assert_eq!(get(address(&broker), "/healthz").status, 200);
}

#[test]
fn readyz_fails_before_listeners_close() {
    let clock = TestClock::new();
    let config = Config { http: http("drain_delay = \"10s\""), ..config() };
    let broker = Broker::with_clock(config, clock.clone());
    let (at, mqtt) = (address(&broker), broker.address());
    let Broker { server, .. } = broker;
    let ending = std::thread::spawn(move || crate::support::shut_down(server));
    while get(at, "/readyz").status == 200 {
        std::thread::yield_now();
    }
    let answer = get(at, "/readyz");
    assert!(answer.body.contains("\"shutdown\":\"yes\""), "{answer:?}");
    assert_eq!(get(at, "/healthz").status, 200);
    drop(std::net::TcpStream::connect(mqtt).expect("listeners are open"));
    clock.turn(Duration::from_secs(11));
    ending.join().unwrap();
    assert!(std::net::TcpStream::connect(at).is_err());
}

fn health(flags: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dunlin")).env_clear().arg("health").args(flags).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap().trim_end().into())
}

/// The binary with HTTP on a free port, which the ready file contains.
fn running(dir: &TempDir, lines: &str) -> (Running, String, String) {
    let (file, ready) = (dir.path().join("dunlin.toml"), dir.path().join("ready"));
    let text = format!(
        "ready_file = '{}'\n[[listener]]\naddress = '127.0.0.1:0'\n[http]\nlisten = '127.0.0.1:0'\n{lines}",
        ready.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut running = Running::run(command.env_clear().arg("--config").arg(&file));
    let line = running.wait_for(" web console, admin API and metrics urls=http://");
    running.wait_until_ready();
    let told: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
    let url = told["http"][0].as_str().unwrap().to_owned();
    assert!(line.ends_with(&format!(" web console, admin API and metrics urls={url} metrics=open")), "{line}");
    (running, url, file.to_str().unwrap().into())
}

#[test]
fn dunlin_health_asks_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let (running, url, _) = running(&dir, "");
    let at = url.strip_prefix("http://").unwrap();
    assert_eq!(health(&["--http", "--listen", at]), (true, format!("healthy: {url}/healthz answers 200")));
    assert_eq!(health(&["--http=readyz", "--listen", at]), (true, format!("healthy: {url}/readyz answers 200")));
    running.stop();
    let (alive, text) = health(&["--http", "--listen", at, "--timeout", "1s"]);
    assert!(!alive && text.contains(&format!("not healthy: {url}/healthz: ")), "{text}");
    // at the configured address
    let file = dir.path().join("off.toml");
    std::fs::write(&file, "[http]\nlisten = 'off'\n").unwrap();
    let (alive, text) = health(&["--http", "--config", file.to_str().unwrap()]);
    assert!(!alive && text.contains("[http] has no listen"), "{text}");
}
