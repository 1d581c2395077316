//! [`Pool`]: files that wait to be segments, full of zeros or of what an older segment held. One of them is the reserve:
//! with it a store whose disk is full still writes what makes room.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
    /// One is needed soon.
    hurry: AtomicBool,
}

#[derive(Debug)]
struct State {
    ready: Vec<String>,
    next: u64,
}

impl<F: Files> Pool<F> {
    pub(super) fn new(files: Arc<F>, segment_bytes: u64, ready: Vec<String>) -> Self {
        let next = ready.iter().filter_map(|name| names::spare_number(name)).max().map_or(1, |last| last + 1);
        Self { files, segment_bytes, state: Mutex::new(State { ready, next }), hurry: AtomicBool::new(true) }
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

    /// Says whether one is needed soon.
    pub(super) fn set_hurry(&self, hurry: bool) {
        self.hurry.store(hurry, Ordering::Relaxed);
    }

    /// Makes one, whose blocks are on the disk. Slow.
    pub(super) fn make(&self) -> io::Result<String> {
        self.make_with(|_| Ok(()))
    }

    /// Makes one while others use the disk: unless it is needed soon it rests most of the time. Ends with an error when
    /// `ends` says so.
    pub(super) fn make_gently(&self, ends: &AtomicBool) -> io::Result<String> {
        self.make_with(|took| {
            if !self.hurry.load(Ordering::Relaxed) {
                thread::sleep((REST * took).min(LONGEST_REST));
            }
            if ends.load(Ordering::Acquire) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        })
    }

    fn make_with(&self, rest: impl FnMut(Duration) -> io::Result<()>) -> io::Result<String> {
        let name = self.new_name();
        let unfinished = names::unfinished(&name);
        let made = self.files.create(&unfinished).and_then(|file| zero_fill(&file, self.segment_bytes, rest));
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
/// How much longer than it writes a file is not written that is not needed soon.
const REST: u32 = 9;
const LONGEST_REST: Duration = Duration::from_millis(250);
/// Beyond these, files are removed.
const ENOUGH: usize = READY + 1;
