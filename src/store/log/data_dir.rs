//! The data directory: creates it, checks its permissions, and locks it against other processes.

use std::{
    fs,
    io::{self, Seek, Write},
    path::Path,
};

use super::{error::OpenError, names, owner::chown};
use crate::platform::{self, Access, DirBuilderExt, FlockOperation, OpenOptionsExt, PermissionsExt, access, flock};

/// The lock of a data directory. It ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    directory: Option<fs::File>,
    file: Option<fs::File>,
}

impl Drop for Lock {
    /// A child process has copies of the descriptors from its fork on until it runs its program. Closing them here
    /// would leave the directory locked until then; unlocking one of them unlocks all.
    fn drop(&mut self) {
        for file in [&self.file, &self.directory].into_iter().flatten() {
            // it is closed in a moment in any case
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

/// Creates the directory, accessible to its owner alone, if it is missing, and syncs its name.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let (failed, what) = (path.to_owned(), "cannot keep anything in the data directory");
    platform::can_store().map_err(|error| OpenError::Io { path: failed, what, error })?;
    if !path.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| OpenError::Create { path: path.to_owned(), error })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // without the right to sync the parent, the directory still exists
        if let Ok(parent) = fs::File::open(parent) {
            let _ = parent.sync_all();
        }
    }
    Ok(())
}

/// Checks permissions, and locks the directory for a broker.
pub(crate) fn lock(path: &Path) -> Result<Lock, OpenError> {
    let metadata = is_directory(path)?;
    let denied = |what| move |error: rustix::io::Errno| (what, io::Error::from(error));
    access(path, Access::READ_OK | Access::EXEC_OK)
        .map_err(denied("cannot read the data directory"))
        .and_then(|()| access(path, Access::WRITE_OK).map_err(denied("cannot write to the data directory")))
        .map_err(|(what, error)| OpenError::Permission { path: path.to_owned(), what, error, chown: chown(path) })?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            data_dir = %path.display(),
            mode = format_args!("{:03o}", mode & 0o777),
            "other users may read or write the data directory, which has messages and subscriptions: chmod 700",
        );
    }

    // the directory too, because the lock file may be removed while a broker runs
    let directory = lock_directory(path, FlockOperation::NonBlockingLockExclusive)?;
    let name = path.join(names::LOCK);
    let failed = |error| {
        let (what, chown) = ("cannot open the lock file", chown(path));
        OpenError::Permission { path: name.clone(), what, error, chown }
    };
    let options = fs::File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
    let mut file = options.map_err(failed)?;
    lock_file(path, &file, FlockOperation::NonBlockingLockExclusive)?;
    // the process id is for the error of a second broker; the lock works without it
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { directory, file: Some(file) })
}

/// Locks the directory for reading: other readers may use it, a broker may not. Changes nothing, so it works on a
/// read-only file system.
pub(crate) fn lock_to_read(path: &Path) -> Result<Lock, OpenError> {
    is_directory(path)?;
    access(path, Access::READ_OK | Access::EXEC_OK).map_err(|error| OpenError::Permission {
        path: path.to_owned(),
        what: "cannot read the data directory",
        error: error.into(),
        chown: chown(path),
    })?;
    let directory = lock_directory(path, FlockOperation::NonBlockingLockShared)?;
    // a copy of a data directory may have no lock file, or one that is not readable
    let file = fs::File::open(path.join(names::LOCK)).ok();
    if let Some(file) = &file {
        lock_file(path, file, FlockOperation::NonBlockingLockShared)?;
    }
    Ok(Lock { directory, file })
}

fn is_directory(path: &Path) -> Result<fs::Metadata, OpenError> {
    let (failed, what) = (path.to_owned(), "cannot look at the data directory");
    let metadata = fs::metadata(path).map_err(|error| OpenError::Io { path: failed, what, error })?;
    match metadata.is_dir() {
        true if path.join(names::INCOMPLETE).exists() => Err(OpenError::Incomplete { path: path.to_owned() }),
        true => Ok(metadata),
        false => Err(OpenError::NotADirectory { path: path.to_owned() }),
    }
}

/// `None`: this file system cannot lock directories.
fn lock_directory(path: &Path, how: FlockOperation) -> Result<Option<fs::File>, OpenError> {
    let Ok(directory) = fs::File::open(path) else { return Ok(None) };
    match flock(&directory, how) {
        Ok(()) => Ok(Some(directory)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(locked(path)),
        Err(_) => Ok(None),
    }
}

fn lock_file(path: &Path, file: &fs::File, how: FlockOperation) -> Result<(), OpenError> {
    match flock(file, how) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(locked(path)),
        Err(error) => {
            let (path, error) = (path.join(names::LOCK), error.into());
            Err(OpenError::Io { path, what: "cannot lock the data directory", error })
        }
    }
}

/// The error that another process has the lock, with its process id if the lock file has one.
fn locked(path: &Path) -> OpenError {
    let pid = fs::read_to_string(path.join(names::LOCK)).ok().and_then(|pid| pid.trim().parse().ok());
    OpenError::Locked { path: path.to_owned(), pid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_process_gets_the_id_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/for/us");
        create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let first = lock(&path).unwrap();
        let refused = lock(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(matches!(lock_to_read(&path), Err(OpenError::Locked { pid: Some(_), .. })));
        // also where the file is gone
        fs::remove_file(path.join(names::LOCK)).unwrap();
        assert!(matches!(lock(&path), Err(OpenError::Locked { pid: None, .. })));
        drop(first);
        lock(&path).unwrap();
    }

    #[test]
    fn a_child_process_does_not_keep_the_directory_locked() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        // as fork does with all descriptors
        let copies = [&first.directory, &first.file].map(|file| file.as_ref().unwrap().try_clone().unwrap());
        drop(first);
        lock(dir.path()).unwrap();
        drop(copies);
    }

    #[test]
    fn readers_do_not_exclude_each_other_and_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let readers = [lock_to_read(dir.path()).unwrap(), lock_to_read(dir.path()).unwrap()];
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(matches!(lock(dir.path()), Err(OpenError::Locked { .. })));
        drop(readers);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_file_is_not_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        create(&path).unwrap();
        assert!(matches!(lock(&path), Err(OpenError::NotADirectory { .. })));
        assert!(matches!(create(&path.join("within")), Err(OpenError::Create { .. })));
    }
}
