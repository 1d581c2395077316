//! Instructions of twelve fixed workloads, counted by `valgrind --tool=callgrind`, against the counts in
//! `benches/instructions.txt`: the bench fails if one is more than 5 % higher.
//!
//! `cargo bench --bench instructions`; with `DUNLIN_BLESS=1` the counts become the stored ones. Counts depend on the
//! compiler and the allocator of the machine: a new toolchain means new counts, in a commit that says so.

#[allow(dead_code)]
mod common;

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, ExitCode},
    time::Instant,
};

use common::{connect, connect_as, drain, drain_as, handle, handle_as};
use dunlin::{
    router::{Client, Ports, Router, RouterLimits, RouterThread},
    session::CloseReason,
    types::{ProtocolVersion, QoS},
};

const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const TOLERANCE: f64 = 1.05;
const WORKLOADS: [(&str, fn()); 12] = [
    ("pairs-q0", || plain_pairs(ProtocolVersion::V311, QoS::AtMostOnce)),
    ("pairs-q0-v5", || plain_pairs(ProtocolVersion::V5, QoS::AtMostOnce)),
    ("pairs-q1", || plain_pairs(ProtocolVersion::V311, QoS::AtLeastOnce)),
    ("pairs-q1-v5", || plain_pairs(ProtocolVersion::V5, QoS::AtLeastOnce)),
    ("pairs-q1-v5-properties", || {
        let publish = common::publish_with_properties("site/line/machine", QoS::AtLeastOnce, 64);
        pairs(ProtocolVersion::V5, QoS::AtLeastOnce, &publish);
    }),
    ("fanout-q0", fanout),
    ("fanout-mixed-q1", fanout_mixed),
    ("group-10", || group(10)),
    ("group-1000", || group(1_000)),
    ("filters", filters),
    ("churn-retained", churn_retained),
    ("churn-wildcards", churn_wildcards),
];

fn main() -> ExitCode {
    match env::var("DUNLIN_WORKLOAD") {
        Ok(name) => {
            let (_, run) = WORKLOADS.iter().find(|(n, _)| *n == name).expect("a workload");
            run();
            ExitCode::SUCCESS
        }
        Err(_) => compare(),
    }
}

/// Runs each workload under valgrind.
fn compare() -> ExitCode {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        eprintln!("valgrind does not run ({error}): apt-get install valgrind");
        return ExitCode::FAILURE;
    }
    let counted: BTreeMap<&str, u64> = WORKLOADS.iter().map(|(name, _)| (*name, count(name))).collect();
    if env::var_os("DUNLIN_BLESS").is_some() {
        let text: String = counted.iter().map(|(name, n)| format!("{name} {n}\n")).collect();
        fs::write(STORED, text).expect("the stored counts can be written");
    }
    let stored = fs::read_to_string(STORED).unwrap_or_default();
    let stored: BTreeMap<&str, u64> =
        stored.lines().filter_map(|l| l.split_once(' ')).filter_map(|(n, c)| Some((n, c.parse().ok()?))).collect();
    let mut good = true;
    for (name, n) in &counted {
        let Some(before) = stored.get(name) else {
            println!("{name:22} {n:>13}  not in {STORED}: run with DUNLIN_BLESS=1");
            good = false;
            continue;
        };
        let ratio = *n as f64 / *before as f64;
        let verdict = if ratio > TOLERANCE { "SLOWER than allowed" } else { "ok" };
        println!("{name:22} {n:>13} instructions, {:+.2} %  {verdict}", (ratio - 1.0) * 100.0);
        good &= ratio <= TOLERANCE;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn count(name: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("this program has a path"))
        .env("DUNLIN_WORKLOAD", name)
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed:\n{text}");
    text.lines()
        .find_map(|line| line.split("Collected : ").nth(1))
        .and_then(|n| n.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind did not say how many:\n{text}"))
}

/// A router, and subscribers of one topic.
fn subscribed(subscribers: usize, qos: QoS) -> (Router, RouterThread, Vec<Client>) {
    let router = Router::new(RouterLimits::default(), Ports::default(), 7);
    let mut local = router.local(Instant::now());
    let mut clients: Vec<Client> = (0..subscribers).map(|i| connect(&router, &mut local, &format!("s{i}"))).collect();
    let mut replies = Vec::new();
    for client in &mut clients {
        handle(&router, &mut local, client, &common::subscribe("site/line/machine", qos), &mut replies);
    }
    drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
    (router, local, clients)
}

/// One publisher, one subscriber, ten messages a turn.
fn pairs(version: ProtocolVersion, qos: QoS, publish: &[u8]) {
    let (router, mut replies) = (Router::new(RouterLimits::default(), Ports::default(), 7), Vec::new());
    let mut local = router.local(Instant::now());
    let [mut subscriber, mut publisher] = ["s0", "p"].map(|id| connect_as(version, &router, &mut local, id));
    let subscribe = common::subscribe_as(version, "site/line/machine", qos);
    handle_as(version, &router, &mut local, &mut subscriber, &subscribe, &mut replies);
    let subscribers = std::slice::from_mut(&mut subscriber);
    drain_as(version, &router, &mut local, subscribers, QoS::AtMostOnce);
    for _ in 0..2_000 {
        for _ in 0..10 {
            handle_as(version, &router, &mut local, &mut publisher, publish, &mut replies);
        }
        replies.clear();
        local.wake();
        drain_as(version, &router, &mut local, subscribers, qos);
    }
}

fn plain_pairs(version: ProtocolVersion, qos: QoS) {
    pairs(version, qos, &common::publish_as(version, "site/line/machine", qos, false, 64));
}

fn fanout() {
    let (router, mut local, mut clients) = subscribed(200, QoS::AtMostOnce);
    let mut publisher = connect(&router, &mut local, "p");
    let mut replies = Vec::new();
    let publish = common::publish("site/line/machine", QoS::AtMostOnce, false, 64);
    for _ in 0..200 {
        handle(&router, &mut local, &mut publisher, &publish, &mut replies);
        local.wake();
        drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
    }
}

/// One publisher, and a group of so many members, each of which gets its part.
fn group(members: usize) {
    let (router, mut local, mut clients) = subscribed(0, QoS::AtMostOnce);
    let mut replies = Vec::new();
    for i in 0..members {
        let mut client = connect(&router, &mut local, &format!("s{i}"));
        let filter = common::subscribe("$share/group/site/line/machine", QoS::AtLeastOnce);
        handle(&router, &mut local, &mut client, &filter, &mut replies);
        clients.push(client);
    }
    drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
    let mut publisher = connect(&router, &mut local, "p");
    let publish = common::publish("site/line/machine", QoS::AtMostOnce, false, 64);
    for _ in 0..10 {
        for _ in 0..10_000 {
            handle(&router, &mut local, &mut publisher, &publish, &mut replies);
        }
        replies.clear();
        local.wake();
        drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
    }
}

/// Half of the subscribers speak MQTT 3.1.1 and half MQTT 5, and so do the publishers.
fn fanout_mixed() {
    const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V311, ProtocolVersion::V5];
    let (router, mut replies) = (Router::new(RouterLimits::default(), Ports::default(), 7), Vec::new());
    let mut local = router.local(Instant::now());
    let mut halves = VERSIONS.map(|version| {
        let half: Vec<Client> =
            (0..100).map(|i| connect_as(version, &router, &mut local, &format!("{version:?}-{i}"))).collect();
        (version, half)
    });
    for (version, half) in &mut halves {
        let subscribe = common::subscribe_as(*version, "site/line/machine", QoS::AtLeastOnce);
        for client in &mut *half {
            handle_as(*version, &router, &mut local, client, &subscribe, &mut replies);
        }
        drain_as(*version, &router, &mut local, half, QoS::AtMostOnce);
    }
    let mut publishers =
        VERSIONS.map(|version| (version, connect_as(version, &router, &mut local, &format!("{version:?}"))));
    for _ in 0..100 {
        for (version, publisher) in &mut publishers {
            let publish = common::publish_as(*version, "site/line/machine", QoS::AtLeastOnce, false, 64);
            handle_as(*version, &router, &mut local, publisher, &publish, &mut replies);
            replies.clear();
            local.wake();
            for (version, half) in &mut halves {
                drain_as(*version, &router, &mut local, half, QoS::AtLeastOnce);
            }
        }
    }
}

/// Wildcard filters taken, then a message to a topic of each.
fn filters() {
    let (router, mut local, mut clients) = subscribed(1, QoS::AtMostOnce);
    let mut publisher = connect(&router, &mut local, "p");
    let mut replies = Vec::new();
    for i in 0..1_000 {
        let filter = common::subscribe(&format!("site{}/+/sensor{i}", i % 17), QoS::AtMostOnce);
        handle(&router, &mut local, &mut clients[0], &filter, &mut replies);
    }
    for i in 0..10_000 {
        let topic = format!("site{}/line{}/sensor{}", i % 1_000 % 17, i / 1_000, i % 1_000);
        let publish = common::publish(&topic, QoS::AtMostOnce, false, 64);
        handle(&router, &mut local, &mut publisher, &publish, &mut replies);
        replies.clear();
        local.wake();
        drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
    }
}

/// Clients that come, retain a message, subscribe to all of them and go.
fn churn_retained() {
    let router = Router::new(RouterLimits::default(), Ports::default(), 7);
    let mut local = router.local(Instant::now());
    let mut replies = Vec::new();
    let now = Instant::now();
    for i in 0..500 {
        let mut client = connect(&router, &mut local, &format!("c{i}"));
        let publish = common::publish(&format!("state/{}/{i}", i % 20), QoS::AtMostOnce, true, 64);
        handle(&router, &mut local, &mut client, &publish, &mut replies);
        let subscribe = common::subscribe(&format!("state/{}/+", i % 20), QoS::AtMostOnce);
        handle(&router, &mut local, &mut client, &subscribe, &mut replies);
        replies.clear();
        drain(&router, &mut local, std::slice::from_mut(&mut client), QoS::AtMostOnce);
        router.end(&mut local, &client, &CloseReason::ClientDisconnect, now);
        local.wake();
    }
}

/// Wildcard subscriptions come and go while others publish to topics that they do not match: each change of one, and a
/// message to each of the topics.
fn churn_wildcards() {
    const SITES: usize = 20;
    let (router, mut local, mut clients) = subscribed(1, QoS::AtMostOnce);
    let mut replies = Vec::new();
    let now = Instant::now();
    for site in 0..SITES {
        let filter = common::subscribe(&format!("plant/site{site}/+/state"), QoS::AtMostOnce);
        handle(&router, &mut local, &mut clients[0], &filter, &mut replies);
    }
    let messages: Vec<_> = (0..SITES)
        .map(|site| common::publish(&format!("plant/site{site}/machine/state"), QoS::AtMostOnce, false, 64))
        .collect();
    let mut publishers: Vec<Client> =
        (0..SITES).map(|site| connect(&router, &mut local, &format!("p{site}"))).collect();
    for i in 0..500 {
        let mut client = connect(&router, &mut local, &format!("c{i}"));
        let subscribe = common::subscribe(&format!("house/{i}/+/state"), QoS::AtMostOnce);
        handle(&router, &mut local, &mut client, &subscribe, &mut replies);
        for (publisher, message) in publishers.iter_mut().zip(&messages) {
            handle(&router, &mut local, publisher, message, &mut replies);
        }
        replies.clear();
        local.wake();
        drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
        router.end(&mut local, &client, &CloseReason::ClientDisconnect, now);
    }
}
