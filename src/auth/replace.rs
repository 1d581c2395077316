//! Replaces files as one: by their successors or not at all. Owner, group and mode stay; a new file belongs to its
//! directory's owner.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::files::open_regular;
use crate::platform::{self, MetadataExt, OpenOptionsExt, fchown};

/// Reads a file that may be replaced. A file with several hard links may not: a replacement would change only one name,
/// and a deleted user could still log in to a broker that reads another name.
pub(super) fn read_replaceable(path: &Path) -> io::Result<Vec<u8>> {
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

/// Refuses a symbolic link that leads to nothing: a new file would take the link's place.
pub(super) fn nothing_there(path: &Path) -> io::Result<()> {
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
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    // where a link leads; a file that is not there yet is none
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(folder) = folder(&target).map(platform::open_directory).transpose()?.flatten() else { return Ok(None) };
    platform::flock(&folder, platform::FlockOperation::LockExclusive)?;
    Ok(Some(folder))
}

/// Puts a file with these bytes in the place of `target`, with the owner, group and mode of `like`, or else the owner
/// and group of its directory.
pub(super) fn replace(target: &Path, like: Option<&Path>, bytes: &[u8]) -> io::Result<()> {
    let (unfinished, mut file) = create_beside(target)?;
    let written = || {
        if let Some(like) = like {
            let about = fs::metadata(like)?;
            let ours = file.metadata()?;
            if (about.uid(), about.gid()) != (ours.uid(), ours.gid()) {
                fchown(&file, Some(about.uid()), Some(about.gid()))?;
            }
            platform::set_mode_of(&file, about.mode() & 0o7777)?;
        } else if let Some(folder) = folder(target)
            && is_given(&file, &fs::metadata(folder)?)?
        {
            platform::set_mode_of(&file, 0o640)?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, target)?;
        // the name is to be on disk, too
        folder(target).map_or(Ok(()), platform::sync_directory)
    };
    let mut written = written;
    written().inspect_err(|_| {
        // the error has the reason
        let _ = fs::remove_file(&unfinished);
    })
}

/// Gives a new file to the owner and the group of its directory: root makes the file that the broker's user reads.
/// `false`: they are those of this process, or it may not give files away.
fn is_given(file: &File, directory: &fs::Metadata) -> io::Result<bool> {
    let ours = file.metadata()?;
    let (owner, group) = (directory.uid(), directory.gid());
    if (owner, group) == (ours.uid(), ours.gid()) {
        return Ok(false);
    }
    // without privileges the owner stays, and the group can be one that the user is in
    let given = fchown(file, Some(owner), Some(group)).or_else(|_| fchown(file, None, Some(group)));
    Ok(given.is_ok())
}

/// A new private file in the same folder, from which it can be renamed to the old one's name.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // an earlier killed process may have left such a file: in a container all processes have the same number
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

/// Puts a file with these bytes in the place of `path`, as one; a symbolic link stays one.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            nothing_there(path)?;
            return replace(path, None, bytes);
        }
        Err(error) => return Err(error),
    };
    replace(&target, Some(&target), bytes)
}
