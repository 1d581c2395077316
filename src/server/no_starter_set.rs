//! The files of `dunlin init` on Windows: it cannot create all or none of them, so `dunlin init` is an error.

use std::{io, path::Path};

use super::command_error::{CommandError, InitError};

/// The name of the configuration.
pub(super) const CONFIGURATION: &str = "dunlin.toml";

/// Never exists.
pub(super) struct StarterSet(std::convert::Infallible);

/// An error.
pub(super) fn check_absent(path: &Path) -> Result<(), InitError> {
    let error = io::Error::new(io::ErrorKind::Unsupported, "dunlin init needs Linux or macOS");
    Err(InitError::Write { path: path.into(), error })
}

impl StarterSet {
    /// An error.
    pub(super) fn make(path: &Path, _: &str, _: &[u8], _: &[String]) -> Result<Self, CommandError> {
        check_absent(path)?;
        Err(InitError::Exists(path.into()).into())
    }

    pub(super) fn place(&mut self) -> Result<(), InitError> {
        match self.0 {}
    }

    pub(super) fn keep(self) {
        match self.0 {}
    }
}
