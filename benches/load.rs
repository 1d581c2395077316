//! The broker against others, in one run: `cargo bench --bench load` builds what it needs, starts each broker anew for
//! each scenario, and prints medians and ratios. The yardstick is `../shared/loadgen` (`null` is the least that a broker
//! can do on one thread); mosquitto is measured where it is installed.
//!
//! `cargo bench --bench load -- --rounds 5 --seconds 5 --only pairs-q0,idle --pin 0`: all arguments go to `compare.py`.
//!
//! Dunlin runs with its defaults, but that a session may queue as many messages as the backlog scenario has (so in
//! mosquitto), and the log level is `warn`.

#[path = "common/loadgen.rs"]
mod loadgen;

use std::{
    env,
    io::Write,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let program = loadgen::program();
    let dunlin = env!("CARGO_BIN_EXE_dunlin");
    let config = loadgen::config("");
    let mut brokers = vec![
        format!("null={} --addr 127.0.0.1:{{port}} null", program.display()),
        format!("dunlin={dunlin} --config {} --listen 127.0.0.1:{{port}}", config.display()),
    ];
    // mosquitto takes its port in its configuration alone
    let mut script = tempfile::NamedTempFile::new().expect("a temporary file");
    let settings = "allow_anonymous true\\nset_tcp_nodelay true\\nmax_queued_messages 0\\npersistence false\\n";
    writeln!(
        script,
        "f=$(mktemp); printf 'listener %s 127.0.0.1\\n{settings}' \"$1\" > \"$f\"; exec mosquitto -c \"$f\""
    )
    .expect("the temporary file can be written");
    if Command::new("mosquitto").arg("-h").output().is_ok() {
        brokers.push(format!("mosquitto=sh {} {{port}}", script.path().display()));
    } else {
        eprintln!("mosquitto is not installed: measured without it");
    }
    // what cargo adds for its own harness
    let arguments = env::args().skip(1).filter(|a| a != "--bench");
    let status = Command::new("python3")
        .arg(loadgen::folder().join("compare.py"))
        .args(arguments)
        .args(brokers)
        .env("LOADGEN", program)
        .status()
        .expect("python3 runs");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
