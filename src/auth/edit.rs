//! Edits of files of users and keys: [`edit`] sets or deletes a user, [`rewrite`] has the part that all edits share.
//! The file is replaced as a whole or not at all; its owner, group and mode stay, and so do its other lines and
//! comments. A new file gets the owner of its directory.

use std::{fs, io, num::NonZeroU32, path::Path};

use sha2::{Digest, Sha256};

use super::{
    AuthError, Users, files,
    password::Hash,
    replace::{lock, nothing_there, read_replaceable, replace},
    users::check_name,
};
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
    edit_user(path, user, change, None).map(|(edited, _)| edited)
}

/// The same, and gives the new version of the file. `expected`: a file of another version stays as it is.
pub fn edit_user(
    path: &Path,
    user: &str,
    change: PasswordChange<'_>,
    expected: Option<&str>,
) -> Result<(Edited, String), AuthError> {
    check_name(user).map_err(|problem| AuthError::UserName { name: user.into(), problem })?;
    let may_make = !matches!(change, PasswordChange::Delete);
    rewrite(path, "the password file", may_make, |text, file| {
        check_version(text, expected, file)?;
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
        let new = with_line(text, user, line.as_deref(), "# no users\n");
        let version = version(new.as_bytes());
        Ok((new, (edited, version)))
    })
}

/// Adds lines of users to a password file; existing users stay as they are. A missing file is created. Returns the
/// number of added users.
pub fn add_users(path: &Path, lines: &[String]) -> Result<usize, AuthError> {
    rewrite(path, "the password file", true, |text, file| {
        let known = Users::parse(text, file)?;
        let (mut new, mut added) = (String::from_utf8_lossy(without_mark(text)).into_owned(), 0);
        for line in lines {
            let mut name = None;
            Users::parse_lines(line.as_bytes(), "the lines of users", |line| name = Some(line.name.to_owned()))?;
            if let Some(name) = name.filter(|name| !known.contains(name)) {
                new = with_line(new.as_bytes(), &name, Some(line.trim_end()), "# no users\n");
                added += 1;
            }
        }
        Users::parse(new.as_bytes(), file)?;
        Ok((new, added))
    })
}

/// The lines of the users of a password file, without comments.
pub fn user_lines(path: &Path) -> Result<Vec<String>, AuthError> {
    let bytes = files::read(path, "auth.password_file")?;
    Users::parse(&bytes, &path.display().to_string())?;
    let text = String::from_utf8_lossy(without_mark(&bytes));
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// A user of a password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    /// The user name.
    pub name: String,
    /// How its password is stored: `argon2id`, `pbkdf2`, `sha512` or `scram`.
    pub stored: &'static str,
}

/// The users of a password file in the order of their names, and its version.
pub fn read_users(path: &Path) -> Result<(Vec<UserLine>, String), AuthError> {
    let bytes = files::read(path, "auth.password_file")?;
    let mut users = Vec::new();
    Users::parse_lines(&bytes, &path.display().to_string(), |line| {
        users.push(UserLine { name: line.name.to_owned(), stored: line.hash.kind() });
    })?;
    crate::types::sort_by(&mut users, |one, other| one.name.cmp(&other.name));
    Ok((users, version(&bytes)))
}

/// Tells a text from another.
pub(super) fn version(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Is it the version that the caller saw? `None`: any will do.
pub(super) fn check_version(bytes: &[u8], expected: Option<&str>, file: &str) -> Result<(), AuthError> {
    let version = version(bytes);
    match expected.is_none_or(|expected| expected == version) {
        true => Ok(()),
        false => Err(AuthError::Changed { file: file.into(), version }),
    }
}

/// Replaces the text of a file by the result of `change`, which also gets the file's name for errors. Of two concurrent
/// edits, the later one sees the result of the other. `key`: the key that names the file, for errors. `may_make`: a
/// missing file counts as empty.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn users_are_added_changed_and_deleted_in_the_file() {
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
    fn an_edit_keeps_owner_group_and_mode_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        let owner =
            |path: &Path| fs::metadata(path).map(|about| (about.uid(), about.gid(), about.mode() & 0o7777)).unwrap();
        let own = owner(dir.path());
        if std::os::unix::fs::chown(dir.path(), Some(1234), Some(5678)).is_err() {
            // only root can change the owner; other users' tests show that an edit works without it
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
    fn a_byte_order_mark_is_not_part_of_the_first_user_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        fs::write(&path, format!("\u{FEFF}bob:{}\n", Hash::make(b"one"))).unwrap();
        assert_eq!(edit(&path, "bob", PasswordChange::Set(b"two")).unwrap(), Edited::Changed);
        let users = Users::parse(&fs::read(&path).unwrap(), "f").unwrap();
        assert!(users.len() == 1 && users.hash("bob").0.is_of(b"two"));
    }

    #[test]
    fn concurrent_edits_lose_no_user_and_a_killed_edit_blocks_no_other() {
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
    fn a_symbolic_link_is_kept_and_an_invalid_file_is_not_edited() {
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
    fn a_special_file_is_not_edited() {
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
