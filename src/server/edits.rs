//! [`with_file`]: edits of files that the configuration names, asked for over HTTP: one at a time, on a thread that may
//! wait for a disk.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{bans::BanError, http::HttpError};
use crate::{
    admin::{Doing, FileProblem},
    auth::AuthError,
    config::Config,
    store::tools::ToolError,
};

/// Why an edit failed.
#[derive(Debug)]
pub(super) enum EditError {
    NotConfigured(&'static str),
    Auth(AuthError),
    Http(HttpError),
    Ban(BanError),
    /// A tool of the store failed.
    Tool(ToolError),
    /// A directory cannot be removed.
    Scratch {
        path: PathBuf,
        error: io::Error,
    },
    /// The embedding program decides.
    PluggedIn,
    /// The file was edited, but the configuration cannot be put in force.
    InForce(AuthError),
}

impl From<BanError> for EditError {
    fn from(error: BanError) -> Self {
        Self::Ban(error)
    }
}

impl From<ToolError> for EditError {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

impl From<AuthError> for EditError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<HttpError> for EditError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

/// Edits the file that a key of the configuration in force names. No reload and no other edit happens meanwhile. The
/// edit is completed even if the caller goes away.
pub(super) fn with_file<T: Send + 'static>(
    running: &Arc<tokio::sync::Mutex<Config>>,
    key: &'static str,
    file: fn(&Config) -> &Option<PathBuf>,
    edit: impl FnOnce(&Config, &Path) -> Result<T, EditError> + Send + 'static,
) -> Doing<T> {
    let running = running.clone();
    apart(move || {
        let config = running.blocking_lock();
        let path = file(&config).as_deref().ok_or(EditError::NotConfigured(key))?;
        edit(&config, path)
    })
}

/// Runs a function on a thread that may wait for the disk, even if the caller goes away.
pub(super) fn apart<T: Send + 'static>(edit: impl FnOnce() -> Result<T, EditError> + Send + 'static) -> Doing<T> {
    let done = tokio::task::spawn_blocking(move || edit().map_err(|error| problem(&error)));
    Box::pin(async move {
        let ended = |_| Err(FileProblem::Broken("the edit ended before it was done".into()));
        done.await.unwrap_or_else(ended)
    })
}

fn problem(error: &EditError) -> FileProblem {
    let error = match error {
        EditError::Auth(error) | EditError::Http(HttpError::Keys(error)) => error,
        EditError::Http(error) => return FileProblem::Broken(error.to_string()),
        EditError::NotConfigured(key) => return FileProblem::NotConfigured(key),
        EditError::Ban(error) => return of_ban(error),
        EditError::Tool(error @ (ToolError::Line { .. } | ToolError::Input(_))) => {
            return FileProblem::Invalid(error.to_string());
        }
        EditError::Tool(error) => return FileProblem::Broken(error.to_string()),
        EditError::Scratch { path, error } if is_denied(error) => {
            return FileProblem::ReadOnly(format!("cannot remove {}: {error}", path.display()));
        }
        EditError::Scratch { path, error } => {
            return FileProblem::Broken(format!("cannot remove {}: {error}", path.display()));
        }
        EditError::PluggedIn => return FileProblem::PluggedIn,
        EditError::InForce(error) => return FileProblem::Broken(error.to_string()),
    };
    let text = error.to_string();
    match error {
        AuthError::Unwritable { reason, .. } if is_denied(reason) => FileProblem::ReadOnly(text),
        AuthError::Unwritable { .. } | AuthError::Unreadable { .. } | AuthError::Line { .. } => {
            FileProblem::Broken(text)
        }
        AuthError::Setting { .. } => FileProblem::Broken(text),
        AuthError::Changed { version, .. } => FileProblem::Changed(version.clone()),
        AuthError::Rule { .. } => FileProblem::Invalid(text),
        AuthError::Exists { .. } => FileProblem::Exists(text),
        AuthError::Unknown { .. } => FileProblem::Unknown(text),
        AuthError::UserName { .. } | AuthError::KeyName { .. } => FileProblem::Invalid(text),
    }
}

fn of_ban(error: &BanError) -> FileProblem {
    let text = error.to_string();
    match error {
        BanError::Nobody | BanError::Over => FileProblem::Invalid(text),
        BanError::TooMany(_) => FileProblem::Full(text),
        BanError::Unwritable { error, .. } if is_denied(error) => FileProblem::ReadOnly(text),
        BanError::Unwritable { .. } => FileProblem::Broken(text),
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}
