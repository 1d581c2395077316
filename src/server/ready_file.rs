//! The ready file: says that all listeners accept, and where; gone when the server is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::Listening;
use crate::types::Endpoint;

/// The ready file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write the ready file {}: {error}", .path.display())]
pub struct ReadyFileError {
    /// Where it should be.
    pub path: PathBuf,
    /// What the system says, and part of the text.
    pub error: io::Error,
}

/// A file that goes with this value.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes a file that was not there, or was another broker's.
    pub(super) fn write(path: &Path, listening: &[Listening]) -> Result<Self, ReadyFileError> {
        put(path, listening)?;
        Ok(Self(path.to_owned()))
    }

    /// What `path` says, which may be another than it was: where the file should be from now on, if anywhere. An error
    /// leaves all as it was.
    pub(super) fn replace(
        current: &mut Option<Self>,
        path: Option<&Path>,
        listening: &[Listening],
    ) -> Result<(), ReadyFileError> {
        match (path, &current) {
            // the one that is there stays this value's
            (Some(path), Some(Self(before))) if path == before => put(path, listening)?,
            (Some(path), _) => *current = Some(Self::write(path, listening)?),
            (None, _) => *current = None,
        }
        Ok(())
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the ready file");
        }
    }
}

/// Whoever waits for the file never sees half of it.
fn put(path: &Path, listening: &[Listening]) -> Result<(), ReadyFileError> {
    let listeners: Vec<_> = listening
        .iter()
        .map(|Listening { transport, endpoint, .. }| match endpoint {
            Endpoint::Ip(a) => {
                serde_json::json!({ "transport": transport.name(), "address": a.to_string(), "port": a.port() })
            }
            Endpoint::Unix(path) => serde_json::json!({ "transport": transport.name(), "path": path }),
        })
        .collect();
    let text = serde_json::json!({ "pid": std::process::id(), "listeners": listeners }).to_string() + "\n";
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    fs::write(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|error| ReadyFileError { path: path.to_owned(), error })
}
