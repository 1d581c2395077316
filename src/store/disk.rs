//! [`Disk`]: the file layer over a directory of the real file system.

use std::{
    fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::{
    direct::Direct,
    files::{File, Files},
};

/// A directory on a disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    direct: bool,
}

impl Disk {
    /// The directory at `path`, which exists. `direct`: each write is followed by an fsync, and goes around the page cache
    /// where that can be.
    pub fn new(path: &Path, direct: bool) -> Self {
        Self { path: path.to_owned(), direct }
    }

    fn to_append(&self, name: &str, options: &fs::OpenOptions) -> io::Result<DiskFile> {
        let path = self.path.join(name);
        let file = options.open(&path)?;
        let direct = if self.direct { Direct::open(&path) } else { None };
        Ok(DiskFile { file, direct: Mutex::new(direct) })
    }
}

/// A file in it.
#[derive(Debug)]
pub struct DiskFile {
    file: fs::File,
    direct: Mutex<Option<Direct>>,
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
        let file = fs::File::options().read(true).write(true).open(self.path.join(name))?;
        Ok(DiskFile { file, direct: Mutex::new(None) })
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
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(to, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if let Some(direct) = &mut *self.direct.lock()
            && let Some(written) = direct.write_at(bytes, offset)?
        {
            return Ok(written);
        }
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
