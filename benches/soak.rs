//! Mixed load for a long time, against memory that must not grow: `cargo bench --bench soak` (an hour;
//! `DUNLIN_SOAK_SECONDS` says otherwise). Every round runs each scenario for a few seconds against the same broker: pairs
//! at each QoS, fan-out, clients that come and go, retained messages replaced, sessions that queue and drain.

#[path = "common/loadgen.rs"]
mod loadgen;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const SCENARIOS: [&str; 9] = [
    "--qos 0 pairs 10",
    "--qos 1 --persistent pairs 10",
    "--qos 2 pairs 10",
    "--qos 0 --window 50 fanout 500",
    "--qos 0 --size 65536 --window 20 pairs 4",
    "--qos 0 filters 20 500",
    "--qos 1 churn 50",
    "--qos 1 retained 20000",
    "--qos 1 --persistent --inflight 50 backlog 20 2000",
];
/// Rounds until everything that may stay (retained messages, sessions, buffers) is there.
const WARM_UP: usize = 2;
/// What noise of the allocator may add.
const MARGIN_KIB: u64 = 4096;

/// Killed when the bench ends, however it does.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> ExitCode {
    let seconds = env::var("DUNLIN_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3_600);
    let until = Instant::now() + Duration::from_secs(seconds);
    let program = loadgen::program();
    let config = loadgen::config("");
    let mut broker = Broker(
        Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .args(["--listen=127.0.0.1:0", "--log-level=info", "--config"])
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("dunlin runs"),
    );
    let pid = broker.0.id();
    let address = address(&mut broker.0);
    let mut highest = 0;
    let mut round = 0;
    while round <= WARM_UP || Instant::now() < until {
        for scenario in SCENARIOS {
            let mut load = Command::new(&program);
            load.args(["--addr", &address, "--seconds", "2", "--warmup", "0.2"]).args(scenario.split(' '));
            let output = load.output().expect("loadgen runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
            for fault in ["missing", "gaps", "repeated", "unexpected"] {
                let found = text.split(&format!("\"{fault}\":")).nth(1);
                assert!(found.is_none_or(|f| f.starts_with('0')), "{scenario}: {text}");
            }
        }
        let resident = resident_kib(pid);
        println!("round {round:4}: {resident} KiB resident");
        if round <= WARM_UP {
            highest = highest.max(resident);
        } else if resident > highest + highest / 10 + MARGIN_KIB {
            println!("memory grew: {highest} KiB after the warm-up, {resident} KiB now");
            return ExitCode::FAILURE;
        }
        round += 1;
    }
    println!("memory did not grow: at most {highest} KiB after the warm-up, {} KiB at the end", resident_kib(pid));
    ExitCode::SUCCESS
}

/// Where the broker listens, as its log says. The log is read on, so that the broker never waits for it.
fn address(broker: &mut Child) -> String {
    let mut lines = BufReader::new(broker.stderr.take().expect("standard error is a pipe")).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|l| l.contains("listening on ")).expect("it gets ready");
    std::thread::spawn(move || lines.for_each(drop));
    let address = ready.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    address.expect("the line names the address").to_owned()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the broker runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("Linux says VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB")
}
