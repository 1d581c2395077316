//! The owner of the data directory, and the command that changes it.

use std::{fs, path::Path};

use crate::platform::{MetadataExt, user_and_group};

/// If another user owns the directory: that user, and the command that changes the owner.
pub fn chown(path: &Path) -> Option<String> {
    let owner = fs::metadata(path).ok()?.uid();
    let (uid, gid) = user_and_group();
    let path = path.display();
    (owner != uid).then(|| {
        format!("it belongs to uid {owner}, and dunlin runs as uid {uid}: as root, run `chown -R {uid}:{gid} {path}`")
    })
}
