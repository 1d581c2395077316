//! [`AuthError`]: errors in configured users, rules and tokens, one readable line each.

use std::io;

/// Why there is no [`Policy`](super::Policy). Its `Display` is one line that says where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A file could not be read.
    #[error("{key} = {file}: cannot be read: {reason}")]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// The file as it was named.
        file: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// A file could not be written.
    #[error("{file}: cannot be written: {reason}")]
    Unwritable {
        /// The file as it was named.
        file: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// A line of a password or ACL file.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// A key of the configuration, or the file that it names.
    #[error("{key}: {problem}")]
    Setting {
        /// The key with its table.
        key: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A user name that a password file cannot have.
    #[error("the user name {name:?} {problem}")]
    UserName {
        /// As given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}
