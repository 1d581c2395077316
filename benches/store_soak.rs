//! Mixed load for a long time on a broker with a disk; memory and disk use must not grow: `cargo bench --bench
//! store_soak` (an hour, or `DUNLIN_SOAK_SECONDS`). Every round connects new clients, which subscribe, queue, drain and
//! expire, while other clients and the retained messages stay the same.

#[path = "common/broker.rs"]
mod broker;
#[path = "common/loadgen.rs"]
mod loadgen;
#[path = "common/soak.rs"]
mod soak;

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::ExitCode, time::Instant};

use broker::Broker;
use soak::Ceiling;

/// `{round}` stands for what only this round has.
const SCENARIOS: [&str; 7] = [
    "--qos 1 --persistent pairs 10",
    "--qos 2 --persistent --prefix {round}-two pairs 10",
    "--qos 1 --persistent --window 20 --prefix {round}-out fanout 100",
    "--qos 1 churn 50",
    "--qos 1 retained 20000",
    "--qos 1 --persistent --inflight 50 backlog 20 2000",
    "--qos 1 --persistent --inflight 50 --prefix {round}-away backlog 20 2000",
];
/// Rounds until everything that may stay is there, at least: as many sessions as wait to expire, segments that are used
/// again.
const WARM_UP: usize = 4;
/// The part of the whole that is warm-up, at least: an allocator keeps what the slowest moment of the disk so far took,
/// and a short warm-up has seen none that is slow.
const WARM_UP_PART: f64 = 0.1;
/// What noise of the allocator may add.
const MEMORY_MARGIN_KIB: u64 = 8192;
/// Segments (64 MiB) between full and cleaned.
const DISK_MARGIN_KIB: u64 = 4 * 65_536;

fn main() -> ExitCode {
    let (begins, until) = (Instant::now(), soak::until());
    let warm = begins + (until - begins).mul_f64(WARM_UP_PART);
    let program = loadgen::program();
    // a real disk: a tmpfs would be memory
    let data_dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let config = loadgen::config_with(&format!("data_dir = '{}'", data_dir.path().display()), "session_expiry = '20s'");
    let broker = Broker::start(&config);
    let mut memory = Ceiling::new("memory", MEMORY_MARGIN_KIB);
    let mut disk = Ceiling::new("disk use", DISK_MARGIN_KIB);
    let mut round = 0;
    while round <= WARM_UP || Instant::now() < until {
        for scenario in SCENARIOS {
            let scenario = scenario.replace("{round}", &format!("round{round}"));
            broker.load(&program, &format!("{scenario} --seconds 2 --warmup 0.2"));
        }
        let (resident, used) = (broker.resident_kib(), used_kib(data_dir.path()));
        println!("round {round:4}: {resident} KiB resident, {used} KiB on disk");
        let warming_up = round <= WARM_UP || Instant::now() < warm;
        if !memory.holds(warming_up, resident) || !disk.holds(warming_up, used) {
            return ExitCode::FAILURE;
        }
        round += 1;
    }
    memory.say(broker.resident_kib());
    disk.say(used_kib(data_dir.path()));
    ExitCode::SUCCESS
}

/// KiB that the files of a directory take.
fn used_kib(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("the data directory");
    // one that was renamed or removed meanwhile is counted next time
    let blocks = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.blocks()));
    blocks.sum::<u64>() / 2
}
