//! [`Simulated`]: a file layer in memory that knows which writes were synced. At a power cut it drops a random part of
//! the others. It can be full, and fail on request.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};

use super::super::log::files::{File, Files};

/// One directory, shared by all clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>, Arc<Condvar>);

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    /// The names after a power cut.
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync.
    renames: Vec<FileChange>,
    /// The capacity in bytes.
    room: Option<u64>,
    fault: Option<(u64, Fault)>,
    /// Number of changes so far.
    operations: u64,
    syncs: u64,
    overlaps: bool,
    hold: Hold,
}

/// Ends a test whose event never comes; no successful test waits for it.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// The control of an fsync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    Passes,
    /// The next fsync of this file is delayed.
    Next(usize),
    Held,
    /// The delayed fsync succeeds or fails.
    Goes(bool),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    writes: Vec<Write>,
}

#[derive(Clone, Debug)]
enum Write {
    Bytes(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Debug)]
enum FileChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

/// A fault, which happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// ENOSPC.
    Full,
    /// EIO.
    Broken,
    /// A write is incomplete.
    Short,
    /// A write changes a bit.
    Flip,
    /// An fsync fails, and the data counts as written: it is only in the page cache.
    Lost,
    /// The program panics.
    Panic,
}

/// A small generator of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

impl Simulated {
    /// A power cut: each unsynced change remains, completely or in part, or is lost.
    pub(crate) fn power_cut(&self, rng: &mut Rng) {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.fault = None;
        let all_or_prefix = rng.one_in(2);
        let kept = rng.below(state.renames.len() + 1);
        let changes = std::mem::take(&mut state.renames);
        for (at, change) in changes.into_iter().enumerate() {
            if if all_or_prefix { at < kept } else { rng.one_in(2) } {
                apply(&mut state.durable_names, change);
            }
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            for write in std::mem::take(&mut inode.writes) {
                match (rng.below(3), write) {
                    (0, _) => {}
                    (1, write) => write.apply(&mut inode.durable),
                    (_, Write::Len(len)) => Write::Len(len).apply(&mut inode.durable),
                    // incomplete: the bytes between two places
                    (_, Write::Bytes(at, bytes)) => {
                        let from = if rng.one_in(2) { 0 } else { rng.below(bytes.len() + 1) };
                        let to = from + rng.below(bytes.len() - from + 1);
                        Write::Bytes(at + from, bytes[from..to].to_vec()).apply(&mut inode.durable);
                    }
                }
            }
            inode.now = inode.durable.clone();
        }
    }

    /// The process is killed; the system keeps running.
    pub(crate) fn kill(&self) {
        self.0.lock().fault = None;
    }

    /// The `n`-th change from now fails.
    pub(crate) fn break_at(&self, n: u64, fault: Fault) {
        let mut state = self.0.lock();
        state.fault = Some((state.operations + n, fault));
    }

    /// Is the fault still to come?
    pub(crate) fn is_to_break(&self) -> bool {
        self.0.lock().fault.is_some()
    }

    /// Sets the capacity in bytes.
    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.0.lock().room = room;
    }

    pub(crate) fn used(&self) -> u64 {
        self.0.lock().used()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Each fsync reports its own failure.
    pub(crate) fn set_overlaps(&self) {
        self.0.lock().overlaps = true;
    }

    /// Delays the next fsync of the last segment.
    pub(crate) fn hold_sync(&self) {
        let last = self.segments().pop().unwrap();
        let mut state = self.0.lock();
        state.hold = Hold::Next(state.names[&last]);
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.0.lock().hold == Hold::Held
    }

    /// The delayed fsync succeeds or fails.
    pub(crate) fn let_go(&self, succeeds: bool) {
        self.0.lock().hold = Hold::Goes(succeeds);
        self.1.notify_all();
    }

    /// A copy of the present state, as if all of it were synced.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.lock();
        let mut copy = State::default();
        for (name, &inode) in &state.names {
            let bytes = state.inodes[inode].now.clone();
            copy.names.insert(name.clone(), copy.inodes.len());
            copy.inodes.push(Inode { now: bytes.clone(), durable: bytes, writes: Vec::new() });
        }
        copy.durable_names = copy.names.clone();
        Self(Arc::new(Mutex::new(copy)), Arc::default())
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock();
        state.inodes[state.names[name]].now.clone()
    }

    pub(crate) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let inode = state.names[name];
        state.inodes[inode] = Inode { now: bytes.clone(), durable: bytes, writes: Vec::new() };
    }

    pub(crate) fn segments(&self) -> Vec<String> {
        let mut names = self.list().unwrap();
        names.retain(|name| name.ends_with(".log"));
        names
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().map(|&inode| self.inodes[inode].now.len() as u64).sum()
    }

    /// Counts a change. Returns the fault if it is due.
    fn step(&mut self) -> Option<Fault> {
        self.operations += 1;
        let now = self.operations;
        let fault = self.fault.take_if(|(at, _)| *at <= now).map(|(_, fault)| fault);
        assert_ne!(fault, Some(Fault::Panic), "as it was told to");
        fault
    }

    fn change(&mut self, change: FileChange) -> io::Result<()> {
        match self.step() {
            Some(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Broken) => return Err(io::Error::other("broken")),
            Some(Fault::Short | Fault::Flip | Fault::Lost | Fault::Panic) | None => {}
        }
        apply(&mut self.names, change.clone());
        self.renames.push(change);
        Ok(())
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: FileChange) {
    match change {
        FileChange::Link(name, inode) => drop(names.insert(name, inode)),
        FileChange::Unlink(name) => drop(names.remove(&name)),
        FileChange::Rename(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

impl Write {
    fn apply(self, to: &mut Vec<u8>) {
        match self {
            Self::Len(len) => to.resize(len, 0),
            Self::Bytes(at, bytes) => {
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
}

impl Files for Simulated {
    type File = SimulatedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        let inode = *self.0.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimulatedFile { files: self.clone(), inode })
    }

    fn create(&self, name: &str) -> io::Result<SimulatedFile> {
        let mut state = self.0.lock();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.change(FileChange::Link(name.to_owned(), inode))?;
        state.inodes.push(Inode::default());
        Ok(SimulatedFile { files: self.clone(), inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(FileChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(FileChange::Unlink(name.to_owned()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        match state.step() {
            Some(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Broken) => return Err(io::Error::other("broken")),
            _ => {}
        }
        state.syncs += 1;
        state.durable_names = state.names.clone();
        state.renames.clear();
        Ok(())
    }

    fn room(&self) -> Option<u64> {
        let state = self.0.lock();
        state.room.map(|room| room.saturating_sub(state.used()))
    }
}

#[derive(Debug)]
pub(crate) struct SimulatedFile {
    files: Simulated,
    inode: usize,
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.files.0.lock().inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.files.0.lock();
        let from = state.inodes[self.inode].now.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.files.0.lock();
        let mut bytes = bytes.to_vec();
        match state.step() {
            Some(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Broken) => return Err(io::Error::other("broken")),
            Some(Fault::Short) => bytes.truncate(bytes.len().div_ceil(2)),
            Some(Fault::Flip) => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Some(Fault::Lost | Fault::Panic) | None => {}
        }
        let (count, used, room) = (bytes.len(), state.used(), state.room);
        let inode = &mut state.inodes[self.inode];
        let end = offset as usize + count;
        let grows = end.saturating_sub(inode.now.len()) as u64;
        if room.is_some_and(|room| grows > 0 && used + grows > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let write = Write::Bytes(offset as usize, bytes);
        write.clone().apply(&mut inode.now);
        inode.writes.push(write);
        Ok(count)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.files.0.lock();
        if let Some(Fault::Broken) = state.step() {
            return Err(io::Error::other("broken"));
        }
        let inode = &mut state.inodes[self.inode];
        let write = Write::Len(len as usize);
        write.clone().apply(&mut inode.now);
        inode.writes.push(write);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.files.0.lock();
        if state.hold == Hold::Next(self.inode) {
            state.hold = Hold::Held;
            while state.hold == Hold::Held {
                // a failing test does not release it
                if self.files.1.wait_for(&mut state, GUARD).timed_out() {
                    return Err(io::Error::other("never let go"));
                }
            }
            if std::mem::take(&mut state.hold) == Hold::Goes(false) {
                return Err(io::Error::other("broken"));
            }
        }
        let fault = state.step();
        let writes = match fault {
            Some(Fault::Broken) => return Err(io::Error::other("broken")),
            _ => std::mem::take(&mut state.inodes[self.inode].writes),
        };
        if fault == Some(Fault::Lost) {
            return Err(io::Error::other("lost"));
        }
        state.syncs += 1;
        let inode = &mut state.inodes[self.inode];
        writes.into_iter().for_each(|write| write.apply(&mut inode.durable));
        Ok(())
    }

    fn syncs_overlap(&self) -> bool {
        self.files.0.lock().overlaps
    }
}
