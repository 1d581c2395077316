//! [`PidFile`]: the file with the process id, for start scripts.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
};

/// The file, which is removed with this value.
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file. Without it the broker serves all the same: a service manager needs none.
    pub fn write(path: &Path) -> Option<Self> {
        let path = absolute(path).unwrap_or_else(|_| path.into());
        match fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot write pid_file");
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "cannot remove pid_file");
        }
    }
}
