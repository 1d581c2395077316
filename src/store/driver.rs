//! The store's two threads: one writes batch after batch, one makes files for segments to come.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use super::{
    disk_store::now,
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
    pub(super) bytes: usize,
    pub(super) closing: bool,
}

/// Starts both threads.
pub(super) fn start<F: Files>(
    shared: Arc<Shared>,
    writer: Writer<F>,
    interval: Option<Duration>,
) -> io::Result<(JoinHandle<()>, JoinHandle<()>)> {
    let ends = Arc::new(AtomicBool::new(false));
    let (pool, its_end) = (writer.pool().clone(), ends.clone());
    let preparer = thread::Builder::new().name("store-files".into()).spawn(move || prepare(&pool, &its_end))?;
    let driver = Driver {
        shared,
        writer,
        interval,
        sync_due: None,
        mark_due: Instant::now() + MARK,
        retry_due: Instant::now(),
        preparer: preparer.thread().clone(),
        ends: ends.clone(),
    };
    match thread::Builder::new().name("store".into()).spawn(move || driver.run()) {
        Ok(writer) => Ok((writer, preparer)),
        Err(error) => {
            ends.store(true, Ordering::Release);
            preparer.thread().unpark();
            Err(error)
        }
    }
}

struct Driver<F: Files> {
    shared: Arc<Shared>,
    writer: Writer<F>,
    /// Between one fsync and the next, where acknowledgements do not wait for it.
    interval: Option<Duration>,
    sync_due: Option<Instant>,
    /// When the log is to say that the clients that are connected still are.
    mark_due: Instant,
    /// When it is tried again whether there is room.
    retry_due: Instant,
    preparer: Thread,
    ends: Arc<AtomicBool>,
}

impl<F: Files> Driver<F> {
    fn run(mut self) {
        if let Err(failure) = self.write_until_closed() {
            self.shared.fail(failure);
        }
    }

    fn write_until_closed(&mut self) -> Result<(), Failure> {
        let mut ops: Vec<Op> = Vec::new();
        // what recovery left to be written
        if self.writer.commit(ops.drain(..), now())? == Progress::Stuck
            && let Some(batch) = self.wait_for_room(&mut ops)?
        {
            self.shared.publish(&batch);
        }
        let mut cleans = true;
        loop {
            let mut batch = self.shared.take(&mut ops, self.next_turn(cleans));
            let written = self.shared.statistics.bytes_written.get();
            if !ops.is_empty() {
                if self.writer.commit(ops.drain(..), now())? == Progress::Stuck
                    && let Some(more) = self.wait_for_room(&mut ops)?
                {
                    batch = Batch { bytes: batch.bytes + more.bytes, ..more };
                }
                self.shared.publish(&batch);
                self.mark_due = Instant::now() + MARK;
                if ops.capacity() > MOST_KEPT {
                    ops = Vec::new();
                }
                if self.interval.is_some() && self.sync_due.is_none() {
                    self.sync_due = self.interval.map(|interval| Instant::now() + interval);
                }
            } else if batch.closing {
                self.writer.sync()?;
                self.writer.mark(now())?;
                return self.writer.sync();
            } else {
                if self.writer.is_full() && self.retry_due <= Instant::now() {
                    self.writer.retry()?;
                    self.retry_due = Instant::now() + RETRY;
                }
                if self.mark_due <= Instant::now() {
                    // not synced: after a power cut they have been away a little longer
                    self.writer.mark(now())?;
                    self.mark_due = Instant::now() + MARK;
                }
            }
            if self.sync_due.is_some_and(|due| due <= Instant::now()) {
                self.writer.sync()?;
                self.sync_due = None;
            }
            // as fast as it is written to, and a little faster
            let written = self.shared.statistics.bytes_written.get() - written;
            cleans = self.writer.clean((3 * written).clamp(LEAST_CLEANED, MOST_CLEANED))?;
            self.shared.set_full(self.writer.is_full());
            if !self.writer.pool().is_filled() {
                self.preparer.unpark();
            }
        }
    }

    /// Until when there is nothing to do unless something is appended.
    fn next_turn(&self, cleans: bool) -> Option<Instant> {
        let now = Instant::now();
        if cleans {
            return Some(now);
        }
        let retry = self.writer.is_full().then_some(self.retry_due);
        let mark = (self.writer.index().connected > 0).then_some(self.mark_due);
        [retry, self.sync_due, mark].into_iter().flatten().min()
    }

    /// A batch does not fit: nothing is acknowledged until it does. What is handed over meanwhile is written with it, so
    /// that what changes often takes memory once; gives the last of that, with the bytes of all.
    fn wait_for_room(&mut self, ops: &mut Vec<Op>) -> Result<Option<Batch>, Failure> {
        let mut joined: Option<Batch> = None;
        loop {
            self.shared.set_stuck();
            if self.shared.wait_for_room(Instant::now() + RETRY) {
                let none = io::Error::from(io::ErrorKind::StorageFull);
                return Err(Failure::new("", "cannot write what was not acknowledged yet", &none));
            }
            if self.sync_due.is_some_and(|due| due <= Instant::now()) {
                self.writer.sync()?;
                self.sync_due = None;
            }
            let batch = self.shared.take(ops, Some(Instant::now()));
            if !ops.is_empty() {
                let before = joined.map_or(0, |joined| joined.bytes);
                joined = Some(Batch { bytes: before + batch.bytes, ..batch });
                self.writer.join(ops.drain(..), now());
            }
            if self.writer.retry()? == Progress::Done {
                // first: whoever finds it stuck finds that nothing becomes durable
                self.shared.set_full(self.writer.is_full());
                return Ok(joined);
            }
        }
    }
}

impl<F: Files> Drop for Driver<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            let why = io::Error::other("the store's thread panicked");
            self.shared.fail(Failure::new("", "cannot write", &why));
        }
        self.ends.store(true, Ordering::Release);
        self.preparer.unpark();
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

/// How long until it is tried again whether there is room.
const RETRY: Duration = Duration::from_secs(1);
/// How long the log may say nothing while clients are connected.
const MARK: Duration = Duration::from_secs(60);
/// Bytes that a step of cleaning moves.
const LEAST_CLEANED: u64 = 64 << 10;
const MOST_CLEANED: u64 = 4 << 20;
/// Ops for which room is kept from one batch to the next.
const MOST_KEPT: usize = 1 << 14;
