//! [`CommandError`]: why a subcommand failed.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{ctl::CtlError, health::HealthError};
use crate::{auth::AuthError, certs::CertsError, config::ConfigError, store::tools::ToolError};

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of users, rules or keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Certificates to try TLS with.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// What `dunlin init` writes.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The broker does not answer.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// What was asked of a broker.
    #[error(transparent)]
    Ctl(#[from] CtlError),
    /// A data directory.
    #[error(transparent)]
    Store(#[from] ToolError),
    /// The password cannot be read.
    #[error("cannot read the password: {0}; --batch takes it from standard input")]
    Password(io::Error),
    /// What was read is no password.
    #[error("{0}; nothing was changed")]
    NoPassword(String),
    /// The manual pages.
    #[error("cannot write the manual pages to {}: {error}", .dir.display())]
    Pages {
        /// Where.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says, and part of the text.
        error: io::Error,
    },
    /// The answer cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

/// Why nothing was set up, or not all.
#[derive(Debug, Error)]
pub enum InitError {
    /// Something is there.
    #[error("{} is there already; nothing was written: give another directory", .0.display())]
    Exists(PathBuf),
    /// Some of it is there, and the configuration, which is written last, is not.
    #[error(
        "there is no {}, but already {}: an earlier `dunlin init` may have been stopped; nothing was written: remove {}, \
         or give another directory",
        .configuration.display(), joined(.parts), joined(.parts)
    )]
    NotWhole {
        /// What is not there.
        configuration: PathBuf,
        /// What is there.
        parts: Vec<PathBuf>,
    },
    /// A password would be made, and nobody would see it.
    #[error(
        "standard output is closed or /dev/null, so the password that is made would be lost; nothing was written: give \
         --password-file, or redirect standard output to a file"
    )]
    Unseen,
    /// A password was made that cannot be shown.
    #[error("cannot write the password that was made to standard output: {0}; nothing was set up")]
    Unshown(io::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says, and part of the text.
        error: io::Error,
    },
    /// The file with the password.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says, and part of the text.
        error: io::Error,
    },
}

/// As a list in a sentence.
fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}
