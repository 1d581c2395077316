//! The store's threads: the writer writes batch after batch; on a slow disk, sync threads run the fsyncs meanwhile; one
//! thread creates files for the next segments.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use super::{
    super::log::{DATA_DIR, Failure, File, Files, Pool, Time, is_full},
    batches::{Fsync, MOST_ON_THE_WAY},
    contents::Contents,
    handover::Handover,
    unsynced::Unsynced,
    writer::{Progress, Writer},
};
use crate::clock::{Clock, Stopwatch};

/// The running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    writer: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Waits until they end. `Err`: the writer panicked.
    pub(crate) fn join(self) -> thread::Result<()> {
        let written = self.writer.join();
        // the others return nothing
        self.others.into_iter().for_each(|other| drop(other.join()));
        written
    }
}

/// Starts them. `age`: that of the log now, in milliseconds.
pub(crate) fn start<F: Files>(
    shared: Arc<Handover>,
    writer: Writer<F>,
    interval: Option<Duration>,
    age: u64,
) -> io::Result<Threads> {
    let ends = Arc::new(AtomicBool::new(false));
    let (pool, its_end, clock) = (writer.pool().clone(), ends.clone(), shared.clock.clone());
    let preparer = thread::Builder::new().name("store-files".into());
    let preparer = preparer.spawn(move || prepare(&pool, &its_end, &clock))?;
    let (shown, its_end) = (shared.clone(), ends.clone());
    let files = writer.files().clone();
    let watcher = thread::Builder::new().name("store-watch".into());
    let watcher = watcher.spawn(move || watch(&*files, &shown, &its_end))?;
    let (to_sync, written) = mpsc::channel();
    let others = Others { to_sync, preparer: preparer.thread().clone(), watcher: watcher.thread().clone(), ends };
    let driver = Driver::new(shared.clone(), writer, interval, age, others);
    let mut others = vec![preparer, watcher];
    let written = Arc::new(Mutex::new(written));
    // all end when the driver does
    for n in 0..MOST_ON_THE_WAY {
        let (shared, written) = (shared.clone(), written.clone());
        let syncer = thread::Builder::new().name(format!("store-sync-{n}"));
        others.push(syncer.spawn(move || sync_until_closed(&shared, &written))?);
    }
    let writer = thread::Builder::new().name("store".into()).spawn(move || driver.run())?;
    Ok(Threads { writer, others })
}

/// Makes batches durable, or has a sync thread do so: their numbers, and the number of their last frame.
pub(crate) trait Bring<F: Files>: FnOnce(&mut Driver<F>, Range<u64>, u64) -> Result<(), Failure> {}
impl<F: Files, B: FnOnce(&mut Driver<F>, Range<u64>, u64) -> Result<(), Failure>> Bring<F> for B {}

/// The writer thread with its state.
pub(crate) struct Driver<F: Files> {
    shared: Arc<Handover>,
    writer: Writer<F>,
    contents: Contents,
    /// Cleaning has more to do.
    cleans: bool,
    /// Time between two fsyncs, if acknowledgements do not wait for them (`sync = "interval"`).
    interval: Option<Duration>,
    /// The age of the log at `started`, in milliseconds.
    age: u64,
    started: Instant,
    sync_due: Option<Instant>,
    /// When the log must note its age, so that a restart knows how long clients were connected. Less often if all are
    /// away.
    mark_due: Instant,
    /// When to look again for space on the disk.
    retry_due: Instant,
    others: Others<F::File>,
}

/// The other threads of the store, for the writer thread.
#[derive(Debug)]
pub(crate) struct Others<F> {
    /// The sync threads.
    pub(crate) to_sync: mpsc::Sender<Written<F>>,
    pub(crate) preparer: Thread,
    pub(crate) watcher: Thread,
    pub(crate) ends: Arc<AtomicBool>,
}

/// Batches that are written and not synced.
#[derive(Debug)]
pub(crate) struct Written<F> {
    pub(crate) numbers: Range<u64>,
    /// The last frame of these batches.
    pub(crate) frame: u64,
    pub(crate) unsynced: Unsynced<F>,
}

impl<F: Files> Driver<F> {
    /// `age`: that of the log now, in milliseconds.
    pub(crate) fn new(
        shared: Arc<Handover>,
        mut writer: Writer<F>,
        interval: Option<Duration>,
        age: u64,
        others: Others<F::File>,
    ) -> Self {
        let now = shared.clock.now();
        writer.begins(now, age);
        Self {
            shared,
            writer,
            contents: Contents::default(),
            cleans: true,
            interval,
            age,
            started: now,
            sync_due: None,
            mark_due: now + MARK,
            retry_due: now,
            others,
        }
    }

    fn run(mut self) {
        if let Err(failure) = self.write_until_closed() {
            self.shared.fail(failure);
        }
    }

    fn write_until_closed(&mut self) -> Result<(), Failure> {
        self.begin(Self::bring)?;
        while self.shared.wait_for_batch(self.next_turn()) {
            if !self.turn(Self::bring)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes the records that are left after recovery.
    pub(crate) fn begin(&mut self, bring: impl Bring<F>) -> Result<(), Failure> {
        self.write(self.shared.collecting(), bring)
    }

    /// Does due work: a batch, or other work. `false`: the store is closed.
    pub(crate) fn turn(&mut self, bring: impl Bring<F>) -> Result<bool, Failure> {
        let batch = self.shared.take(&mut self.contents, self.writer.syncs_overlap());
        self.writer.note_synced(batch.synced)?;
        let written = self.shared.statistics.bytes_written.get();
        if !self.contents.is_empty() {
            self.write(batch.number, bring)?;
            self.mark_due = self.now() + MARK;
        } else if batch.closing {
            self.writer.sync()?;
            self.writer.mark(self.time())?;
            self.writer.sync()?;
            self.writer.end();
            return Ok(false);
        } else if self.next_mark().is_some_and(|due| due <= self.now()) {
            // not synced: after a power cut, clients count as away for a little longer
            self.writer.mark(self.time())?;
            self.mark_due = self.now() + MARK;
        }
        if self.writer.is_full() && self.retry_due <= self.now() {
            self.writer.retry()?;
            self.retry_due = self.now() + RETRY;
        }
        if self.sync_due.is_some_and(|due| due <= self.now()) {
            self.writer.sync()?;
            self.sync_due = None;
        }
        // cleaning has to be a little faster than writing
        let written = self.shared.statistics.bytes_written.get() - written;
        self.cleans = self.writer.clean((3 * written).clamp(LEAST_CLEANED, MOST_CLEANED))?;
        self.shared.set_full(self.writer.is_full());
        if !self.writer.pool().is_filled() {
            self.others.preparer.unpark();
        }
        Ok(true)
    }

    /// Writes the batch with this number and has it synced: on this thread, or, if fsyncs are slow, on a sync thread,
    /// so that this one can write the next batch meanwhile.
    fn write(&mut self, number: u64, bring: impl Bring<F>) -> Result<(), Failure> {
        let before = self.writer.last_frame();
        let mut end = number + u64::from(!self.contents.is_empty());
        let time = self.time();
        if self.writer.commit(&mut self.contents, time)? == Progress::Stuck {
            // the batches before it have their space in the log
            if !self.shared.wait_for_those_before(number) {
                return Ok(());
            }
            end = self.wait_for_room()?.map_or(end, |last| last + 1);
        }
        let (numbers, frame) = (number..end, self.writer.last_frame());
        if let Some(interval) = self.interval {
            let due = self.now() + interval;
            self.sync_due.get_or_insert(due);
        }
        if self.interval.is_some() || frame == before {
            self.shared.complete(numbers, None);
            return Ok(());
        }
        bring(self, numbers, frame)
    }

    /// Makes batches durable: here or, on a slow disk, on a sync thread, so that the next batch can be written
    /// meanwhile.
    fn bring(&mut self, numbers: Range<u64>, frame: u64) -> Result<(), Failure> {
        // asked after the write, which may have begun another segment
        let overlaps = self.writer.syncs_overlap() && self.shared.overlaps();
        if let Some(unsynced) = self.writer.unsynced().filter(|_| overlaps) {
            // if no sync thread takes it, one has failed and reported that
            let _ = self.others.to_sync.send(Written { numbers, frame, unsynced });
            return Ok(());
        }
        let syncing = Stopwatch::start();
        self.writer.sync()?;
        self.shared.complete(numbers, Some(Fsync { frame, took: syncing.took() }));
        Ok(())
    }

    /// Time of the next turn without an appended record.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        let now = self.now();
        if self.cleans {
            return Some(now);
        }
        let retry = self.writer.is_full().then_some(self.retry_due);
        [retry, self.sync_due, self.next_mark()].into_iter().flatten().min()
    }

    /// When the log must note its age.
    fn next_mark(&self) -> Option<Instant> {
        let index = self.writer.index();
        match index.connected {
            0 => index.has_sessions().then(|| self.mark_due + MARK_AWAY),
            _ => Some(self.mark_due),
        }
    }

    /// A batch does not fit on the disk: nothing is acknowledged until it does. Records that are appended meanwhile
    /// join it, so that state that changes often takes memory once. Returns the last batch that joined.
    fn wait_for_room(&mut self) -> Result<Option<u64>, Failure> {
        let mut last = None;
        loop {
            self.shared.set_stuck();
            if self.shared.wait_for_room(self.now() + RETRY) {
                let none = io::Error::from(io::ErrorKind::StorageFull);
                return Err(Failure::new(DATA_DIR, "cannot write the records that were not acknowledged yet", &none));
            }
            if self.sync_due.is_some_and(|due| due <= self.now()) {
                self.writer.sync()?;
                self.sync_due = None;
            }
            let number = self.shared.take_anyway(&mut self.contents);
            if !self.contents.is_empty() {
                last = Some(number);
                let time = self.time();
                self.writer.join(&mut self.contents, time);
            }
            if self.writer.retry()? == Progress::Done {
                // first: a thread that sees `STUCK` must also see that no batch becomes durable
                self.shared.set_full(self.writer.is_full());
                return Ok(last);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn writer(&self) -> &Writer<F> {
        &self.writer
    }

    fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    fn time(&self) -> Time {
        let runs = self.now().saturating_duration_since(self.started).as_millis();
        let age = self.age.saturating_add(u64::try_from(runs).unwrap_or(u64::MAX));
        Time { wall: milliseconds(self.shared.clock.wall()), age }
    }
}

impl<F: Files> Drop for Driver<F> {
    fn drop(&mut self) {
        tell_panic(&self.shared);
        self.others.ends.store(true, Ordering::Release);
        self.others.preparer.unpark();
        self.others.watcher.unpark();
    }
}

/// A sync thread: syncs written batches, while the writer writes the next one.
fn sync_until_closed<F: File>(shared: &Handover, written: &Mutex<mpsc::Receiver<Written<F>>>) {
    struct Tells<'a>(&'a Handover);
    impl Drop for Tells<'_> {
        fn drop(&mut self) {
            tell_panic(self.0);
        }
    }
    let _tells = Tells(shared);
    loop {
        let next = written.lock().recv();
        let Ok(Written { numbers, frame, unsynced }) = next else { return };
        let syncing = Stopwatch::start();
        if let Err(failure) = unsynced.sync() {
            return shared.fail(failure);
        }
        shared.complete(numbers, Some(Fsync { frame, took: syncing.took() }));
    }
}

/// Reports a panic of its thread as a failure, so that waiting tasks end.
fn tell_panic(shared: &Handover) {
    if thread::panicking() {
        let why = io::Error::other("the store's thread panicked");
        shared.fail(Failure::new(DATA_DIR, "cannot write", &why));
    }
}

/// Checks that the directory still exists: files that were removed accept writes which are lost.
fn watch<F: Files>(files: &F, shared: &Handover, ends: &AtomicBool) {
    while !ends.load(Ordering::Acquire) {
        if !files.is_there() {
            let gone = io::Error::new(io::ErrorKind::NotFound, "the directory is not where it was");
            return shared.fail(Failure::new(DATA_DIR, "removed, or renamed", &gone));
        }
        shared.clock.park_until(shared.clock.now() + LOOK);
    }
}

/// Creates files for the next segments while there are too few.
fn prepare<F: Files>(pool: &Pool<F>, ends: &AtomicBool, clock: &Clock) {
    while !ends.load(Ordering::Acquire) {
        if pool.is_filled() {
            thread::park();
            continue;
        }
        match pool.make_paced(ends) {
            Ok(()) => {}
            Err(_) if ends.load(Ordering::Acquire) => {}
            // the writer reports it if it needs the file
            Err(error) if is_full(&error) => clock.park_until(clock.now() + RETRY),
            Err(error) => {
                tracing::warn!(%error, "cannot create a file for the next segment of the store, will try again");
                clock.park_until(clock.now() + RETRY);
            }
        }
    }
}

/// How often to check that the directory exists.
const LOOK: Duration = Duration::from_millis(500);
/// How long until the next look for space on the disk.
const RETRY: Duration = Duration::from_secs(1);
/// How often the log notes its age while clients are connected.
const MARK: Duration = Duration::from_secs(60);
/// This much less often if all clients are away. After a crash, only the wall clock shows how long ago the last note
/// was.
const MARK_AWAY: Duration = Duration::from_secs(3600);
/// Bytes that one step of cleaning moves.
const LEAST_CLEANED: u64 = 64 << 10;
const MOST_CLEANED: u64 = 4 << 20;

/// Milliseconds since 1970.
pub(crate) fn milliseconds(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
