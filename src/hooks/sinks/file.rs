//! [`Recording`]: the file of a sink, which is appended to and rotated. It is a recording: its first line describes it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::Value;

use super::{options::Rotation, rotated};
use crate::{
    platform::{self, OpenOptionsExt},
    trace::first_line,
};

/// The file of a sink.
pub(super) struct Recording {
    path: PathBuf,
    file: File,
    /// Its size, up to the last whole line.
    size: u64,
    /// The size of its first line.
    head: u64,
    /// The time in its first line.
    began: SystemTime,
}

/// Largest size of a first line.
const MOST_HEAD: u64 = 4_096;

impl Recording {
    /// Continues the recording, or begins it. A last line that is not whole is removed: its message was not
    /// acknowledged.
    pub(super) fn open(path: &Path, now: SystemTime) -> io::Result<Self> {
        let mut file = match opened(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                begin(path, now)?;
                opened(path)?
            }
            opened => opened?,
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file; write the path of one"));
        }
        if file.metadata()?.len() == 0 {
            file.write_all(format!("{}\n", first_line(now)).as_bytes())?;
            file.sync_all()?;
        }
        let (head, began) = head(&mut file)?;
        let size = whole_lines(&mut file)?;
        file.set_len(size)?;
        Ok(Self { path: path.to_owned(), file, size, head, began })
    }

    /// Appends whole lines. They are on the disk when this returns; otherwise nothing is appended.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let appended = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        match &appended {
            Ok(()) => self.size += lines.len() as u64,
            // it is removed at the next start otherwise
            Err(_) => _ = self.file.set_len(self.size),
        }
        appended
    }

    /// Does the path still lead to this file? It does not if another program moved or removed it.
    pub(super) fn is_in_place(&self) -> bool {
        platform::open_without_waiting(&self.path)
            .is_ok_and(|there| platform::device_and_inode(&self.file) == platform::device_and_inode(there))
    }

    /// Is the file large or old enough to be rotated? It is not while it has no message.
    pub(super) fn is_due(&self, rotation: Rotation, now: SystemTime) -> bool {
        let is_large = rotation.size.is_some_and(|most| self.size >= most as u64);
        let age = now.duration_since(self.began).unwrap_or_default();
        self.size > self.head && (is_large || rotation.after.is_some_and(|after| age >= after))
    }

    /// Renames the file, and begins a new one. Returns the new name of the old one.
    pub(super) fn rotate(&mut self, now: SystemTime) -> io::Result<PathBuf> {
        let to = rotated::name(&self.path, now);
        fs::rename(&self.path, &to)?;
        *self = Self::open(&self.path, now)?;
        Ok(to)
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Creates the file with its first line, which is there as a whole or not at all.
fn begin(path: &Path, now: SystemTime) -> io::Result<()> {
    let unfinished = rotated::with(path, ".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(format!("{}\n", first_line(now)).as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    rotated::sync_dir(path)
}

/// The size of the first line, and the time in it.
fn head(file: &mut File) -> io::Result<(u64, SystemTime)> {
    let wrong = || io::Error::new(ErrorKind::InvalidData, "it is not a recording; move it away, or write another path");
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    Read::by_ref(file).take(MOST_HEAD).read_to_end(&mut bytes)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(wrong)?;
    let line: Value = serde_json::from_slice(&bytes[..end]).map_err(|_| wrong())?;
    let began = line["started"].as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
    let is_recording = line["dunlin"] == "recording" && line["version"] == 1;
    began.filter(|_| is_recording).map(|began| (end as u64 + 1, began)).ok_or_else(wrong)
}

/// The size up to the end of the last whole line. There is one.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut bytes = [0; 4_096];
    loop {
        let from = end.saturating_sub(bytes.len() as u64);
        let some = &mut bytes[..(end - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(some)?;
        if let Some(last) = some.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + last as u64 + 1);
        }
        if from == 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        end = from;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    #[test]
    fn a_recording_is_continued_behind_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let first = format!("{}\n", first_line(NOW));
        let mut recording = Recording::open(&path, NOW).unwrap();
        recording.append(b"{\"n\":1}\n{\"n\":2}\n").unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"n\":3").unwrap();
        let later = NOW + Duration::from_secs(1);
        Recording::open(&path, later).unwrap().append(b"{\"n\":4}\n").unwrap();
        let expected = format!("{first}{{\"n\":1}}\n{{\"n\":2}}\n{{\"n\":4}}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        // a last line that is longer than what is read at a time
        let long = "x".repeat(10_000);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(long.as_bytes()).unwrap();
        Recording::open(&path, later).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_not_a_recording_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for text in ["x", "{}\n", "{\"dunlin\":\"recording\",\"version\":2,\"started\":\"1970-01-01T00:00:00Z\"}\n"] {
            fs::write(&path, text).unwrap();
            let error = Recording::open(&path, NOW).err().unwrap().to_string();
            assert!(error.contains("is not a recording"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(Recording::open(dir.path(), NOW).is_err());
        // an empty file, which may have the owner and the mode that are wanted
        fs::write(&path, "").unwrap();
        Recording::open(&path, NOW).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", first_line(NOW)));
    }

    #[test]
    fn a_recording_with_messages_is_due_by_size_or_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut recording = Recording::open(&path, NOW).unwrap();
        let never = Rotation { size: None, after: None, keep: 0, compress: false };
        let by_size = Rotation { size: Some(100), ..never };
        let by_age = Rotation { after: Some(Duration::from_secs(60)), ..never };
        let old = NOW + Duration::from_secs(60);
        assert!(!recording.is_due(by_size, old) && !recording.is_due(by_age, old));
        recording.append(&[b'\n'; 100]).unwrap();
        assert!(recording.is_due(by_size, NOW) && recording.is_due(by_age, old));
        assert!(!recording.is_due(never, old) && !recording.is_due(by_age, NOW + Duration::from_secs(59)));
        let moved = recording.rotate(old).unwrap();
        assert_eq!(moved, dir.path().join("a.19700101T000100.000000Z"));
        assert!(fs::read_to_string(moved).unwrap().starts_with(&first_line(NOW)));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", first_line(old)));
        assert!(!recording.is_due(by_size, old) && recording.is_in_place());
        fs::remove_file(&path).unwrap();
        assert!(!recording.is_in_place());
    }
}
