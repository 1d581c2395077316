//! [`Disk`]: the file layer over a directory of the real file system.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    direct::Direct,
    files::{File, Files},
};
use crate::platform::{self, FileExt, MetadataExt, OpenOptionsExt};

/// A directory on a disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    direct: bool,
    /// Files are opened for reading only.
    read_only: bool,
    /// The directory itself, even if its path leads elsewhere meanwhile. `None`: it could not be opened.
    directory: Option<fs::File>,
}

impl Disk {
    /// The directory at `path`, which exists. `direct`: each write is followed by an fsync, so O_DIRECT is used if the
    /// file system has it.
    pub fn new(path: &Path, direct: bool) -> Self {
        Self { path: path.to_owned(), direct, read_only: false, directory: fs::File::open(path).ok() }
    }

    /// The same for reading: nothing can be changed.
    pub fn to_read(path: &Path) -> Self {
        Self { read_only: true, ..Self::new(path, false) }
    }

    fn to_append(&self, name: &str, options: &fs::OpenOptions) -> io::Result<DiskFile> {
        let path = self.path.join(name);
        let file = options.open(&path)?;
        let direct = if self.direct { Direct::open(&path) } else { None };
        Ok(DiskFile { file, direct, cached: AtomicBool::new(false) })
    }
}

/// An open file.
#[derive(Debug)]
pub struct DiskFile {
    file: fs::File,
    direct: Option<Direct>,
    /// Something was written through the page cache.
    cached: AtomicBool,
}

impl Files for Disk {
    type File = DiskFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        let file = fs::File::options().read(true).write(!self.read_only).open(self.path.join(name))?;
        Ok(DiskFile { file, direct: None, cached: AtomicBool::new(false) })
    }

    fn open_to_append(&self, name: &str) -> io::Result<DiskFile> {
        self.to_append(name, fs::File::options().read(true).write(true))
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        self.to_append(name, fs::File::options().read(true).write(true).create_new(true).mode(0o600))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn is_there(&self) -> bool {
        let Some(directory) = self.directory.as_ref().and_then(|directory| directory.metadata().ok()) else {
            return true;
        };
        let named = fs::metadata(&self.path);
        named.is_ok_and(|named| (named.dev(), named.ino()) == (directory.dev(), directory.ino()))
    }

    fn room(&self) -> Option<u64> {
        platform::room(&self.path)
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(to, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if let Some(direct) = self.uncached()
            && let Some(written) = direct.write_at(bytes, offset)?
        {
            return Ok(written);
        }
        self.cached.store(true, Ordering::Release);
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // the page cache reports a failed write once to each of the two files
        match self.uncached() {
            Some(direct) => direct.sync_data(),
            None => self.file.sync_data(),
        }
    }

    fn syncs_overlap(&self) -> bool {
        self.uncached().is_some()
    }
}

impl DiskFile {
    /// The O_DIRECT handle, if nothing was written through the page cache.
    fn uncached(&self) -> Option<&Direct> {
        self.direct.as_ref().filter(|_| !self.cached.load(Ordering::Acquire))
    }
}
