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

/// A file that is written, and not yet where it is looked for: whoever waits for it never sees half of it.
pub(super) struct Prepared {
    path: PathBuf,
    unfinished: PathBuf,
}

impl ReadyFile {
    /// Writes the file.
    pub(super) fn write(path: &Path, listening: &[Listening]) -> Result<Self, ReadyFileError> {
        Self::prepare(path, listening)?.publish()
    }

    /// Writes all of it, beside where it will be.
    pub(super) fn prepare(path: &Path, listening: &[Listening]) -> Result<Prepared, ReadyFileError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let prepared = Prepared { path: path.to_owned(), unfinished: unfinished.into() };
        match fs::write(&prepared.unfinished, text(listening)) {
            Ok(()) => Ok(prepared),
            Err(error) => Err(ReadyFileError { path: path.to_owned(), error }),
        }
    }

    /// Puts another file, perhaps elsewhere, in the place of the one that was, or none. An error leaves all as it was.
    pub(super) fn replace(current: &mut Option<Self>, prepared: Option<Prepared>) -> Result<(), ReadyFileError> {
        let next = prepared.map(Prepared::publish).transpose()?;
        let before = std::mem::replace(current, next);
        match (before, current) {
            // it is written over, not gone
            (Some(before), Some(next)) if before.0 == next.0 => std::mem::forget(before),
            (before, _) => drop(before),
        }
        Ok(())
    }
}

impl Prepared {
    fn publish(self) -> Result<ReadyFile, ReadyFileError> {
        match fs::rename(&self.unfinished, &self.path) {
            Ok(()) => Ok(ReadyFile(self.path.clone())),
            Err(error) => Err(ReadyFileError { path: self.path.clone(), error }),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // it is not there where it was published
        let _ = fs::remove_file(&self.unfinished);
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the ready file");
        }
    }
}

fn text(listening: &[Listening]) -> String {
    let listeners: Vec<_> = listening
        .iter()
        .map(|Listening { transport, endpoint, .. }| match endpoint {
            Endpoint::Ip(a) => {
                serde_json::json!({ "transport": transport.name(), "address": a.to_string(), "port": a.port() })
            }
            Endpoint::Unix(path) => serde_json::json!({ "transport": transport.name(), "path": path }),
        })
        .collect();
    serde_json::json!({ "pid": std::process::id(), "listeners": listeners }).to_string() + "\n"
}
