//! [`KeyLogFile`]: writes the secrets of TLS connections to a file (`--tls-keylog`), so that Wireshark decrypts what
//! was recorded of them.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use tokio_rustls::rustls::KeyLog;

use crate::platform::{self, OpenOptionsExt};

/// The file, in the format of `SSLKEYLOGFILE`. Several listeners append to the same one.
#[derive(Debug)]
pub(super) struct KeyLogFile(File);

impl KeyLogFile {
    /// Opens the file. Its owner alone may read it, also if others could before.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        platform::set_mode_of(&file, 0o600)?;
        Ok(Self(file))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        // in one write, so that lines of several threads do not mix; a full disk must not end connections
        let _ = (&self.0).write_all(format!("{label} {} {}\n", Hex(client_random), Hex(secret)).as_bytes());
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
