//! [`Files`] and [`File`]: the file operations of the log, so that tests can use a simulated disk that loses power,
//! fills up and fails. Names are file names in one directory.

use std::{io, time::Duration};

use crate::clock::Stopwatch;

/// One directory.
pub trait Files: Send + Sync + 'static {
    /// An open file.
    type File: File;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file that is written from its beginning to its end. A write may overwrite the rest of its last
    /// block.
    fn open_to_append(&self, name: &str) -> io::Result<Self::File> {
        self.open(name)
    }

    /// Creates a file for writing from its beginning to its end.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file and replaces the file that has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable: renames, new and removed files.
    fn sync_dir(&self) -> io::Result<()>;

    /// Is the directory still at its path? `true` if that cannot be determined.
    fn is_there(&self) -> bool {
        true
    }

    /// Free bytes of the disk. `None`: unknown.
    fn room(&self) -> Option<u64>;
}

/// One open file. Offsets and lengths are bytes.
pub trait File: Send + Sync + 'static {
    /// Its length.
    fn len(&self) -> io::Result<u64>;

    /// Reads at `offset`. Returns the number of bytes, 0 at the end.
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`. Returns the number of bytes that were written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Truncates it, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all writes so far durable, and the length.
    fn sync_data(&self) -> io::Result<()>;

    /// Does each of two concurrent calls of [`sync_data`](Self::sync_data) fail if an earlier write did not reach the
    /// disk? With a page cache only one of them reports it.
    fn syncs_overlap(&self) -> bool {
        false
    }
}

/// Writes all of `bytes`, with as many calls as the file needs.
pub(crate) fn write_all_at(file: &impl File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole file into `to`, whose contents are replaced.
pub(crate) fn read_all(file: &impl File, to: &mut Vec<u8>) -> io::Result<()> {
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    to.resize(len, 0);
    let mut at = 0;
    while at < len {
        match file.read_at(&mut to[at..], at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    to.truncate(at);
    Ok(())
}

/// Fills the first `len` bytes with zeros and syncs them, so that a later fsync needs no new blocks. After each piece
/// `pace` gets the filled length and the duration of the piece; an error of `pace` stops the work.
pub(crate) fn zero_fill(
    file: &impl File,
    len: u64,
    mut pace: impl FnMut(u64, Duration) -> io::Result<()>,
) -> io::Result<()> {
    const CHUNK: usize = 256 << 10;
    const SYNCED: u64 = 4 << 20;
    let zeros = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
    let mut at = 0;
    while at < len {
        let writing = Stopwatch::start();
        let chunk = usize::try_from(len - at).map_or(zeros.len(), |left| left.min(zeros.len()));
        write_all_at(file, &zeros[..chunk], at)?;
        at += chunk as u64;
        // in small steps, because the log is written on the same disk meanwhile
        if at % SYNCED == 0 {
            file.sync_data()?;
        }
        pace(at, writing.took())?;
    }
    file.sync_data()
}

/// Does the disk have no space? That may change; other errors are permanent.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
