//! [`Rejected`]: the file of events that a service refused, as lines of JSON. It is bounded.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytesize::ByteSize;

use crate::platform::{self, OpenOptionsExt};

/// The file. Several webhooks may append to it.
pub(super) struct Rejected {
    path: PathBuf,
    /// Its largest size.
    most: u64,
}

impl Rejected {
    pub(super) fn new(path: PathBuf, most: usize) -> Self {
        Self { path, most: most as u64 }
    }

    /// Appends a line. It is on the disk when this returns.
    pub(super) fn append(&self, line: &str) -> io::Result<()> {
        let mut file = match self.open(false) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = self.open(true)?;
                // the name is to be on the disk, too
                self.path.parent().map_or(Ok(()), platform::sync_directory)?;
                file
            }
            opened => opened?,
        };
        let size = file.metadata()?.len();
        let is_torn = size > 0 && !ends_line(&mut file)?;
        let text = format!("{}{line}\n", if is_torn { "\n" } else { "" });
        if size + text.len() as u64 > self.most {
            let most = ByteSize::b(self.most);
            return Err(io::Error::other(format!("it has reached {most} (rejected_bytes); move it away")));
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    fn open(&self, create: bool) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(create).mode(0o600).open(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Does the file end with a whole line? It does not if the process ended within a write.
fn ends_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn refused_events_are_appended_as_whole_lines_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rejected.jsonl");
        let rejected = Rejected::new(path.clone(), 12);
        rejected.append("one").unwrap();
        fs::write(&path, "one\ntw").unwrap();
        rejected.append("tre").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\ntre\n");
        let error = rejected.append("4").unwrap_err().to_string();
        assert_eq!(error, "it has reached 12 B (rejected_bytes); move it away");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\ntre\n");
        fs::remove_file(&path).unwrap();
        rejected.append("4").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
    }
}
