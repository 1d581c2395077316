//! [`Pool`]: files for the next segments, filled with zeros or with the contents of an old segment. Two of them are the
//! reserve: with it a store whose disk is full can still write records that free space.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{
    error::RecoveryError,
    files::{File, Files, zero_fill},
    names,
};

/// The files for the next segments.
#[derive(Debug)]
pub(crate) struct Pool<F> {
    files: Arc<F>,
    /// The length of the next file that is created.
    segment_bytes: AtomicU64,
    state: Mutex<State>,
    /// Held while a file is created: two at once could each use the space that the other one needs.
    making: Mutex<()>,
    /// A thread waits for the file that is being created.
    wanted: Condvar,
    /// How much of the last segment is used, in thousandths. 1000 if there is no segment.
    used: AtomicU64,
}

/// A file for a future segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) len: u64,
}

#[derive(Debug)]
struct State {
    /// By rising length: the largest one is taken last.
    ready: Vec<Spare>,
    next: u64,
    /// Number of threads that wait for a file.
    waiting: usize,
}

impl State {
    fn put(&mut self, spare: Spare) {
        let at = self.ready.partition_point(|other| other.len <= spare.len);
        self.ready.insert(at, spare);
    }

    /// The shortest file with at least this length.
    fn take(&mut self, len: u64) -> Option<Spare> {
        let at = self.ready.partition_point(|spare| spare.len < len);
        (at < self.ready.len()).then(|| self.ready.remove(at))
    }
}

/// The spare files with these names.
pub(crate) fn found(files: &impl Files, names: Vec<String>) -> Result<Vec<Spare>, RecoveryError> {
    let spare = |name: String| {
        let len = files.open(&name).and_then(|file| file.len());
        let len = len.map_err(RecoveryError::io(&name, "cannot open it"))?;
        Ok(Spare { name, len })
    };
    names.into_iter().map(spare).collect()
}

impl<F: Files> Pool<F> {
    pub(crate) fn new(files: Arc<F>, segment_bytes: u64, ready: Vec<Spare>) -> Self {
        let next = ready.iter().filter_map(|spare| names::spare_number(&spare.name)).max().map_or(1, |last| last + 1);
        let mut state = State { ready: Vec::new(), next, waiting: 0 };
        ready.into_iter().for_each(|spare| state.put(spare));
        let (segment_bytes, used) = (AtomicU64::new(segment_bytes), AtomicU64::new(1000));
        Self { files, segment_bytes, state: Mutex::new(state), making: Mutex::default(), wanted: Condvar::new(), used }
    }

    /// Number of files.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().ready.iter().map(|spare| spare.len).sum()
    }

    /// The length of new files.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_segment_bytes(&self, bytes: u64) {
        self.segment_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A file of at least this length that is not in the reserve. If there is none, it is created, which is slow.
    pub(crate) fn take(&self, len: u64) -> io::Result<Spare> {
        let ready = || {
            let mut state = self.state.lock();
            if state.ready.len() > RESERVE { state.take(len) } else { None }
        };
        match ready() {
            Some(spare) => Ok(spare),
            None => self.alone(|| ready().map_or_else(|| self.make(|_, _| Ok(())), Ok)),
        }
    }

    /// Creates the missing files of the reserve.
    pub(crate) fn fill_reserve(&self) -> io::Result<()> {
        self.alone(|| {
            while self.len() < RESERVE {
                self.put(self.make(|_, _| Ok(()))?);
            }
            Ok(())
        })
    }

    /// A file of the reserve with at least this length. A frame that `grows` the log may not take the last one.
    pub(crate) fn take_reserve(&self, len: u64, grows: bool) -> Option<Spare> {
        let mut state = self.state.lock();
        if grows && state.ready.len() < RESERVE { None } else { state.take(len) }
    }

    pub(crate) fn put(&self, spare: Spare) {
        self.state.lock().put(spare);
    }

    /// Sets how much of the last segment is used, in thousandths.
    pub(crate) fn set_used(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Creates a file while other threads use the disk: pauses while the work is ahead of the log. Returns an error
    /// when `ends` is set.
    pub(crate) fn make_paced(&self, ends: &AtomicBool) -> io::Result<()> {
        let _making = self.making.lock();
        let spare = self.make(|made, took| {
            // the file should be complete when half of the last segment is used
            let ahead = made > 2 * self.used.load(Ordering::Relaxed);
            let mut state = self.state.lock();
            if ahead && state.ready.len() >= RESERVE && state.waiting == 0 {
                self.wanted.wait_for(&mut state, (PAUSE * took).min(LONGEST_PAUSE));
            }
            if ends.load(Ordering::Acquire) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        })?;
        self.put(spare);
        Ok(())
    }

    /// Runs `f` while no other thread creates a file. A file that is being created is completed first, without pauses.
    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        self.state.lock().waiting += 1;
        self.wanted.notify_all();
        let _making = self.making.lock();
        self.state.lock().waiting -= 1;
        f()
    }

    /// Creates a file and syncs it. After each piece `pace` gets how much is done, in thousandths, and the duration of
    /// the piece.
    fn make(&self, mut pace: impl FnMut(u64, Duration) -> io::Result<()>) -> io::Result<Spare> {
        let len = self.segment_bytes();
        let pace = |made, took| pace(made * 1000 / len, took);
        let name = self.new_name();
        let unfinished = names::unfinished(&name);
        let made = self.files.create(&unfinished).and_then(|file| zero_fill(&file, len, pace));
        match made.and_then(|()| self.files.rename(&unfinished, &name)) {
            Ok(()) => Ok(Spare { name, len }),
            Err(error) => {
                // frees its space; if that fails too, the next start removes it
                let _ = self.files.remove(&unfinished);
                Err(error)
            }
        }
    }

    /// Keeps the file of a segment that is not needed any more. Removes it if there are enough, or if new files have
    /// another length.
    pub(crate) fn recycle(&self, segment: &str, len: u64) -> io::Result<()> {
        if len != self.segment_bytes() || self.len() >= ENOUGH {
            return self.files.remove(segment);
        }
        let name = self.new_name();
        self.files.rename(segment, &name)?;
        self.put(Spare { name, len });
        Ok(())
    }

    /// Are there enough files?
    pub(crate) fn is_filled(&self) -> bool {
        self.len() >= READY
    }

    fn new_name(&self) -> String {
        let mut state = self.state.lock();
        let name = names::spare(state.next);
        state.next += 1;
        name
    }
}

/// For a full disk: one file for the current batch, one so that the cleaner can move all live records of a segment.
pub(crate) const RESERVE: usize = 2;
/// The reserve and the next segment.
pub(crate) const READY: usize = RESERVE + 1;
/// The pause after each piece of a file, in multiples of the duration of the piece; bounded, so that a slow disk makes
/// progress.
const PAUSE: u32 = 9;
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// With this many files, further ones are removed.
const ENOUGH: usize = READY + 1;
