//! [`Pool`]: files that wait to be segments, full of zeros or of what an older segment held. One of them is the reserve:
//! with it a store whose disk is full still writes what makes room.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    files::{Files, zero_fill},
    names,
};

/// Files that wait to be segments.
#[derive(Debug)]
pub(super) struct Pool<F> {
    files: Arc<F>,
    segment_bytes: u64,
    state: Mutex<State>,
    /// How much of the last segment is used, in thousandths: when all is, the next one is needed. Without a segment, all.
    used: AtomicU64,
}

#[derive(Debug)]
struct State {
    ready: Vec<String>,
    next: u64,
}

impl<F: Files> Pool<F> {
    pub(super) fn new(files: Arc<F>, segment_bytes: u64, ready: Vec<String>) -> Self {
        let next = ready.iter().filter_map(|name| names::spare_number(name)).max().map_or(1, |last| last + 1);
        Self { files, segment_bytes, state: Mutex::new(State { ready, next }), used: AtomicU64::new(1000) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// One that is not the reserve.
    pub(super) fn take(&self) -> Option<String> {
        let mut state = self.state.lock();
        if state.ready.len() > RESERVE { state.ready.pop() } else { None }
    }

    /// The reserve.
    pub(super) fn take_reserve(&self) -> Option<String> {
        self.state.lock().ready.pop()
    }

    pub(super) fn put(&self, name: String) {
        self.state.lock().ready.push(name);
    }

    /// Says how much of the last segment is used, in thousandths.
    pub(super) fn set_used(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Makes one, whose blocks are on the disk. Slow.
    pub(super) fn make(&self) -> io::Result<String> {
        self.make_with(|_, _| Ok(()))
    }

    /// Makes one while others use the disk: it pauses as long as it is ahead of when the next one is needed. Ends with an error
    /// when `ends` says so.
    pub(super) fn make_paced(&self, ends: &AtomicBool) -> io::Result<String> {
        self.make_with(|made, took| {
            // it is to be there when half of the last segment is used
            let ahead = made * 1000 / self.segment_bytes > 2 * self.used.load(Ordering::Relaxed);
            if ahead && self.len() >= RESERVE {
                thread::sleep((PAUSE * took).min(LONGEST_PAUSE));
            }
            if ends.load(Ordering::Acquire) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        })
    }

    fn make_with(&self, pace: impl FnMut(u64, Duration) -> io::Result<()>) -> io::Result<String> {
        let name = self.new_name();
        let unfinished = names::unfinished(&name);
        let made = self.files.create(&unfinished).and_then(|file| zero_fill(&file, self.segment_bytes, pace));
        match made.and_then(|()| self.files.rename(&unfinished, &name)) {
            Ok(()) => Ok(name),
            Err(error) => {
                // what was written of it is room again; where that fails too, the next start removes it
                let _ = self.files.remove(&unfinished);
                Err(error)
            }
        }
    }

    /// Keeps the file of a segment that nothing needs, or removes it where there are enough.
    pub(super) fn recycle(&self, segment: &str, len: u64) -> io::Result<()> {
        if len != self.segment_bytes || self.len() >= ENOUGH {
            return self.files.remove(segment);
        }
        let name = self.new_name();
        self.files.rename(segment, &name)?;
        self.put(name);
        Ok(())
    }

    /// There are as many as should wait.
    pub(super) fn is_filled(&self) -> bool {
        self.len() >= READY
    }

    fn new_name(&self) -> String {
        let mut state = self.state.lock();
        let name = names::spare(state.next);
        state.next += 1;
        name
    }
}

/// For a full disk.
pub(super) const RESERVE: usize = 1;
/// With the next segment.
const READY: usize = RESERVE + 1;
/// The pause after each piece of a file that has time, in multiples of what the piece took; no longer than this, so that a
/// slow disk has one some time.
const PAUSE: u32 = 9;
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Beyond these, files are removed.
const ENOUGH: usize = READY + 1;
