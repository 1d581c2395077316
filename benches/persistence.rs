//! The cost of a disk: dunlin with a `data_dir`, dunlin in memory and the raw log (only append and fdatasync), in one
//! run: `cargo bench --bench persistence -- --rounds 5 --seconds 3 --dir D`.
//!
//! Each round starts each broker anew for each scenario. `pairs W` is one publisher with W messages of QoS 1 in flight
//! and one subscriber with a persistent session; the raw log writes W messages a batch. The bench prints medians, and
//! the rate with a disk relative to memory and to the raw log. `--sync-delay 1ms` makes each fsync of both 1 ms longer,
//! as on a slower disk; `--only retained` runs the scenarios with that in their names. `--overlap` instead compares two
//! brokers with a disk in turn: one whose batches overlap, and one that writes one batch at a time.

#[path = "common/broker.rs"]
mod broker;
#[path = "common/loadgen.rs"]
mod loadgen;
#[path = "common/median.rs"]
mod median;
#[path = "common/raw_log.rs"]
mod raw_log;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use broker::Broker;
use clap::Parser;
use dunlin::{config::Cli, server::Builder};
use median::median;
use raw_log::{Layout, Settings};
use serde_json::Value;

/// Compares a broker with a disk, a broker in memory and the raw log.
#[derive(Parser)]
struct Options {
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long the pairs and each row of the raw log are, in seconds
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Added to each fsync, as a slower disk would: 1ms
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    sync_delay: Duration,
    /// Measures what overlapping batches gain, instead
    #[arg(long)]
    overlap: bool,
    /// With `--serve`: batches do not overlap
    #[arg(long, hide = true)]
    one_sync_at_a_time: bool,
    /// Only scenarios with this in their names
    #[arg(long, default_value = "")]
    only: String,
    /// Be a broker with this configuration; the bench starts itself like this
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
    /// Where data directories are made and removed; a real disk, a tmpfs measures nothing
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A scenario and its figures, of which higher ones are better.
struct Scenario {
    name: String,
    load: String,
    rates: &'static [&'static str],
    /// The figure of CPU microseconds a message, if the load generator has it.
    cpu: Option<&'static str>,
    /// Messages a batch of the raw log that it is compared with.
    raw: Option<u32>,
}

impl Scenario {
    /// The name of one of its figures.
    fn name_of(&self, key: &str) -> String {
        match self.rates {
            [_] => self.name.clone(),
            _ => format!("{}, {}", self.name, key.trim_end_matches("_per_s")),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(config) = &options.serve {
        return serve(config, &options);
    }
    let program = loadgen::program();
    let delay = humantime::format_duration(options.sync_delay);
    println!("{}, each fsync + {delay}, medians of {} rounds", options.dir.display(), options.rounds);
    match options.overlap {
        true => println!("{:24} {:>12} {:>12} {:>8}", "", "overlap/s", "one batch/s", "gain"),
        false => println!(
            "{:24} {:>10} {:>10} {:>10} {:>8} {:>8} {:>10} {:>10}",
            "", "raw log/s", "memory/s", "disk/s", "/raw", "/memory", "memory µs", "disk µs"
        ),
    }
    let all = if options.overlap { of_overlap() } else { scenarios(options.seconds) };
    for scenario in all.into_iter().filter(|scenario| scenario.name.contains(&options.only)) {
        let mut rows = Rows::default();
        for _ in 0..options.rounds {
            if let Err(error) = rows.measure(&options, &program, &scenario) {
                eprintln!("persistence: {}: {error}; --dir chooses another place", options.dir.display());
                return ExitCode::FAILURE;
            }
        }
        match options.overlap {
            true => rows.print_overlap(&scenario),
            false => rows.print(&scenario),
        }
    }
    ExitCode::SUCCESS
}

fn scenarios(seconds: u64) -> Vec<Scenario> {
    let pairs = [1, 16, 256, 1024, 4096].map(|window| Scenario {
        name: format!("pairs {window}"),
        load: format!(
            "--qos 1 --size {SIZE} --persistent --window {window} --inflight {window} --seconds {seconds} pairs 1"
        ),
        rates: &["delivered_per_s"],
        cpu: Some("broker_cpu_us_per_msg"),
        raw: Some(window),
    });
    let backlog = Scenario {
        name: "backlog 20 × 5,000".into(),
        load: format!("--qos 1 --size {SIZE} --persistent --inflight 256 backlog 20 5000"),
        rates: &["queued_per_s", "drained_per_s"],
        cpu: None,
        raw: None,
    };
    // one after the other they take their time
    let retained = [(1, 10_000), (16, 100_000), (256, 100_000)].map(|(inflight, messages)| Scenario {
        name: format!("retained, {inflight} in flight"),
        load: format!("--qos 1 --size {SIZE} --inflight {inflight} retained {messages}"),
        rates: &["stored_per_s"],
        cpu: None,
        raw: Some(inflight),
    });
    pairs.into_iter().chain([backlog]).chain(retained).collect()
}

/// Windows that are larger than the bytes at which a batch may overlap: with smaller ones nothing overlaps.
fn of_overlap() -> Vec<Scenario> {
    let away = [(20, 256, 256, 5_000), (20, 256, 1_024, 5_000), (4, 4_096, 128, 5_000), (1, 1_024, 512, 20_000)];
    let away = away.map(|(sessions, size, inflight, messages)| Scenario {
        name: format!("away {sessions}, {size} B × {inflight}"),
        load: format!("--qos 1 --size {size} --persistent --inflight {inflight} backlog {sessions} {messages}"),
        rates: &["queued_per_s"],
        cpu: None,
        raw: None,
    });
    let retained = [(256, 1_024, 50_000), (4_096, 128, 10_000)];
    let retained = retained.map(|(size, inflight, messages)| Scenario {
        name: format!("retained, {size} B × {inflight}"),
        load: format!("--qos 1 --size {size} --inflight {inflight} retained {messages}"),
        rates: &["stored_per_s"],
        cpu: None,
        raw: None,
    });
    away.into_iter().chain(retained).collect()
}

/// The results of all rounds.
#[derive(Default)]
struct Rows {
    raw: Vec<f64>,
    memory: Vec<Value>,
    disk: Vec<Value>,
    /// With `--overlap`: of a disk, one batch at a time.
    one: Vec<Value>,
}

impl Rows {
    fn measure(&mut self, options: &Options, program: &Path, scenario: &Scenario) -> std::io::Result<()> {
        if options.overlap {
            for (rows, one_at_a_time) in [(&mut self.disk, false), (&mut self.one, true)] {
                let data_dir = tempfile::tempdir_in(&options.dir)?;
                rows.push(run(Some(data_dir.path()), options, one_at_a_time, program, scenario));
            }
            return Ok(());
        }
        if let Some(batch) = scenario.raw {
            let seconds = Duration::from_secs(options.seconds);
            let settings = Settings { seconds, sync_delay: options.sync_delay, dir: options.dir.clone() };
            self.raw.push(raw_log::measure(&settings, Layout::Zeroed, batch)?.rate());
        }
        self.memory.push(run(None, options, false, program, scenario));
        let data_dir = tempfile::tempdir_in(&options.dir)?;
        self.disk.push(run(Some(data_dir.path()), options, false, program, scenario));
        Ok(())
    }

    fn print(&self, scenario: &Scenario) {
        let raw = scenario.raw.map(|_| median(self.raw.clone()));
        let cpu = |rows| scenario.cpu.map(|key| format!("{:.2}", figure(rows, key))).unwrap_or_default();
        for &key in scenario.rates {
            let (memory, disk) = (figure(&self.memory, key), figure(&self.disk, key));
            let name = scenario.name_of(key);
            println!(
                "{name:24} {:>10} {memory:>10.0} {disk:>10.0} {:>8} {:>8.2} {:>10} {:>10}",
                raw.map(|raw| format!("{raw:.0}")).unwrap_or_default(),
                raw.map(|raw| format!("{:.2}", disk / raw)).unwrap_or_default(),
                disk / memory,
                cpu(&self.memory),
                cpu(&self.disk),
            );
        }
    }

    fn print_overlap(&self, scenario: &Scenario) {
        for &key in scenario.rates {
            let (overlap, one) = (figure(&self.disk, key), figure(&self.one, key));
            let gain = 100.0 * (overlap / one - 1.0);
            println!("{:24} {overlap:>12.0} {one:>12.0} {gain:>+7.0}%", scenario.name_of(key));
        }
    }
}

/// The figures of one run against a broker of its own.
fn run(data_dir: Option<&Path>, options: &Options, one_at_a_time: bool, program: &Path, scenario: &Scenario) -> Value {
    let top = data_dir.map_or_else(String::new, |dir| format!("data_dir = '{}'", dir.display()));
    // windows to a client as large as the largest of the scenarios
    let config = loadgen::config_with(&top, "max_inflight_out = 65535");
    let broker = if options.sync_delay.is_zero() && !one_at_a_time {
        Broker::start(&config)
    } else {
        let mut this = Command::new(env::current_exe().expect("the bench has a file"));
        let delay = humantime::format_duration(options.sync_delay).to_string();
        this.args(one_at_a_time.then_some("--one-sync-at-a-time"));
        Broker::run(this.args(["--sync-delay", &delay, "--serve"]).arg(&*config))
    };
    // as it is a moment after its first start ever
    let begins = Instant::now();
    while data_dir.is_some_and(|dir| spares(dir) < 2) {
        assert!(begins.elapsed() < Duration::from_secs(60), "the broker makes two files for its log");
        thread::sleep(Duration::from_millis(1));
    }
    let said = broker.load(program, &scenario.load);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("loadgen said {said:?}: {error}"))
}

/// A broker with fsyncs as `options` has them, until the process is killed.
fn serve(config: &Path, options: &Options) -> ExitCode {
    let args = ["dunlin".as_ref(), "--listen=127.0.0.1:0".as_ref(), "--config".as_ref(), config.as_os_str()];
    let config = Cli::try_from_args(args).expect("what the bench says").resolve().expect("the bench's configuration");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let builder = Builder::new(config).sync_delay(options.sync_delay);
        let builder = if options.one_sync_at_a_time { builder.one_sync_at_a_time() } else { builder };
        let server = builder.start().await.expect("it starts");
        eprintln!("ready listeners={}", server.local_addrs()[0]);
        let failure = server.failed().await;
        eprintln!("persistence: {failure}");
    });
    ExitCode::FAILURE
}

/// How many files wait to be segments of the log.
fn spares(data_dir: &Path) -> usize {
    let files = fs::read_dir(data_dir).expect("the broker has made it").filter_map(Result::ok);
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("spare-") && !name.ends_with(".new")).count()
}

fn figure(rows: &[Value], key: &str) -> f64 {
    median(rows.iter().map(|row| row[key].as_f64().unwrap_or_else(|| panic!("no {key} in {row}"))).collect())
}

/// Bytes of a payload, as in the raw log.
const SIZE: usize = 256;
