//! The cost of a TLS record for each MQTT packet (`tls_records = "packet"`, the default) against records filled with
//! packets (`"batch"`): `cargo bench --bench tls -- --rounds 5 --seconds 3` runs the load generator over TLS against a
//! broker of each kind in turn. It prints medians of the delivered messages a second, and of the rate that the broker
//! would have with a core of its own (1 divided by its CPU time for a message). The load generator decrypts each record
//! with at least as much CPU time, so the first figure depends on it as much as on the broker. The bench fails if
//! "packet" has less than 0.45 of the broker's rate of "batch" for QoS 0 pairs.

#[path = "common/broker.rs"]
mod broker;
#[path = "common/loadgen.rs"]
mod loadgen;
#[path = "common/median.rs"]
mod median;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use broker::Broker;
use clap::Parser;
use median::median;
use serde_json::Value;

/// Compares a TLS record for each packet with records as full as can be.
#[derive(Parser)]
struct Options {
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement takes
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A scenario of the load generator, and the least that "packet" has to reach of "batch".
const SCENARIOS: [(&str, &str, Option<f64>); 3] = [
    ("pairs, QoS 0", "--qos 0 pairs 10", Some(0.45)),
    ("pairs, QoS 1", "--qos 1 pairs 10", None),
    ("pairs of 16 KiB, QoS 0", "--qos 0 --size 16384 --window 20 pairs 4", None),
];

const KINDS: [&str; 2] = ["packet", "batch"];

fn main() -> ExitCode {
    let options = Options::parse();
    let program = loadgen::program();
    let dir = tempfile::tempdir().expect("a temporary directory");
    dunlin::certs::make(dir.path(), &["localhost".into()], "lamp", true).expect("certificates");
    let mut good = true;
    println!("{:36} {:>12} {:>12} {:>8}", "messages a second", KINDS[0], KINDS[1], "ratio");
    for (name, load, least) in SCENARIOS {
        let mut delivered = [vec![], vec![]];
        let mut possible = [vec![], vec![]];
        for _ in 0..options.rounds {
            for (n, kind) in KINDS.iter().enumerate() {
                let rates = measure(&program, dir.path(), kind, load, options.seconds);
                delivered[n].push(rates.delivered);
                possible[n].push(rates.possible);
            }
        }
        let [delivered, possible] = [delivered, possible].map(|both| both.map(median));
        let ratio = possible[0] / possible[1];
        for (what, [packet, batch]) in [("delivered", delivered), ("by the broker's CPU", possible)] {
            println!("{:36} {packet:>12.0} {batch:>12.0} {:>8.2}", format!("{name}: {what}"), packet / batch);
        }
        if least.is_some_and(|least| ratio < least) {
            eprintln!("{name}: \"packet\" is to reach {} of \"batch\"", least.unwrap_or_default());
            good = false;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Messages a second.
struct Rates {
    delivered: f64,
    possible: f64,
}

/// By a broker that is started for it.
fn measure(program: &Path, certs: &Path, kind: &str, load: &str, seconds: u64) -> Rates {
    let listener = format!(
        "[[listener]]\naddress = \"tls://127.0.0.1:0\"\ncertificate_file = {:?}\nkey_file = {:?}\ntls_records = {kind:?}\n",
        certs.join("server.pem"),
        certs.join("server.key"),
    );
    let config = loadgen::config_with(&listener, "");
    let broker =
        Broker::run(Command::new(env!("CARGO_BIN_EXE_dunlin")).arg("--log-level=info").arg("--config").arg(&config));
    let ca = certs.join("ca.pem");
    let text = broker.load(program, &format!("--tls {} --seconds {seconds} {load}", ca.display()));
    let said: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("a line of JSON");
    let figure = |name: &str| said[name].as_f64().expect("a number");
    Rates { delivered: figure("delivered_per_s"), possible: 1e6 / figure("broker_cpu_us_per_msg") }
}
