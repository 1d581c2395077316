//! The speed of a log that only appends and calls fdatasync, the reference for the store:
//! `cargo bench --bench raw_log -- --batches 1,16,256,4096 --seconds 2 --sync-delay 1ms --dir D`.
//!
//! A batch has the frames of as many new messages as acknowledgements, one write and one fdatasync. There is no
//! checksum, no index and no cleaning, which a real log needs in addition. `growing` appends to a file, so that the
//! file system allocates blocks and writes their addresses at each sync. `zeroed` writes in place over a file of zeros,
//! and starts again at its beginning when it is full.

#[path = "common/raw_log.rs"]
mod raw_log;

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use raw_log::{Layout, Settings, measure};

/// Measures append + fdatasync: messages a second, CPU of a message, syncs a second.
#[derive(Parser)]
struct Options {
    /// Messages a batch, separated by commas; each is a row of the table
    #[arg(long, value_delimiter = ',', default_value = "1,16,256,4096", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batches: Vec<u32>,
    /// How long each row is measured, in seconds
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Added to each sync, as a slower disk would: 1ms
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    sync_delay: Duration,
    /// Where the file is made and removed; a real disk, a tmpfs measures nothing
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw_log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let at = |error| io::Error::other(format!("{}: {error}; --dir chooses another place", options.dir.display()));
    println!("{}, each sync + {}", options.dir.display(), humantime::format_duration(options.sync_delay));
    println!("{:8} {:>6} {:>12} {:>12} {:>10}", "file", "batch", "messages/s", "CPU µs/msg", "fsyncs/s");
    let settings = Settings { seconds: options.seconds, sync_delay: options.sync_delay, dir: options.dir.clone() };
    for layout in [Layout::Growing, Layout::Zeroed] {
        for &batch in &options.batches {
            let row = measure(&settings, layout, batch).map_err(at)?;
            println!(
                "{:8} {:>6} {:>12.0} {:>12.2} {:>10.0}",
                layout.name(),
                batch,
                row.rate(),
                row.cpu_each(),
                row.syncs(),
            );
        }
    }
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
