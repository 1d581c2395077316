//! [`Files`] and [`File`]: all that the log asks of a file system, so that tests can put one in its place that loses
//! power, fills up and breaks. The names are those of files in one directory.

use std::{io, time::Duration};

use crate::clock::Stopwatch;

/// One directory.
pub trait Files: Send + Sync + 'static {
    /// An open file in it.
    type File: File;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that exists, to read and write.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that exists and is written from its beginning to its end: what is there of blocks that are not full
    /// may be overwritten behind what is written.
    fn open_to_append(&self, name: &str) -> io::Result<Self::File> {
        self.open(name)
    }

    /// Opens a file that did not exist, to be written from its beginning to its end.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Names that were given and taken so far survive a power cut.
    fn sync_dir(&self) -> io::Result<()>;

    /// Is the directory still where it was? Where nobody can tell, it is.
    fn is_there(&self) -> bool {
        true
    }

    /// Bytes that the disk has room for, beside what it holds. `None`: nobody knows.
    fn room(&self) -> Option<u64>;
}

/// One open file. Offsets and lengths are bytes.
pub trait File: Send + Sync + 'static {
    /// How long it is.
    fn len(&self) -> io::Result<u64>;

    /// Reads what is at `offset`; gives how much that was, 0 at the end.
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; gives how many bytes it took.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts it, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// What was written so far survives a power cut, and so does the length.
    fn sync_data(&self) -> io::Result<()>;

    /// Whether each of two calls of [`sync_data`](Self::sync_data) that overlap fails where what was written before it
    /// is not on the disk. A page cache tells one of them only.
    fn syncs_overlap(&self) -> bool {
        false
    }
}

/// Writes all of `bytes`, in as many turns as the file takes.
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

/// Reads a whole file into `to`, in place of what it held.
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

/// Fills the first `len` bytes with zeros that are on the disk, blocks and all: a later fsync has only data to write.
/// After each piece `pace` is told how much is filled and how long the piece took; with an error it ends.
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
        // little by little: a log that is written meanwhile has the same disk
        if at % SYNCED == 0 {
            file.sync_data()?;
        }
        pace(at, writing.took())?;
    }
    file.sync_data()
}

/// There was no room, which may pass; other errors do not.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
