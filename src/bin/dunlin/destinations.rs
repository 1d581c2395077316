//! The destinations of the log beside standard error: a file that is reopened and rotated, and syslog.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use dunlin::platform::{OpenOptionsExt, UnixDatagram};

/// A file to which lines are appended.
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    rotation: Option<Rotation>,
}

/// When a file is rotated, and how many rotated files are kept.
#[derive(Clone, Copy)]
pub struct Rotation {
    /// Its largest size in bytes.
    pub size: u64,
    /// Number of rotated files.
    pub keep: u32,
}

impl LogFile {
    /// Creates it if it is missing; only its owner and group may read it.
    pub fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        // a reload reopens it, and the working directory may have changed by then
        let path = std::path::absolute(path)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, rotation })
    }

    /// Reopens it by its name, because another program may have renamed it.
    pub fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path, self.rotation)?;
        Ok(())
    }

    /// First rotates the file if the line would make it too large.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let size = self.size + line.len() as u64;
        if let Some(rotation) = self.rotation.filter(|rotation| self.size > 0 && size > rotation.size) {
            self.rotate(rotation)?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, rotation: Rotation) -> io::Result<()> {
        for number in (1..rotation.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match rotation.keep {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, self.numbered(1))?,
        }
        self.reopen()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// The syslog of this machine.
pub struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    facility: u8,
}

/// The socket of syslog (syslog(3)).
pub const DEV_LOG: &str = "/dev/log";

impl Syslog {
    /// `facility`: its number in syslog(3). Syslog may start later.
    pub fn open(path: &Path, facility: u8) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // the log's thread may wait for a moment: lines wait in its queue
        socket.set_write_timeout(Some(std::time::Duration::from_millis(100)))?;
        Ok(Self { socket, path: path.into(), facility })
    }

    /// `line` begins with its priority, as in `<6>`.
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(line);
        let (priority, text) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).unwrap_or(("6", &text));
        let priority = u32::from(self.facility) * 8 + priority.parse::<u32>().unwrap_or(6);
        let message = format!("<{priority}>dunlin[{}]: {}", std::process::id(), text.trim());
        self.socket.send_to(message.as_bytes(), &self.path).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_file_is_rotated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = LogFile::open(&path, Some(Rotation { size: 10, keep: 2 })).unwrap();
        for line in ["one\n", "two\n", "three\n", "a line that is longer\n", "four\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert_eq!(["log", "log.1", "log.2"].map(read), ["four\n", "a line that is longer\n", "three\n"]);
        assert!(!dir.path().join("log.3").exists());
        // what was there counts
        let mut file = LogFile::open(&path, Some(Rotation { size: 10, keep: 0 })).unwrap();
        file.write(b"five and six\n").unwrap();
        assert_eq!(["log", "log.1"].map(read), ["five and six\n", "a line that is longer\n"]);
    }

    #[test]
    fn a_renamed_log_file_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = LogFile::open(&path, None).unwrap();
        file.write(b"one\n").unwrap();
        fs::rename(&path, dir.path().join("old")).unwrap();
        file.write(b"two\n").unwrap();
        file.reopen().unwrap();
        file.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("old")).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "three\n");
    }

    #[test]
    fn a_line_of_syslog() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let syslog = Syslog::open(&path, 16).unwrap();
        syslog.write(b"<4>lost\n").unwrap_err();
        let socket = UnixDatagram::bind(&path).unwrap();
        syslog.write(b"<4> WARN dunlin: it is full\n").unwrap();
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        let expected = format!("<132>dunlin[{}]: WARN dunlin: it is full", std::process::id());
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
    }
}
