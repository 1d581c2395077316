//! [`AuthError`]: errors in configured users, rules and tokens, one readable line each.

use std::io;

/// Why a [`Policy`](super::Policy) cannot be loaded. Its `Display` is one line with the place, the reason and advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A file could not be read.
    #[error("{key} = {file}: cannot be read: {reason}")]
    Unreadable {
        /// The configuration key of the file.
        key: &'static str,
        /// The file, as configured.
        file: String,
        /// The system's error.
        reason: io::Error,
    },
    /// A file could not be written.
    #[error("{file}: cannot be written: {reason}")]
    Unwritable {
        /// The file, as given.
        file: String,
        /// The system's error.
        reason: io::Error,
    },
    /// An invalid line of a password or ACL file.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file, as configured.
        file: String,
        /// From 1.
        line: usize,
        /// The reason, and what to write instead.
        problem: String,
    },
    /// An invalid value in the configuration, or in the file that it names.
    #[error("{key}: {problem}")]
    Setting {
        /// The key, including its table.
        key: &'static str,
        /// The reason, and advice.
        problem: String,
    },
    /// A user name that is not allowed in a password file.
    #[error("the user name {name:?} {problem}")]
    UserName {
        /// The name, as given.
        name: String,
        /// The reason.
        problem: &'static str,
    },
    /// A name of a key that a file of keys cannot have.
    #[error("the key {name:?} {problem}")]
    KeyName {
        /// As given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file does not contain the entry to be changed or deleted.
    #[error("{file}: {what} is not in the file")]
    Unknown {
        /// The file as it was named.
        file: String,
        /// The missing entry, such as `key "ci"`.
        what: String,
    },
    /// What cannot be in an ACL file.
    #[error("{problem}")]
    Rule {
        /// What is wrong with it.
        problem: String,
    },
    /// A file is not as the caller saw it.
    #[error("{file}: another writer changed it; its version is {version} now")]
    Changed {
        /// The file as it was named.
        file: String,
        /// The current version.
        version: String,
    },
    /// A file contains the entry to be added already.
    #[error("{file}: {what} exists; delete it first, or take another name")]
    Exists {
        /// The file as it was named.
        file: String,
        /// The existing entry, such as `key "ci"`.
        what: String,
    },
}
