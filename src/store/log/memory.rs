//! [`MemoryDisk`]: a directory in memory that records what was synced. The rest is lost when the process is killed, as
//! in a power cut, so that a test finds acknowledgements that were sent too early.

use std::{collections::BTreeMap, io, sync::Arc};

use parking_lot::Mutex;

use super::files::{File, Files};

/// A directory in memory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Directory>>);

#[derive(Debug, Default)]
struct Directory {
    names: BTreeMap<String, Arc<Mutex<Contents>>>,
    /// As a cut of the power leaves them.
    durable: BTreeMap<String, Arc<Mutex<Contents>>>,
}

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    /// Writes since the last sync, as the bytes that they replaced.
    unsynced: Vec<Undo>,
}

/// The bytes that a write replaced.
#[derive(Debug)]
enum Undo {
    Bytes(usize, Vec<u8>),
    Len(usize),
}

impl MemoryDisk {
    /// A copy of this directory with the synced content only.
    pub fn after_power_cut(&self) -> Self {
        let directory = self.0.lock();
        let copy = |(name, contents): (&String, &Arc<Mutex<Contents>>)| {
            let contents = contents.lock();
            let mut bytes = contents.now.clone();
            contents.unsynced.iter().rev().for_each(|undo| undo.apply(&mut bytes));
            (name.clone(), Arc::new(Mutex::new(Contents { now: bytes, unsynced: Vec::new() })))
        };
        let names: BTreeMap<_, _> = directory.durable.iter().map(copy).collect();
        Self(Arc::new(Mutex::new(Directory { durable: names.clone(), names })))
    }

    fn find(&self, name: &str) -> io::Result<Arc<Mutex<Contents>>> {
        self.0.lock().names.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Undo {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Len(len) => to.resize(*len, 0),
            Self::Bytes(at, bytes) => to[*at..*at + bytes.len()].copy_from_slice(bytes),
        }
    }
}

impl Files for MemoryDisk {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        self.find(name).map(MemoryFile)
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let mut directory = self.0.lock();
        if directory.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let contents = Arc::<Mutex<Contents>>::default();
        directory.names.insert(name.to_owned(), contents.clone());
        Ok(MemoryFile(contents))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut directory = self.0.lock();
        let contents = directory.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        directory.names.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.0.lock().names.remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut directory = self.0.lock();
        directory.durable = directory.names.clone();
        Ok(())
    }

    fn room(&self) -> Option<u64> {
        None
    }
}

/// An open file.
#[derive(Debug)]
pub struct MemoryFile(Arc<Mutex<Contents>>);

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().now.len() as u64)
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = self.0.lock();
        let from = usize::try_from(offset).ok().and_then(|offset| contents.now.get(offset..)).unwrap_or_default();
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut contents = self.0.lock();
        let (end, before) = (at + bytes.len(), contents.now.len());
        let contents = &mut *contents;
        if end > before {
            contents.unsynced.push(Undo::Len(before));
            contents.now.resize(end, 0);
        }
        contents.unsynced.push(Undo::Bytes(at, contents.now[at..end].to_vec()));
        contents.now[at..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut contents = self.0.lock();
        let contents = &mut *contents;
        let before = contents.now.len();
        if len < before {
            contents.unsynced.push(Undo::Bytes(len, contents.now[len..].to_vec()));
        }
        // undone first
        contents.unsynced.push(Undo::Len(before));
        contents.now.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().unsynced.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(disk: &MemoryDisk, name: &str) -> Option<Vec<u8>> {
        let file = disk.open(name).ok()?;
        let mut all = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        assert_eq!(file.read_at(&mut all, 0).unwrap(), all.len());
        Some(all)
    }

    #[test]
    fn exactly_the_synced_bytes_remain_after_a_power_cut() {
        let disk = MemoryDisk::default();
        let file = disk.create("a").unwrap();
        file.write_at(b"hello", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(bytes(&disk.after_power_cut(), "a"), None, "its name was not synced");
        disk.sync_dir().unwrap();
        file.write_at(b"HE", 0).unwrap();
        file.write_at(b"world", 7).unwrap();
        file.set_len(3).unwrap();
        file.set_len(9).unwrap();
        assert_eq!(bytes(&disk, "a").unwrap(), b"HEl\0\0\0\0\0\0");
        disk.rename("a", "b").unwrap();
        disk.create("c").unwrap();
        let after = disk.after_power_cut();
        assert_eq!((after.list().unwrap(), bytes(&after, "a").unwrap()), (vec!["a".into()], b"hello".to_vec()));
        file.sync_data().unwrap();
        disk.sync_dir().unwrap();
        let after = disk.after_power_cut();
        assert_eq!((after.list().unwrap().len(), bytes(&after, "b").unwrap()), (2, b"HEl\0\0\0\0\0\0".to_vec()));
        // two directories
        file.write_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(bytes(&after, "b").unwrap(), b"HEl\0\0\0\0\0\0");
    }
}
