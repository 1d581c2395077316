//! What the disk gives a log that does nothing but append and fdatasync, the yardstick of the store:
//! `cargo bench --bench raw_log -- --batches 1,16,256,4096 --seconds 2 --sync-delay 1ms --dir D`.
//!
//! Each batch holds the frames of as many new messages and of as many acknowledgements, one write and one fdatasync.
//! There is no checksum, no index and no cleaning: what a real log adds to this is what is measured against it.
//! `growing` appends to a file, which makes the file system allocate blocks and write their addresses at each sync.
//! `zeroed` writes in place over a file filled with zeros, and begins again at its start when it is full.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;

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
    for layout in [Layout::Growing, Layout::Zeroed] {
        for &batch in &options.batches {
            let row = measure(options, layout, batch).map_err(at)?;
            let messages = row.syncs as f64 * f64::from(batch);
            println!(
                "{:8} {:>6} {:>12.0} {:>12.2} {:>10.0}",
                layout.name(),
                batch,
                messages / row.elapsed.as_secs_f64(),
                row.cpu.as_secs_f64() * 1e6 / messages,
                row.syncs as f64 / row.elapsed.as_secs_f64(),
            );
        }
    }
    Ok(())
}

/// What one row counted.
struct Row {
    syncs: u64,
    elapsed: Duration,
    cpu: Duration,
}

fn measure(options: &Options, layout: Layout, batch: u32) -> io::Result<Row> {
    let mut log = Log::create(&options.dir, layout)?;
    let mut frames = Vec::new();
    let mut sequence = 0;
    let mut syncs = 0;
    let cpu = cpu_time()?;
    let start = Instant::now();
    while syncs == 0 || start.elapsed() < options.seconds {
        frames.clear();
        for _ in 0..batch {
            message(&mut frames, sequence);
            acknowledgement(&mut frames, sequence);
            sequence += 1;
        }
        log.append(&frames)?;
        if !options.sync_delay.is_zero() {
            thread::sleep(options.sync_delay);
        }
        syncs += 1;
    }
    Ok(Row { syncs, elapsed: start.elapsed(), cpu: cpu_time()? - cpu })
}

#[derive(Clone, Copy)]
enum Layout {
    Growing,
    Zeroed,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Layout::Growing => "growing",
            Layout::Zeroed => "zeroed",
        }
    }

    /// Bytes after which the file begins again.
    fn limit(self) -> u64 {
        match self {
            Layout::Growing => GROWN,
            Layout::Zeroed => SEGMENT,
        }
    }
}

/// One file, removed with the value.
struct Log {
    path: PathBuf,
    file: File,
    layout: Layout,
    tail: u64,
}

impl Log {
    fn create(dir: &Path, layout: Layout) -> io::Result<Log> {
        let path = dir.join(format!("raw_log.{}", std::process::id()));
        let log = Log { file: File::create(&path)?, path, layout, tail: 0 };
        if let Layout::Zeroed = layout {
            let zeros = vec![0; 1 << 20];
            for offset in (0..SEGMENT).step_by(zeros.len()) {
                log.file.write_all_at(&zeros, offset)?;
            }
        }
        // The file's own metadata are not what the first batch is to pay for.
        log.file.sync_all()?;
        Ok(log)
    }

    /// The frames are on the disk when this returns.
    fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let length = frames.len() as u64;
        if self.tail + length > self.layout.limit() {
            self.tail = 0;
            if let Layout::Growing = self.layout {
                self.file.set_len(0)?;
            }
        }
        self.file.write_all_at(frames, self.tail)?;
        self.tail += length;
        self.file.sync_data()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A message and its place in a session's queue: header, session, sequence number, topic, payload.
fn message(frames: &mut Vec<u8>, sequence: u64) {
    header(frames, 1, 8 + 8 + TOPIC.len() + PAYLOAD.len());
    frames.extend_from_slice(&(sequence % SESSIONS).to_le_bytes());
    frames.extend_from_slice(&sequence.to_le_bytes());
    frames.extend_from_slice(&TOPIC);
    frames.extend_from_slice(&PAYLOAD);
}

/// What deletes it: header, session, sequence number.
fn acknowledgement(frames: &mut Vec<u8>, sequence: u64) {
    header(frames, 2, 8 + 8);
    frames.extend_from_slice(&(sequence % SESSIONS).to_le_bytes());
    frames.extend_from_slice(&sequence.to_le_bytes());
}

/// Length, four bytes where a log has its checksum, kind.
fn header(frames: &mut Vec<u8>, kind: u8, length: usize) {
    frames.extend_from_slice(&(length as u32).to_le_bytes());
    frames.extend_from_slice(&[0, 0, 0, 0, kind]);
}

/// The time this thread, the only one, has been on a CPU, in the kernel too.
fn cpu_time() -> io::Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path)?;
    let nanos = text.split(' ').next().and_then(|n| n.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other(format!("{path} does not begin with nanoseconds")))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A segment of the store.
const SEGMENT: u64 = 64 << 20;
/// Enough that beginning again is rare.
const GROWN: u64 = 2 << 30;
const SESSIONS: u64 = 20;
const TOPIC: [u8; 40] = [b't'; 40];
const PAYLOAD: [u8; 256] = [b'x'; 256];
