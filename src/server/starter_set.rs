//! The files that `dunlin init` creates in a directory: all or none. They are created in a subdirectory, and then moved
//! to their places, the configuration last.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, linkat, mkdirat, openat, renameat, statat, unlinkat};

use super::command_error::{CommandError, InitError};
use crate::{auth, certs, config::starter};

/// The name of the configuration.
pub(super) const CONFIGURATION: &str = "dunlin.toml";

/// The created files. If it is dropped without [`keep`](Self::keep), moved files are removed.
pub(super) struct StarterSet {
    path: PathBuf,
    /// Locked: of two processes, the later one sees the complete set of the other.
    dir: File,
    /// The subdirectory of `dir`. Its files are moved, and get their owner, by this descriptor: the owner of `dir`
    /// could replace the subdirectory by a symbolic link, which root must not follow.
    unfinished: File,
    placed: Vec<PathBuf>,
    /// The directory did not exist before.
    is_new: bool,
}

/// An error if the directory contains one of the files.
pub(super) fn check_absent(dir: &Path) -> Result<(), InitError> {
    let is_there = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
    let [configuration, data] = [CONFIGURATION, starter::DATA].map(|name| dir.join(name));
    let parts: Vec<_> = [starter::PASSWORDS, starter::CERTS].map(|name| dir.join(name)).into();
    let parts: Vec<_> = parts.into_iter().filter(is_there).collect();
    match (is_there(&configuration), parts.is_empty(), is_there(&data)) {
        (true, ..) => Err(InitError::Exists(configuration)),
        (false, false, _) => Err(InitError::NotWhole { configuration, parts }),
        (false, true, true) => Err(InitError::Exists(data)),
        (false, true, false) => Ok(()),
    }
}

impl StarterSet {
    /// Creates the directory, and the files in a subdirectory of it.
    pub(super) fn make(path: &Path, user: &str, password: &[u8], hosts: &[String]) -> Result<Self, CommandError> {
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(unwritable(path))?;
        let dir = File::open(path).map_err(unwritable(path))?;
        flock(&dir, FlockOperation::LockExclusive).map_err(|error| unwritable(path)(error.into()))?;
        check_absent(path)?;
        let within = path.join(UNFINISHED);
        // left by a process that was killed, because a living one would hold the lock
        match fs::remove_dir_all(&within) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(&within)(error).into()),
            _ => {}
        }
        let made = mkdirat(&dir, UNFINISHED, Mode::RWXU).map_err(io::Error::from);
        let unfinished =
            made.and_then(|()| open_at(&dir, UNFINISHED, OFlags::DIRECTORY)).map_err(unwritable(&within))?;
        let set = Self { path: path.into(), dir, unfinished, placed: Vec::new(), is_new };

        auth::edit(&within.join(starter::PASSWORDS), user, auth::PasswordChange::Set(password))?;
        certs::make(&within.join(starter::CERTS), hosts, user, false)?;
        let configuration = within.join(CONFIGURATION);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&configuration)?;
            file.write_all(starter::starter(user).as_bytes())?;
            // some file systems report only here that they are full
            file.sync_all()
        };
        write().map_err(unwritable(&configuration))?;
        set.give().map_err(unwritable(path))?;
        Ok(set)
    }

    /// Gives all files to the owner of the directory, which runs the broker. If the directory is root's and has another
    /// group, that group may read the broker's files. Without the privilege for that, the files stay with this
    /// process's user.
    fn give(&self) -> io::Result<()> {
        let directory = self.dir.metadata()?;
        let (owner, group) = (directory.uid(), directory.gid());
        let [own, own_group] = [rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()];
        let is_root = own == 0;
        if !is_root || (owner, group) == (own, own_group) {
            return Ok(());
        }
        let give = |file: &File| fchown(file, Some(owner), Some(group));
        let private = fs::Permissions::from_mode(if owner == own { 0o640 } else { 0o600 });
        let passwords = open_at(&self.unfinished, starter::PASSWORDS, OFlags::empty())?;
        match give(&passwords) {
            // root in a container may lack the privilege
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            given => given?,
        }
        passwords.set_permissions(private.clone())?;
        let certs = open_at(&self.unfinished, starter::CERTS, OFlags::DIRECTORY)?;
        for name in certs::FILES {
            let file = open_at(&certs, name, OFlags::empty())?;
            give(&file)?;
            if name == "server.key" {
                file.set_permissions(private.clone())?;
            }
        }
        give(&certs)?;
        give(&open_at(&self.unfinished, CONFIGURATION, OFlags::empty())?)
    }

    /// Moves all files to their places. Existing files are not replaced.
    pub(super) fn place(&mut self) -> Result<(), InitError> {
        for name in [starter::PASSWORDS, starter::CERTS, CONFIGURATION] {
            let to = self.path.join(name);
            // so that if the configuration exists, all others do too, also after a power cut
            let placed = self.dir.sync_all().and_then(|()| Ok(self.place_one(name)?));
            placed.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => InitError::Exists(to.clone()),
                _ => unwritable(&to)(error),
            })?;
            self.placed.push(to);
        }
        self.dir.sync_all().map_err(unwritable(&self.path))
    }

    fn place_one(&self, name: &str) -> rustix::io::Result<()> {
        let Self { dir, unfinished, .. } = self;
        if name == starter::CERTS {
            mkdirat(dir, name, Mode::RWXU)?;
            // it can only replace an empty directory
            return renameat(unfinished, name, dir, name).inspect_err(|_| _ = unlinkat(dir, name, AtFlags::REMOVEDIR));
        }
        match linkat(unfinished, name, dir, name, AtFlags::empty()) {
            Ok(()) => unlinkat(unfinished, name, AtFlags::empty()),
            Err(rustix::io::Errno::EXIST) => Err(rustix::io::Errno::EXIST),
            // a file system without hard links; another init would hold the lock
            Err(_) if statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() => Err(rustix::io::Errno::EXIST),
            Err(_) => renameat(unfinished, name, dir, name),
        }
    }

    /// Keeps all files.
    pub(super) fn keep(mut self) {
        self.placed.clear();
    }
}

impl Drop for StarterSet {
    fn drop(&mut self) {
        // the configuration first; the caller's error has the reason
        for path in self.placed.iter().rev() {
            let _ = if path.ends_with(starter::CERTS) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        let _ = fs::remove_dir_all(self.path.join(UNFINISHED));
        if self.is_new {
            // succeeds if nothing is in it
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Opens a name in a directory, but not a symbolic link.
fn open_at(dir: &File, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?.into())
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> InitError {
    let path = path.to_owned();
    move |error| InitError::Write { path: path.clone(), error }
}

const UNFINISHED: &str = ".dunlin-init.unfinished";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_abandoned_set_of_files_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let make = || StarterSet::make(dir.path(), "bob", b"x", &["localhost".into()]).unwrap();
        let mut set = make();
        set.place().unwrap();
        assert_eq!(names(dir.path()), [UNFINISHED, "certs", "dunlin.toml", "passwords"]);
        drop(set);
        assert_eq!(names(dir.path()), [""; 0]);

        // something that does not heed the lock
        for name in ["passwords", "certs", "dunlin.toml"] {
            let mut set = make();
            fs::write(dir.path().join(name), "mine").unwrap();
            let error = set.place().unwrap_err();
            assert!(matches!(&error, InitError::Exists(path) if path.ends_with(name)), "{error}");
            drop(set);
            assert_eq!(names(dir.path()), [name]);
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), "mine");
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        let mut set = make();
        set.place().unwrap();
        set.keep();
        assert_eq!(names(dir.path()), ["certs", "dunlin.toml", "passwords"]);
    }
}
