//! [`Pool`]: files that wait to be segments, full of zeros or of what an older segment held. Two of them are the
//! reserve: with it a store whose disk is full still writes what makes room.

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

/// Files that wait to be segments.
#[derive(Debug)]
pub(crate) struct Pool<F> {
    files: Arc<F>,
    /// How large the next one is made.
    segment_bytes: AtomicU64,
    state: Mutex<State>,
    /// Held while one is made: two that are made at once could each take the room that the other needs.
    making: Mutex<()>,
    /// The one that is being made is waited for.
    wanted: Condvar,
    /// How much of the last segment is used, in thousandths: when all is, the next one is needed. Without a segment,
    /// all.
    used: AtomicU64,
}

/// A file that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) len: u64,
}

#[derive(Debug)]
struct State {
    /// By rising length: what is taken last is the largest.
    ready: Vec<Spare>,
    next: u64,
    /// How many threads wait for one.
    waiting: usize,
}

impl State {
    fn put(&mut self, spare: Spare) {
        let at = self.ready.partition_point(|other| other.len <= spare.len);
        self.ready.insert(at, spare);
    }

    /// The smallest that has this length.
    fn take(&mut self, len: u64) -> Option<Spare> {
        let at = self.ready.partition_point(|spare| spare.len < len);
        (at < self.ready.len()).then(|| self.ready.remove(at))
    }
}

/// The files with these names.
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// How much of the disk they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().ready.iter().map(|spare| spare.len).sum()
    }

    /// How large the next ones are.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_segment_bytes(&self, bytes: u64) {
        self.segment_bytes.store(bytes, Ordering::Relaxed);
    }

    /// One of at least this length that is not of the reserve: where there is none, it is made. Slow then.
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

    /// Makes what is missing of the reserve.
    pub(crate) fn fill_reserve(&self) -> io::Result<()> {
        self.alone(|| {
            while self.len() < RESERVE {
                self.put(self.make(|_, _| Ok(()))?);
            }
            Ok(())
        })
    }

    /// One of the reserve, of at least this length. What `grows` leaves the other one to what makes room.
    pub(crate) fn take_reserve(&self, len: u64, grows: bool) -> Option<Spare> {
        let mut state = self.state.lock();
        if grows && state.ready.len() < RESERVE { None } else { state.take(len) }
    }

    pub(crate) fn put(&self, spare: Spare) {
        self.state.lock().put(spare);
    }

    /// Says how much of the last segment is used, in thousandths.
    pub(crate) fn set_used(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Makes one while others use the disk: it pauses as long as it is ahead of when the next one is needed. Ends with
    /// an error when `ends` says so.
    pub(crate) fn make_paced(&self, ends: &AtomicBool) -> io::Result<()> {
        let _making = self.making.lock();
        let spare = self.make(|made, took| {
            // it is to be there when half of the last segment is used
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

    /// Runs `f` while no other thread makes one; one that is being made is finished first, without pauses.
    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        self.state.lock().waiting += 1;
        self.wanted.notify_all();
        let _making = self.making.lock();
        self.state.lock().waiting -= 1;
        f()
    }

    /// Makes one, whose blocks are on the disk. `pace` is told after each piece how much is made, in thousandths, and
    /// how long the piece took.
    fn make(&self, mut pace: impl FnMut(u64, Duration) -> io::Result<()>) -> io::Result<Spare> {
        let len = self.segment_bytes();
        let pace = |made, took| pace(made * 1000 / len, took);
        let name = self.new_name();
        let unfinished = names::unfinished(&name);
        let made = self.files.create(&unfinished).and_then(|file| zero_fill(&file, len, pace));
        match made.and_then(|()| self.files.rename(&unfinished, &name)) {
            Ok(()) => Ok(Spare { name, len }),
            Err(error) => {
                // what was written of it is room again; where that fails too, the next start removes it
                let _ = self.files.remove(&unfinished);
                Err(error)
            }
        }
    }

    /// Keeps the file of a segment that nothing needs, or removes it where there are enough, or it is not as large as
    /// the next ones.
    pub(crate) fn recycle(&self, segment: &str, len: u64) -> io::Result<()> {
        if len != self.segment_bytes() || self.len() >= ENOUGH {
            return self.files.remove(segment);
        }
        let name = self.new_name();
        self.files.rename(segment, &name)?;
        self.put(Spare { name, len });
        Ok(())
    }

    /// There are as many as should wait.
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

/// For a full disk: one for what is on its way, one so that the cleaner can move all that lives in a segment.
pub(crate) const RESERVE: usize = 2;
/// With the next segment.
pub(crate) const READY: usize = RESERVE + 1;
/// The pause after each piece of a file that has time, in multiples of what the piece took; no longer than this, so
/// that a slow disk has one some time.
const PAUSE: u32 = 9;
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Beyond these, files are removed.
const ENOUGH: usize = READY + 1;
