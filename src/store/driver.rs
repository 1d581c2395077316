//! The store's threads: some write, one at a time, and wait for the disk at the same time; one makes files for segments to
//! come.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use super::{
    disk_store::now as wall_clock,
    error::Failure,
    files::{Files, is_full},
    handover::Shared,
    op::Op,
    pool::Pool,
    writer::{Progress, Writer},
};

/// What was taken to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    /// The last frame that is known to be on the disk.
    pub(super) synced: u64,
    pub(super) closing: bool,
}

/// The threads, until they end.
#[derive(Debug)]
pub(super) struct Threads {
    writers: Vec<JoinHandle<()>>,
    preparer: JoinHandle<()>,
}

impl Threads {
    /// Waits for their end. `Err`: one that writes has panicked.
    pub(super) fn join(self) -> thread::Result<()> {
        let writers: Vec<_> = self.writers.into_iter().map(JoinHandle::join).collect();
        // it has nothing to tell
        let _ = self.preparer.join();
        writers.into_iter().collect()
    }
}

/// Starts them.
pub(super) fn start<F: Files>(
    shared: Arc<Shared>,
    writer: Writer<F>,
    interval: Option<Duration>,
) -> io::Result<Threads> {
    let ends = Arc::new(AtomicBool::new(false));
    let (pool, its_end) = (writer.pool().clone(), ends.clone());
    let preparer = thread::Builder::new().name("store-files".into()).spawn(move || prepare(&pool, &its_end))?;
    let now = Instant::now();
    let log = Log {
        writer,
        ops: Vec::new(),
        is_new: true,
        interval,
        sync_due: None,
        mark_due: now + MARK,
        retry_due: now,
        cleans: true,
        cleaned_at: shared.statistics.bytes_written.get(),
    };
    shared.begin(WRITERS);
    let driver = Arc::new(Driver { shared, log: Mutex::new(log), preparer: preparer.thread().clone(), ends });
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let (its, name) = (driver.clone(), format!("store-{n}"));
        match thread::Builder::new().name(name).spawn(move || its.run()) {
            Ok(writer) => writers.push(writer),
            Err(error) => {
                driver.shared.end();
                return Err(error);
            }
        }
    }
    Ok(Threads { writers, preparer })
}

/// What the threads that write share.
struct Driver<F: Files> {
    shared: Arc<Shared>,
    /// Poisoned by whoever panics with it: nobody goes on from there.
    log: Mutex<Log<F>>,
    preparer: Thread,
    ends: Arc<AtomicBool>,
}

/// The log, and when what is to be done for it.
struct Log<F: Files> {
    writer: Writer<F>,
    /// Room for the ops of a batch.
    ops: Vec<Op>,
    /// What recovery left to be written is not written yet.
    is_new: bool,
    /// Between one fsync and the next, where acknowledgements do not wait for it.
    interval: Option<Duration>,
    sync_due: Option<Instant>,
    /// When the log is to say that the clients that are connected still are.
    mark_due: Instant,
    /// When it is tried again whether there is room.
    retry_due: Instant,
    /// There is more to clean.
    cleans: bool,
    /// Bytes that had been written when it was cleaned last.
    cleaned_at: u64,
}

impl<F: Files> Driver<F> {
    fn run(&self) {
        let _tells = TellsPanic(&self.shared);
        if let Err(failure) = self.write_until_closed() {
            self.shared.fail(failure);
        }
    }

    fn write_until_closed(&self) -> Result<(), Failure> {
        while self.shared.wait_for_turn() {
            let Some(mut log) = self.lock() else { return Ok(()) };
            let overlaps = log.writer.syncs_overlap();
            let batch = self.shared.take(&mut log.ops, overlaps);
            log.writer.note_synced(batch.synced);
            if log.ops.is_empty() && !std::mem::take(&mut log.is_new) {
                if batch.closing {
                    log.close()?;
                    self.shared.end();
                    return Ok(());
                }
                drop(log);
            } else {
                self.write(log, batch.number)?;
            }
            // whoever else has it looks after it
            if let Ok(mut log) = self.log.try_lock() {
                self.look_after(&mut log)?;
            }
        }
        Ok(())
    }

    /// The log; `None` where nothing may be written any more.
    fn lock(&self) -> Option<MutexGuard<'_, Log<F>>> {
        self.log.lock().ok().filter(|_| !self.shared.has_ended())
    }

    /// Writes the ops that were taken. While they are brought to the disk, others may write.
    fn write(&self, mut log: MutexGuard<'_, Log<F>>, number: u64) -> Result<(), Failure> {
        let before = log.writer.last_frame();
        let mut end = number + u64::from(!log.ops.is_empty());
        if log.commit()? == Progress::Stuck {
            end = self.wait_for_room(&mut log)?.map_or(end, |last| last + 1);
        }
        let frame = log.writer.last_frame();
        log.mark_due = Instant::now() + MARK;
        let unsynced = match log.interval {
            Some(interval) => {
                log.sync_due.get_or_insert_with(|| Instant::now() + interval);
                None
            }
            None => log.writer.unsynced().filter(|_| frame > before),
        };
        drop(log);
        let begins = Instant::now();
        let took = match unsynced {
            Some(unsynced) => unsynced.sync().map(|()| Some(begins.elapsed()))?,
            None => None,
        };
        self.shared.complete(number..end, frame, took);
        Ok(())
    }

    /// What is to be done between batches.
    fn look_after(&self, log: &mut Log<F>) -> Result<(), Failure> {
        let now = Instant::now();
        log.writer.note_synced(self.shared.synced());
        if log.writer.is_full() && log.retry_due <= now {
            log.writer.retry()?;
            log.retry_due = Instant::now() + RETRY;
        }
        if log.mark_due <= now {
            // not synced: after a power cut they have been away a little longer
            log.writer.mark(wall_clock())?;
            log.mark_due = Instant::now() + MARK;
        }
        if log.sync_due.is_some_and(|due| due <= now) {
            log.writer.sync()?;
            log.sync_due = None;
        }
        log.clean()?;
        self.shared.set_full(log.writer.is_full());
        if !log.writer.pool().is_filled() {
            self.preparer.unpark();
        }
        self.shared.set_until(log.next_turn());
        Ok(())
    }

    /// A batch does not fit: nothing is acknowledged until it does. What is handed over meanwhile is written with it, so
    /// that what changes often takes memory once; gives the last of that.
    fn wait_for_room(&self, log: &mut Log<F>) -> Result<Option<u64>, Failure> {
        let mut last = None;
        loop {
            self.shared.set_stuck();
            if self.shared.wait_for_room(Instant::now() + RETRY) {
                let none = io::Error::from(io::ErrorKind::StorageFull);
                return Err(Failure::new("", "cannot write what was not acknowledged yet", &none));
            }
            if log.sync_due.is_some_and(|due| due <= Instant::now()) {
                log.writer.sync()?;
                log.sync_due = None;
            }
            let batch = self.shared.take(&mut log.ops, false);
            if !log.ops.is_empty() {
                last = Some(batch.number);
                log.writer.join(log.ops.drain(..), wall_clock());
            }
            if log.writer.retry()? == Progress::Done {
                // first: whoever finds it stuck finds that nothing becomes durable
                self.shared.set_full(log.writer.is_full());
                return Ok(last);
            }
        }
    }
}

impl<F: Files> Log<F> {
    fn commit(&mut self) -> Result<Progress, Failure> {
        let progress = self.writer.commit(self.ops.drain(..), wall_clock())?;
        if self.ops.capacity() > MOST_KEPT {
            self.ops = Vec::new();
        }
        Ok(progress)
    }

    /// As fast as it is written to, and a little faster.
    fn clean(&mut self) -> Result<(), Failure> {
        let written = self.writer.bytes_written() - self.cleaned_at;
        self.cleans = self.writer.clean((3 * written).clamp(LEAST_CLEANED, MOST_CLEANED))?;
        self.cleaned_at = self.writer.bytes_written();
        Ok(())
    }

    /// Until when there is nothing to do unless something is appended.
    fn next_turn(&self) -> Option<Instant> {
        if self.cleans {
            return Some(Instant::now());
        }
        let retry = self.writer.is_full().then_some(self.retry_due);
        let mark = (self.writer.index().connected > 0).then_some(self.mark_due);
        [retry, self.sync_due, mark].into_iter().flatten().min()
    }

    /// The last frame says that it is one.
    fn close(&mut self) -> Result<(), Failure> {
        self.writer.sync()?;
        self.writer.mark(wall_clock())?;
        self.writer.sync()
    }
}

impl<F: Files> Drop for Driver<F> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        self.preparer.unpark();
    }
}

/// Says so when its thread panics.
struct TellsPanic<'a>(&'a Shared);

impl Drop for TellsPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let why = io::Error::other("the store's thread panicked");
            self.0.fail(Failure::new("", "cannot write", &why));
        }
    }
}

/// Makes files for segments to come while there are too few.
fn prepare<F: Files>(pool: &Pool<F>, ends: &AtomicBool) {
    while !ends.load(Ordering::Acquire) {
        if pool.is_filled() {
            thread::park();
            continue;
        }
        match pool.make() {
            Ok(spare) => pool.put(spare),
            // the writer says so when it matters
            Err(error) if is_full(&error) => thread::park_timeout(RETRY),
            Err(error) => {
                tracing::warn!(%error, "cannot make a file for the next segment of the store; trying again");
                thread::park_timeout(RETRY);
            }
        }
    }
}

/// Threads that write.
const WRITERS: usize = 3;
/// How long until it is tried again whether there is room.
const RETRY: Duration = Duration::from_secs(1);
/// How long the log may say nothing while clients are connected.
const MARK: Duration = Duration::from_secs(60);
/// Bytes that a step of cleaning moves.
const LEAST_CLEANED: u64 = 64 << 10;
const MOST_CLEANED: u64 = 4 << 20;
/// Ops for which room is kept from one batch to the next.
const MOST_KEPT: usize = 1 << 14;
