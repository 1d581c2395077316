//! [`Seed`]: state from a file, in the lines that `dunlin ctl export` and `dunlin store export` write.

use std::{
    fs::{self, DirBuilder},
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use crate::{
    platform::DirBuilderExt,
    server::users_of_export,
    store::{MemoryDisk, tools::import_in_memory},
};

/// State from a file.
pub(super) struct Seed {
    /// Retained messages and sessions.
    pub(super) disk: MemoryDisk,
    /// Lines of a password file.
    pub(super) users: Vec<String>,
    /// Description.
    pub(super) kept: String,
}

impl Seed {
    /// Parses an export. `wall`: the broker's time of the day.
    pub(super) fn parse(text: &[u8], wall: SystemTime) -> Result<Self, String> {
        let users = users_of_export(text).map_err(|error| error.to_string())?;
        let (disk, kept) = import_in_memory(text, wall).map_err(|error| error.to_string())?;
        Ok(Self { disk, users, kept })
    }
}

/// A password file in a directory of its own, which is removed.
pub(super) struct Users {
    dir: PathBuf,
}

impl Users {
    pub(super) fn write(lines: &[String]) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("dunlin-test-{}-{number}", std::process::id()));
        // nobody else may read it, or have made it
        DirBuilder::new().mode(0o700).create(&dir)?;
        let users = Self { dir };
        fs::write(users.file(), lines.join("\n") + "\n")?;
        Ok(users)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.dir.join("passwords")
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
