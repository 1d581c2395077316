//! Mixed load for a long time; memory must not grow: `cargo bench --bench soak` (an hour, or `DUNLIN_SOAK_SECONDS`).
//! Every round runs each scenario for a few seconds against the same broker: pairs at each QoS, fan-out, reconnecting
//! clients, replaced retained messages, sessions that queue and drain.

#[path = "common/broker.rs"]
mod broker;
#[path = "common/loadgen.rs"]
mod loadgen;
#[path = "common/soak.rs"]
mod soak;

use std::{process::ExitCode, time::Instant};

use broker::Broker;
use soak::Ceiling;

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
/// Rounds until everything that may stay (retained messages, sessions, buffers) exists.
const WARM_UP: usize = 2;
/// What noise of the allocator may add.
const MARGIN_KIB: u64 = 4096;

fn main() -> ExitCode {
    let until = soak::until();
    let program = loadgen::program();
    let config = loadgen::config("");
    let broker = Broker::start(&config);
    let mut memory = Ceiling::new("memory", MARGIN_KIB);
    let mut round = 0;
    while round <= WARM_UP || Instant::now() < until {
        for scenario in SCENARIOS {
            broker.load(&program, &format!("{scenario} --seconds 2 --warmup 0.2"));
        }
        let resident = broker.resident_kib();
        println!("round {round:4}: {resident} KiB resident");
        if !memory.holds(round <= WARM_UP, resident) {
            return ExitCode::FAILURE;
        }
        round += 1;
    }
    memory.say(broker.resident_kib());
    ExitCode::SUCCESS
}
