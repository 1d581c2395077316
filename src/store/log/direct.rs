//! [`Direct`]: writes that bypass the page cache (O_DIRECT), in whole blocks. A log is written once and read after a
//! restart at most. In the page cache it would cost a copy, a search for dirty pages at each fsync, and memory.
//!
//! A write that begins or ends within a block is padded: in front with the block's own bytes, which are remembered,
//! behind with zeros.

use std::{
    fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use parking_lot::Mutex;
use rustix::fs::OFlags;

/// A file opened a second time, to be written around the page cache.
#[derive(Debug)]
pub(crate) struct Direct {
    file: fs::File,
    /// How long it was when it was opened: up to there it has blocks that may be overwritten behind what is written.
    len: u64,
    last: Mutex<Last>,
}

/// What was written last.
#[derive(Debug, Default)]
struct Last {
    /// More than is written at once by a block, so that some of it begins where memory has to.
    buffer: Vec<u8>,
    /// The block that was written last, and how many bytes of it are not padding: they are in `buffer`, in front.
    block: u64,
    filled: usize,
}

impl Direct {
    /// `None` where the file system has no such thing.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let file = fs::File::options().write(true).custom_flags(flags).open(path).ok()?;
        let len = file.metadata().ok()?.len();
        Some(Self { file, len, last: Mutex::default() })
    }

    /// Writes some of `bytes` at `offset`; gives how many. `None`: not in this way, the file is as it was.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<Option<usize>> {
        let before = (offset % BLOCK as u64) as usize;
        let block = offset - before as u64;
        let last = &mut *self.last.lock();
        if before > 0 && (block != last.block || before > last.filled) {
            return Ok(None);
        }
        let taken = bytes.len().min(MOST - before);
        let mut used = before + taken;
        let padded = used.next_multiple_of(BLOCK);
        if padded != used && block + padded as u64 > self.len {
            return Ok(None);
        }
        // what stays known where this fails
        (last.block, last.filled) = (block, before);
        let to = last.aligned(padded);
        to[before..used].copy_from_slice(&bytes[..taken]);
        to[used..].fill(0);
        let at = last.start();
        match self.file.write_at(&last.buffer[at..at + padded], block) {
            Ok(written) if written >= used => {}
            Ok(written) if written > before => used = written,
            // what the block had
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            Err(error) => return Err(error),
        }
        let whole = used / BLOCK * BLOCK;
        last.buffer.copy_within(at + whole..at + used, at);
        (last.block, last.filled) = (block + whole as u64, used - whole);
        Ok(Some(used - before))
    }

    /// What was written so far survives a power cut.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Last {
    /// So many bytes that begin where memory has to; those in front are as they were.
    fn aligned(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() < len + BLOCK {
            let kept = self.buffer.get(self.start()..).map(|bytes| bytes[..self.filled].to_vec()).unwrap_or_default();
            self.buffer = vec![0; (len + BLOCK).next_power_of_two()];
            let at = self.start();
            self.buffer[at..at + kept.len()].copy_from_slice(&kept);
        }
        let at = self.start();
        &mut self.buffer[at..at + len]
    }

    fn start(&self) -> usize {
        self.buffer.as_ptr().align_offset(BLOCK)
    }
}

/// What memory, offsets and lengths are multiples of: no disk that is sold asks for more.
const BLOCK: usize = 4096;
/// Bytes that are written at once.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_what_was_written_to_it_wherever_writes_begin_and_end() {
        // a disk, where /tmp may be none
        let program = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let path = dir.path().join("file");
        let len = 4 * MOST as u64;
        fs::File::create(&path).unwrap().set_len(len).unwrap();
        // a file system without O_DIRECT has nothing to test
        let Some(mut direct) = Direct::open(&path) else { return eprintln!("{}: no O_DIRECT", path.display()) };
        let mut expected = vec![0; len as usize];
        let mut at = 0;
        for (n, size) in [64, 1, 4031, 4096, 4095, 2, 10_000, 1, MOST, 3 * BLOCK, 7, MOST + 5].into_iter().enumerate() {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8 ^ n as u8).collect();
            let written = direct.write_at(&bytes, at as u64).unwrap().unwrap();
            assert!(written == size || written > MOST - BLOCK, "{written} of {size}");
            expected[at..at + written].copy_from_slice(&bytes[..written]);
            at += written;
            assert!(fs::read(&path).unwrap() == expected, "write {n}");
        }
        // the same place again, as after a write that failed
        for bytes in [b"first", b"again"] {
            assert_eq!(direct.write_at(bytes, at as u64).unwrap(), Some(5));
        }
        expected[at..at + 5].copy_from_slice(b"again");
        assert!(fs::read(&path).unwrap() == expected);
        // what a block had is not known, or would be cut off by padding
        assert_eq!(direct.write_at(b"x", len / 2 + 1).unwrap(), None);
        direct.len = len - 1;
        assert_eq!(direct.write_at(b"x", len - BLOCK as u64).unwrap(), None);
        assert!(fs::read(&path).unwrap() == expected);
    }
}
