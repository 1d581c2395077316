//! Inspection of a router with a million sessions, of which 10,000 are connected: `cargo bench --bench inspect` prints
//! the time of a page of clients, the time and the memory of a walk over all sessions in steps, and the time of a
//! publish during a walk and without one.
//!
//! `-- --sessions 100000` for fewer. Each figure has a goal; the bench fails if one is missed.

#[allow(dead_code)]
mod common;

use std::{
    fs,
    ops::ControlFlow,
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use common::{drain, handle};
use dunlin::{
    inspect::{Cursor, SESSIONS_A_STEP, Wanted},
    router::{Client, Ports, Router, RouterLimits, RouterThread},
    session::CloseReason,
    topic::TopicFilter,
    types::QoS,
};

/// Of how many sessions one has a connected client.
const CONNECTED: usize = 100;
/// Clients on a page.
const PAGE: usize = 100;
/// Messages whose times are compared.
const MESSAGES: usize = 200_000;

/// Measures looking into a broker.
#[derive(Parser)]
struct Options {
    /// How many sessions there are
    #[arg(long, default_value_t = 1_000_000)]
    sessions: usize,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Options { sessions, .. } = Options::parse();
    let limits = RouterLimits { max_sessions: usize::MAX, max_retained_messages: usize::MAX, ..limits() };
    let router = Router::new(limits, Ports::default(), 7);
    let mut local = router.local(Instant::now());
    let before = resident();
    let mut connected = fill(&router, &mut local, sessions);
    println!(
        "{sessions} sessions, {} connected, {} bytes each",
        connected.len(),
        (resident() - before) / sessions as u64
    );
    let mut goals = Goals(true);
    pages(&router, &mut goals);
    walks(&router, sessions, &mut goals);
    publishes(&router, &mut local, &mut connected, &mut goals);
    if goals.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all were met so far.
struct Goals(bool);

impl Goals {
    fn at_most(&mut self, what: &str, took: Duration, most: Duration) {
        let verdict = if took <= most { "ok" } else { "MORE than the goal" };
        println!("{what:<44} {took:>12.3?}   goal {most:?}: {verdict}");
        self.0 &= took <= most;
    }
}

fn limits() -> RouterLimits {
    RouterLimits { max_retained_bytes: usize::MAX, session_expiry: None, ..RouterLimits::default() }
}

/// Sessions of clients that are away, with a subscription each; some are connected.
fn fill(router: &Router, local: &mut RouterThread, sessions: usize) -> Vec<Client> {
    let mut connected = Vec::new();
    let (mut replies, now) = (Vec::new(), Instant::now());
    for n in 0..sessions {
        let mut client = common::connect_kept(router, local, &format!("client-{n:07}"));
        let filter = common::subscribe(&format!("site/line/machine{n}"), QoS::AtLeastOnce);
        handle(router, local, &mut client, &filter, &mut replies);
        replies.clear();
        drain(router, local, std::slice::from_mut(&mut client), QoS::AtMostOnce);
        if n % CONNECTED == 0 {
            connected.push(client);
        } else {
            router.end(local, &client, &CloseReason::ClientDisconnect, now);
        }
        local.wake();
    }
    connected
}

/// The slowest and the median page of connected clients, then of all, from one end to the other; and the first page of
/// retained messages.
fn pages(router: &Router, goals: &mut Goals) {
    for (name, wanted, pages) in [("connected", Wanted::Connected, 50), ("all", Wanted::All, 50)] {
        let (mut times, mut next) = (Vec::new(), Cursor::default());
        for _ in 0..pages {
            let (begin, mut shown) = (Instant::now(), 0);
            loop {
                let after = router.clients(next, wanted, SESSIONS_A_STEP, &mut |client| {
                    std::hint::black_box(client);
                    shown += 1;
                    if shown == PAGE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                next = after.unwrap_or_default();
                if shown == PAGE || after.is_none() {
                    break;
                }
            }
            times.push(begin.elapsed());
        }
        times.sort();
        println!("a page of clients, {name}: median {:.3?}", times[times.len() / 2]);
        goals.at_most(
            &format!("a page of clients, {name}: slowest"),
            times[times.len() - 1],
            Duration::from_millis(10),
        );
    }
}

fn walk(router: &Router, mut each: impl FnMut()) -> (usize, Duration) {
    let (mut next, mut shown, mut longest) = (Some(Cursor::default()), 0, Duration::ZERO);
    while let Some(after) = next {
        let begin = Instant::now();
        next = router.clients(after, Wanted::All, SESSIONS_A_STEP, &mut |client| {
            std::hint::black_box(client);
            shown += 1;
            ControlFlow::Continue(())
        });
        longest = longest.max(begin.elapsed());
        each();
    }
    (shown, longest)
}

fn walks(router: &Router, sessions: usize, goals: &mut Goals) {
    let (before, mut most) = (resident(), 0);
    let begin = Instant::now();
    let mut steps = 0;
    let (shown, longest) = walk(router, || {
        steps += 1;
        if steps % 64 == 0 {
            most = most.max(resident());
        }
    });
    assert_eq!(shown, sessions);
    goals.at_most("a walk over all sessions", begin.elapsed(), Duration::from_secs(2));
    println!(
        "  the longest of its steps: {longest:.3?}; memory meanwhile: + {} KiB",
        most.saturating_sub(before) >> 10
    );
    goals.0 &= most.saturating_sub(before) <= 32 << 20;
    let filter = TopicFilter::new("#").expect("a valid filter");
    assert_eq!(router.retained(filter, Cursor::default(), usize::MAX, &mut |_| ControlFlow::Continue(())), None);
}

/// A publisher and a subscriber, with and without a walk on another thread.
fn publishes(router: &Router, local: &mut RouterThread, connected: &mut [Client], goals: &mut Goals) {
    let publish = common::publish("site/line/machine0", QoS::AtLeastOnce, false, 64);
    let (subscriber, others) = connected.split_first_mut().expect("some are connected");
    let publisher = &mut others[0];
    let mut measure = |local: &mut RouterThread| {
        let (mut times, mut replies) = (Vec::with_capacity(MESSAGES), Vec::new());
        for _ in 0..MESSAGES {
            let begin = Instant::now();
            handle(router, local, publisher, &publish, &mut replies);
            replies.clear();
            local.wake();
            drain(router, local, std::slice::from_mut(subscriber), QoS::AtLeastOnce);
            times.push(begin.elapsed());
        }
        times.sort();
        [times[MESSAGES / 2], times[MESSAGES * 99 / 100], times[MESSAGES - 1]]
    };
    measure(local);
    let alone = measure(local);
    let (ends, walked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let beside = thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let (shown, _) = walk(router, || ());
                walked.fetch_add(shown, Ordering::Relaxed);
            }
        });
        let beside = measure(local);
        ends.store(true, Ordering::Relaxed);
        beside
    });
    println!("a publish, QoS 1, p50 p99 max: {alone:.3?} alone, {beside:.3?} while {} were shown", walked.into_inner());
    let most = (alone[1].mul_f64(1.1)).max(alone[1] + Duration::from_millis(1));
    goals.at_most("p99 of a publish while another thread walks", beside[1], most);
}

/// Bytes of memory of this process.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this process runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("Linux says VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number of KiB") << 10
}
