//! The data directory: that it is there, that it may be used, and that nobody else does.

use std::{
    fs,
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::{Access, FlockOperation};

use super::{error::OpenError, names, owner::chown};

/// The right to use a data directory; it ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: fs::File,
}

/// Makes the directory if there is none, for its owner alone; with its name on the disk.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    if !path.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| OpenError::Create { path: path.to_owned(), error })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // where that is not allowed the directory was still made
        if let Ok(parent) = fs::File::open(parent) {
            let _ = parent.sync_all();
        }
    }
    Ok(())
}

/// Checks that it may be used, and takes it.
pub(crate) fn lock(path: &Path) -> Result<Lock, OpenError> {
    let metadata = fs::metadata(path).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        what: "cannot look at the data directory",
        error,
    })?;
    if !metadata.is_dir() {
        return Err(OpenError::NotADirectory { path: path.to_owned() });
    }
    let denied = |what| move |error: rustix::io::Errno| (what, io::Error::from(error));
    rustix::fs::access(path, Access::READ_OK | Access::EXEC_OK)
        .map_err(denied("cannot read the data directory"))
        .and_then(|()| rustix::fs::access(path, Access::WRITE_OK).map_err(denied("cannot write to the data directory")))
        .map_err(|(what, error)| OpenError::Permission { path: path.to_owned(), what, error, chown: chown(path) })?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            data_dir = %path.display(),
            "others than its owner may use the data directory (mode {:03o}): it holds messages and subscriptions; chmod 700",
            mode & 0o777
        );
    }

    let name = path.join(names::LOCK);
    let failed = |error| {
        let (what, chown) = ("cannot open the lock file", chown(path));
        OpenError::Permission { path: name.clone(), what, error, chown }
    };
    let options = fs::File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
    let mut file = options.map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let read = file.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
            return Err(OpenError::Locked { path: path.to_owned(), pid: read });
        }
        Err(error) => {
            let (path, error) = (name, error.into());
            return Err(OpenError::Io { path, what: "cannot lock the data directory", error });
        }
    }
    // who it is helps whoever comes second; the lock holds without it
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}

/// The right to read a directory that nobody else uses: the same as [`lock`], and where nothing can be written there,
/// as with a copy on a disk that is mounted to be read alone, without leaving a trace. `None`: nobody has ever used it.
pub(crate) fn lock_to_read(path: &Path) -> Result<Option<Lock>, OpenError> {
    let denied = match lock(path) {
        Err(denied @ OpenError::Permission { .. }) => denied,
        other => return other.map(Some),
    };
    if rustix::fs::access(path, Access::READ_OK | Access::EXEC_OK).is_err() {
        return Err(denied);
    }
    let file = match fs::File::open(path.join(names::LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(denied),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { path: path.to_owned(), pid: None }),
        // a file system of which others know nothing
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/for/us");
        create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let first = lock(&path).unwrap();
        let refused = lock(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        lock(&path).unwrap();
    }

    #[test]
    fn a_file_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        create(&path).unwrap();
        assert!(matches!(lock(&path), Err(OpenError::NotADirectory { .. })));
        assert!(matches!(create(&path.join("within")), Err(OpenError::Create { .. })));
    }
}
