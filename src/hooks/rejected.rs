//! [`Rejected`]: the file of events that a service refused, as lines of JSON. It is bounded.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytesize::ByteSize;

use crate::platform::{self, FlockOperation, OpenOptionsExt};

/// The file. Several webhooks may append to it.
#[derive(Clone)]
pub(super) struct Rejected {
    path: PathBuf,
    /// Its largest size.
    most: u64,
}

impl Rejected {
    pub(super) fn new(path: PathBuf, most: usize) -> Self {
        Self { path, most: most as u64 }
    }

    /// Appends a line. It is on the disk when this returns. After an error nothing of it is in the file.
    pub(super) async fn append(&self, line: Arc<str>) -> io::Result<()> {
        let file = self.clone();
        // other webhooks go on meanwhile
        tokio::task::spawn_blocking(move || file.append_now(&line)).await.unwrap_or_else(|error| Err(error.into()))
    }

    fn append_now(&self, line: &str) -> io::Result<()> {
        let mut file = match self.open(false) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = self.open(true)?;
                // the name is to be on the disk, too
                self.path.parent().map_or(Ok(()), platform::sync_directory)?;
                file
            }
            opened => opened?,
        };
        // until the file is closed: one webhook after the other
        platform::flock(&file, FlockOperation::LockExclusive)?;
        let size = file.metadata()?.len();
        let is_torn = size > 0 && !ends_line(&mut file)?;
        let text = format!("{}{line}\n", if is_torn { "\n" } else { "" });
        // an empty file takes a line of any size, or a message could stop the delivery forever
        if size > 0 && size + text.len() as u64 > self.most {
            let most = ByteSize::b(self.most);
            return Err(io::Error::other(format!("it has reached {most} (rejected_bytes); move it away")));
        }
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        // or each retry would append it again
        written.inspect_err(|_| _ = file.set_len(size))
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
        let append = |line: &str| rejected.append_now(line);
        append("one").unwrap();
        fs::write(&path, "one\ntw").unwrap();
        append("tre").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\ntre\n");
        let error = append("4").unwrap_err().to_string();
        assert_eq!(error, "it has reached 12 B (rejected_bytes); move it away");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\ntre\n");
        fs::remove_file(&path).unwrap();
        append("one that is longer than the bound").unwrap();
        assert!(append("4").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one that is longer than the bound\n");
    }
}
