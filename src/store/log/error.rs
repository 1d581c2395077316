//! Errors: why a store does not open, and why an open one fails.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

use super::owner::chown;

/// Why a store does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory does not exist and cannot be created.
    #[error("{}: cannot make the data directory: {error}; make it, owned by the user that runs dunlin, or change data_dir", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// It is not a directory.
    #[error("{}: is not a directory; change data_dir", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// `dunlin store backup` did not finish it.
    #[error("{}: is an incomplete copy, because the backup that made it failed or was ended; delete it, and make the copy again", path.display())]
    Incomplete {
        /// The directory.
        path: PathBuf,
    },
    /// The user that runs dunlin lacks a permission.
    #[error("{}: {what}: {error}; {}, or change data_dir", path.display(), chown.as_deref().unwrap_or(GIVE))]
    Permission {
        /// The directory or a file in it.
        path: PathBuf,
        /// The operation that was tried.
        what: &'static str,
        /// The system's error; part of the text.
        error: io::Error,
        /// If another user owns it: that user, and the command that changes the owner.
        chown: Option<String>,
    },
    /// Another process has the lock.
    #[error("{}: another dunlin{} uses this data directory; stop that one, or give this one another data_dir", path.display(), Holder(*pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process id, if the lock file has one.
        pid: Option<u32>,
    },
    /// A segment was written by a later version.
    #[error("{}: has format version {version}, and this dunlin reads version {supported}; run the dunlin that wrote it", path.display(), supported = super::format::VERSION)]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The log is damaged.
    #[error("{}{}; run `dunlin store check --data-dir {dir}` to see all damage, and `dunlin store repair --data-dir {dir}` to continue without the lost records", data_dir.join(&damage.file).display(), At(damage, *more), dir = data_dir.display())]
    Damaged {
        /// The directory.
        data_dir: PathBuf,
        /// The first damage.
        damage: Damage,
        /// Number of further damages.
        more: usize,
    },
    /// The disk is too small or too full.
    #[error("{}: the disk has room for {} KiB, and dunlin needs {} KiB at least: free {} KiB there, or change data_dir", path.display(), has / 1024, needs.div_ceil(1024), (needs - has).div_ceil(1024))]
    TooSmall {
        /// The directory.
        path: PathBuf,
        /// Bytes that the store's files may use, including those that they use already.
        has: u64,
        /// Bytes that they need.
        needs: u64,
    },
    /// Another error of the system.
    #[error("{}: {what}: {error}", path.display())]
    Io {
        /// The directory or a file in it.
        path: PathBuf,
        /// The operation that was tried.
        what: &'static str,
        /// The system's error; part of the text.
        error: io::Error,
    },
}

/// A damaged place of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name, also of a missing file.
    pub file: String,
    /// Bytes from its beginning.
    pub offset: u64,
    /// The damage and the loss, as text.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.file, At(self, 0))
    }
}

/// Formats the file, the place and the damage.
struct At<'a>(&'a Damage, usize);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", byte {}: {}", self.0.offset, self.0.what)?;
        match self.1 {
            0 => Ok(()),
            1 => f.write_str(" (and one more place)"),
            more => write!(f, " (and {more} more places)"),
        }
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// Why a store stopped. Nothing that is not acknowledged yet will be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{file}: {what}: {why}; nothing more is acknowledged; look at the disk, then start dunlin again")]
pub struct Failure {
    /// The segment, or `data_dir`.
    pub file: String,
    /// The operation that was tried.
    pub what: &'static str,
    /// The system's error.
    pub why: String,
}

/// The file name of a [`Failure`] without a particular file.
pub(crate) const DATA_DIR: &str = "data_dir";

impl Failure {
    pub(crate) fn new(file: &str, what: &'static str, why: &io::Error) -> Self {
        Self { file: file.to_owned(), what, why: why.to_string() }
    }
}

/// Why recovery failed. The caller knows the path of the directory.
#[derive(Debug)]
pub(crate) enum RecoveryError {
    /// An empty `file` means the directory itself.
    Io {
        file: String,
        what: &'static str,
        error: io::Error,
    },
    Version {
        file: String,
        version: u32,
    },
}

impl RecoveryError {
    pub(crate) fn io(file: &str, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { file: file.to_owned(), what, error }
    }

    pub(crate) fn within(self, data_dir: &std::path::Path) -> OpenError {
        // a path that is joined with an empty name would end with a slash
        let path = |file: &str| if file.is_empty() { data_dir.to_owned() } else { data_dir.join(file) };
        match self {
            Self::Io { file, what, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                OpenError::Permission { path: path(&file), what, error, chown: chown(data_dir) }
            }
            Self::Io { file, what, error } => OpenError::Io { path: path(&file), what, error },
            Self::Version { file, version } => OpenError::Version { path: data_dir.join(file), version },
        }
    }
}

const GIVE: &str = "give the directory and all in it to the user that runs dunlin (chown -R)";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_message_begins_with_an_empty_file_name_or_ends_its_path_with_a_slash() {
        let error = || io::Error::from_raw_os_error(5);
        let failed = Failure::new(DATA_DIR, "cannot write", &error()).to_string();
        assert!(failed.starts_with("data_dir: cannot write: "), "{failed}");
        let unread = RecoveryError::io("", "cannot list the data directory")(error()).within(Path::new("/data"));
        assert_eq!(unread.to_string(), format!("/data: cannot list the data directory: {}", error()));
        let segment = RecoveryError::io("a", "cannot read the segment")(error()).within(Path::new("/data"));
        assert!(segment.to_string().starts_with("/data/a: cannot read the segment: "), "{segment}");
    }
}
