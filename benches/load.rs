//! The broker against others, in one run: `cargo bench --bench load` builds everything, starts each broker anew for
//! each scenario, and prints medians and ratios. The reference is `../shared/loadgen` (`null` is a minimal broker of
//! one thread); mosquitto is measured if it is installed.
//!
//! `cargo bench --bench load -- --rounds 5 --seconds 5 --only pairs-q0,idle --pin 0`: all arguments go to `compare.py`.

#[path = "common/compare.rs"]
mod compare;
#[path = "common/loadgen.rs"]
mod loadgen;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let program = loadgen::program();
    let null = format!("null={} --addr 127.0.0.1:{{port}} null", program.display());
    // without what cargo adds for its own harness
    compare::run(&program, env::args().skip(1).filter(|a| a != "--bench"), null)
}
