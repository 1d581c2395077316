//! The disk store against a log that only appends and calls fdatasync, in one run: `cargo bench --bench store --
//! --batches 1,16,256,4096 --seconds 2 --sync-delay 1ms --backlog 10000 --dir D`.
//!
//! A batch has a number of new messages (40 bytes of topic, 256 of payload, for 20 sessions) and completes as many
//! older ones. The next batch begins when it is durable, or with `--in-flight N` when the Nth batch before it is. `raw`
//! writes the same batches as frames with a header of a few bytes, in place over a file of zeros, as `raw_log` does.
//! CPU is that of the whole process, including the threads that append. `--reopen N` also prints how long it takes to
//! open a store with N messages.

use std::{
    collections::VecDeque,
    fs, io,
    num::NonZeroU64,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use clap::Parser;
use dunlin::{
    router::{Record, Store},
    session::{CommitSeq, Message, SessionChange, SessionNumber, Stored},
    store::{DiskStore, Options as StoreOptions, open},
    topic::TopicName,
    types::{ClientId, QoS},
};

/// Measures the store against append + fdatasync.
#[derive(Parser)]
struct Options {
    /// Messages a batch, separated by commas; each is a row of the table
    #[arg(long, value_delimiter = ',', default_value = "1,16,256,4096")]
    batches: Vec<u64>,
    /// How long each half of a row is measured, in seconds
    #[arg(long, default_value = "2")]
    seconds: f64,
    /// Each row is measured so many times, raw log and store in turn; the middle ratio is shown, with its raw log and
    /// store
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Added to each fsync, as a slower disk would: 1ms
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    sync_delay: Duration,
    /// Messages that wait in all sessions throughout
    #[arg(long, default_value = "0")]
    backlog: u64,
    /// Batches that may be on their way at once
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// How long a store with so many messages takes to open, too
    #[arg(long)]
    reopen: Option<u64>,
    /// Where the files are made and removed; a real disk, a tmpfs measures nothing
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let delay = humantime::format_duration(options.sync_delay);
    println!("{}, each fsync + {delay}, {} messages wait", options.dir.display(), options.backlog);
    println!(
        "{:>6} {:>12} {:>12} {:>7} {:>11} {:>11} {:>11} {:>9} {:>9}",
        "batch", "raw msg/s", "store msg/s", "ratio", "least-most", "raw µs/msg", "store µs/m", "fsyncs/s", "bytes/msg"
    );
    for &batch in &options.batches {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            rounds.push((raw(&options, batch * u64::from(options.in_flight))?, store(&options, batch)?));
        }
        let ratio = |(raw, store): &(Row, Row)| store.rate() / raw.rate();
        rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        // their distance shows how reliable the median is
        let (least, most) = (ratio(&rounds[0]), ratio(&rounds[rounds.len() - 1]));
        let (raw, store) = &rounds[rounds.len() / 2];
        println!(
            "{batch:>6} {:>12.0} {:>12.0} {:>7.2} {least:>5.2}-{most:<5.2} {:>11.2} {:>11.2} {:>9.0} {:>9.0}",
            raw.rate(),
            store.rate(),
            store.rate() / raw.rate(),
            raw.cpu_each(),
            store.cpu_each(),
            store.fsyncs as f64 / store.elapsed.as_secs_f64(),
            store.bytes as f64 / store.messages as f64,
        );
    }
    options.reopen.map_or(Ok(()), |messages| reopen(&options.dir, messages))
}

struct Row {
    messages: u64,
    fsyncs: u64,
    bytes: u64,
    elapsed: Duration,
    cpu: Duration,
}

impl Row {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages as f64
    }
}

fn raw(options: &Options, batch: u64) -> io::Result<Row> {
    let path = options.dir.join(format!("store-raw.{}", std::process::id()));
    let file = fs::File::create(&path)?;
    fs::remove_file(&path)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..SEGMENT).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    let mut row = Row { messages: 0, fsyncs: 0, bytes: 0, elapsed: Duration::ZERO, cpu: Duration::ZERO };
    let (mut frames, mut tail) = (Vec::new(), 0);
    let (cpu, start) = (cpu_time()?, Instant::now());
    while start.elapsed().as_secs_f64() < options.seconds {
        frames.clear();
        for number in row.messages..row.messages + batch {
            frame(&mut frames, number, &[&TOPIC, &PAYLOAD]);
            frame(&mut frames, number, &[]);
        }
        let length = frames.len() as u64;
        if tail + length > SEGMENT {
            tail = 0;
        }
        file.write_all_at(&frames, tail)?;
        file.sync_data()?;
        if !options.sync_delay.is_zero() {
            thread::sleep(options.sync_delay);
        }
        tail += length;
        row.messages += batch;
        row.fsyncs += 1;
        row.bytes += length;
    }
    (row.elapsed, row.cpu) = (start.elapsed(), cpu_time()? - cpu);
    Ok(row)
}

/// Length, four bytes where a log has its checksum, kind, session, number, content.
fn frame(frames: &mut Vec<u8>, number: u64, parts: &[&[u8]]) {
    let length = 16 + parts.iter().map(|part| part.len()).sum::<usize>();
    frames.extend_from_slice(&(length as u32).to_le_bytes());
    frames.extend_from_slice(&[0, 0, 0, 0, parts.len() as u8]);
    frames.extend_from_slice(&(number % SESSIONS).to_le_bytes());
    frames.extend_from_slice(&number.to_le_bytes());
    parts.iter().for_each(|part| frames.extend_from_slice(part));
}

fn store(options: &Options, batch: u64) -> anyhow::Result<Row> {
    let dir = options.dir.join(format!("store-bench.{}", std::process::id()));
    let settings = StoreOptions { sync_delay: options.sync_delay, ..StoreOptions::new(&dir) };
    let (store, _) = open(&settings)?;
    let load = Load::new(&store);
    // what begins in a batch and ends in it is not written: those end that are durable
    let backlog = options.backlog.max(batch * (u64::from(options.in_flight) - 1));
    let mut next = 0;
    while next < backlog {
        let some = (backlog - next).min(4096);
        load.wait(load.batch(next..next + some, 0..0));
        next += some;
    }
    // some segments later files are used again, as in a broker that has run for a while
    let mut ended = 0;
    while store.statistics().bytes_written.get() < 4 * SEGMENT {
        load.wait(load.batch(next..next + 4096, ended..next - backlog));
        (ended, next) = (next - backlog, next + 4096);
    }
    let mut on_the_way = VecDeque::new();
    let (mut messages, statistics) = (0, store.statistics());
    let (fsyncs, bytes) = (statistics.fsyncs.get(), statistics.bytes_written.get());
    let (cpu, start) = (cpu_time()?, Instant::now());
    while start.elapsed().as_secs_f64() < options.seconds {
        let ends = if next - ended > backlog { ended..next - backlog } else { 0..0 };
        on_the_way.push_back(load.batch(next..next + batch, ends.clone()));
        ended = ended.max(ends.end);
        next += batch;
        messages += batch;
        while on_the_way.len() >= options.in_flight.into() {
            load.wait(on_the_way.pop_front().expect("not empty"));
        }
    }
    on_the_way.into_iter().for_each(|commit| load.wait(commit));
    let (elapsed, cpu) = (start.elapsed(), cpu_time()? - cpu);
    let (fsyncs, bytes) = (statistics.fsyncs.get() - fsyncs, statistics.bytes_written.get() - bytes);
    store.close()?;
    drop(store);
    fs::remove_dir_all(&dir)?;
    Ok(Row { messages, fsyncs, bytes, elapsed, cpu })
}

fn reopen(dir: &Path, messages: u64) -> anyhow::Result<()> {
    let dir = dir.join(format!("store-reopen.{}", std::process::id()));
    let (store, _) = open(&StoreOptions::new(&dir))?;
    let load = Load::new(&store);
    let mut next = 0;
    while next < messages {
        let some = (messages - next).min(4096);
        load.wait(load.batch(next..next + some, 0..0));
        next += some;
    }
    store.close()?;
    drop(store);
    let start = Instant::now();
    let (store, restored) = open(&StoreOptions::new(&dir))?;
    let elapsed = start.elapsed();
    let count: usize = restored.sessions.iter().map(|session| session.messages.len()).sum();
    anyhow::ensure!(count as u64 == messages, "{count} of {messages} messages are there");
    println!("opened with {count} messages in {elapsed:.2?}");
    drop((store, restored));
    Ok(fs::remove_dir_all(&dir)?)
}

/// A thread that appends, like one of the router.
struct Load<'a> {
    store: &'a DiskStore,
    waker: Waker,
    topic: &'static TopicName,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<'a> Load<'a> {
    fn new(store: &'a DiskStore) -> Self {
        for n in 0..SESSIONS {
            let client = ClientId::from(format!("client {n}").as_str());
            let _ = store.append(Record::SessionStarted { session: session(n), client, owner: None, will: None });
        }
        let topic = std::str::from_utf8(&TOPIC).ok().and_then(|text| TopicName::new(text).ok()).expect("a Topic Name");
        Self { store, waker: Waker::from(Arc::new(Unpark(thread::current()))), topic }
    }

    /// One commit.
    fn batch(&self, begin: std::ops::Range<u64>, end: std::ops::Range<u64>) -> CommitSeq {
        let mut last = CommitSeq(0);
        self.store.together(&mut || {
            let mut append = |n: u64, change: SessionChange<'_>| {
                let stored = self.store.append(Record::of(session(n), change));
                if let Stored::By(commit) = stored {
                    last = commit;
                }
            };
            for n in begin.clone() {
                let message = Message::new(self.topic, &PAYLOAD, QoS::AtLeastOnce);
                let (number, qos) = (n / SESSIONS + 1, QoS::AtLeastOnce);
                append(
                    n,
                    SessionChange::Queued {
                        number,
                        message: &message,
                        qos,
                        retain: false,
                        shared: false,
                        identifiers: &[],
                        sent: None,
                    },
                );
            }
            for n in end.clone() {
                append(n, SessionChange::Completed { number: n / SESSIONS + 1, count: 1 });
            }
        });
        last
    }

    fn wait(&self, commit: CommitSeq) {
        while self.store.done() < commit {
            self.store.wake_when_done(commit, &self.waker);
            thread::park();
        }
    }
}

fn session(n: u64) -> SessionNumber {
    SessionNumber(NonZeroU64::MIN.saturating_add(n % SESSIONS))
}

/// The time all threads of this process have been on a CPU, in the kernel too.
fn cpu_time() -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

const SEGMENT: u64 = 64 << 20;
const SESSIONS: u64 = 20;
const TOPIC: [u8; 40] = [b't'; 40];
const PAYLOAD: [u8; 256] = [b'x'; 256];
