//! [`Direct`]: writes that bypass the page cache (O_DIRECT), in whole blocks. A log is written once and read after a
//! restart at most. In the page cache it would cost a copy, a search for dirty pages at each fsync, and memory.
//!
//! A write that begins or ends within a block is padded: in front with the block's own bytes, which are kept in memory,
//! behind with zeros.

use std::{fs, io, path::Path};

use parking_lot::Mutex;

use crate::{platform, platform::FileExt};

/// A second handle of a file, opened with O_DIRECT.
#[derive(Debug)]
pub(crate) struct Direct {
    file: fs::File,
    /// The length of the file when it was opened. Padding must not go beyond it.
    len: u64,
    last: Mutex<Last>,
}

/// The last write.
#[derive(Debug, Default)]
struct Last {
    /// Larger than the largest write by one block, so that it contains an aligned address.
    buffer: Vec<u8>,
    /// The block that was written last, and the number of its bytes that are not padding. These are at the front of
    /// `buffer`.
    block: u64,
    filled: usize,
}

impl Direct {
    /// `None`: the file system does not support O_DIRECT.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = platform::open_direct(path).ok()?;
        let len = file.metadata().ok()?.len();
        Some(Self { file, len, last: Mutex::default() })
    }

    /// Writes a part of `bytes` at `offset`. Returns its length. `None`: not possible with O_DIRECT, and the file is
    /// unchanged.
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
        // this is still true if the write fails
        (last.block, last.filled) = (block, before);
        let to = last.aligned(padded);
        to[before..used].copy_from_slice(&bytes[..taken]);
        to[used..].fill(0);
        let at = last.start();
        match self.file.write_at(&last.buffer[at..at + padded], block) {
            Ok(written) if written >= used => {}
            Ok(written) if written > before => used = written,
            // only bytes that the block already had
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            Err(error) => return Err(error),
        }
        let whole = used / BLOCK * BLOCK;
        last.buffer.copy_within(at + whole..at + used, at);
        (last.block, last.filled) = (block + whole as u64, used - whole);
        Ok(Some(used - before))
    }

    /// Makes all writes durable.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Last {
    /// An aligned buffer of this length. Its first `filled` bytes are kept.
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

/// Alignment of memory, offsets and lengths. No disk on the market needs more.
const BLOCK: usize = 4096;
/// Most bytes of one write.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_written_bytes_at_any_alignment() {
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
        // the block's old content is unknown, or padding would cut it off
        assert_eq!(direct.write_at(b"x", len / 2 + 1).unwrap(), None);
        direct.len = len - 1;
        assert_eq!(direct.write_at(b"x", len - BLOCK as u64).unwrap(), None);
        assert!(fs::read(&path).unwrap() == expected);
    }
}
