//! The owner of the data directory, and the command that changes it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// If another user owns the directory: that user, and the command that changes the owner.
pub fn chown(path: &Path) -> Option<String> {
    let owner = fs::metadata(path).ok()?.uid();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let path = path.display();
    (owner != uid).then(|| {
        format!("it belongs to uid {owner}, and dunlin runs as uid {uid}: as root, run `chown -R {uid}:{gid} {path}`")
    })
}
