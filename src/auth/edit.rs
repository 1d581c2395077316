//! Edits of files of users and keys: [`edit`] sets or deletes a user, [`rewrite`] has the part that all edits share.
//! The file is replaced as a whole or not at all; its owner, group and mode stay, and so do its other lines and
//! comments. A new file gets the owner of its directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    num::NonZeroU32,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::{AuthError, Users, files::open_regular, password::Hash, users::check_name};
use crate::types::without_mark;

/// The change of a user.
#[derive(Clone, Copy, Debug)]
pub enum PasswordChange<'a> {
    /// Set this password.
    Set(&'a [u8]),
    /// Set keys for SCRAM, which also allow logins with the plain password.
    SetScram {
        /// The password; see [`check_scram`](super::check_scram).
        password: &'a [u8],
        /// Number of hash iterations, which the client computes at each login; at least 4,096.
        iterations: NonZeroU32,
    },
    /// Delete the user.
    Delete,
}

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// The user is new.
    Added,
    /// The user existed.
    Changed,
    /// It is gone.
    Deleted,
}

/// Edits `path`. A missing file is created: with the owner and group of its directory and mode 0640, or with mode 0600
/// if it belongs to this process anyway. A file that is not a valid password file is not changed.
pub fn edit(path: &Path, user: &str, change: PasswordChange<'_>) -> Result<Edited, AuthError> {
    check_name(user).map_err(|problem| AuthError::UserName { name: user.into(), problem })?;
    let may_make = !matches!(change, PasswordChange::Delete);
    rewrite(path, "the password file", may_make, |text, file| {
        let known = Users::parse(text, file)?.contains(user);
        let hash = match change {
            PasswordChange::Set(password) => Some(Hash::make(password)),
            PasswordChange::SetScram { password, iterations } => Some(Hash::make_scram(password, iterations)),
            PasswordChange::Delete => None,
        };
        let edited = match (&hash, known) {
            (Some(_), false) => Edited::Added,
            (Some(_), true) => Edited::Changed,
            (None, true) => Edited::Deleted,
            (None, false) => {
                return Err(AuthError::Unknown { file: file.into(), what: format!("user {user:?}") });
            }
        };
        let line = hash.map(|hash| format!("{user}:{hash}"));
        Ok((with_line(text, user, line.as_deref(), "# no users\n"), edited))
    })
}

/// Replaces the text of a file by what `change` makes of it; `change` is also told how errors call the file. Of two
/// edits at once, the later one finds what the other has done. `key`: what errors call the setting that names the file.
/// `may_make`: a file that is missing is made, as if it had been empty.
pub(super) fn rewrite<R>(
    path: &Path,
    key: &'static str,
    may_make: bool,
    change: impl FnOnce(&[u8], &str) -> Result<(String, R), AuthError>,
) -> Result<R, AuthError> {
    let file = path.display().to_string();
    let unwritable = |reason| AuthError::Unwritable { file: file.clone(), reason };
    // of two concurrent edits, the later one sees the changes of the other; held until this returns
    let _turn = lock(path).map_err(unwritable)?;
    let unreadable = |reason| AuthError::Unreadable { key, file: file.clone(), reason };
    let (old, target) = match read_replaceable(path) {
        // a symbolic link is kept
        Ok(old) => (Some(old), fs::canonicalize(path).map_err(unreadable)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => {
            nothing_there(path).map_err(unwritable)?;
            (None, path.to_owned())
        }
        Err(error) => return Err(unreadable(error)),
    };
    let (new, done) = change(old.as_deref().unwrap_or_default(), &file)?;
    let like = old.is_some().then_some(&*target);
    replace(&target, like, new.as_bytes()).map_err(unwritable)?;
    Ok(done)
}

/// Reads a file that may be replaced. With several hard links only one name would be replaced: a broker that reads the
/// file by another name would still accept a user who was deleted.
fn read_replaceable(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open_regular(path)?;
    match file.metadata()?.nlink() {
        ..=1 => {}
        links => {
            return Err(invalid(format!(
                "it has {links} hard links, and only this one would change; make the others symbolic links"
            )));
        }
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a broken symbolic link, because a new file would replace the link.
fn nothing_there(path: &Path) -> io::Result<()> {
    match fs::read_link(path) {
        Ok(to) => {
            let to = to.display();
            Err(invalid(format!(
                "it is a symbolic link to {to}, which does not exist; create that file, or remove the link"
            )))
        }
        Err(_) => Ok(()),
    }
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// Waits until no other process edits a file in the same folder. The lock is on the folder, because the file itself is
/// replaced.
fn lock(path: &Path) -> io::Result<Option<File>> {
    // the target of a link; a file that does not exist is not a link
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(folder) = folder(&target).map(File::open).transpose()? else { return Ok(None) };
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(Some(folder))
}

/// The text with the line of a name replaced, removed, or appended; `nothing` if no line is left.
pub(super) fn with_line(text: &[u8], name: &str, line: Option<&str>, nothing: &str) -> String {
    let text = String::from_utf8_lossy(without_mark(text));
    let is_of_name = |old: &str| {
        !old.starts_with('#') && old.split_once(':').is_some_and(|(known, _)| known.trim_matches(' ') == name)
    };
    let (mut out, mut placed) = (String::new(), false);
    for old in text.lines() {
        let new = match is_of_name(old) {
            false => Some(old),
            true => {
                placed = true;
                line
            }
        };
        new.into_iter().for_each(|new| out.extend([new, "\n"]));
    }
    if let (Some(line), false) = (line, placed) {
        out.extend([line, "\n"]);
    }
    // the broker refuses an empty file, because it may be incomplete
    if out.is_empty() {
        out.push_str(nothing);
    }
    out
}

/// Replaces `target` by a file with these bytes, with the owner, group and mode of `like`, or else the owner and group
/// of its directory.
fn replace(target: &Path, like: Option<&Path>, bytes: &[u8]) -> io::Result<()> {
    let (unfinished, mut file) = create_beside(target)?;
    let written = || {
        if let Some(like) = like {
            let about = fs::metadata(like)?;
            let ours = file.metadata()?;
            if (about.uid(), about.gid()) != (ours.uid(), ours.gid()) {
                fchown(&file, Some(about.uid()), Some(about.gid()))?;
            }
            file.set_permissions(fs::Permissions::from_mode(about.mode() & 0o7777))?;
        } else if let Some(folder) = folder(target)
            && is_given(&file, &fs::metadata(folder)?)?
        {
            file.set_permissions(fs::Permissions::from_mode(0o640))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, target)?;
        // makes the new name durable
        folder(target).map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    let mut written = written;
    written().inspect_err(|_| {
        // the error is returned anyway
        let _ = fs::remove_file(&unfinished);
    })
}

/// Gives a new file to the owner and group of its directory: root may create a file that the broker's user reads.
/// `false`: they are those of this process, or it lacks the permission.
fn is_given(file: &File, directory: &fs::Metadata) -> io::Result<bool> {
    let ours = file.metadata()?;
    let (owner, group) = (directory.uid(), directory.gid());
    if (owner, group) == (ours.uid(), ours.gid()) {
        return Ok(false);
    }
    // without privileges the owner stays, and the group may be one of the user's
    let given = fchown(file, Some(owner), Some(group)).or_else(|_| fchown(file, None, Some(group)));
    Ok(given.is_ok())
}

/// A new file in the same directory, from where it can be renamed.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // a random name cannot exist, even if a killed process left a file there: in a container the process id is always
    // the same
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    name.push(format!(".{:016x}.unfinished", u64::from_ne_bytes(random)));
    let path = target.with_file_name(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

fn folder(path: &Path) -> Option<&Path> {
    path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn users_come_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        assert_eq!(edit(&path, "bob", PasswordChange::Set(b"one")).unwrap(), Edited::Added);
        assert_eq!(mode(&path), 0o600);
        let bob = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# people\n\n{bob}# end")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        assert_eq!(edit(&path, "eve", PasswordChange::Set(b"two")).unwrap(), Edited::Added);
        assert_eq!(edit(&path, "bob", PasswordChange::Set(b"three")).unwrap(), Edited::Changed);
        assert_eq!(mode(&path), 0o640);
        let text = fs::read_to_string(&path).unwrap();
        let starts: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(starts, ["# people", "", "bob", "# end", "eve"]);
        let users = Users::parse(text.as_bytes(), "f").unwrap();
        assert!(users.hash("bob").0.is_of(b"three") && users.hash("eve").0.is_of(b"two"));

        assert_eq!(edit(&path, "bob", PasswordChange::Delete).unwrap(), Edited::Deleted);
        assert!(edit(&path, "bob", PasswordChange::Delete).is_err());
        assert_eq!(Users::parse(&fs::read(&path).unwrap(), "f").unwrap().len(), 1);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["passwords"]);
    }

    #[test]
    fn owner_group_and_mode_stay_and_a_new_file_takes_those_of_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        let owner =
            |path: &Path| fs::metadata(path).map(|about| (about.uid(), about.gid(), about.mode() & 0o7777)).unwrap();
        let own = owner(dir.path());
        if std::os::unix::fs::chown(dir.path(), Some(1234), Some(5678)).is_err() {
            // only root can give files away: what is shown is that nothing fails without that
            edit(&path, "bob", PasswordChange::Set(b"x")).unwrap();
            return assert_eq!(owner(&path), (own.0, own.1, 0o600));
        }
        edit(&path, "bob", PasswordChange::Set(b"x")).unwrap();
        assert_eq!(owner(&path), (1234, 5678, 0o640));
        for (uid, gid, mode) in [(0, 5678, 0o640), (1234, 0, 0o600), (1, 2, 0o664)] {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            edit(&path, "bob", PasswordChange::Set(b"y")).unwrap();
            assert_eq!(owner(&path), (uid, gid, mode));
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        fs::write(&path, format!("\u{FEFF}bob:{}\n", Hash::make(b"one"))).unwrap();
        assert_eq!(edit(&path, "bob", PasswordChange::Set(b"two")).unwrap(), Edited::Changed);
        let users = Users::parse(&fs::read(&path).unwrap(), "f").unwrap();
        assert!(users.len() == 1 && users.hash("bob").0.is_of(b"two"));
    }

    #[test]
    fn edits_at_once_lose_nobody_and_one_that_was_killed_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        fs::write(dir.path().join(format!("passwords.{}.unfinished", std::process::id())), "").unwrap();
        std::thread::scope(|scope| {
            for user in ["a", "b", "c", "d", "e", "f"] {
                let path = &path;
                scope.spawn(move || edit(path, user, PasswordChange::Set(b"x")).unwrap());
            }
        });
        assert_eq!(Users::parse(&fs::read(&path).unwrap(), "f").unwrap().len(), 6);
    }

    #[test]
    fn a_link_stays_and_a_bad_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [path, link] = ["real", "link"].map(|name| dir.path().join(name));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        edit(&link, "bob", PasswordChange::Set(b"x")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && fs::metadata(&path).unwrap().len() > 0);

        fs::write(&path, "bob:clear\n").unwrap();
        let error = edit(&path, "eve", PasswordChange::Set(b"x")).unwrap_err().to_string();
        assert!(error.contains("real:1: user \"bob\""), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "bob:clear\n");
        for bad in ["", "a:b", "#x", " x", "a\nb"] {
            assert!(edit(&path, bad, PasswordChange::Set(b"x")).is_err(), "{bad:?}");
        }
        assert!(edit(&dir.path().join("none"), "bob", PasswordChange::Delete).is_err());
    }

    #[test]
    fn what_is_not_a_regular_file_is_left_alone() {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let refused = |name: &str, said: &str| {
            for change in [PasswordChange::Set(b"x"), PasswordChange::Delete] {
                let before = fs::symlink_metadata(at(name)).unwrap();
                let error = edit(&at(name), "bob", change).unwrap_err().to_string();
                assert!(error.contains(said), "{name}: {error}");
                let after = fs::symlink_metadata(at(name)).unwrap();
                assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()), "{name}");
            }
        };
        fs::create_dir(at("directory")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut names = vec!["directory", "fifo"];
        // as /dev/null is; only root can make one
        if mknodat(CWD, at("device"), FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 3)).is_ok() {
            names.push("device");
        }
        for name in names {
            refused(name, "it is not a regular file");
            let link = format!("{name} by a link");
            std::os::unix::fs::symlink(at(name), at(&link)).unwrap();
            refused(&link, "it is not a regular file");
        }

        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let error = edit(&at("dangling"), "bob", PasswordChange::Set(b"x")).unwrap_err().to_string();
        assert!(error.contains("it is a symbolic link to nowhere, which does not exist"), "{error}");
        assert!(fs::symlink_metadata(at("dangling")).unwrap().is_symlink() && !at("nowhere").exists());

        fs::write(at("one"), format!("bob:{}\n", Hash::make(b"x"))).unwrap();
        fs::hard_link(at("one"), at("other")).unwrap();
        refused("one", "it has 2 hard links");
        fs::remove_file(at("other")).unwrap();
        edit(&at("one"), "bob", PasswordChange::Delete).unwrap();
    }
}
