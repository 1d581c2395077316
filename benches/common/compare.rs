//! `compare.py` of the load generator, with dunlin and, if it is installed, mosquitto.

use std::{
    io::Write,
    process::{Command, ExitCode},
};

use super::loadgen;

/// Runs it with these arguments; `first`, `NAME=COMMAND`, is what the others are compared with, `program` the load
/// generator.
///
/// Dunlin runs with its defaults, but that a session may queue as many messages as the backlog scenario has (so in
/// mosquitto), and the log level is `warn`.
pub fn run(program: &std::path::Path, arguments: impl Iterator<Item = String>, first: String) -> ExitCode {
    let dunlin = env!("CARGO_BIN_EXE_dunlin");
    let config = loadgen::config("");
    let mut brokers = vec![first, format!("dunlin={dunlin} --config {} --listen 127.0.0.1:{{port}}", config.display())];
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
    let status = Command::new("python3")
        .arg(loadgen::folder().join("compare.py"))
        .args(arguments)
        .args(brokers)
        .env("LOADGEN", program)
        .status()
        .expect("python3 runs");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
