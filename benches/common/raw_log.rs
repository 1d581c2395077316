//! Append and fdatasync only: the reference that `raw_log` prints and `persistence` compares brokers with.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// What one row counted.
pub struct Row {
    batch: u32,
    syncs: u64,
    elapsed: Duration,
    cpu: Duration,
}

impl Row {
    fn messages(&self) -> f64 {
        self.syncs as f64 * f64::from(self.batch)
    }

    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages() / self.elapsed.as_secs_f64()
    }

    /// CPU of a message, in µs.
    #[allow(dead_code)]
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages()
    }

    /// Syncs a second.
    #[allow(dead_code)]
    pub fn syncs(&self) -> f64 {
        self.syncs as f64 / self.elapsed.as_secs_f64()
    }
}

/// How a row is measured.
pub struct Settings {
    /// How long.
    pub seconds: Duration,
    /// Added to each sync.
    pub sync_delay: Duration,
    /// Where the file is made and removed.
    pub dir: PathBuf,
}

/// Writes and syncs batches of so many messages.
pub fn measure(options: &Settings, layout: Layout, batch: u32) -> io::Result<Row> {
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
    Ok(Row { batch, syncs, elapsed: start.elapsed(), cpu: cpu_time()? - cpu })
}

/// How the file grows.
#[derive(Clone, Copy)]
#[allow(dead_code)]
pub enum Layout {
    /// It does, with each batch.
    Growing,
    /// It does not: it is filled with zeros, and overwritten.
    Zeroed,
}

impl Layout {
    /// For the table.
    #[allow(dead_code)]
    pub fn name(self) -> &'static str {
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
        // the first batch should not include the time of the file's metadata
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

/// A segment of the store.
const SEGMENT: u64 = 64 << 20;
/// Enough that beginning again is rare.
const GROWN: u64 = 2 << 30;
const SESSIONS: u64 = 20;
const TOPIC: [u8; 40] = [b't'; 40];
const PAYLOAD: [u8; 256] = [b'x'; 256];
