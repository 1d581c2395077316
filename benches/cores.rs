//! Two cores against one: `cargo bench --bench cores -- --share 0.35 --rounds 5 --seconds 3`, as root.
//!
//! On two cores, a broker that uses both leaves none for the load generator, and the bench would measure the load
//! generator. So a control group limits the broker to a part of each core's time, with one core and one worker, or with
//! two and two; the load generator has the rest. The bench prints medians of messages a second at QoS 0, and two cores
//! against one.

#[path = "common/broker.rs"]
mod broker;
#[path = "common/loadgen.rs"]
mod loadgen;
#[path = "common/median.rs"]
mod median;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use broker::Broker;
use clap::Parser;
use median::median;
use serde_json::Value;

/// Measures a broker with one core and with two.
#[derive(Parser)]
struct Options {
    /// The part of a core's time that the broker has of each of its cores
    #[arg(long, default_value_t = 0.35)]
    share: f64,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each is measured, in seconds
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// What the load generator does
    #[arg(long, default_value = "--window 400 pairs 20")]
    load: String,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let program = loadgen::program();
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for cores in 1..=2 {
            match measure(&options, &program, cores) {
                Ok(rate) => rates[cores - 1].push(rate),
                Err(error) => {
                    eprintln!("cores: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let [one, two] = rates.map(median);
    println!(
        "{}: {:.0} % of one core {one:.0}/s, of two {two:.0}/s: {:.2}",
        options.load,
        100.0 * options.share,
        two / one
    );
    ExitCode::SUCCESS
}

/// Messages a second with so many cores.
fn measure(options: &Options, program: &Path, cores: usize) -> io::Result<f64> {
    let config = loadgen::config_with(&format!("workers = {cores}"), "");
    let broker = Broker::start(&config);
    let list = if cores == 1 { "0" } else { "0,1" };
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", list, &broker.id().to_string()]).output()?;
    if !pinned.status.success() {
        return Err(io::Error::other(format!("taskset: {}", String::from_utf8_lossy(&pinned.stderr))));
    }
    let _quota = Quota::new(broker.id(), options.share * cores as f64)?;
    let said = broker.load(program, &format!("--seconds {} {}", options.seconds, options.load));
    let said: Value = serde_json::from_str(&said)?;
    said["delivered_per_s"].as_f64().ok_or_else(|| io::Error::other(format!("no delivered_per_s in {said}")))
}

/// A control group of its own for a process, with so much CPU time a second; removed when the process is gone.
struct Quota {
    group: PathBuf,
    parent: PathBuf,
}

impl Quota {
    fn new(process: u32, seconds: f64) -> io::Result<Self> {
        let quota = (seconds * f64::from(PERIOD)) as u64;
        // version 1 has a folder for each controller
        let (first, second) = (PathBuf::from("/sys/fs/cgroup/cpu"), PathBuf::from("/sys/fs/cgroup"));
        let (parent, settings) = if first.exists() {
            (first, vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", quota.to_string())])
        } else {
            (second, vec![("cpu.max", format!("{quota} {PERIOD}"))])
        };
        let why = |path: &Path, error| {
            io::Error::other(format!(
                "{}: {error}; control groups with the cpu controller are needed, and root",
                path.display()
            ))
        };
        let group = parent.join(format!("dunlin-bench-{process}"));
        fs::create_dir(&group).map_err(|error| why(&group, error))?;
        let this = Self { group, parent };
        for (name, value) in settings.into_iter().chain([("cgroup.procs", process.to_string())]) {
            let path = this.group.join(name);
            fs::write(&path, value).map_err(|error| why(&path, error))?;
        }
        Ok(this)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // a control group with a process cannot be removed: processes that are left in it move back
        let left = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for process in left.lines() {
            let _ = fs::write(self.parent.join("cgroup.procs"), process);
        }
        if let Err(error) = fs::remove_dir(&self.group) {
            eprintln!("cores: {}: {error}; it is empty, and stays", self.group.display());
        }
    }
}

/// Microseconds.
const PERIOD: u32 = 10_000;
