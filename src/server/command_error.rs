//! [`CommandError`]: why a subcommand failed.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{ctl::CtlError, health::HealthError};
use crate::{auth::AuthError, certs::CertsError, config::ConfigError, store::tools::ToolError};

/// Why a subcommand failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// An invalid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A problem in a file of users, rules or keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Development certificates could not be created.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// `dunlin init` could not write its files.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The broker is not healthy.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// A request to a broker failed.
    #[error(transparent)]
    Ctl(#[from] CtlError),
    /// A tool for data directories failed.
    #[error(transparent)]
    Store(#[from] ToolError),
    /// The password cannot be read.
    #[error("cannot read the password: {0}; --batch takes it from standard input")]
    Password(io::Error),
    /// It is not known which file is meant.
    #[error("no http.keys_file is configured: name it below [http], or give --file FILE")]
    NoKeysFile,
    /// The answer depends on the Client Identifier.
    #[error("give --client ID: the pattern at {0} has %c, which stands for the Client Identifier")]
    NoClient(String),
    /// The input is not a valid password.
    #[error("{0}; nothing was changed")]
    NoPassword(String),
    /// The manual pages cannot be written.
    #[error("cannot write the manual pages to {}: {error}", .dir.display())]
    Pages {
        /// The directory.
        dir: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// A file of another kind than a `mosquitto.conf`.
    #[error("{}: {what}", .path.display())]
    NotMosquitto {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// A file to be written exists.
    #[error("{} already exists, and nothing was written: give another file, or remove this one", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

/// Why `dunlin init` failed.
#[derive(Debug, Error)]
pub enum InitError {
    /// The directory is not empty.
    #[error("{} already exists; nothing was written: give another directory", .0.display())]
    Exists(PathBuf),
    /// Some of the files exist, but not the configuration, which is written last.
    #[error(
        "there is no {}, but already {}: an earlier `dunlin init` may have been stopped; nothing was written: remove {}, \
         or give another directory",
        .configuration.display(), joined(.parts), joined(.parts)
    )]
    NotWhole {
        /// The missing configuration.
        configuration: PathBuf,
        /// The existing files.
        parts: Vec<PathBuf>,
    },
    /// A password would be generated, and no one would see it.
    #[error(
        "standard output is closed or /dev/null, so the password that is made would be lost; nothing was written: give \
         --password-file, or redirect standard output to a file"
    )]
    Unseen,
    /// The generated password cannot be shown.
    #[error("cannot write the password that was made to standard output: {0}; nothing was set up")]
    Unshown(io::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// The file with the password cannot be read.
    #[error("--password-file: cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
}

/// Joins paths to a list in a sentence.
fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}
